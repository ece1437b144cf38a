"""Values made of JSON as annotations say, and what is said of those that do not fit."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import typing as t
import uuid

import msgspec
import numpy as np
import pydantic
import pytest

from model_runtime.annotations.kinds import Reader
from model_runtime.refusals import InputError, shown_place


class Size(enum.IntEnum):
    """An enum of numbers."""

    SMALL = 1
    LARGE = 2


class Shape(enum.Enum):
    """An enum whose values JSON has not: it goes by its names."""

    ROUND = object()


@dataclasses.dataclass(frozen=True)
class House:
    """A class that refuses some values itself."""

    rooms: int
    built: dt.date | None = None
    left: dataclasses.InitVar[int] = 0

    def __post_init__(self, left):
        """Refuse what is no house."""
        if self.rooms < 0:
            raise ValueError("rooms cannot be below 0")
        assert left < 100, "left is below 100"


class Person(pydantic.BaseModel):
    """pydantic's, with a validator and an alias."""

    name: str = pydantic.Field(alias="fullName")
    houses: list[House] = []

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, value):
        """Refuse a name without a space."""
        if " " not in value:
            raise ValueError("two names are wanted")
        return value


class Struct(msgspec.Struct):
    """msgspec's."""

    when: dt.datetime
    sizes: list[int] = []


class Options(t.TypedDict, total=False):
    """A TypedDict that may be empty."""

    depth: int
    name: str | None


Age = t.NewType("Age", int)
Bounded = t.Annotated[int, pydantic.Field(ge=0, lt=5)]
NOON = dt.datetime(2026, 11, 26, 12)  # noqa: DTZ001  (as the text says)
ID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("annotation", "value", "made"),
    [
        (int, 3, 3),
        (int, 3.0, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (str, "a", "a"),
        (bytes, "aGk=", b"hi"),
        (bytearray, "aGk=", bytearray(b"hi")),
        (t.Any, {"a": 1}, {"a": 1}),
        (Age, 3, 3),
        (Bounded, 4, 4),
        (dt.datetime, "2026-11-26T12:00:00", NOON),
        (dt.date, "2026-11-26", dt.date(2026, 11, 26)),
        (dt.time, "12:00", dt.time(12)),
        (dt.timedelta, 1.5, dt.timedelta(seconds=1.5)),
        (decimal.Decimal, 0.1, decimal.Decimal("0.1")),
        (decimal.Decimal, "0.10", decimal.Decimal("0.10")),
        (uuid.UUID, ID, uuid.UUID(ID)),
        (pathlib.Path, "a/b", pathlib.Path("a/b")),
        (Size, 2, Size.LARGE),
        (Shape, "ROUND", Shape.ROUND),
        (t.Literal["a", 1], 1, 1),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (set[str], ["a", "a"], {"a"}),
        (frozenset[int], [1], frozenset({1})),
        (collections.deque[int], [1, 2], collections.deque([1, 2])),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[()], [], ()),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict[dt.date, int], {"2026-11-26": 1}, {dt.date(2026, 11, 26): 1}),
        (int | None, None, None),
        (int | str, "a", "a"),
        (t.Union[int, list[int]], [1], [1]),  # noqa: UP007
        (House, {"rooms": 2, "built": "2020-01-02"}, House(2, dt.date(2020, 1, 2))),
        (list[House], [{"rooms": 1}], [House(1)]),
        (Options, {"depth": 1}, {"depth": 1}),
        (Options, {"depth": 1, "name": None}, {"depth": 1, "name": None}),
        (Struct, {"when": "2026-11-26T12:00:00"}, Struct(NOON)),
        (Person, {"fullName": "A B", "houses": [{"rooms": 1}]},
         Person(fullName="A B", houses=[House(1)])),
    ],
)  # fmt: skip
def test_values_are_made_as_annotated(annotation, value, made):
    """JSON's values become Python's, with their types, at any depth."""
    got = Reader().kind(annotation)(value)
    assert got == made
    assert type(got) is type(made)


