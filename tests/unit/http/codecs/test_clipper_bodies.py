"""Clipper's wire format: bodies to rows and back, and the words of its errors."""

import base64
import contextlib
import json
import struct
import time
from dataclasses import replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_runtime.signature import Signature
from servd.datatypes import Application, Inputs, InputType
from servd.engine.query import BadInput, Miss
from servd.engine.route import NoSuchVersionError, Route
from servd.http.codecs import clipper, clipper_bodies
from servd.http.codecs.base import NO_HEAD, Head, RequestError
from servd.http.codecs.clipper_bodies import DECODE
from servd.http.codecs.json_faults import EXPLAINED_BYTES, said_of_long
from servd.http.codecs.refusals import SCHEMA
from servd.http.wire import error_body
from tests import strict_json

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


@settings(max_examples=3 * settings.default.max_examples, deadline=None)
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
        told = (error.status, error.error, error_body(error.error, error.cause))
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
            b'{"input": [1], "version": 1.5}',
            "JSON key version expected type stringbut found type Number",
        ),
        ("doubles", b'{"input": [NaN]}', "input holds NaN, which JSON does not have: send null"),
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
        ("doubles", b'{"input": ' + b"[" * 20_000, "JSON parse error: "),
        ("doubles", b'{"input": ' + b"[" * 100_000, "Error parsing JSON: "),
        ("doubles", b'{"input": [' + b"1," * 2000 + b"null]}", "Array input of type Null"),
        ("doubles", b'{"input": [' + b"1," * 2000 + b"]}", "JSON parse error: "),
        ("doubles", b'{"inputs": [' + b"1," * 2000 + b"1]}", "required keys"),
    ],
)
def test_the_words_of_refusals(input_type, body, words):
    """Each kind of fault is told in Clipper's words."""
    cause = refusal(input_type, body)
    assert words in cause
    if input_type == "any":
        assert cause.endswith('Example: {"input": {"age": 31}}')
    elif words != "JSON schema invalid":
        assert cause.startswith("Error parsing JSON: ")
        assert cause.endswith(SCHEMA)


