"""Inputs to rows by a signature: whichever way they come, equal inputs are equal rows."""

import struct

import msgspec
import pytest

from model_runtime.signature import Signature
from servd.http.codecs.base import Asked, RequestError
from servd.http.codecs.clipper_inputs import by_signature
from servd.schemas.compiled import compiled
from servd.schemas.faults import Faults

FIELDS = {
    "age": {"type": "integer"},
    "city": {"type": "string"},
    "pay": {"type": ["number", "null"]},
    "since": {"type": "string", "format": "date-time"},
    "kind": {"enum": ["new", "old"], "default": "new"},
}
PEOPLE = Signature(input_type="rows", fields=FIELDS, required=("age", "city", "pay", "since"))
ROW = b'[33,"Oslo",2.0,"2020-01-02T00:00:00","new"]'


def decode(signature, body):
    """Return what a body, given as text, asks for."""
    return by_signature(signature.input_type, signature)(body.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"age": 33, "city": "Oslo", "pay": 2, "since": "2020-01-02"}',
        '{"since": "2020-01-02 00:00", "pay": 2.0, "city": "O\\u0073lo", "age": 33.0}',
        '{"age": 33, "city": "Oslo", "pay": 2, "since": "2020-01-02", "kind": "new"}',
        '[33, "Oslo", 2, "2020-01-02T00:00:00", "new"]',
        '[33.0, "Oslo", 2, "2020-01-02T00:00:00", "new"]',
    ],
)
def test_equal_inputs_are_equal_rows(text):
    """By name in any order, in order, with a default filled in or given: the same bytes."""
    assert decode(PEOPLE, f'{{"input": {text}}}') == ROW
    assert decode(PEOPLE, f'{{"input": {text}, "version": 2}}') == Asked(ROW, "2")
    assert decode(PEOPLE, f'{{"input_batch": [{text}, {text}]}}') == Asked([ROW, ROW])


def test_columns_are_rows():
    """Several inputs may come as columns; one that is left out is filled in."""
    columns = '{"age": [33, 1], "city": ["Oslo", "Rome"], "pay": [2, null], "since": %s}'
    asked = decode(
        PEOPLE, '{"input_batch": ' + columns % '["2020-01-02", "2021-01-01"]' + ', "uid": 0}'
    )
    assert asked == Asked([ROW, b'[1,"Rome",null,"2021-01-01T00:00:00","new"]'])


def test_numbers_are_packed_in_the_order_of_the_fields():
    """A row of doubles is the same by name and in order; null is NaN."""
    fields = {"a": {"type": "number"}, "b": {"type": ["number", "null"]}}
    numbers = Signature(input_type="doubles", fields=fields, required=("a", "b"))
    row = struct.pack("<2d", 1, 2)
    assert decode(numbers, '{"input": {"b": 2, "a": 1}}') == row
    assert decode(numbers, '{"input": [1, 2]}') == row
    missing = decode(numbers, '{"input": {"b": null, "a": 1}}')
    assert missing == struct.pack("<2d", 1, float("nan"))


@pytest.mark.parametrize(("word", "letter"), [("doubles", "d"), ("floats", "f"), ("integers", "i")])
def test_numbers_without_names_are_a_row_of_any_length(word, letter):
    """What a model has answered of such is an example that queries may have."""
    number = {"type": "integer" if letter == "i" else "number"}
    reads = compiled(Signature(input_type=word, value={"type": "array", "items": number}))
    for value in ([], [1], [1, 2, 3]):
        faults = Faults()
        row = reads.check(value, ("example",), faults)
        assert (row, faults) == (struct.pack(f"<{len(value)}{letter}", *value), [])
    faults = Faults()
    reads.check([1, "x"], ("example",), faults)
    assert [each.loc for each in faults] == [("example", 1)]


def test_one_text_may_come_by_its_name():
    """A function of one named parameter takes the value itself and the object."""
    text = Signature(
        input_type="strings",
        fields={"text": {"type": "string"}},
        required=("text",),
        value={"type": "string"},
        call="each",
    )
    assert decode(text, '{"input": "hi"}') == b"hi"
    assert decode(text, '{"input": {"text": "hi"}}') == b"hi"
    assert decode(text, '{"input_batch": ["a", {"text": "b"}]}') == Asked([b"a", b"b"])


