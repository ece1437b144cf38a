"""What is known of one column of the table that a model was fitted on. Used by survey.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from model_runtime.frames import (
    BOOL,
    CATEGORY,
    DATE,
    FLOAT,
    INT,
    LABEL,
    NUMERIC,
    TEXT,
    VALUE,
    Dtype,
)
from model_runtime.older import dataclass
from model_runtime.signature import Schema

_TYPES: Final[dict[str, Any]] = {
    FLOAT: "number",
    NUMERIC: ["number", "boolean"],
    INT: "integer",
    BOOL: "boolean",
    TEXT: "string",
    DATE: "string",
    LABEL: ["string", "integer", "boolean"],
}
_KNOWS: Final = {NUMERIC: 0, FLOAT: 1}
"""Who reads numbers knows less of a column than who has its values."""
_TYPE_OF: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of one column.

    `dtype` is None where nothing is known of its type. `enum` are the only values that are taken,
    None where others are too. `takes_missing`: it does, does not (False), or hands it on (None).
    `is_used` is False of a column that the model leaves out. `samples` are values like those that
    it was fitted on, where these are not in `enum`.
    """

    dtype: Dtype | None = None
    enum: tuple[Any, ...] | None = None
    takes_missing: bool | None = False
    is_used: bool = True
    samples: tuple[Any, ...] = ()

    def schema(self) -> Schema:
        """Return the JSON Schema of a value of it; what may be missing is null by default."""
        kind = VALUE if self.dtype is None else self.dtype.kind
        schema: Schema = {}
        if kind == CATEGORY and self.dtype is not None:
            schema = {"type": type_of(self.dtype.categories)}
        elif kind in _TYPES:
            schema = {"type": _TYPES[kind]}
        if kind == DATE:
            schema["format"] = "date-time"
        if schema.get("type", "") is None:
            schema = {}
        if self.enum is not None:
            schema["enum"] = list(self.enum)
        elif self.samples:
            schema["examples"] = list(self.samples)
        return nullable(schema) if self.takes_missing else schema


def nullable(schema: Schema) -> Schema:
    """Return a schema that takes null as well, which it has where nothing is given."""
    made = dict(schema)
    if "type" in made:
        types = made["type"] if isinstance(made["type"], list) else [made["type"]]
        made["type"] = [*types, *(["null"] if "null" not in types else [])]
    if "enum" in made and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    return {"default": None} | made


def type_of(values: Sequence[Any]) -> str | None:
    """Return JSON's type of values that have one; None where there is no one type."""
    kinds = set(map(type, values))
    if kinds == {int, float}:
        return "number"
    return _TYPE_OF.get(kinds.pop()) if len(kinds) == 1 else None


def both(one: Column, other: Column) -> Column:
    """Return what two parts say that get the same column: one that leaves it out says nothing."""
    if not (one.is_used and other.is_used):
        return one if one.is_used else other
    told = [each.takes_missing for each in (one, other) if each.takes_missing is not None]
    return replace(_known_of(one, other), takes_missing=all(told) if told else None)


def in_turn(first: Column, then: Column) -> Column:
    """Return what two parts say of a column that the second has from the first."""
    takes = then.takes_missing if first.takes_missing is None else first.takes_missing
    return replace(_known_of(first, then), takes_missing=takes)


def _known_of(one: Column, other: Column) -> Column:
    """Return what is known of a column's values: whoever has categories knows most."""
    if one.dtype is None or other.dtype is None:
        return other if one.dtype is None else one
    better = max(one, other, key=lambda each: _KNOWS.get(each.dtype.kind, 2) if each.dtype else 0)
    samples = better.samples or one.samples or other.samples
    return replace(better, enum=one.enum or other.enum, samples=samples)
