"""JSON Schema to the types of msgspec, which read a value in a fraction of a microsecond.

What they take, checking.py takes too, and both make the same row of it; what they refuse is given
to checking.py before anybody is told. What msgspec cannot say has `Any` as its type and a `fix`.
"""

import math
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple, Union

import msgspec

from servd.schemas.checking import EXACT, INT64, check, kinds_of
from servd.schemas.faults import Faults
from servd.schemas.formats import as_date, as_date_time


class UnfitError(ValueError):
    """A value is to be looked at again, slowly: there may be something wrong with it."""


class Shape(NamedTuple):
    """A type for msgspec, and what is to be done to a value of it; raises ValueError."""

    type: Any
    fix: Callable[[Any], Any] | None = None


_ANNOTATIONS: Final = frozenset(
    {"title", "description", "examples", "default", "$schema", "contentMediaType", "type"}
)
_UNSAYABLE: Final = frozenset('"\\')


def shape_of(schema: Any) -> Shape:
    """Return how msgspec reads values of a schema."""
    if schema is True or schema == {}:
        return Shape(Any)
    found = _sayable(schema) if isinstance(schema, dict) else None
    return _checked(schema) if found is None else found


def _sayable(schema: dict[str, Any]) -> Shape | None:
    """Return the type of a schema that msgspec has a word for, None for others."""
    optional = _optional(schema)
    if optional is not None:
        return _or_null(shape_of(optional))
    kinds = kinds_of(schema)
    words = schema.keys() - _ANNOTATIONS
    if words == {"enum"}:
        return _choice(schema, kinds)
    plain = [kind for kind in kinds if kind != "null"]
    found = _SHAPES[plain[0]](schema, words) if len(plain) == 1 else None
    return _or_null(found) if found is not None and "null" in kinds else found


def _checked(schema: Any) -> Shape:
    def fix(value: Any) -> Any:
        faults = Faults()
        taken = check(schema, value, ("input",), faults)
        if faults:
            raise UnfitError
        return taken

    return Shape(Any, fix)


def _optional(schema: dict[str, Any]) -> Any:
    """Return the other schema of an anyOf of a schema and null; None where it is not that."""
    ways = schema.get("anyOf")
    if ways is None or len(ways) != 2 or schema.keys() - _ANNOTATIONS != {"anyOf"}:
        return None
    if "type" in schema:
        return None
    null = {"type": "null"}
    return ways[0] if ways[1] == null else ways[1] if ways[0] == null else None


def _or_null(shape: Shape) -> Shape:
    if shape.type is Any:
        return shape if shape.fix is None else Shape(Any, _unless_null(shape.fix))
    fix = None if shape.fix is None else _unless_null(shape.fix)
    return Shape(Union[shape.type, None], fix)  # noqa: UP007  # types that are made at run time