def test_a_refusal_names_field_found_and_wanted_and_gives_an_example():
    """The answer says all that is wrong, for people and for programs."""
    wrong = '{"age": "x", "city": "Oslo", "pay": 1}'
    with pytest.raises(RequestError) as caught:
        decode(PEOPLE, f'{{"input_batch": [{ROW.decode()}, {wrong}]}}')
    error = caught.value
    assert error.status == 422
    assert 'input_batch[1].age: wanted a whole number, found the text "x"' in error.cause
    assert 'Example: {"input_batch":[{"age":' in error.cause
    assert [each["loc"] for each in error.detail] == [
        ["input_batch", 1, "since"],
        ["input_batch", 1, "age"],
    ]


def test_equal_signatures_share_what_reads_by_them():
    """Compiling is done once for a signature, however often it is read from JSON."""
    again = msgspec.json.decode(msgspec.json.encode(PEOPLE), type=Signature)
    assert again is not PEOPLE
    assert compiled(again) is compiled(PEOPLE)


@pytest.mark.parametrize("text", ["null", "1", '"x"', "true"])
def test_an_input_that_is_neither_named_nor_in_order_is_refused(text):
    """What holds no fields at all is said to be what it is."""
    with pytest.raises(RequestError) as caught:
        decode(PEOPLE, f'{{"input_batch": [{text}]}}')
    assert (caught.value.status, caught.value.detail[0]["loc"]) == (422, ["input_batch", 0])


NAMELESS = [
    ("strings", {"enum": ["a", "b"]}, '"a"', b"a", '"c"'),
    ("strings", {"type": "string", "minLength": 1}, '"a"', b"a", '""'),
    ("strings", {"type": "string", "format": "date"}, '"2020-01-02"', b"2020-01-02", '"a"'),
    ("bytes", {"type": "string", "maxLength": 8}, '"aGk="', b"hi", '"aGVsbG8gdG8geW91"'),
    (
        "doubles",
        {"type": "array", "items": {"type": "number", "minimum": 0}},
        "[1, 2.5]",
        struct.pack("<2d", 1, 2.5),
        "[1, -2]",
    ),
    (
        "integers",
        {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3},
        "[1, 2]",
        struct.pack("<2i", 1, 2),
        "[1, 3]",
    ),
    ("any", {"type": "object", "required": ["a"]}, '{"a":  1}', b'{"a":  1}', "{}"),
    ("rows", {"type": "object", "required": ["a"]}, '{"a":  1}', b'{"a":1}', "{}"),
]


@pytest.mark.parametrize(("input_type", "value", "text", "row", "wrong"), NAMELESS)
def test_inputs_without_names_are_rows_of_their_type(input_type, value, text, row, wrong):
    """What their schema asks for beside the type is looked at, and changes nothing of the row."""
    signature = Signature(input_type=input_type, value=value)
    assert decode(signature, f'{{"input": {text}}}') == row
    assert decode(signature, f'{{"input_batch": [{text}, {text}]}}') == Asked([row, row])
    with pytest.raises(RequestError) as caught:
        decode(signature, f'{{"input": {wrong}}}')
    assert caught.value.status == 422


def test_a_large_array_is_taken_as_it_came_and_a_wrong_one_told_by_its_place():
    """It is read by its type, once, and looked at part by part only where that refuses it."""
    rows = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
    image = {"type": "array", "items": rows, "minItems": 2, "maxItems": 2}
    inputs = compiled(Signature(input_type="any", value=image))
    right = b"[[1, 2.50, 3],[4,5,1e3]]"
    assert inputs.to_row(msgspec.Raw(right)) == right
    assert inputs._whole is not None
    for wrong in ('[[1,2,3],[4,"5",6]]', "[[1,2,3],[4,5]]"):
        with pytest.raises(RequestError) as caught:
            decode(inputs.signature, f'{{"input": {wrong}}}')
        assert caught.value.detail[0]["loc"][:2] == ["input", 1]