RIGHT = {
    "doubles": b"[1.5, 2]",
    "floats": b"[1.5, 2]",
    "integers": b"[1, 2]",
    "strings": b'"text"',
    "bytes": b'"aGk="',
    "any": b'{"a": ["b", 1e5, null, true]}',
}
PLACES = (
    b'{"input": %(right)s, "note": %(wrong)s}',
    b'{"note": {"x": [%(wrong)s]}, "input": %(right)s}',
    b'{"input": %(wrong)s}',
    b'{"input_batch": [%(right)s, %(wrong)s]}',
    b'{"input_batch": [%(right)s], "note": %(wrong)s}',
    b'{"version": %(wrong)s, "input": %(right)s}',
    b"%(wrong)s",
)
NOT_JSON = {
    b'"caf\xe9"': "is not UTF-8",
    b'"\xed\xa0\x80"': "is not UTF-8",
    b'{"\xff": 1}': "is not UTF-8",
    b"NaN": "NaN, which JSON does not have: send null",
    b"-Infinity": "-Infinity, which JSON does not have",
    b"1e999": "beyond the range of a double",
    b'"\\ud800"': "half of a surrogate pair",
    b'"\\udc00"': "half of a surrogate pair",
    b'"\\q"': "an escape that JSON does not have",
    b'"a\nb"': "a control character in a text",
    b"01": "a number that JSON does not have",
    b"1.": "a number that JSON does not have",
    b"'a'": "not in single ones",
    b"[1,]": "a value is missing",
    b'"abc': "a text begins here and does not end",
    b"[" * 5000 + b"]" * 5000: "nested too deeply",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", NOT_JSON, ids=lambda wrong: repr(wrong[:12]))
@pytest.mark.parametrize("input_type", RIGHT)
def test_what_is_not_json_is_refused_wherever_it_is(input_type, wrong, place):
    """In an input or beside it, in each input type: never taken, and the cause says what it is."""
    body = place % {b"right": RIGHT[input_type], b"wrong": wrong}
    for space in (b"", b" " * 2000):  # read by the typed decoder and by simdjson
        if wrong == b'"abc' and b'"' in place.partition(b"%(wrong)s")[2]:
            continue  # the text ends at the next quote: another fault
        assert NOT_JSON[wrong] in refusal(input_type, body + space)


@settings(max_examples=4 * settings.default.max_examples, deadline=None)
@given(
    st.sampled_from(list(RIGHT)),
    st.sampled_from(PLACES[:2]),
    st.integers(0, 60),
    st.integers(0, 3),
    st.binary(max_size=3)
    | st.sampled_from([b"\\", b"\\u", b'"', b",", b"NaN", b"e9999", b"\\ud8"]),
)
def test_what_is_taken_is_json_to_the_last_byte(input_type, place, at, size, put):
    """A body that is changed anywhere is refused, if what comes of it is not JSON."""
    body = place % {b"right": RIGHT[input_type], b"wrong": b'["\\u00e9\\n", 12.5e1, {}]'}
    body = body[:at] + put + body[at + size :]
    with contextlib.suppress(RequestError):
        decode(input_type, body)
        assert strict_json.is_json(body)


@pytest.mark.parametrize("number", [b"9" * 30, b"-" + b"9" * 30, b"18446744073709551616"])
def test_whole_numbers_of_any_size_are_json(number):
    """Simdjson does not take them; a model for any JSON does."""
    assert decode("any", b'{"input": %b}' % number) == (number, None)
    assert decode("doubles", b'{"input": [1], "id": %b}' % number)[0] == pack("d", [1])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", 'The document is empty. Put JSON into the body: {"input": …} (offset 0)'),
        (b" \n", "The document is empty. Put JSON into the body"),
        (
            b"\xff\xd8\xff\xe0JFIF",
            "a JPEG: send it to an application of input type bytes",
        ),
        (b"\x89PNG\r\n", "a PNG"),
        (b"\x1f\x8b\x08", "gzip: send Content-Encoding: gzip"),
        (b"a=1&b=2", "a form (key=value)"),
        (b'--x\r\nContent-Disposition: form-data; name="a"', "a form (multipart)"),
        (b"<a/>", "XML or HTML"),
        ('{"input": [1]}'.encode("utf-16"), "UTF-16"),
        ('{"input": [1]}'.encode("utf-16-le"), "UTF-16"),
        ('{"input": [1]}'.encode("utf-16-be"), "UTF-16"),
        (' [{"input": [1]}]'.encode("utf-16-be"), "UTF-16"),
        ('{"input": [1]}'.encode("utf-32"), "UTF-32"),
        ('{"input": [1]}'.encode("utf-32-le"), "UTF-32"),
        ('{"input": [1]}'.encode("utf-32-be"), "UTF-32"),
        (b'\0{"input": [1]}', "a value is missing or is none; found U+0000 there (offset 0)"),
        (b'{\0"input": [1]}', "a key in double quotes is missing; found U+0000 there (offset 1)"),
        (b'{"input": [1]}\0', "more follows the end of the document; found U+0000 there"),
        (b"[1, 2]", 'JSON schema invalid (the body is Array. Send {"input": …} or '),
        (b"null", "JSON schema invalid (the body is Null. Send "),
        (b'"a"', "JSON schema invalid (the body is String. Send "),
        (b"7", "JSON schema invalid (the body is Number. Send "),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"inputs": [1], "b": 2}', 'no "input": the body has "inputs", "b". Send {"input": …}'),
        (b'{"input": 1}', 'this application takes doubles: {"input": [1.5, 2]}'),
        (b'{"input": [1,\n\n  NaN]}', "(offset 17, line 3, column 3)"),
        (b'{"input": ["\xc3\xa9", }', "(offset 17)"),
    ],
)
def test_what_to_do_is_said(body, words):
    """A body that is something else is named, a fault has its place, in bytes and by line."""
    assert words in refusal("doubles", body)


def test_a_version_may_be_a_number():
    """1 is taken for "1", 0 for "0"."""
    for number in (0, 1):
        body = b'{"input": [1], "version": %d}' % number
        assert decode("doubles", body) == (pack("d", [1]), str(number))


COSTLY = (
    *(b'"\\ud800",', b"NaN,", b"1e999,", b'"\xe9",', b'"1e999",', b"[],", b'"\\q",', b'{"a":1},'),
    *(b'"\\\\ud800",', b"1," * 9 + b'"x",', b"'a',", b'"a":', b"--", b"a=b&", b"<a/>", b'\\"'),
)


