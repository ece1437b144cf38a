"""What a deployer says of an input's columns."""

import json

import pytest

from servd.errors import TargetError
from servd.packing.columns import schema_of_columns, schema_of_file


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
        ('{"$ref": "#/x"}', r"the keyword '\$ref'"),
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