def _unless_null(fix: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else fix(value)


def _choice(schema: dict[str, Any], kinds: tuple[str, ...]) -> Shape | None:
    """Return what reads one of several texts or whole numbers."""
    values = [value for value in schema["enum"] if value is not None]
    has_null = len(values) < len(schema["enum"])
    is_texts = all(isinstance(value, str) for value in values) and set(kinds) <= {"string", "null"}
    is_whole = all(type(value) is int and abs(value) < EXACT for value in values)
    is_sayable = is_texts or (is_whole and set(kinds) in ({"integer"}, {"integer", "null"}))
    if not values or not is_sayable or has_null is not ("null" in kinds or not kinds) & has_null:
        return None
    choice: Any = Literal[tuple(values)]
    return _or_null(Shape(choice)) if has_null else Shape(choice)


# --- by type; None where msgspec has no word for it ---


def _integer(schema: dict[str, Any], words: set[str]) -> Shape | None:
    if words - _BOUNDS:
        return None
    low, high = INT64
    if "minimum" in schema:
        low = max(low, math.ceil(schema["minimum"]))
    if "maximum" in schema:
        high = min(high, math.floor(schema["maximum"]))
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    if low > INT64[1] or high < INT64[0]:
        return None
    return Shape(Annotated[int, msgspec.Meta(ge=low, le=high)])


def _number(schema: dict[str, Any], words: set[str]) -> Shape | None:
    given = [schema[word] for word in words & _BOUNDS]
    if words - _BOUNDS or any(abs(bound) >= EXACT for bound in given):
        return None
    if {"minimum", "exclusiveMinimum"} <= words or {"maximum", "exclusiveMaximum"} <= words:
        return None
    # A whole number from there on may not be held: checking.py sees what it was.
    over, under = float(-EXACT), float(EXACT)
    low: dict[str, Any] = {"gt": schema.get("exclusiveMinimum", over)}
    high: dict[str, Any] = {"lt": schema.get("exclusiveMaximum", under)}
    if "minimum" in schema:
        low = {"ge": schema["minimum"]}
    if "maximum" in schema:
        high = {"le": schema["maximum"]}
    return Shape(Annotated[float, msgspec.Meta(**low, **high)])


_BOUNDS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


def _boolean(schema: dict[str, Any], words: set[str]) -> Shape | None:
    del schema
    return None if words else Shape(bool)


def _string(schema: dict[str, Any], words: set[str]) -> Shape | None:
    if words == {"format"}:
        fix = {"date-time": as_date_time, "date": as_date}.get(schema["format"])
        return Shape(str, fix)
    if words == {"contentEncoding"} and schema["contentEncoding"] == "base64":
        return Shape(bytes)
    if words - {"minLength", "maxLength", "pattern"}:
        return None
    if not words:
        return Shape(str)
    meta = msgspec.Meta(
        min_length=schema.get("minLength"),
        max_length=schema.get("maxLength"),
        pattern=schema.get("pattern"),
    )
    return Shape(Annotated[str, meta])


def _array(schema: dict[str, Any], words: set[str]) -> Shape | None:
    if words - {"items", "prefixItems", "minItems", "maxItems"}:
        return None
    if "prefixItems" in words:
        return _tuple(schema)
    item = shape_of(schema.get("items", True))
    if item.fix is not None:
        return None
    low, high = schema.get("minItems"), schema.get("maxItems")
    listed = list[item.type]  # type: ignore[name-defined]  # made at run time
    if low is None and high is None:
        return Shape(listed)
    return Shape(Annotated[listed, msgspec.Meta(min_length=low, max_length=high)])


def _tuple(schema: dict[str, Any]) -> Shape | None:
    parts = [shape_of(part) for part in schema["prefixItems"]]
    if any(part.fix is not None for part in parts) or not parts:
        return None
    is_fixed = schema.get("items") is False and schema.get("minItems") == len(parts)
    if not is_fixed or schema.get("maxItems", len(parts)) < len(parts):
        return None
    kinds = tuple(part.type for part in parts)
    return Shape(tuple[kinds])  # type: ignore[valid-type]  # made at run time


def _object(schema: dict[str, Any], words: set[str]) -> Shape | None:
    if words - {"properties", "required", "additionalProperties"}:
        return None
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if others is False:
        return _closed(properties, schema.get("required", ()))
    if properties or schema.get("required"):
        return None
    each = shape_of(others)
    return None if each.fix is not None else Shape(_dict_of(each.type))


def _dict_of(kind: Any) -> Any:
    return dict[str, kind]


def _closed(properties: dict[str, Any], required: Any) -> Shape | None:
    """Return what reads an object of these properties and no others."""
    shapes = {name: shape_of(inner) for name, inner in properties.items()}
    if not set(required) <= properties.keys() or not are_sayable(properties):
        return None
    if any(shape.fix is not None for shape in shapes.values()):
        return None
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, shape in shapes.items():
        inner = properties[name]
        if isinstance(inner, dict) and "default" in inner:
            return None  # it is filled in as it was given
        if name in required:
            fields.append((name, shape.type))
        else:
            kind: Any = Union[shape.type, msgspec.UnsetType]  # noqa: UP007
            fields.append((name, Any if shape.type is Any else kind, msgspec.UNSET))
    return Shape(struct_of(fields, is_closed=True))


def are_sayable(names: Any) -> bool:
    """Return whether msgspec takes these as the names of fields."""
    return not any(sign < " " or sign in _UNSAYABLE for name in names for sign in name)


def struct_of(
    fields: list[tuple[str, Any] | tuple[str, Any, Any]], *, is_closed: bool
) -> type[msgspec.Struct]:
    """Return a struct of fields of any names, in this order."""
    numbered = [(f"f{at}", *field[1:]) for at, field in enumerate(fields)]
    return msgspec.defstruct(
        "Fields",
        numbered,
        rename={f"f{at}": field[0] for at, field in enumerate(fields)},
        kw_only=True,
        forbid_unknown_fields=is_closed,
    )


_SHAPES: Final[dict[str, Callable[[dict[str, Any], set[str]], Shape | None]]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _string,
    "array": _array,
    "object": _object,
}