@pytest.mark.parametrize(
    ("annotation", "value", "where", "words"),
    [
        (int, "3", "", 'wanted a whole number, found the text "3"'),
        (int, 3.5, "", "found the number 3.5"),
        (int, True, "", "found true"),
        (float, None, "", "wanted a number, found null"),
        (float, 10**400, "", "that a float can hold"),
        (str, 3, "", "wanted a text"),
        (bool, 1, "", "wanted true or false"),
        (bytes, "%", "", "base64"),
        (bytes, 3, "", "base64"),
        (dt.date, "26.11.2026", "", 'such as "2026-11-26"'),
        (dt.datetime, "9999999-01-01", "", "date and time"),
        (dt.timedelta, 1e300, "", "seconds"),
        (decimal.Decimal, "x", "", "decimal"),
        (uuid.UUID, "x", "", "UUID"),
        (Size, True, "", "one of 1, 2"),
        (Size, [], "", "one of 1, 2"),
        (t.Literal["a"] | None, "b", "", 'wanted one of "a", found'),
        (Bounded, -1, "", "at least 0"),
        (Bounded, 5, "", "less than 5"),
        (t.Annotated[str, msgspec.Meta(max_length=2)], "abc", "", "at most 2 characters"),
        (t.Annotated[str, msgspec.Meta(pattern="^a")], "b", "", "a text like ^a"),
        (t.Annotated[list[int], msgspec.Meta(min_length=2)], [1], "", "at least 2 items"),
        (list[int], [1, "x"], "[1]", "whole number"),
        (list[int], {"a": 1}, "", "wanted an array, found an object"),
        (tuple[int, int], [1], "", "an array of 2, found an array of 1"),
        (tuple[int, int], [1, None], "[1]", "found null"),
        (set[t.Any], [[]], "", "a set can hold"),
        (dict[str, int], [], "", "wanted an object"),
        (dict[str, int], {"a": "x"}, "a", "whole number"),
        (dict[int, int], {"x": 1}, "", "another name"),
        (int | str, [], "", "wanted a whole number or a text, found an array of 0"),
        (int | House, {"rooms": "x"}, "rooms", "whole number"),
        (House, 3, "", "wanted an object"),
        (House, {}, "rooms", "it is missing"),
        (House, {"rooms": 1, "x": 2}, "x", "there are rooms, built, left"),
        (House, {"rooms": 1, "built": "x"}, "built", "a date"),
        (House, {"rooms": -1}, "", "rooms cannot be below 0"),
        (House, {"rooms": 1, "left": 100}, "", "left is below 100"),
        (list[House], [{"rooms": 1}, {"rooms": -1}], "[1]", "rooms cannot be below 0"),
        (Struct, {"when": "x"}, "when", "RFC3339"),
        (Struct, {"when": "2026-11-26T12:00:00", "sizes": [1, "x"]}, "sizes[1]", "Expected `int`"),
        (Person, {"fullName": "A"}, "fullName", "two names are wanted"),
        (Person, {"fullName": "A B", "houses": [{"rooms": "x"}]}, "houses[0].rooms", "integer"),
        (np.int8, 300, "", "int8"),
        (np.ndarray, [[1], [1, 2]], "", "no array"),
        (np.ndarray, "x", "", "wanted an array"),
    ],
)
def test_what_does_not_fit_is_said_by_place(annotation, value, where, words):
    """The fault names the place in the value, what was wanted and what was found."""
    with pytest.raises(InputError) as caught:
        Reader().kind(annotation)(value)
    fault = caught.value.faults[0]
    assert shown_place(fault["loc"]) == where
    assert words in fault["msg"]
    assert fault["type"]


def test_arrays_have_their_dtype():
    """An array in an input is numpy's, of the type that is annotated."""
    made = Reader().kind(np.ndarray)([[1, 2], [3, 4]])
    assert made.shape == (2, 2)
    typed = Reader().kind(np.ndarray[t.Any, np.dtype[np.float32]])([1, 2])
    assert typed.dtype == np.float32
    assert type(Reader().kind(np.int16)(3)) is np.int16


class Texts(t.TypedDict, total=False):
    """A TypedDict as modules have it that begin with `from __future__ import annotations`."""

    depth: "t.Required[int]"
    name: "str"


class Needed(t.TypedDict):
    """The same the other way round."""

    depth: "int"
    name: "t.NotRequired[str]"


@pytest.mark.parametrize("cls", [Texts, Needed])
def test_what_a_typed_dict_needs_is_known_of_annotations_that_are_texts(cls):
    """Python itself does not see Required in them: the name would be missing in the function."""
    kind = Reader().kind(cls)
    assert kind({"depth": 1}) == {"depth": 1}
    with pytest.raises(InputError, match=r"depth: .*missing"):
        kind({"name": "a"})


def test_schemas_of_pydantic_have_no_references_left():
    """A class inside itself is told once, and any value deeper down."""

    class Tree(pydantic.BaseModel):
        value: int
        left: "Tree | None" = None

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    kind = Reader().kind(Tree)
    assert "$ref" not in repr(kind.schema)
    assert kind.schema["properties"]["value"]["type"] == "integer"
    assert kind({"value": 1, "left": {"value": 2}}).left.value == 2
    with pytest.raises(InputError, match=r"left\.value"):
        kind({"value": 1, "left": {"value": "x"}})
