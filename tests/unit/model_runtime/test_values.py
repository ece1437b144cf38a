"""Values of Python's that JSON lacks are what people expect of them, or are refused by name."""

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import types
import uuid

import msgspec
import numpy as np
import pytest

from model_runtime import values
from model_runtime.outputs import OutputError, render
from tests import strict_json

Number = decimal.Decimal


class Colour(enum.Enum):
    """Names for what JSON has and for what it has not."""

    RED = "red"
    PAIR = (1, 2)
    PATH = pathlib.PurePosixPath("a/b")


class Bits(enum.Flag):
    """Names that are added up."""

    A = 1
    B = 2


@dataclasses.dataclass
class Point:
    """Fields, one of them of a kind that JSON lacks; what is not set is left out."""

    x: float
    tag: Colour = Colour.RED
    unset: int = dataclasses.field(init=False)
    cached: dataclasses.InitVar[int] = 0


class Record(msgspec.Struct):
    """A library's own kind of fields."""

    at: dt.date
    points: list[Point]


class Pydantic:
    """What a model of pydantic is to a program: it says what is in it."""

    def __init__(self, held):
        self._held = held

    def model_dump(self):
        """Return the fields, as Python's values."""
        return {"held": self._held}


class OldPydantic:
    """The same of its first version."""

    __fields__ = ("held",)

    def dict(self):
        """Return the fields."""
        return {"held": {1}}


class Attrs:
    """What a class of attrs is to a program."""

    __attrs_attrs__ = (types.SimpleNamespace(name="a"), types.SimpleNamespace(name="b"))
    a = 1
    b = (2, 3)


Pair = collections.namedtuple("Pair", "first second")  # noqa: PYI024

