"""Values that JSON has not, as values that it has. Used by outputs.py, where the encoder stops.

The rules are those of the tools that people know: what stands for one value of another kind becomes
that (an enum's member, a UUID, a path, a decimal number), what holds others becomes a list or an
object of them (a set, a dataclass, a pydantic model). What would lose something is refused by name,
with its place in the output and with what to return instead.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import json
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, Final

from model_runtime import numpy_values
from model_runtime.numpy_values import UnlikeJsonError, is_scalar

_NON_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_TOO_LARGE: Final = "which is too large for a float of 64 bits"
_INSTEAD: Final = {
    "complex": "its parts ([z.real, z.imag]) or its magnitude (abs(z))",
    "generator": "list(…) of it",
    "map": "list(…) of it",
    "filter": "list(…) of it",
    "zip": "list(…) of it",
    "coroutine": "what it gives: await it",
    "Image": "its bytes, which become base64, or its pixels: numpy.asarray(…)",
}
"""What to return in place of a value, by the name of its type."""
_METHODS: Final = {
    "to_dicts": "its rows: .to_dicts()",
    "to_dict": 'its rows: .to_dict("records")',
    "to_list": "its values: .to_list()",
    "toarray": "its values: .toarray().tolist()",
    "numpy": "its values: .numpy().tolist()",
}
"""The same by a method that it has: tables, tensors and the like of many libraries."""
_OTHERWISE: Final = "numbers, texts, booleans, None, or lists and dicts of them"


def plain(value: Any) -> Any:
    """Return what JSON can hold for a value it cannot; it may hold such values in turn.

    Raises:
        UnlikeJsonError: there is nothing that says the same.
    """
    if isinstance(value, type):
        raise UnlikeJsonError(f"the class {value.__name__} itself", "an object of it, or data")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    said = _single(value)
    if said is not value:
        return said
    if hasattr(value, "tolist"):
        return numpy_values.listed(value)
    for kinds, convert in _HOLDERS:
        if isinstance(value, kinds):
            return convert(value)
    return _fields(value)


def clean(value: Any) -> Any:
    """Return a value made of plain dicts, lists, texts and finite numbers.

    Raises:
        UnlikeJsonError: some of it cannot be; its `path` says where that lies.
    """
    if isinstance(value, dict):
        return _clean_dict(value)
    if isinstance(value, (list, tuple)):
        return _clean_list(value)
    if isinstance(value, float):
        return finite(float(value))
    if value is None or isinstance(value, (str, int)):
        return value
    return clean(plain(value))


def _clean_dict(value: dict[Any, Any]) -> dict[Any, Any]:
    cleaned = {}
    for key, item in value.items():
        named = _name(_key(key))
        if named in cleaned:
            raise UnlikeJsonError(
                f"a dict with two keys that are {json.dumps(named)} in JSON",
                "one of them",
                why="whose keys are texts",
            )
        try:
            cleaned[named] = clean(item)
        except UnlikeJsonError as error:
            error.path.insert(0, key)
            raise
    return cleaned


def _clean_list(value: Sequence[Any]) -> list[Any]:
    cleaned: list[Any] = []
    for item in value:
        try:
            cleaned.append(clean(item))
        except UnlikeJsonError as error:
            error.path.insert(0, len(cleaned))
            raise
    return cleaned


def finite(number: float) -> float | str:
    """Return a number, or the word for one that JSON does not have."""
    text = repr(number)
    return number if "n" not in text else _NON_FINITE[text]


def _name(key: Any) -> str:
    """Return a key that the JSON encoder takes as the name that it makes of it."""
    if isinstance(key, str):
        return str.__str__(key)
    return json.dumps(key)


def _key(key: Any) -> Any:
    """Return a dict's key as one that the JSON encoder takes."""
    if not isinstance(key, (str, int, float)):
        key = _single(key)
    if isinstance(key, float):
        return finite(float(key))
    if key is None or isinstance(key, (str, int)):
        return key
    raise UnlikeJsonError(f"a dict with a key of type {type(key).__name__}", "texts as its keys")


def _single(value: Any) -> Any:
    """Return what a value stands for that is one thing, as a number or a text is; else itself."""
    kind = type(value)
    if is_scalar(kind):
        return numpy_values.plain(value)
    for kinds, convert in _SINGLE:
        if isinstance(value, kinds):
            return convert(value)
    # By their names: a model that does not use these libraries need not import them.
    for base in kind.__mro__:
        by_name = _SINGLE_BY_NAME.get(f"{base.__module__}.{base.__name__}")
        if by_name is not None:
            return by_name(value)
    return value


def _sorted(values: AbstractSet[Any]) -> list[Any]:
    """Return a set as a list in an order that is the same in every replica."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def _fields(value: Any) -> Any:
    """Return the fields of an object whose class says which these are.

    Raises:
        UnlikeJsonError: it is no such object.
    """
    kind = type(value)
    if callable(getattr(kind, "model_dump", None)):  # pydantic
        return value.model_dump()
    if hasattr(kind, "__fields__") and callable(getattr(kind, "dict", None)):  # pydantic 1
        return value.dict()
    names: list[str] = list(getattr(kind, "__struct_fields__", ()))  # msgspec
    names += [each.name for each in getattr(kind, "__attrs_attrs__", ())]  # attrs
    if dataclasses.is_dataclass(value):
        names += [field.name for field in dataclasses.fields(value)]
    elif not names:
        name = kind.__name__
        known = (_METHODS[method] for method in _METHODS if callable(getattr(kind, method, None)))
        raise UnlikeJsonError(
            f"a value of type {name}", _INSTEAD.get(name) or next(known, _OTHERWISE)
        )
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _refuse_span(value: Any) -> Any:
    del value
    raise numpy_values.a_span()


def _decimal(value: Any) -> Any:
    """Return a decimal.Decimal as a whole number where it is written as one, else as a float."""
    if not value.is_finite():
        return "NaN" if value.is_nan() else finite(float(value))
    number = float(value)
    if math.isinf(number):
        raise UnlikeJsonError(f"the number {value}", "a text of it", why=_TOO_LARGE)
    if value.as_tuple().exponent < 0:
        return number
    return int(value) if number else 0


def _fraction(value: Any) -> Any:
    """Return a fractions.Fraction as the nearest number."""
    if value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        raise UnlikeJsonError("a fraction", "a text of it", why=_TOO_LARGE) from None


def _nothing(value: Any) -> None:
    del value


_SINGLE: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    ((dt.date, dt.time), lambda value: value.isoformat()),
    (dt.timedelta, _refuse_span),
    (enum.Enum, lambda value: value.value),
    (PurePath, str),
)
_SINGLE_BY_NAME: Final[dict[str, Callable[[Any], Any]]] = {
    "decimal.Decimal": _decimal,
    "fractions.Fraction": _fraction,
    "uuid.UUID": str,
    "collections.UserString": str,
    "ipaddress.IPv4Address": str,
    "ipaddress.IPv6Address": str,
    "pandas._libs.missing.C_NAType": _nothing,
}
_HOLDERS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (Mapping, dict),
    (AbstractSet, _sorted),
    ((Sequence, ValuesView, deque), list),
)
