"""Clipper's wire format: bodies to rows and back, and the words of its errors."""

import base64
import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servd.datatypes import Application, InputType
from servd.http.codecs import clipper
from servd.http.codecs.clipper import DECODE, RequestError
from servd.query import Miss
from servd.route import Route

DOUBLES = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=200)
INT32 = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def decode(input_type, body):
    """Return a body's rows and the version that it asks for."""
    asked = DECODE[input_type](body)
    return (asked, None) if isinstance(asked, bytes) else asked


def pack(letter, values):
    """Return a row by struct."""
    return struct.pack(f"<{len(values)}{letter}", *values)


@settings(deadline=None)
@given(DOUBLES, st.lists(DOUBLES, max_size=4))
def test_doubles(row, rows):
    """Doubles become the bytes that struct makes of them, through either reader."""
    assert decode(InputType.DOUBLES, json.dumps({"input": row}).encode()) == (pack("d", row), None)
    body = json.dumps({"input_batch": rows}).encode()
    assert decode(InputType.DOUBLES, body) == ([pack("d", each) for each in rows], None)


@settings(deadline=None)
@given(INT32)
def test_whole_numbers(row):
    """Whole numbers are right for every numeric type."""
    body = json.dumps({"input": row, "version": "7"}).encode()
    assert decode(InputType.INTEGERS, body) == (pack("i", row), "7")
    assert decode(InputType.DOUBLES, body) == (pack("d", row), "7")
    assert decode(InputType.FLOATS, body)[0] == pack("f", row)


@settings(deadline=None)
@given(TEXT, st.binary(), JSON)
def test_other_types(text, data, value):
    """Strings, bytes and any JSON value reach the row unchanged."""
    assert decode(InputType.STRINGS, json.dumps({"input": text}).encode())[0] == text.encode()
    body = json.dumps({"input": base64.b64encode(data).decode()}).encode()
    assert decode(InputType.BYTES, body)[0] == data
    row, _ = decode(InputType.ANY, json.dumps({"input": value}).encode())
    assert json.loads(row) == value


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(InputType)),
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({}, optional={"input": JSON, "input_batch": JSON, "version": JSON}).map(
        lambda value: json.dumps(value).encode()
    ),
)
def test_no_body_breaks_it(input_type, body):
    """Whatever the bytes are, the outcome is rows or an error for the caller."""
    try:
        rows, version = decode(input_type, body)
    except RequestError as error:
        told = (error.status, error.error, clipper.error_object(error.error, error.cause))
    else:
        assert isinstance(rows, bytes | list)
        assert version is None or version
        return
    assert told[:2] == (400, "Json error")
    assert json.loads(told[2])


def refusal(input_type, body):
    """Return the cause for which a body is refused."""
    with pytest.raises(RequestError) as caught:
        decode(InputType(input_type), body)
    return caught.value.cause


