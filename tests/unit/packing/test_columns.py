"""What a deployer says of an input's columns."""

import datetime as dt
import enum
import json
from typing import Annotated, Literal

import pydantic
import pytest

from servd.errors import TargetError
from servd.packing.columns import schema_of_columns, schema_of_file

TO_A = {"$ref": "#/$defs/A"}


def test_columns_become_the_schema_of_an_object():
    """Names keep their order; what may be missing is null then."""
    assert schema_of_columns("age:int, city : str,income:float?,when:datetime,x") == {
        "type": "object",
        "properties": {
            "age": {"type": "integer"},
            "city": {"type": "string"},
            "income": {"type": ["number", "null"], "default": None},
            "when": {"type": "string", "format": "date-time"},
            "x": {},
        },
        "required": ["age", "city", "when", "x"],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age:int,age:str", "age is there twice"),
        ("age:int,,city:str", "'' has no name"),
        ("age:integr", "age cannot be of type 'integr'"),
        (":int", "':int' has no name"),
        ("", "has no name"),
    ],
)
def test_columns_that_are_none_are_refused(text, words):
    """The part at fault is named, and how columns are written is said."""
    with pytest.raises(TargetError, match=words) as caught:
        schema_of_columns(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "a schema is an object"),
        ('{"type": "float"}', "there is no type 'float'"),
        (
            '{"properties": {"age": {"type": "integer", "minimun": 3}}}',
            "age: the keyword 'minimun'",
        ),
        ('{"$ref": "#/x"}', "nothing at the reference '#/x'"),
        ('{"$ref": "other.json"}', "'other.json' is to another document"),
        ('{"$ref": 3}', "3 is to another document"),
        ('{"$ref": "#"}', "the schema is recursive"),
        (
            json.dumps({"properties": {"b": TO_A}, "$defs": {"A": {"items": TO_A}}}),
            r"the input.b\[…\]: A is recursive",
        ),
        (
            json.dumps({**TO_A, "$defs": {"A": {"items": {"anyOf": [{"items": TO_A}]}}}}),
            r"the input\[…\]\[…\]: A is recursive",
        ),
        (
            '{"$ref": "#/$defs/A", "maximum": 3, "$defs": {"A": {"maximum": 4}}}',
            "maximum is said twice",
        ),
        ('{"allOf": [{"type": "object"}, {"type": "array"}]}', "the keyword 'allOf'"),
    ],
)
def test_a_file_that_holds_no_schema_is_refused(tmp_path, content, words):
    """The keyword or the type at fault is named."""
    file = tmp_path / "input.json"
    file.write_text(content)
    with pytest.raises(TargetError, match=words):
        schema_of_file(file)


def test_a_schema_comes_from_a_file(tmp_path):
    """It is taken as it is; a file that is not there is named."""
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    (tmp_path / "input.json").write_text(json.dumps(schema))
    assert schema_of_file(tmp_path / "input.json") == schema
    with pytest.raises(TargetError, match=r"other\.json: No such file"):
        schema_of_file(tmp_path / "other.json")


NESTED = {
    "$defs": {
        "Kind": {"enum": ["flat", "house"], "title": "Kind", "type": "string"},
        "Place": {
            "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
            "required": ["city"],
            "title": "Place",
            "type": "object",
        },
        "a/b~c d": {"type": "number"},
    },
    "properties": {
        "kind": {"$ref": "#/$defs/Kind", "default": "flat"},
        "places": {"items": {"$ref": "#/$defs/Place"}, "type": "array"},
        "where": {"allOf": [{"$ref": "#/$defs/Place"}], "description": "of the owner"},
        "other": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None},
        "odd": {"$ref": "#/$defs/a~1b~0c%20d"},
        "$ref": {"type": "string", "default": {"$ref": "#/nowhere"}},
        "$defs": {"$ref": "#/properties/odd"},
    },
    "required": ["places", "where", "odd", "$defs"],
    "type": "object",
}


def written(folder, schema):
    """Return a file that holds a schema."""
    (folder / "input.json").write_text(json.dumps(schema))
    return folder / "input.json"


def test_a_reference_is_what_it_leads_to(tmp_path):
    """By name or by place, alone and beside other words; names and values are no keywords."""
    place = NESTED["$defs"]["Place"]
    made = schema_of_file(written(tmp_path, NESTED))
    assert "$defs" not in made
    assert made["properties"] == {
        "kind": NESTED["$defs"]["Kind"] | {"default": "flat"},
        "places": {"items": place, "type": "array"},
        "where": place | {"description": "of the owner"},
        "other": {"anyOf": [place, {"type": "null"}], "default": None},
        "odd": {"type": "number"},
        "$ref": {"type": "string", "default": {"$ref": "#/nowhere"}},
        "$defs": {"type": "number"},
    }


def test_what_references_come_to_is_bounded(tmp_path):
    """A file of a kilobyte may mean a million parts."""
    named = {f"d{at}": {"prefixItems": [{"$ref": f"#/$defs/d{at + 1}"}] * 4} for at in range(12)}
    schema = {"$ref": "#/$defs/d0", "$defs": named | {"d12": {}}}
    with pytest.raises(TargetError, match="over 20000 parts"):
        schema_of_file(written(tmp_path, schema))


class Kind(enum.Enum):
    """What a house is."""

    FLAT = "flat"
    HOUSE = "house"


class Room(pydantic.BaseModel):
    """A part of a house."""

    area: float = pydantic.Field(gt=0)
    floor: int | None = None


class Cat(pydantic.BaseModel):
    """A pet."""

    pet: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    """Another."""

    pet: Literal["dog"]


class House(pydantic.BaseModel):
    """What is sold."""

    kind: Kind = Kind.FLAT
    rooms: list[Room]
    best: Room = pydantic.Field(description="of all")
    built: dt.date
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="pet")]
    named: dict[str, Room] = pydantic.Field(default={})


class Node(pydantic.BaseModel):
    """What holds itself."""

    children: "list[Node]"


def test_the_schema_of_a_nested_pydantic_model_is_taken_unchanged(tmp_path):
    """As the library writes it: defaults, enums, unions by a word, dates, nested lists."""
    parts = schema_of_file(written(tmp_path, House.model_json_schema()))["properties"]
    assert parts["rooms"]["items"]["properties"]["area"]["exclusiveMinimum"] == 0
    assert (parts["kind"]["enum"], parts["kind"]["default"]) == (["flat", "house"], "flat")
    assert parts["best"]["description"] == "of all"
    assert [way["title"] for way in parts["pet"]["anyOf"]] == ["Cat", "Dog"]
    assert parts["named"]["additionalProperties"]["title"] == "Room"
    with pytest.raises(TargetError, match="Node is recursive"):
        schema_of_file(written(tmp_path, Node.model_json_schema()))
