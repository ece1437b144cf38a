"""The JSON Schema documents of applications, and the examples in them."""

import json

import pytest
from jsonschema import Draft202012Validator

from servd.datatypes import Inputs, InputType
from servd.http.documents.application import Described
from servd.http.documents.schemas import example_of, input_schema, schema_document
from servd.schemas.examples import of_schema
from tests.described import ALL, CREDIT, SIGNED, UNSIGNED, described

NAMES = [each.name for each in ALL]


def read(application):
    """Return what GET /NAME/schema answers, decoded."""
    return json.loads(b"".join(schema_document(application)))


@pytest.mark.parametrize("application", ALL, ids=NAMES)
def test_both_schemas_are_json_schema(application):
    """Input and output are schemas by the meta-schema of the dialect that they name."""
    whole = read(application)
    for key in ("input", "output"):
        Draft202012Validator.check_schema(whole[key])
        assert whole[key]["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert whole["application"] == application.name
    assert whole["input_type"] == application.inputs.input_type


@pytest.mark.parametrize("application", ALL, ids=NAMES)
def test_the_example_fits_the_schema(application):
    """What is shown as an example is what the schema takes."""
    whole = read(application)
    Draft202012Validator(whole["input"]).validate(whole["example"])


def test_the_example_that_was_answered_is_given_by_names():
    """An example in the order of the fields is shown as an object, which explains itself."""
    example = example_of(described("credit", CREDIT))
    assert example == dict(zip(CREDIT.fields, CREDIT.example, strict=True))


@pytest.mark.parametrize(
    ("kind", "items", "right", "wrong"),
    [
        (InputType.DOUBLES, 2, [1, 2.5], [1]),
        (InputType.DOUBLES, None, [], ["1"]),
        (InputType.FLOATS, None, [1e38], [1e39]),
        (InputType.INTEGERS, None, [-(2**31)], [2**31]),
        (InputType.STRINGS, None, "", ["a"]),
        (InputType.BYTES, None, "aGVsbG8=", "aGVsbG8"),
        (InputType.ROWS, None, {"a": 1}, 1),
    ],
)
def test_an_input_type_alone_says_something(kind, items, right, wrong):
    """Without a signature the schema takes what the type takes, and nothing else."""
    application = Described(name="a", inputs=Inputs(kind), row_items=items)
    validator = Draft202012Validator(input_schema(application, None))
    assert validator.is_valid(right)
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
        {"type": "number", "exclusiveMinimum": 1.5},
        {"type": "number", "minimum": -1, "maximum": 0},
        {"type": "string", "minLength": 7},
        {"type": "string", "maxLength": 2},
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
        {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
        {"type": ["null", "string"]},
        {"const": [1]},
        {"enum": [None, 3]},
        {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        {"examples": [3], "type": "integer"},
        True,
        {},
    ],
)
def test_a_made_example_fits(schema):
    """An example that nobody gave is made of the schema's own bounds."""
    assert Draft202012Validator(schema).is_valid(of_schema(schema))


def test_there_are_applications_of_every_type():
    """The lists that these tests go over leave no input type out."""
    assert {each.inputs.input_type for each in UNSIGNED} == set(InputType)
    assert len(SIGNED) == 8
