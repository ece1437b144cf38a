"""What one input and one output of a model look like."""

import pytest

from model_runtime.signature import Signature, SignatureError, check, parse

AGE = {"type": "integer", "minimum": 0}
CITY = {"type": ["string", "null"], "default": None}
PERSON = Signature(input_type="rows", fields={"age": AGE, "city": CITY}, required=("age",))


@pytest.mark.parametrize(
    "signature",
    [
        PERSON,
        Signature(input_type="doubles", value={"type": "array", "items": {"type": "number"}}),
        Signature(
            input_type="strings", call="each", is_stream=True, has_example=True, example=None
        ),
    ],
)
def test_a_signature_comes_back_from_json(signature):
    """What is as usual is left out of it; keys of later versions are not minded."""
    told = signature.as_json()
    assert parse(told | {"later": 1}) == signature
    assert "extra" not in told


def test_an_input_is_an_object_or_a_list_in_order():
    """A list only where no value without names is taken."""
    schema = PERSON.input_schema()
    assert schema["anyOf"][0] == {
        "type": "object",
        "properties": {"age": AGE, "city": CITY},
        "required": ["age"],
        "additionalProperties": False,
    }
    assert schema["anyOf"][1]["prefixItems"] == [AGE, CITY]
    bare = Signature(input_type="strings", fields={"text": {"type": "string"}}, required=("text",))
    assert bare.input_schema()["anyOf"][0]["required"] == ["text"]
    assert Signature(input_type="any").input_schema() == {}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "a signature is an object"),
        ({}, "lacks something"),
        ({"input_type": "float"}, "no input type 'float'"),
        ({"input_type": "rows", "call": "never"}, "not called 'never'"),
        ({"input_type": "rows", "fields": {"a": {}}}, "a is not required and has no default"),
        ({"input_type": "rows", "fields": {}, "required": ["a"]}, "'a' is required and no field"),
        ({"input_type": "rows", "fields": {"a": {"type": "x"}}, "required": ["a"]}, "no type 'x'"),
        ({"input_type": "rows", "fields": {f"c{n}": {} for n in range(2001)}}, "2001 named fields"),
        ({"input_type": "any", "value": {"minimum": "1"}}, "minimum is a number, not '1'"),
        ({"input_type": "any", "value": {"maxItems": -1}}, "maxItems is a count, not -1"),
        ({"input_type": "any", "value": {"minLength": True}}, "minLength is a count, not True"),
        ({"input_type": "any", "value": {"pattern": "("}}, "pattern is a regular expression"),
        ({"input_type": "any", "value": {"enum": []}}, "enum is a list of values"),
        ({"input_type": "any", "value": {"items": {"required": [1]}}}, "required is a list of nam"),
        ({"input_type": "any", "value": {"format": ["date"]}}, "format is a text"),
        ({"input_type": "any", "value": {"title": "x" * (1 << 20)}}, "bytes, more than"),
    ],
)
def test_what_is_no_signature_is_refused(told, words):
    """The part at fault is named."""
    with pytest.raises(SignatureError, match=words):
        check(parse(told))
