"""The JSON Schema of an application's inputs and outputs, and an example of an input.

What a model has said of itself (its signature) comes first; of one that says nothing the input
type says something all the same.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from model_runtime.signature import Schema, Signature
from servd.datatypes import InputType
from servd.http.documents.application import Described
from servd.schemas import examples
from servd.schemas.examples import of_schema

CHUNK: Final = 200
"""So many fields are encoded in one turn of the event loop."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_BASE64: Final = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FLOAT32_ABOVE: Final = 3.4028235677973366e38
"""What is nearer to the greatest number of 32 bits than this is that number."""

_NUMBERS: Final[dict[InputType, Schema]] = {
    InputType.DOUBLES: {"type": "number"},
    InputType.FLOATS: {
        "type": "number",
        "exclusiveMinimum": -_FLOAT32_ABOVE,
        "exclusiveMaximum": _FLOAT32_ABOVE,
    },
    InputType.INTEGERS: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
}
_OTHERS: Final[dict[InputType, Schema]] = {
    InputType.STRINGS: {"type": "string"},
    InputType.BYTES: {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
    InputType.ANY: {},
    InputType.ROWS: {"type": ["object", "array"]},
}
_WORDS: Final = (InputType.STRINGS, InputType.BYTES)


def input_schema(application: Described, signature: Signature | None) -> Schema:
    """Return the schema of one input, as the value of `input`."""
    given = {} if signature is None else signature.input_schema()
    input_type = application.inputs.input_type
    if input_type is InputType.BYTES and "anyOf" not in given:
        return {**given, **_OTHERS[input_type]} if given.get("type") != "object" else given
    return given or by_type(input_type, application.row_items)


def by_type(input_type: InputType, row_items: int | None) -> Schema:
    """Return what an input type alone says of an input; of numbers also how many there must be."""
    number = _NUMBERS.get(input_type)
    if number is None:
        return dict(_OTHERS[input_type])
    count = {} if row_items is None else {"minItems": row_items, "maxItems": row_items}
    return {"type": "array", "items": number, **count}


def output_schema(signature: Signature | None) -> Schema:
    """Return the schema of one output, {} where nothing is known of it."""
    return {} if signature is None else signature.output


def example_of(application: Described) -> Any:
    """Return an input that the model has answered, or else one that fits the schema."""
    signature, input_type = application.signature, application.inputs.input_type
    if signature is None or signature.input_schema() == {}:
        if input_type.item_bytes:
            count = 3 if application.row_items is None else application.row_items
            return [1 if input_type is InputType.INTEGERS else 1.5] * count
        return of_schema(_OTHERS[input_type]) if input_type in _WORDS else {"age": 31}
    example, named = examples.example_of(signature), signature.fields
    if named is not None and isinstance(example, list) and len(example) == len(named):
        return dict(zip(named, example, strict=True))
    return example


def by_names(signature: Signature, example: Any) -> dict[str, Any]:
    """Return the values of an example by the names of the fields, as far as it has them."""
    if isinstance(example, dict):
        return example
    named = signature.fields or {}
    return dict.fromkeys(named, example) if len(named) == 1 else {}


def encoded_fields(signature: Signature | None) -> Iterator[dict[str, bytes]]:
    """Yield the encoded schemas of more and more fields, by name; the last has them all."""
    encoded: dict[str, bytes] = {}
    named = iter(((signature and signature.fields) or {}).items())
    while chunk := list(islice(named, CHUNK)):
        encoded |= {name: msgspec.json.encode(schema) for name, schema in chunk}
        yield encoded


def schema_document(application: Described) -> Iterator[bytes]:
    """Yield the pieces of what `GET /NAME/schema` answers."""
    signature = application.signature
    whole = {
        "application": application.name,
        "model": application.model,
        "version": application.version,
        "input_type": application.inputs.input_type.value,
        "is_stream": signature is not None and signature.is_stream,
        "example": example_of(application),
        "output": {"$schema": DIALECT, **output_schema(signature)},
    }
    yield msgspec.json.encode(whole)[:-1]
    yield b',"input":'
    yield msgspec.json.encode({"$schema": DIALECT, **input_schema(application, signature)})
    yield b"}"


def as_text(value: Any) -> str:
    """Return a JSON value as people read it, in one line."""
    return json.dumps(value, ensure_ascii=False)
