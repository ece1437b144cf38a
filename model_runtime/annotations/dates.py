"""Says in msgspec's schemas which texts are dates and times: of those without zones it does not.

Used by records.py. What msgspec knows of a class and its schema of it have the same parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from model_runtime.signature import Schema

_FORMATS: Final = {"DateTimeType": "date-time", "TimeType": "time"}
_MOST: Final = 100_000
"""Parts that are looked at."""


def dated(msgspec: Any, cls: type) -> Schema:
    """Return msgspec's JSON Schema of a class, in which dates and times have their formats."""
    whole: Schema = msgspec.json.schema(cls)
    waiting: list[tuple[Any, Any]] = [(msgspec.inspect.type_info(cls), whole)]
    done: set[int] = set()
    while waiting and len(done) < _MOST:
        info, schema = waiting.pop()
        schema = _meant(schema, whole)
        if schema is None or id(schema) in done:
            continue
        done.add(id(schema))
        kind = type(info).__name__
        if kind in _FORMATS and schema.get("type") == "string":
            schema.setdefault("format", _FORMATS[kind])
        waiting += _parts(info, schema)
    return whole


def _meant(schema: Any, whole: Schema) -> Schema | None:
    """Return a schema, or what it refers to; None of what is no object."""
    if not isinstance(schema, dict):
        return None
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    return _meant(whole.get("$defs", {}).get(reference.rpartition("/")[2]), whole)


def _parts(info: Any, schema: Schema) -> Iterator[tuple[Any, Any]]:
    """Yield what a type consists of, each with its schema."""
    if type(info).__name__ == "Metadata":
        yield info.type, schema
    for each in getattr(info, "types", ()):
        # Of the types of a union, one at most is a text, and one a list.
        yield from ((each, way) for way in schema.get("anyOf", ()) if _are_alike(each, way))
    for each in getattr(info, "fields", ()):
        name = getattr(each, "encode_name", None) or getattr(each, "name", "")
        yield each.type, schema.get("properties", {}).get(name)
    yield getattr(info, "item_type", None), schema.get("items")
    yield getattr(info, "value_type", None), schema.get("additionalProperties")
    yield from zip(getattr(info, "item_types", ()), schema.get("prefixItems", ()))


def _are_alike(info: Any, schema: Any) -> bool:
    is_text = isinstance(schema, dict) and schema.get("type") == "string"
    return is_text == (type(info).__name__ in _FORMATS)
