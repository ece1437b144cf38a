"""What a deployer says of a fitted model's inputs, beside what that has learnt. Used by fitted.py.

What is given counts, as far as the model can do with it; where the two contradict each other, both
are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
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
    dtype_of,
)
from model_runtime.loaders.base import LoadError
from model_runtime.loaders.column import Column, nullable, type_of
from model_runtime.manifest import Manifest
from model_runtime.older import dataclass
from model_runtime.signature import IGNORE, REFUSE, Schema

_HELD: Final = {
    FLOAT: frozenset({"integer", "number", "boolean"}),
    NUMERIC: frozenset({"integer", "number", "boolean"}),
    INT: frozenset({"integer"}),
    BOOL: frozenset({"boolean"}),
    TEXT: frozenset({"string"}),
    DATE: frozenset({"string"}),
    LABEL: frozenset({"string", "integer", "boolean"}),
}
_SAID: Final = {
    FLOAT: "numbers",
    NUMERIC: "numbers",
    INT: "whole numbers",
    BOOL: "true and false",
    TEXT: "texts",
    DATE: "dates",
    CATEGORY: "categories",
    LABEL: "categories",
}
_TYPE_OF: Final = {bool: "boolean", int: "number", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Given:
    """The fields that a deployer has named, in the order that inputs have as arrays."""

    fields: dict[str, Schema]
    required: frozenset[str]
    extra: str


def given_of(manifest: Manifest) -> Given | None:
    """Return the fields that a deployer has named; None where there are none."""
    schema = manifest.schema
    if schema is None or not isinstance(schema.get("properties"), dict):
        return None
    named = {
        name: each if isinstance(each, dict) else {} for name, each in schema["properties"].items()
    }
    usual = [name for name, each in named.items() if "default" not in each]
    is_open = schema.get("additionalProperties", False) is not False
    extra = manifest.extra or (IGNORE if is_open else REFUSE)
    return Given(named, frozenset(schema.get("required", usual)), extra)


def given_by(example: Any) -> Given | None:
    """Return the fields that an example has, where it is an object."""
    columns = columns_of_example(example)
    fields = {name: column.schema() for name, column in columns.items()}
    return Given(fields, frozenset(fields), REFUSE) if fields else None


def columns_of_example(example: Any) -> dict[str, Column]:
    """Return what an example says of its fields, where it is an object."""
    if not isinstance(example, Mapping):
        return {}
    return {
        str(name): Column(dtype_of({"type": _TYPE_OF[type(value)]}))
        for name, value in example.items()
        if type(value) in _TYPE_OF
    }


def fields_of(given: Given, columns: Mapping[str, Column]) -> tuple[dict[str, Schema], list[str]]:
    """Return the fields, with what is learnt of them, and which of these are required.

    Columns that the model leaves out and the deployer has not named are none: an input as an array
    has what is named, in that order.

    Raises:
        LoadError: the model does not have these columns.
    """
    _check_names(given.fields, columns)
    fields: dict[str, Schema] = {}
    for name, schema in given.fields.items():
        column = columns[name]
        _check_type(name, schema, column)
        fields[name] = _merged(schema, column)
        if name not in given.required and "default" not in fields[name]:
            if not _takes_null(fields[name]):
                raise LoadError(
                    f"the schema does not require {name!r}, and has no default for it, and "
                    "it cannot be null by both the schema and the model",
                    hint=f"give {name!r} a default, let it be null where the model takes that, "
                    "or name it among those that are required",
                )
            fields[name] = {"default": None} | fields[name]
    return fields, [name for name, schema in fields.items() if "default" not in schema]


def dtype_by(schema: Schema, column: Column) -> Dtype:
    """Return the dtype of a column for a field: what is given tells more of numbers and dates."""
    said = dtype_of(schema)
    if column.dtype is None or column.dtype.kind == VALUE:
        return said
    if column.dtype.kind in (FLOAT, NUMERIC, TEXT) and said.kind in (FLOAT, INT, BOOL, DATE):
        return said
    return column.dtype


def _check_names(given: Mapping[str, Schema], columns: Mapping[str, Column]) -> None:
    listed = _listing(list(columns))
    for name in given:
        if name not in columns:
            near = get_close_matches(name, list(columns), n=1)
            raise LoadError(
                f"the schema has a column {name!r}, on which the model was not fitted: "
                f"it takes {listed}",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
    for name, column in columns.items():
        if name not in given and column.is_used:
            raise LoadError(
                f"the schema has no column {name!r}, which the model was fitted on: "
                f"it takes {listed}"
            )


def _check_type(name: str, schema: Schema, column: Column) -> None:
    """Raise LoadError where the model's column cannot hold what the schema lets in."""
    dtype = column.dtype
    kinds = _types(schema) - {"null"}
    if dtype is None or dtype.kind == VALUE:
        return
    held = _HELD.get(dtype.kind, frozenset({type_of(dtype.categories) or "string"}))
    if not kinds <= held:
        said = ", ".join(sorted(kinds - held))
        raise LoadError(
            f"the schema says that {name!r} is {said}, the model was fitted on "
            f"{_SAID[dtype.kind]} there",
            hint=f"{name}: {' or '.join(sorted(held))}",
        )
    unknown = [each for each in schema.get("enum", ()) if each is not None]
    if column.enum is not None and not set(map(repr, unknown)) <= set(map(repr, column.enum)):
        first = next(each for each in unknown if each not in column.enum)
        raise LoadError(
            f"the schema lets {name!r} be {first!r}, which the model has not seen there: "
            f"it knows {_listing(column.enum)}"
        )


def _merged(schema: Schema, column: Column) -> Schema:
    """Return a field's schema: what is given, and of the rest what the model has learnt."""
    if not _types(schema):
        return column.schema() | schema
    learnt = {key: value for key, value in column.schema().items() if key in ("enum", "format")}
    if "enum" in learnt:
        learnt["enum"] = [each for each in learnt["enum"] if each is not None]
    merged = learnt | schema
    return nullable(merged) | schema if _takes_null(schema) and "enum" in merged else merged


def _types(schema: Schema) -> set[str]:
    types = schema.get("type", [])
    return set(types if isinstance(types, list) else [types])


def _takes_null(schema: Schema) -> bool:
    return "null" in _types(schema) or schema.get("default", 0) is None


def _listing(values: Sequence[Any]) -> str:
    shown = ", ".join(map(str, values[:12]))
    return shown if len(values) <= 12 else f"{shown}, …"