@pytest.mark.parametrize("size_bytes", [EXPLAINED_BYTES - 20, 120_000])
@pytest.mark.parametrize("wrong", COSTLY)
def test_saying_why_has_a_bound(wrong, size_bytes):
    """A body that is refused takes some milliseconds at most, whatever it holds."""
    many = wrong * ((size_bytes - 40) // len(wrong))
    for body in (
        b'{"input": [%b',
        b'{"input_batch": [%b1e999]}',
        b'{"note": [%b1], "input": 1e999}',
        b"%b",
    ):
        took_s = []
        for _ in range(3):
            began_s = time.process_time()
            with contextlib.suppress(RequestError):
                decode(InputType.ANY, body % many)
            took_s.append(time.process_time() - began_s)
        assert min(took_s) < 0.02, body


@pytest.mark.parametrize("padding", [0, EXPLAINED_BYTES])
def test_longer_bodies_are_held_to_the_same(padding):
    """Where nobody looks again, what is not UTF-8 is refused, and large numbers are taken."""
    body = b'{"input": [%b], "pad": "%b"}'
    pad = b"x" * padding
    assert decode(InputType.ANY, body % (b"9" * 30, pad))[0] == b"[%b]" % (b"9" * 30)
    for input_type in RIGHT:
        for wrong in (b'{"input": "\xe9", "pad": "%b"}' % pad, body % (b"1", pad + b"\xe9")):
            assert "is not UTF-8: byte 0xe9" in refusal(input_type, wrong)
    for input_type in ("any", "doubles", "floats", "integers"):
        assert "holds NaN, which JSON does not have" in refusal(input_type, body % (b"NaN", pad))


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


SIZES_BYTES = (1_000, 1_023, 1_024, 1_025, 1_026, 3_000, 20_000, 64_000, 200_000)
"""Sizes of bodies: around the one from which another reader takes over, and far above."""

NUMBERS = {
    "doubles": (
        "d",
        st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
    ),
    "floats": ("f", st.floats(-1e38, 1e38) | st.integers(-(2**31), 2**31)),
    "integers": ("i", st.integers(-(2**31), 2**31 - 1)),
}


@settings(
    deadline=None,
    max_examples=3 * settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.data_too_large],
)
@given(st.data(), st.sampled_from(list(NUMBERS)), st.sampled_from(SIZES_BYTES), st.booleans())
def test_bodies_of_any_size(data, input_type, size_bytes, is_spaced):
    """Each numeric type at each size: the row is what json and struct make of the body."""
    letter, numbers = NUMBERS[input_type]
    few = data.draw(st.lists(numbers, min_size=1, max_size=30))
    body = json.dumps({"input": few}, separators=None if is_spaced else (",", ":"))
    times = max(1, round(size_bytes / len(body)))
    text = json.dumps({"input": few * times}, separators=None if is_spaced else (",", ":"))
    # To the byte where it matters: spaces are no part of a row.
    text = text[:-1] + " " * (size_bytes - len(text)) + "}"
    wanted = pack(letter, json.loads(text)["input"])
    assert decode(InputType(input_type), text.encode()) == (wanted, None)
    batch = json.dumps({"input_batch": [few * times, few], "version": "2"}).encode()
    assert decode(InputType(input_type), batch) == ([wanted, pack(letter, few)], "2")


@pytest.mark.parametrize("input_type", NUMBERS)
@pytest.mark.parametrize("count", [100, 1_000, 30_000])
def test_a_large_body_of_one_type_is_not_read_as_another(input_type, count):
    """Rows have their type's width, whatever reader is fastest; whole numbers stay whole."""
    letter, _ = NUMBERS[input_type]
    values = [number % 1000 for number in range(count)]
    row, _ = decode(InputType(input_type), json.dumps({"input": values}).encode())
    assert row == pack(letter, values)
    if input_type == "integers":
        assert "int" in refusal("integers", json.dumps({"input": [*values, 0.5]}).encode())


def test_a_number_that_json_lacks_is_told_before_an_item_of_another_type():
    """With what this application takes: a null would be none of it either."""
    assert "send null (not as one of doubles)" in refusal("doubles", b'{"input": ["x", NaN]}')


def route_of(default):
    """Return the route of an application."""
    return Route(Application(name="a", input_type=InputType.DOUBLES, slo_us=1), default)


@pytest.mark.parametrize("why", list(Miss))
def test_misses(why):
    """With a default a miss is an answer, except for the caller's own fault; without, an error."""
    status, body = clipper.miss_object(7, route_of(b'{"x": 1}'), why)
    answer = json.loads(body)
    assert answer["query_id"] == 7
    statuses = {Miss.WRONG_SIZE: 400, Miss.BAD_INPUT: 422, Miss.FAULT: 500}
    if why in statuses:
        assert (status, answer["cause"]) == (statuses[why], why.value)
    else:
        assert (status, answer["output"], answer["default"]) == (200, {"x": 1}, True)
        assert answer["default_explanation"] == why.value
    status, body = clipper.miss_object(7, route_of(None), why)
    assert status >= 400
    assert json.loads(body)["cause"] == why.value


