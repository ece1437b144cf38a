"""Bounds beside a type: `Annotated[int, Field(ge=0)]`, by pydantic, msgspec or annotated_types.

All three say them by attributes of the same names, so none of the libraries is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from model_runtime.annotations.kind import Kind
from model_runtime.refusals import fault
from model_runtime.signature import Schema

_NUMBERS: Final[dict[str, tuple[str, Callable[[Any, Any], bool], str]]] = {
    "ge": ("minimum", lambda value, bound: value >= bound, "at least"),
    "gt": ("exclusiveMinimum", lambda value, bound: value > bound, "more than"),
    "le": ("maximum", lambda value, bound: value <= bound, "at most"),
    "lt": ("exclusiveMaximum", lambda value, bound: value < bound, "less than"),
}
_TEXTS: Final = {"min_length": "minLength", "max_length": "maxLength"}
_ARRAYS: Final = {"min_length": "minItems", "max_length": "maxItems"}
_WORDS: Final = ("title", "description")


def details_of(metadata: Iterable[Any]) -> dict[str, Any]:
    """Return what the objects beside a type say of it, by the names that all libraries have."""
    found: dict[str, Any] = {}
    for each in metadata:
        inner = getattr(each, "metadata", None)
        if isinstance(inner, (list, tuple)):  # pydantic's Field keeps its bounds in such
            found |= details_of(inner)
        for name in (*_NUMBERS, *_TEXTS, "pattern", *_WORDS):
            value = getattr(each, name, None)
            if isinstance(value, (int, float, str)) and not isinstance(value, bool):
                found[name] = value
    return found


def bounded(kind: Kind, metadata: Iterable[Any]) -> Kind:
    """Return the kind of values that keep within bounds as well."""
    details = details_of(metadata)
    types = kind.schema.get("type", [])
    types = types if isinstance(types, list) else [types]
    checks: list[Callable[[Any], None]] = []
    said: Schema = {name: details[name] for name in _WORDS if isinstance(details.get(name), str)}
    if {"integer", "number"} & {*types}:
        said |= _numbers(details, checks)
    if "string" in types:
        said |= _lengths(details, _TEXTS, "characters", checks)
        said |= _pattern(details, checks)
    elif "array" in types:
        said |= _lengths(details, _ARRAYS, "items", checks)
    if not checks:
        return Kind({**kind.schema, **said}, kind.make)

    def make(value: Any) -> Any:
        made = kind(value)
        for check in checks:
            check(value)
        return made

    return Kind({**kind.schema, **said}, make)


def _numbers(details: dict[str, Any], checks: list[Callable[[Any], None]]) -> Schema:
    said: Schema = {}
    for name, (keyword, holds, words) in _NUMBERS.items():
        bound = details.get(name)
        if not isinstance(bound, (int, float)):
            continue
        said[keyword] = bound
        checks.append(_number_check(bound, holds, words))
    return said


def _number_check(
    bound: float, holds: Callable[[Any, Any], bool], words: str
) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        if isinstance(value, (int, float)) and not holds(value, bound):
            raise fault(f"wanted {words} {bound}, found the number {value}", "bound")

    return check


def _lengths(
    details: dict[str, Any],
    keywords: dict[str, str],
    noun: str,
    checks: list[Callable[[Any], None]],
) -> Schema:
    said: Schema = {}
    for name, keyword in keywords.items():
        bound = details.get(name)
        if type(bound) is not int:
            continue
        said[keyword] = bound
        checks.append(_length_check(bound, noun, is_least=name == "min_length"))
    return said


def _length_check(bound: int, noun: str, *, is_least: bool) -> Callable[[Any], None]:
    words = "at least" if is_least else "at most"

    def check(value: Any) -> None:
        if isinstance(value, (str, list)):
            length = len(value)
            if length < bound if is_least else length > bound:
                raise fault(f"wanted {words} {bound} {noun}, found {length}", "length")

    return check


def _pattern(details: dict[str, Any], checks: list[Callable[[Any], None]]) -> Schema:
    pattern = details.get("pattern")
    if not isinstance(pattern, str):
        return {}
    try:
        search = re.compile(pattern).search
    except re.error:  # in another dialect: the library's own, or none
        return {}

    def check(value: Any) -> None:
        if isinstance(value, str) and search(value) is None:
            raise fault(f"wanted a text like {pattern}, found {value!r:.60}", "pattern")

    checks.append(check)
    return {"pattern": pattern}
