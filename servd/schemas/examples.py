"""An input that an application would take, for whoever sent one that it does not."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from model_runtime.signature import UNUSED, Signature
from servd.datatypes import Inputs, InputType
from servd.schemas.checking import kinds_of

_BY_TYPE: Final = {
    InputType.DOUBLES: [1.5, 2.0],
    InputType.FLOATS: [1.5, 2.0],
    InputType.INTEGERS: [1, 2],
    InputType.STRINGS: "text",
    InputType.BYTES: "aGVsbG8=",
    InputType.ANY: {"age": 31},
}
_TEXTS: Final = {"date-time": "2024-03-01T12:00:00", "date": "2024-03-01"}


def example_of(signature: Signature) -> Any:
    """Return the input that the model has answered, else one made of the schemas."""
    if signature.has_example:
        return signature.example
    if signature.fields is not None:
        return {
            name: of_schema(schema) for name, schema in signature.fields.items() if schema != UNUSED
        }
    if signature.value:
        return of_schema(signature.value)
    return _BY_TYPE.get(InputType(signature.input_type), {})


def of_inputs(inputs: Inputs) -> Any:
    """Return an input that an application takes, by what is known of it."""
    if inputs.signature is not None:
        return example_of(inputs.signature)
    return _BY_TYPE.get(inputs.input_type, {})


def brief(value: Any, most: int) -> str:
    """Return an example as JSON of about `most` characters; what is longer is no JSON any more.

    Long texts are described or cut, members and items beyond these characters left out.
    """
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= most else _brief(value, most)


def _brief(value: Any, left: int) -> str:
    if isinstance(value, str):
        text = _described(value)
    elif isinstance(value, dict):
        named = ((f"{_brief(name[:_NAME], _NAME)}:", each) for name, each in value.items())
        return f"{{{_members(named, left - 2)}}}"
    elif isinstance(value, list):
        return f"[{_members((('', each) for each in value), left - 2)}]"
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= max(left, _DESCRIBED) else "…"


def _members(members: Iterator[tuple[str, Any]], left: int) -> str:
    parts: list[str] = []
    for name, value in members:
        part = name + _brief(value, left - len(name))
        left -= len(part) + 1
        parts.append(part if left > 0 else "…")
        if left <= 0:
            break
    return ",".join(parts)


def _described(text: str) -> str:
    """Return a text as JSON: in words where it is long, and a file, else its beginning."""
    if len(text) <= _DESCRIBED:
        return msgspec.json.encode(text).decode()
    if len(text) % 4 == 0 and _BASE64.fullmatch(text):
        size = len(text) // 4 * 3 - text[-2:].count("=")
        return f'"<base64 of {size:,} bytes>"'
    return msgspec.json.encode(f"{text[: _DESCRIBED - 5]}…").decode()


_NAME: Final = 40
_DESCRIBED: Final = 40
_BASE64: Final = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9+/])[A-Za-z0-9+/]+={0,2}")
"""A text that is nothing else: few others hold so much without a space."""


def of_schema(schema: Any) -> Any:
    """Return a value that a schema takes, as far as that is easily told."""
    if not isinstance(schema, dict):
        return None
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "anyOf" in schema and "type" not in schema:
        return of_schema(next(iter(schema["anyOf"]), True))
    kinds = [kind for kind in kinds_of(schema) if kind != "null"]
    return _OF_KIND[kinds[0]](schema) if kinds else None


def _number(schema: dict[str, Any]) -> Any:
    low, high = schema.get("minimum"), schema.get("maximum")
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    value = low if low is not None else over + 1 if over is not None else 1
    if under is not None and value >= under:
        value = under - 1
    return high if high is not None and value > high else value


def _text(schema: dict[str, Any]) -> str:
    if schema.get("contentEncoding") == "base64":
        return "aGVsbG8="
    text = _TEXTS.get(schema.get("format", ""), "text")
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]


def _list(schema: dict[str, Any]) -> list[Any]:
    first = [of_schema(part) for part in schema.get("prefixItems", [])]
    items = schema.get("items", True)
    count = min(schema.get("minItems", 1 if not first and items is not True else 0), _MOST)
    return first + [of_schema(items) for _ in range(count - len(first))]


_MOST: Final = 100


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: of_schema(inner)
        for name, inner in schema.get("properties", {}).items()
        if name in required or len(schema["properties"]) <= _MOST
    }


_OF_KIND: Final[dict[str, Any]] = {
    "integer": _number,
    "number": lambda schema: float(_number(schema)),
    "boolean": lambda schema: True,  # noqa: ARG005
    "string": _text,
    "array": _list,
    "object": _object,
    "null": lambda schema: None,  # noqa: ARG005
}