SAID = [
    (Number("6.60"), 6.6),
    (Number(3), 3),
    (Number("1E+2"), 100),
    (Number("0E+999999999"), 0),
    (Number("12345678901234567890123"), 12345678901234567890123),
    (Number("NaN"), "NaN"),
    (Number("sNaN"), "NaN"),
    (Number("-Infinity"), "-Infinity"),
    (fractions.Fraction(1, 4), 0.25),
    (fractions.Fraction(4, 2), 2),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({"b", 1}, [1, "b"]),
    (set(), []),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (dt.datetime(2026, 11, 26, 8, tzinfo=dt.UTC), "2026-11-26T08:00:00+00:00"),
    (b"ab", "YWI="),
    (memoryview(b"ab"), "YWI="),
    (pathlib.Path("a/b"), "a/b"),
    (pathlib.PureWindowsPath("a\\b"), "a\\b"),
    (Colour.RED, "red"),
    (Colour.PAIR, [1, 2]),
    (Colour.PATH, "a/b"),
    (Bits.A | Bits.B, 3),
    (Point(1.5), {"x": 1.5, "tag": "red"}),
    (
        Record(dt.date(2026, 1, 2), [Point(float("nan"))]),
        {"at": "2026-01-02", "points": [{"x": "NaN", "tag": "red"}]},
    ),
    (Pydantic({Number("0.5")}), {"held": [0.5]}),
    (OldPydantic(), {"held": [1]}),
    (Attrs(), {"a": 1, "b": [2, 3]}),
    (Pair(1, {2}), [1, [2]]),
    (types.MappingProxyType({Colour.RED: 1}), {"red": 1}),
    (collections.ChainMap({"a": 1}, {"b": {2}}), {"a": 1, "b": [2]}),
    (collections.deque([1, {2}]), [1, [2]]),
    (collections.UserString("ab"), "ab"),
    (collections.UserList([1]), [1]),
    (range(3), [0, 1, 2]),
    ({"a": 1, "b": 2}.keys(), ["a", "b"]),
    ({"a": 1, "b": {2}}.values(), [1, [2]]),
    ({"a": 1}.items(), [["a", 1]]),
    (array.array("d", [1.5]), [1.5]),
    (ipaddress.ip_address("::1"), "::1"),
    ({uuid.UUID(int=0): 1}, {"00000000-0000-0000-0000-000000000000": 1}),
    ({Number("1.5"): 1}, {"1.5": 1}),
    ({pathlib.PurePosixPath("a"): {1: {2}}}, {"a": {"1": [2]}}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wanted"), SAID)
def test_what_a_value_becomes(value, wanted):
    """By itself, deep inside others, and beside what makes the encoder give up."""
    nested = {"deep": [value, float("nan")]}
    texts = render([value, [value], nested], 3)
    assert [strict_json.read(text) for text in texts] == [
        *(wanted, [wanted]),
        {"deep": [wanted, "NaN"]},
    ]


def table(*methods):
    """Return a value of a library's own kind, which has some methods."""
    return type("Table", (), dict.fromkeys(methods, len))()


class Thing:
    """A value that says nothing of itself."""


class Loud(str):
    """A key that prints more than a line."""

    __slots__ = ()

    def __repr__(self):
        return "loud\nkey" + "!" * 100


REFUSED = [
    (1j, "a value of type complex", "[z.real, z.imag]"),
    (np.complex64(1), "a value of type complex", "[z.real, z.imag]"),
    (Thing(), "a value of type Thing", "numbers, texts"),
    (Thing, "the class Thing itself", "an object of it"),
    (Colour, "the class Colour itself", "an object of it"),
    (np.float64, "the class float64 itself", "an object of it"),
    (dt.timedelta(1), "a span of time (timedelta)", "seconds"),
    ((x for x in "ab"), "a value of type generator", "list"),
    (map(int, "12"), "a value of type map", "list"),
    (table("to_dict"), "a value of type Table", '.to_dict("records")'),
    (table("to_dicts", "to_dict"), "a value of type Table", ".to_dicts()"),
    (table("dict"), "a value of type Table", "numbers, texts"),
    (table("__fields__"), "a value of type Table", "numbers, texts"),
    (table("to_list"), "a value of type Table", ".to_list()"),
    (table("toarray"), "a value of type Table", ".toarray().tolist()"),
    (table("numpy"), "a value of type Table", ".numpy().tolist()"),
    (print, "a value of type builtin_function_or_method", "numbers"),
    (Number("1e400"), "the number 1E+400", "a text of it"),
    (fractions.Fraction(10**400, 3), "a fraction", "a text of it"),
    ({(1, 2): 3}, "a dict with a key of type tuple", "texts as its keys"),
    ({b"a": 3}, "a dict with a key of type bytes", "texts as its keys"),
    ({Colour.PAIR: 3}, "a dict with a key of type tuple", "texts as its keys"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "what", "instead"), REFUSED)
def test_what_is_refused_is_named_with_its_place(value, what, instead):
    """What it is, where in the output it lies, and what to return in its place."""
    places = {
        "": value,
        "[1]": [{"fine": 1}, value],
        "['a'][0]['b']": {"first": {1, 2}, "a": [{"b": value}]},
        "[None][1.5]": {None: {1.5: value}},
        "['held'][0]": Pydantic([value]),
        "['x']": Point(value),
        "[<Colour.RED: 'red'>]": {Colour.RED: value},
    }
    for path, output in places.items():
        with pytest.raises(OutputError) as caught:
            render([output], 1)
        said = str(caught.value)
        place = f" at {path}" if path else ""
        assert said.startswith(f"the model returned {what}{place}, which "), said
        assert instead in said.partition(": return ")[2]
        assert said.endswith(" instead")


def test_a_long_way_is_told_in_part():
    """A line stays a line, whatever keys print."""
    value = Thing()
    for _ in range(20):
        value = [{Colour.RED: value}]
    with pytest.raises(OutputError, match=r"at (\[0\]\[<Colour.RED: 'red'>\]){4}\[…\], which"):
        render([value], 1)
    with pytest.raises(OutputError, match=r"at \[loud key!{32}\], which") as caught:
        render([types.MappingProxyType({"x": 1, Loud("y"): Thing()})], 1)
    assert "\n" not in str(caught.value)


def test_what_contains_itself_ends():
    """Also through objects that say what their fields are."""
    point = Point(1.0)
    point.x = [point]
    with pytest.raises(OutputError, match="nested too deep, or contains itself"):
        render([point], 1)


def test_what_the_models_own_code_raises_is_the_models():
    """Its exception is told with its traceback, as any other of its own."""

    class Broken(Pydantic):
        def model_dump(self):
            raise LookupError("no such field")

    with pytest.raises(LookupError, match="no such field"):
        render([Broken(1)], 1)


def test_missing_values_of_pandas_are_null():
    """A column of whole numbers has its own word for none."""
    base = type("C_NAType", (), {"__module__": "pandas._libs.missing"})
    kind = type("NAType", (base,), {"__module__": "pandas.api.typing"})
    assert render([[1, kind()], [kind()]], 2) == [b"[1,null]", b"[null]"]


@pytest.mark.parametrize("name", ["decimal", "uuid", "fractions", "ipaddress"])
def test_libraries_that_a_model_may_not_use_are_not_imported(name):
    """Each replica would pay for them."""
    assert name not in vars(values)
