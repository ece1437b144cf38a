"""What the annotation of a return value says: the output's schema, and of how many inputs it is."""

from __future__ import annotations

import collections.abc
import typing
from typing import Any, Final

from model_runtime.annotations import foreign
from model_runtime.annotations.kind import MISSING, UnclearError
from model_runtime.annotations.kinds import LISTS, Reader, plain
from model_runtime.annotations.records import Unresolved
from model_runtime.older import dataclass
from model_runtime.signature import Schema

_ITERATORS: Final = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)
_TEXT: Final = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Answer:
    """`whole` is the schema of what is returned, `item` that of one of a list of it.

    `is_of_one` tells whether it can be the output of one input only, or of a list of inputs only;
    None where it may be either.
    """

    whole: Schema
    item: Schema
    is_of_one: bool | None


_NOTHING: Final = Answer({}, {}, None)


def read(annotation: Any) -> Answer:
    """Return what a return annotation says."""
    if annotation is MISSING or isinstance(annotation, Unresolved):
        return _NOTHING
    annotation = plain(annotation)
    if annotation in (Any, object, None, type(None), typing.NoReturn):
        return _NOTHING
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation) or annotation
    if origin in _ITERATORS:
        return Answer(schema_of(arguments[0]) if arguments else {}, {}, None)
    library, name = foreign.name_of(annotation)
    if foreign.is_array(annotation) or (library in ("pandas", "polars") and name != "Timestamp"):
        return Answer({}, {}, is_of_one=False)
    if origin in LISTS or (origin is tuple and arguments[1:] in ((), (Ellipsis,))):
        item = schema_of(arguments[0]) if arguments else {}
        inner = schema_of(arguments[0], is_part=True) if arguments else {}
        whole = {"type": "array", **({"items": inner} if inner else {})}
        return Answer(whole, item, is_of_one=False)
    return _of_one(annotation, origin, arguments)


def _of_one(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Answer:
    try:
        Reader().kind(annotation)
    except UnclearError:
        return _NOTHING
    has_list = any((typing.get_origin(each) or each) in LISTS for each in arguments)
    is_of_one = None if has_list and origin is not dict else True
    return Answer(schema_of(annotation), {}, is_of_one)


def schema_of(annotation: Any, *, is_part: bool = False) -> Schema:
    """Return the schema of an output, or of a part of one; {} where nothing is known of it.

    An output that is a text may be any value, as a text that is JSON is nested as that.
    """
    try:
        schema = Reader().kind(annotation).schema
    except UnclearError:
        return {}
    if not is_part and _may_be_text(schema):
        return {}
    found = _opened(schema)
    return found if isinstance(found, dict) else {}


def _may_be_text(schema: Schema) -> bool:
    kinds = schema.get("type", [])
    if "string" in (kinds if isinstance(kinds, list) else [kinds]):
        return "format" not in schema and "contentEncoding" not in schema
    return any(_may_be_text(each) for each in schema.get("anyOf", ()))


def _opened(schema: Any) -> Any:
    """Return a schema of what is answered: it has no defaults, and may have more than it says."""
    if isinstance(schema, list):
        return [_opened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key != "default"}
    if kept.get("additionalProperties") is False:
        del kept["additionalProperties"]
    for key in ("items", "prefixItems", "anyOf", "additionalProperties"):
        if key in kept:
            kept[key] = _opened(kept[key])
    if "properties" in kept:
        kept["properties"] = {name: _opened(each) for name, each in kept["properties"].items()}
    return kept
