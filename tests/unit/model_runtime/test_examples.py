"""What a test call makes up of a signature is an input that the model's types take."""

import datetime as dt
import decimal
import typing as t
import uuid
from dataclasses import dataclass, field

import msgspec
import pydantic
import pytest

from model_runtime.annotations.kinds import Reader
from model_runtime.examples import example_of, value_of
from model_runtime.signature import EACH, Signature


class Inner(msgspec.Struct):
    """A struct in another, with times that have no zone."""

    at: dt.time
    maybe: dt.datetime | None


class Struct(msgspec.Struct, rename="camel"):
    """msgspec's, of which msgspec's own schema says `a text` of dates and times without a zone."""

    begins_at: dt.datetime
    identity: uuid.UUID
    amount: decimal.Decimal
    lasts: dt.timedelta
    inner: Inner
    each: list[dt.datetime]
    either: int | dt.datetime
    named: dict[str, dt.time]
    pair: tuple[int, dt.datetime]


class Leaf(msgspec.Struct):
    """msgspec's, inside of itself."""

    when: dt.datetime
    others: list["Leaf"] = []


class Tree(pydantic.BaseModel):
    """pydantic's, inside of itself in each way."""

    value: int
    left: t.Optional["Tree"] = None
    right: "Tree | None"
    many: list["Tree"]
    named: dict[str, "Tree"]
    anything: t.Any
    lasts: dt.timedelta
    address: pydantic.IPvAnyAddress
    link: pydantic.HttpUrl


@dataclass
class Node:
    """A dataclass inside of itself."""

    value: int
    above: t.Optional["Node"]
    below: list["Node"]
    others: list["Node"] = field(default_factory=list)
    beside: t.Optional["Node"] = None


@pytest.mark.parametrize("annotation", [Struct, Leaf, Tree, Node])
def test_what_is_made_up_for_a_class_is_one_of_it(annotation):
    """Dates look like dates, and what is inside of itself ends somewhere."""
    kind = Reader().kind(annotation)
    assert isinstance(kind(value_of(kind.schema)), annotation)


def test_dates_of_a_struct_are_told_as_such():
    """Also in what is inside of it, and beside other types; what is no date is not."""
    schema = Reader().kind(Struct).schema
    parts = schema["properties"]
    assert parts["beginsAt"]["format"] == "date-time"
    assert parts["inner"]["properties"]["at"]["format"] == "time"
    assert {"type": "string", "format": "date-time"} in parts["either"]["anyOf"]
    assert parts["named"]["additionalProperties"]["format"] == "time"
    assert parts["amount"].get("format") not in ("date-time", "time")


def test_of_an_argument_of_any_type_the_default_is_tried():
    """`def f(a: int, model=None)` may do with nothing but None; of a table it is left out."""
    fields = {"a": {"type": "integer"}, "model": {"default": None}}
    one = Signature(input_type="rows", fields=fields, required=("a",), call=EACH)
    assert example_of(one) == {"a": 1, "model": None}
    many = Signature(input_type="rows", fields=fields, required=("a",))
    assert example_of(many) == {"a": 1}
