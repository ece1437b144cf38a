"""Makes up an input that fits a signature: what a test call asks where nobody gave an example.

Used by selftest.py.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from model_runtime.older import zip
from model_runtime.pictures import picture
from model_runtime.signature import EACH, UNUSED, Schema, Signature

_MAX_DEPTH: Final = 16
_TEXTS: Final = {
    "date-time": "2024-01-31T00:00:00",
    "date": "2024-01-31",
    "time": "12:00:00",
    "email": "someone@example.com",
    "decimal": "1.5",
    "duration": "PT1S",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipvanyaddress": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
}


def example_of(signature: Signature) -> Any:
    """Return an input as the query API takes it: an object where it has fields."""
    if signature.fields is not None and signature.value is None:
        # Of an argument of any type its default is what is sure to be taken.
        is_each = signature.call == EACH
        return {
            name: schema["default"]
            if is_each and schema.keys() == {"default"}
            else value_of(schema)
            for name, schema in signature.fields.items()
            if is_each or schema != UNUSED
        }
    return value_of(signature.value if signature.value is not None else {})


def named(value: Any, signature: Signature | None) -> Any:
    """Return an input with its values by their names, where they are a list and have any."""
    fields = None if signature is None else signature.fields
    if fields and isinstance(value, list) and len(value) == len(fields):
        return dict(zip(fields, value, strict=True))
    return value


def narrowed(schema: Schema, value: Any) -> Schema:
    """Return the schema of outputs that are one of several kinds, of which one has been seen."""
    if schema.keys() != {"anyOf"}:
        return schema
    kinds = (("number", (int, float)), ("array", list), ("string", str), ("object", dict))
    kind = next((name for name, types in kinds if isinstance(value, types)), None)
    if kind == "array" and isinstance(value, list):
        count = {"minItems": len(value), "maxItems": len(value)}
        return next((way | count for way in schema["anyOf"] if way.get("type") == kind), schema)
    return next((way for way in schema["anyOf"] if way.get("type") == kind), schema)


def value_of(schema: Any, depth: int = 0) -> Any:
    """Return a value that fits a schema, of those that people would give."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    named = _named(schema)
    if named:
        return named[0]
    if schema.get("anyOf"):
        ways = [way for way in schema["anyOf"] if not _is_cut(way)]
        return value_of((ways or schema["anyOf"])[0], depth + 1)
    kinds = schema.get("type", "number")
    kind = (kinds[0] if kinds else "number") if isinstance(kinds, list) else kinds
    if kind == "array":
        return _array(schema, depth)
    if kind == "object":
        parts = schema.get("properties", {})
        return {name: value_of(each, depth + 1) for name, each in parts.items()}
    return _scalar(kind, schema)


def _is_cut(schema: Any) -> bool:
    """Tell whether a schema is of something inside of itself: it has its name, and says no more."""
    return isinstance(schema, dict) and "title" in schema and schema.keys() <= {"title", "default"}


def _named(schema: Schema) -> list[Any]:
    """Return the values that a schema names itself."""
    if _is_cut(schema) and "default" in schema:
        return [schema["default"]]
    said = [schema[key] for key in ("const", "default") if schema.get(key) is not None]
    return [*said, *schema.get("examples", ()), *schema.get("enum", ())]


def _array(schema: Schema, depth: int) -> list[Any]:
    made = [value_of(each, depth + 1) for each in schema.get("prefixItems", [])]
    wanted = max(schema.get("minItems", 0), min(3, schema.get("maxItems", 3)))
    if schema.get("items", True) is False:
        return made
    item = schema.get("items", {})
    if _is_cut(item):
        wanted = schema.get("minItems", 0)
    return made + [value_of(item, depth + 1) for _ in range(wanted - len(made))]


def _scalar(kind: str, schema: Schema) -> Any:
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    if kind == "string" and schema.get("contentEncoding") == "base64":
        is_image = schema.get("contentMediaType", "").startswith("image/")
        return base64.b64encode(picture() if is_image else b"hello").decode()
    if kind == "string":
        text = _TEXTS.get(schema.get("format", ""), "some text")
        return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    return _number(schema, is_whole=kind == "integer")


def _number(schema: Schema, *, is_whole: bool) -> int | float:
    """Return one, or what is nearest to it within the bounds."""
    value = 1
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + 1
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    if low is not None:
        value = max(value, low)
    if high is not None:
        value = min(value, high)
    return int(value) if is_whole else float(value)
