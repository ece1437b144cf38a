"""What a schema means: a JSON value to what of it is in the row, or what is wrong with it.

Slow, complete, and the last word: shapes.py has msgspec take less, and never more, than this.
"""

import re
from typing import Any, Final

from servd.schemas.faults import Faults, Loc, found, listed, named, wanted
from servd.schemas.formats import TextError, as_base64, as_date, as_date_time

INT64: Final = (-(1 << 63), (1 << 63) - 1)
EXACT: Final = 1 << 53
"""Up to here a double has each whole number; beyond it only some."""

_KINDS: Final = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def is_valid(schema: Any, value: Any) -> bool:
    """Return whether a value is what a schema wants."""
    faults = Faults()
    check(schema, value, ("input",), faults)
    return not faults


def check(schema: Any, value: Any, loc: Loc, faults: Faults) -> Any:
    """Return what a value comes to by a schema: numbers of its kind, defaults filled in.

    What is wrong is added to `faults`.
    """
    if not isinstance(schema, dict):
        if not schema:
            faults.unlike(loc, "nothing", value, "extra_forbidden")
        return value
    kinds = kinds_of(schema)
    if kinds:
        kind = _kind(value, kinds)
        if kind is None:
            faults.unlike(loc, wanted(schema), value, _type_error(kinds))
            return value
        before = len(faults)
        value = _OF_KIND[kind](schema, value, loc, faults)
        if len(faults) > before:
            return value
    else:
        kind = _KINDS[type(value)]
        if not any(word in schema for word in ("enum", "const", "anyOf")):
            value = _OF_KIND[kind](schema, value, loc, faults, is_typed=False)
    value = _check_choices(schema, value, loc, faults)
    return _check_any_of(schema, value, loc, faults)


def kinds_of(schema: dict[str, Any]) -> tuple[str, ...]:
    """Return the types that a schema names."""
    kinds = schema.get("type", ())
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def _kind(value: Any, kinds: tuple[str, ...]) -> str | None:
    """Return which of the types a value is of, None where it is of none."""
    kind = _KINDS[type(value)]
    if kind in ("integer", "number"):
        if "number" in kinds:
            return "number"
        is_whole = kind == "integer" or value.is_integer()
        return "integer" if "integer" in kinds and is_whole else None
    return kind if kind in kinds else None


def is_of_kind(schema: Any, value: Any) -> bool:
    """Return whether a value is of a type that a schema takes, whatever else is wrong with it."""
    if not isinstance(schema, dict):
        return bool(schema)
    if "anyOf" in schema and "type" not in schema:
        return any(is_of_kind(way, value) for way in schema["anyOf"])
    kinds = kinds_of(schema)
    return not kinds or _kind(value, kinds) is not None


def _type_error(kinds: tuple[str, ...]) -> str:
    words = {"integer": "int", "number": "float", "boolean": "bool", "array": "list"}
    first = next((kind for kind in kinds if kind != "null"), "null")
    return f"{words.get(first, first)}_type"


def _check_choices(schema: dict[str, Any], value: Any, loc: Loc, faults: Faults) -> Any:
    choices = schema.get("enum")
    if "const" in schema:
        choices = [schema["const"]]
    if choices is None:
        return value
    same = [choice for choice in choices if is_same(value, choice)]
    if not same:
        what = f"wanted {wanted(schema)}, found {found(value)}"
        texts = [choice for choice in choices if isinstance(choice, str)]
        meant = faults.meant(value, texts) if isinstance(value, str) else None
        faults.add(loc, what + (f"; did you mean {named(meant)}?" if meant else ""), "enum", value)
        return value
    return value if "type" in schema else same[0]


