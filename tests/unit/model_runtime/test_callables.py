"""What a function's parameters and annotations say: how it is called, and with what."""

import dataclasses
import datetime as dt
import enum
import typing as t

import attrs
import msgspec
import numpy as np
import pytest

from model_runtime import signature as signatures
from model_runtime.annotations import callables
from model_runtime.annotations.kind import UnclearError


@dataclasses.dataclass
class House:
    """A dataclass with what defaults there are."""

    rooms: int
    size: float = 1.0
    tags: list[str] = dataclasses.field(default_factory=list)
    at: dt.date | None = None
    id: int = dataclasses.field(default_factory=lambda: next(iter({7})))
    made: int = dataclasses.field(default=0, init=False)


class Options(t.TypedDict, total=False):
    """A TypedDict of which one name must be there."""

    depth: t.Required[int]
    name: str


class Point(t.NamedTuple):
    """A named tuple."""

    x: float
    y: float = 2.0


class Struct(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """msgspec's, which calls its fields otherwise in JSON."""

    first_name: str
    age: t.Annotated[int, msgspec.Meta(ge=0)] = 3


@attrs.define
class Attrs:
    """attrs', which has a private field and one that is made."""

    _x: int
    tags: list[str] = attrs.Factory(list)
    when: float = attrs.field(factory=lambda: 1.0)


class Colour(enum.Enum):
    """An enum by value."""

    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Node:
    """A class that is inside itself."""

    value: int
    children: "list[Node]" = dataclasses.field(default_factory=list)


NOW = dt.datetime(2026, 11, 26)  # noqa: DTZ001  (as a default has it)


class Unknown:
    """Nothing that JSON could be made into."""


def read(function, **options):
    """Return how a function is called; its signature holds together."""
    callee = callables.read(function, function.__name__, **options)
    signatures.check(callee.signature)
    assert signatures.parse(callee.signature.as_json()) == callee.signature
    return callee


def takes(*parameters, gives="", head="def"):
    """Return a function with these parameters."""
    space = globals() | {"Any": t.Any, "NDArray": np.ndarray}
    arrow = f" -> {gives}" if gives else ""
    exec(f"{head} f({', '.join(parameters)}){arrow}: ...", space)
    return space["f"]


INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
BASE64 = TEXT | {"contentEncoding": "base64"}


@pytest.mark.parametrize(
    ("parameters", "gives", "input_type"),
    [
        (["x"], "", "doubles"),
        (["x", "k=3"], "", "doubles"),
        (["x=None"], "", "doubles"),
        (["*args"], "", "doubles"),
        (["x: Any"], "", "doubles"),
        (["x: Unknown"], "", "doubles"),
        (["x: 'NoSuchName'"], "", "doubles"),
        (["x: list"], "", "doubles"),
        (["x: NDArray"], "", "doubles"),
        (["x: list[list[int]]"], "", "integers"),
        (["x: list[list[float]] | None"], "", "doubles"),
        (["x: t.Sequence[str]"], "list[str]", "strings"),
        (["x: list[bytes]"], "", "bytes"),
        (["x: list[float]"], "list[float]", "any"),
        (["x: list[float]", "k: int = 1"], "list[float]", "any"),
        (["x: list[float]", "k=Unknown()"], "", "any"),
        (["x: list[dict]"], "", "any"),
        (["x: list[House]"], "list[float]", "rows"),
        (["x: list[Unknown]"], "", "any"),
    ],
)
def test_what_is_called_with_a_list_of_inputs(parameters, gives, input_type):
    """What can be a list of inputs is one, as it always was."""
    callee = read(takes(*parameters, gives=gives))
    assert (callee.signature.call, callee.signature.input_type) == ("batch", input_type)
    assert callee.arguments is None


@pytest.mark.parametrize(
    ("parameters", "gives", "input_type", "fields", "required"),
    [
        (["text: str"], "", "strings", {"text": TEXT}, ("text",)),
        (["raw: bytes"], "", "bytes", {"raw": BASE64}, ("raw",)),
        (["x: float"], "", "rows", {"x": NUMBER}, ("x",)),
        (["x: t.Optional[float] = None"], "", "rows",
         {"x": {"type": ["number", "null"], "default": None}}, ()),
        (["x: int = 0", "y: int = 0"], "", "rows",
         {"x": INTEGER | {"default": 0}, "y": INTEGER | {"default": 0}}, ()),
        (["a", "b"], "", "rows", {"a": {}, "b": {}}, ("a", "b")),
        (["a=0", "b=1.5", "c='x'", "d=True"], "", "rows",
         {"a": NUMBER | {"default": 0}, "b": NUMBER | {"default": 1.5},
          "c": TEXT | {"default": "x"}, "d": {"type": "boolean", "default": True}}, ()),
        (["*", "a: int", "b: str = 'c'"], "", "rows",
         {"a": INTEGER, "b": TEXT | {"default": "c"}}, ("a",)),
        (["a: int", "model=Unknown()", "*rest"], "", "rows", {"a": INTEGER}, ("a",)),
        (["x: list[float]"], "float", "doubles", None, ()),
        (["x: list[int]"], "dict", "integers", None, ()),
        (["x: NDArray"], "float", "doubles", None, ()),
        (["x: list[float]", "y: int"], "", "rows",
         {"x": {"type": "array", "items": NUMBER}, "y": INTEGER}, ("x", "y")),
        (["x: dict[str, float]"], "", "any", None, ()),
        (["**parts"], "", "any", None, ()),
        (["x: t.Literal['a', 'b']"], "", "rows", {"x": {"enum": ["a", "b"]}}, ("x",)),
        (["x: Colour = Colour.RED"], "", "rows",
         {"x": {"enum": ["red", "blue"], "default": "red"}}, ()),
        (["x: tuple[float, str]"], "", "rows",
         {"x": {"type": "array", "prefixItems": [NUMBER, TEXT], "items": False,
                "minItems": 2, "maxItems": 2}}, ("x",)),
        (["x: set[str]"], "", "rows", {"x": {"type": "array", "items": TEXT}}, ("x",)),
        (["x: int | str"], "", "rows", {"x": {"type": ["integer", "string"]}}, ("x",)),
        (["x: dt.datetime"], "", "rows", {"x": TEXT | {"format": "date-time"}}, ("x",)),
        (["h: House"], "", "rows",
         {"rooms": INTEGER, "size": NUMBER | {"default": 1.0},
          "tags": {"type": "array", "items": TEXT, "default": []},
          "at": {"anyOf": [TEXT | {"format": "date"}, {"type": "null"}], "default": None},
          "id": {"type": ["integer", "null"], "default": None}}, ("rooms",)),
        (["o: Options"], "", "rows",
         {"depth": INTEGER, "name": {"type": ["string", "null"], "default": None}}, ("depth",)),
        (["p: Point"], "", "rows", {"x": NUMBER, "y": NUMBER | {"default": 2.0}}, ("x",)),
        (["s: Struct"], "", "rows",
         {"firstName": TEXT, "age": INTEGER | {"minimum": 0, "default": 3}}, ("firstName",)),
        (["a: Attrs"], "", "rows",
         {"x": INTEGER, "tags": {"type": "array", "items": TEXT, "default": []},
          "when": {"type": ["number", "null"], "default": None}}, ("x",)),
        (["n: Node"], "", "rows",
         {"value": INTEGER,
          "children": {"type": "array", "items": {"title": "Node"}, "default": []}}, ("value",)),
    ],
)  # fmt: skip
def test_what_is_called_once_an_input(parameters, gives, input_type, fields, required):
    """Parameters that are no list are the parts of an input, by their names and defaults."""
    callee = read(takes(*parameters, gives=gives))
    told = callee.signature
    assert (told.call, told.input_type) == ("each", input_type)
    assert (told.fields, told.required) == (fields, required)
    assert callee.arguments is not None


class Hostile:
    """Its metaclass compares with nothing."""

    class Meta(type):
        """Raises where it is compared, hashed or shown."""

        def __eq__(cls, other):
            """Raise."""
            raise RuntimeError("compared")

        __hash__ = None

        def __repr__(cls):
            """Raise."""
            raise RuntimeError("shown")

    class Type(metaclass=Meta):
        """Is nothing that JSON could be made into."""


Deep = list[int]
for _ in range(40):
    Deep = list[Deep]  # type: ignore[misc]
Itself = dict[str, "Itself"]
Huge = dataclasses.make_dataclass("Huge", [(f"field_{n}", int) for n in range(3000)])
Wrong = t.TypeVar("Wrong", bound="NoSuchBound")  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("parameters", "comes"),
    [
        (["x: [int]"], "doubles"),
        (["x: {}"], "doubles"),
        (["x: 3"], "doubles"),
        (["x: 'int' = 3"], "rows integer"),
        (["x: '1 / 0'"], "doubles"),
        (["x: '1 / 0'", "y: int"], "rows any"),
        (["x: 'def'"], "doubles"),
        (["x: Hostile.Type"], "refused"),
        (["x: Hostile.Type", "y: int"], "refused"),
        (["x: int", "y=Hostile.Type"], "rows integer"),
        (["x: Wrong"], "doubles"),
        (["x: Deep"], "any"),
        (["x: Itself"], "any"),
        (["x: Itself", "y: int"], "rows object"),
        (["x: Huge"], "refused"),
        (["x: Node", "y: Node"], "rows object"),
        (["x: int = None"], "rows integer,null"),
        (["x: int = float('nan')"], "rows integer,null"),
        (["x: dt.datetime = NOW"], "rows string"),
        (["x: t.Final[int]"], "rows integer"),
        (["x: t.Callable[[int], int]"], "doubles"),
        (["x: type"], "doubles"),
        (["x: t.Literal[True, 1]"], "rows enum"),
        (["x: None", "y: int"], "rows null"),
        (["x", "/", "y"], "rows any"),
        (["x: int, /", "*rest: int", "k: int = 1", "**more: int"], "rows integer"),
        (["self: int"], "rows integer"),
        (["x: range"], "doubles"),
        (["x: t.NoReturn"], "doubles"),
    ],
)
def test_odd_signatures_come_to_something_clear(parameters, comes):
    """Nothing raises but what is a refusal; what cannot be read says nothing."""
    if comes == "refused":
        with pytest.raises(UnclearError, match=r"^'f'"):
            read(takes(*parameters))
        return
    told = read(takes(*parameters)).signature
    if told.input_type != "rows":
        assert comes == told.input_type
        return
    first = next(iter(told.fields.values()))
    kind = first.get("type", "enum" if "enum" in first else "any")
    assert comes == f"rows {','.join(kind) if isinstance(kind, list) else kind}"