@pytest.mark.parametrize(
    ("input_type", "body", "words"),
    [
        ("doubles", b"{", "JSON parse error: "),
        ("doubles", b"\xff\xfe", "JSON parse error: "),
        ("doubles", b"[1]", "JSON schema invalid"),
        ("doubles", b"{}", "JSON object does not have required keys input or input_batch"),
        (
            "doubles",
            b'{"input": 1}',
            "Type mismatch! JSON key input expected type Arraybut found type Number",
        ),
        ("doubles", b'{"input": null}', "expected type Arraybut found type Null"),
        ("doubles", b'{"input": ["a"]}', "Array input of type String is not of type double"),
        ("floats", b'{"input": [true]}', "Array input of type True is not of type float"),
        ("integers", b'{"input": [false]}', "Array input of type False is not of type int"),
        ("integers", b'{"input": [1.0]}', "Array input of type Number is not of type int"),
        ("integers", b'{"input_batch": [[1], [1.5]]}', "type Number is not of type int"),
        ("doubles", b'{"input": [[1]]}', "Array input of type Array is not of type double"),
        (
            "doubles",
            b'{"input_batch": [[1], {}]}',
            "Array input of type Object is not of type double",
        ),
        (
            "doubles",
            b'{"input_batch": [[1], [null]]}',
            "Array input of type Null is not of type double",
        ),
        ("doubles", b'{"input_batch": 1}', "JSON key input_batch expected type Array"),
        (
            "doubles",
            b'{"input": [1], "version": 1}',
            "JSON key version expected type stringbut found type Number",
        ),
        ("doubles", b'{"input": [NaN]}', "input: "),
        ("doubles", b'{"input": [1e999]}', "rror parsing JSON"),
        ("floats", b'{"input": [1e39]}', "out of the range of a float"),
        ("integers", b'{"input": [1.5]}', "type Number is not of type int"),
        ("integers", b'{"input": [2147483648]}', "input: "),
        ("strings", b'{"input": ["a"]}', "JSON key input expected type Stringbut found type Array"),
        ("strings", b'{"input": 1}', "expected type Stringbut found type Number"),
        ("strings", b'{"input_batch": [1]}', "Array input of type Number is not of type string"),
        ("strings", b'{"input": "\\ud800"}', "rror parsing JSON"),
        ("bytes", b'{"input": "%%%"}', "input: "),
        ("any", b'{"input": }', "JSON parse error: "),
        ("doubles", b'{"input": ' + b"[" * 100_000, "JSON parse error: "),
        ("doubles", b'{"input": [' + b"1," * 2000 + b"null]}", "Array input of type Null"),
        ("doubles", b'{"input": [' + b"1," * 2000 + b"]}", "JSON parse error: "),
        ("doubles", b'{"inputs": [' + b"1," * 2000 + b"1]}", "required keys"),
    ],
)
def test_the_words_of_refusals(input_type, body, words):
    """Each kind of fault is told in Clipper's words."""
    cause = refusal(input_type, body)
    assert words in cause
    if words != "JSON schema invalid":
        assert cause.startswith("Error parsing JSON: ")
        assert cause.endswith(clipper.SCHEMA)


def test_input_wins():
    """Where both keys are there, `input` counts; unknown keys are ignored; no version is None."""
    body = b'{"input_batch": [[2]], "x": {}, "input": [1], "version": ""}'
    assert decode(InputType.DOUBLES, body) == (pack("d", [1]), None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": [%b1], "version": "2"}',
        b'{"input_batch": [[%b1]]}',
        b'{"version": "a[b", "input": [%b1]}',
    ],
)
def test_large_bodies_that_hold_more_than_one_flat_array(body):
    """A large body is read by simdjson only where that cannot lose anything."""
    numbers = [1.0] * 1001
    rows, version = decode(InputType.DOUBLES, body % (b"1," * 1000))
    assert (rows if isinstance(rows, bytes) else rows[0]) == pack("d", numbers)
    assert (version is None) == (b"version" not in body)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
        min_size=1,
        max_size=20,
    )
)
def test_large_rows(few):
    """Both readers agree on large bodies, mixed whole numbers and fractions included."""
    numbers = few * (2000 // len(few))
    body = json.dumps({"input": numbers}).encode()
    assert decode(InputType.DOUBLES, body)[0] == pack("d", numbers)
    assert all(map(math.isfinite, numbers))


def route_of(default):
    """Return the route of an application."""
    return Route(Application(name="a", input_type=InputType.DOUBLES, slo_us=1), default)


@pytest.mark.parametrize("why", list(Miss))
def test_misses(why):
    """With a default a miss is an answer, except for the caller's own fault; without, an error."""
    status, body = clipper.miss_object(7, route_of(b'{"x": 1}'), why)
    answer = json.loads(body)
    assert answer["query_id"] == 7
    if why in (Miss.WRONG_SIZE, Miss.FAULT):
        assert (status, answer["cause"]) == (400 if why is Miss.WRONG_SIZE else 500, why.value)
    else:
        assert (status, answer["output"], answer["default"]) == (200, {"x": 1}, True)
        assert answer["default_explanation"] == why.value
    status, body = clipper.miss_object(7, route_of(None), why)
    assert status >= 400
    assert json.loads(body)["cause"] == why.value