def is_same(value: Any, other: Any) -> bool:
    """Return whether two JSON values are the same: true is not 1, 1.0 is."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(is_same, value, other))
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(
            is_same(each, other[name]) for name, each in value.items()
        )
    return bool(value == other)


def _check_any_of(schema: dict[str, Any], value: Any, loc: Loc, faults: Faults) -> Any:
    ways = schema.get("anyOf")
    if ways is None:
        return value
    closest: Faults | None = None
    for way in ways:
        tried = Faults()
        taken = check(way, value, loc, tried)
        if not tried:
            return taken
        # Of the right type and yet wrong is nearer than of another type.
        if isinstance(way, dict) and _kind(value, kinds_of(way)) and closest is None:
            closest = tried
    if closest is None:
        faults.unlike(loc, wanted({"anyOf": ways}), value, "union")
    else:
        faults += closest
    return value


# --- by type ---


def _integer(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    if not is_typed:
        return _bounded(schema, value, loc, faults)
    value = int(value)
    low, high = INT64
    if not low <= value <= high:
        faults.unlike(loc, f"a whole number from {low} to {high}", value, "out_of_range")
        return value
    return _bounded(schema, value, loc, faults)


def _number(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    if is_typed and isinstance(value, int):
        try:
            exact = float(value)
        except OverflowError:
            faults.unlike(loc, "a number that a double holds", value, "out_of_range")
            return value
        if int(exact) != value:
            faults.add(
                loc,
                f"wanted a number, found {found(value)}, which a double (64 bits) does not hold "
                f"exactly: the next is {int(exact)}",
                "inexact",
                value,
            )
            return value
        value = exact
    return _bounded(schema, value, loc, faults)


def _bounded(schema: dict[str, Any], value: Any, loc: Loc, faults: Faults) -> Any:
    low, high = schema.get("minimum"), schema.get("maximum")
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    is_out = (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (over is not None and value <= over)
        or (under is not None and value >= under)
    )
    if is_out:
        faults.unlike(loc, wanted(schema | {"type": "number"}), value, "out_of_range")
    return value


def _string(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    del is_typed
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < low or (high is not None and len(value) > high):
        faults.unlike(loc, wanted(schema | {"type": "string"}), value, "length")
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        faults.unlike(loc, wanted(schema | {"type": "string"}), value, "pattern")
    reader = _READERS.get(schema.get("format", "")) or _READERS.get(
        schema.get("contentEncoding", "")
    )
    if reader is None:
        return value
    try:
        return reader(value)
    except TextError as error:
        what = f"wanted {wanted(schema | {'type': 'string'})}, found {found(value)}"
        faults.add(loc, f"{what}{error}", "format", value)
        return value


_READERS: Final = {"date-time": as_date_time, "date": as_date, "base64": as_base64}


def _array(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    del is_typed
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < low or (high is not None and len(value) > high):
        faults.unlike(loc, wanted(schema | {"type": "array"}), value, "length")
        return value
    first, others = schema.get("prefixItems", []), schema.get("items", True)
    if others is False and len(value) > len(first):
        faults.unlike(loc, wanted(schema | {"type": "array"}), value, "length")
        return value
    taken = []
    for at, item in enumerate(value):
        if faults.is_full:
            break
        taken.append(check(first[at] if at < len(first) else others, item, (*loc, at), faults))
    return taken


def _object(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    del is_typed
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    required = schema.get("required", ())
    taken = {
        name: check(properties[name], value[name], (*loc, name), faults)
        if name in value
        else properties[name]["default"]
        for name in properties
        if name in value or (isinstance(properties[name], dict) and "default" in properties[name])
    }
    missing = [name for name in required if name not in taken and name not in value]
    unknown = [name for name in value if name not in properties]
    others_given = unknown if others is False else []
    tell_missing(
        {name: properties.get(name, True) for name in missing}, others_given, value, loc, faults
    )
    for name in unknown:
        if faults.is_full:
            break
        if others is False:
            tell_unknown(name, properties, missing, value, (*loc, name), faults)
        else:
            taken[name] = check(others, value[name], (*loc, name), faults)
    return taken


def tell_missing(
    missing: dict[str, Any], unknown: list[str], value: Any, loc: Loc, faults: Faults
) -> None:
    """Add a fault for each name that should be there; `missing` has their schemas."""
    for name, schema in missing.items():
        if faults.is_full:
            return
        given = faults.meant(name, unknown)
        have = f"found {named(given)}: did you mean {named(name)}?" if given else found_of(value)
        faults.add((*loc, name), f"missing, wanted {wanted(schema)}; {have}", "missing", value)


def found_of(value: dict[str, Any]) -> str:
    """Return which names were found in an object."""
    return f"found {listed(value)}" if value else "found no fields"


def tell_unknown(
    name: str, names: Any, missing: list[str], value: Any, loc: Loc, faults: Faults
) -> None:
    """Add a fault for a name that should not be there."""
    meant = faults.meant(name, missing) or faults.meant(name, names)
    hint = f"did you mean {named(meant)}?" if meant else f"wanted {listed(names) or 'none'}"
    faults.add(loc, f"unknown; {hint}", "extra_forbidden", value[name])


def _plain(
    schema: dict[str, Any], value: Any, loc: Loc, faults: Faults, *, is_typed: bool = True
) -> Any:
    del schema, loc, faults, is_typed
    return value


_OF_KIND: Final[dict[str, Any]] = {
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "object": _object,
    "boolean": _plain,
    "null": _plain,
}