@pytest.mark.parametrize(
    ("parameters", "words", "hint"),
    [
        ([], "'f' cannot be called with one argument", "by name"),
        (["x: list[float]", "k: int = 3"], "two ways: x is a list of inputs, or", "-> float"),
        (["x: int", "y: Unknown"], "its parameter 'y' cannot be given", "dataclasses"),
        (["x: int", "y: complex"], "servd cannot make complex of JSON", "what it can make"),
        (["x: int", "y: t.Literal[b'a']"], "JSON has no b'a'", ""),
        (["x: int", "y: t.Callable"], "'y' cannot be given", ""),
    ],
)
def test_what_no_input_can_be_made_for_is_refused(parameters, words, hint):
    """The refusal names the function, the parameter and what would do."""
    with pytest.raises(UnclearError, match="f") as caught:
        read(takes(*parameters))
    assert words in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("parameters", "row", "got"),
    [
        ("a, b, n=3", '["x",1.0,3.0]', ("x", 1.0, 3)),
        ("a, b, n=3", '["x",1.0,2.5]', ("x", 1.0, 2.5)),
        ("a, b, n=3", '["x",1.0,1e300]', ("x", 1.0, 1e300)),
        ("a, b, n=0.5", '["x",1.0,3.0]', ("x", 1.0, 3.0)),
        ("n=3, scale=0.5", "[3.0,1.0]", (3, 1.0)),
        ("*, n=3, on=True", "[-2.0,false]", (-2, False)),
    ],
)
def test_a_whole_number_is_an_int_where_the_default_is_one(parameters, row, got):
    """A row has 3.0 for 3; `range(n)` of a function with `n=3` is to go."""
    positional, named = read(takes(parameters)).arguments(msgspec.json.decode(row))
    assert [*map(repr, (*positional, *named.values()))] == [*map(repr, got)]