PEOPLE = Signature(
    input_type="rows",
    fields={"age": {"type": "integer"}, "rooms": {"type": "array", "items": {"type": "number"}}},
    required=("age", "rooms"),
    has_example=True,
    example={"age": 1, "rooms": [1.0]},
)
FORM = Head(headers={"content-type": "multipart/form-data; boundary=b"})
GET = Head(query="age=7&rooms=x", method="GET")
JSON_EXAMPLE = '{"input":{"age":1,"rooms":[1.0]}}'


@pytest.mark.parametrize(
    ("head", "index", "place", "text", "example"),
    [
        (NO_HEAD, None, ["input"], "", JSON_EXAMPLE),
        (NO_HEAD, 0, ["input_batch", 0], "input_batch[0].", '{"input_batch":[{"age":1,'),
        (NO_HEAD, 3, ["input_batch", 3], "input_batch[3].", '{"input_batch":[{"age":1,'),
        (GET, None, ["query"], "", "?age=1&rooms=%5B1.0%5D"),
        (FORM, None, ["form"], "", JSON_EXAMPLE),
        (FORM, 2, ["form", 2], "form[2].", JSON_EXAMPLE),
    ],
)
def test_what_the_model_s_own_types_refuse_is_told_as_what_the_daemon_refuses(
    head, index, place, text, example
):
    """By its place in the request, whichever way the input has come."""
    route = route_of(b"1")
    route.inputs = Inputs(InputType.ROWS, PEOPLE)
    faults = [
        {"loc": ["rooms", 1], "msg": "wanted a number", "type": "float_type"},
        {"loc": ["age"], "msg": "too old", "type": "value_error"},
    ]
    why = BadInput("rooms[1]: wanted a number; age: too old", faults)
    row = b'[7,[1.0,"x"]]'
    if index is None:
        reply = clipper.CLIPPER.missed(route, 5, why, row, head)
        status, body = reply.status, reply.body
    else:
        batch = clipper.CLIPPER.gather(route, head)
        body = batch.missed(index, 5, why, row)
        status = batch.frame(1).status
    told = json.loads(body)
    assert (status, told["error"], told["query_id"]) == (422, "Invalid input", 5)
    assert told["detail"] == [
        {
            "loc": [*place, "rooms", 1],
            "msg": f"{text}rooms[1]: wanted a number",
            "type": "float_type",
            "input": "x",
        },
        {"loc": [*place, "age"], "msg": f"{text}age: too old", "type": "value_error", "input": 7},
    ]
    words = "; ".join(each["msg"] for each in told["detail"])
    assert told["cause"].startswith(f"{words}. Example: {example}")


@pytest.mark.parametrize(
    ("signature", "row"),
    [(None, b"x"), (PEOPLE, b""), (PEOPLE, b"[]"), (replace(PEOPLE, input_type="doubles"), b"1")],
)
def test_a_refusal_by_the_model_of_which_little_is_known(signature, row):
    """A replica may say no more than that; its row may be one of another version."""
    route = route_of(None)
    route.inputs = Inputs(InputType.ROWS, signature)
    for faults in ([], [{"loc": ["x", 3], "msg": "no", "type": "t"}]):
        reply = clipper.CLIPPER.missed(route, 5, BadInput("no", faults), row, NO_HEAD)
        told = json.loads(reply.body)
        assert reply.status == 422
        assert told["detail"][0]["loc"] == ["input", *(["x", 3] if faults else [])]
        assert ": no" in told["cause"]


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("body", [b'{"input": [1, %b]}', b'{"x": [%b], "input": [1]}'])
def test_what_no_number_is_called_in_a_body_that_is_not_read_again(word, body):
    """A body that is too long for a second look is told of NaN too, by the place of the fault."""
    whole = body % word
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(whole)
    said = said_of_long(memoryview(whole), str(caught.value))
    assert f"holds {word.decode()}, which JSON does not have: send null" in said
    assert f"(offset {whole.index(word)})" in said
    assert said_of_long(memoryview(b"{]"), "invalid (byte 1)") == "invalid (byte 1)"


def test_packers_of_few_lengths_are_kept():
    """Those of long rows are made anew: a client may send any number of lengths."""
    packers = clipper_bodies._Packers("d")
    assert packers[3](1, 2, 3) == pack("d", [1, 2, 3])
    assert (
        len(packers[clipper_bodies.LARGE_BODY_BYTES](*range(clipper_bodies.LARGE_BODY_BYTES)))
        == 8192
    )
    assert [*packers] == [3]


def test_a_version_that_is_not_there_is_told_in_clippers_words():
    """With the status that its clients know."""
    refused = clipper.CLIPPER.no_such_version(NoSuchVersionError("7", "m"))
    assert (refused.status, refused.error) == (400, "Query processing error")
    assert refused.cause == "Requested version: 7 does not exist for model: m"
