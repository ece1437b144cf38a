"""What one input and one output of a model look like: its signature. Told in STATE, kept by servd.

Found out by a replica when its model has loaded (loaders/), and the one source of how inputs are
decoded, of what is said of wrong ones, of examples and of documents. Schemas are JSON Schema
(draft 2020-12), of which `check_schema` names the part that is used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, field, fields
from typing import Any, Final

from model_runtime.older import dataclass
from model_runtime.protocol import INPUT_TYPE_CODES

BATCH: Final = "batch"
"""The model is called with a list (an array, a table) of inputs, and returns as many outputs."""
EACH: Final = "each"
"""The model is called with one input, whose fields are its arguments, and returns one output."""

REFUSE: Final = "refuse"
IGNORE: Final = "ignore"
EXTRA: Final = (REFUSE, IGNORE)
"""What becomes of fields of an input that the model does not know."""

MAX_FIELDS: Final = 2000
MAX_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 16

_TYPES: Final = ("integer", "number", "boolean", "string", "array", "object", "null")
KEYWORDS: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems"),
        *("minItems", "maxItems", "enum", "const", "anyOf", "minimum", "maximum", "format"),
        *("exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "default"),
        *("title", "description", "examples", "contentEncoding", "contentMediaType", "$schema"),
    }
)

Schema = dict[str, Any]

UNUSED: Final[Schema] = {"default": None}
"""The schema of a column that a model leaves out: nothing is known of it, and it need not come."""


class SignatureError(ValueError):
    """A signature, or a schema in it, that is none; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model takes and gives.

    `input_type` is the application's type (docs/protocol.md). `fields` are the schemas of an
    input's named parts, in the order in which a row holds them, None where inputs have no names; a
    field that is not in `required` has a `default` in its schema. `value` is the schema of an input
    that is given as one JSON value without names; None where it must be an object (or, of `rows`,
    an array in the order of `fields`). `output` is the schema of one output, {} where nothing is
    known of it. `call` says how the model is called, `is_stream` that it yields items, `extra` what
    becomes of unknown fields. Where it `is_seldon` an input is a SeldonMessage. `example` is an
    input that the model has answered, where `has_example`.
    """

    input_type: str
    fields: dict[str, Schema] | None = None
    required: tuple[str, ...] = ()
    value: Schema | None = None
    output: Schema = field(default_factory=dict)
    call: str = BATCH
    is_stream: bool = False
    extra: str = REFUSE
    is_seldon: bool = False
    has_example: bool = False
    example: Any = None

    def as_json(self) -> dict[str, Any]:
        """Return it in JSON's terms, without what is as usual."""
        usual = Signature(input_type=self.input_type)
        told = {
            name: value for name, value in asdict(self).items() if value != getattr(usual, name)
        }
        if "required" in told:
            told["required"] = list(self.required)
        return {"input_type": self.input_type, **told}

    def input_schema(self) -> Schema:
        """Return the JSON Schema of one input, as the query API takes it."""
        ways = []
        if self.fields is not None:
            ways.append(
                {
                    "type": "object",
                    "properties": self.fields,
                    "required": list(self.required),
                    "additionalProperties": self.extra == IGNORE,
                }
            )
            if self.value is None:
                count = len(self.fields)
                ways.append(
                    {
                        "type": "array",
                        "prefixItems": list(self.fields.values()),
                        "items": False,
                        "minItems": count,
                    }
                )
        if self.value is not None:
            ways.append(self.value)
        return ways[0] if len(ways) == 1 else {"anyOf": ways} if ways else {}


def parse(content: Any) -> Signature:
    """Return the signature of a JSON value; unknown keys are left to later versions.

    Raises:
        SignatureError: it is none.
    """
    if not isinstance(content, Mapping):
        raise SignatureError("a signature is an object")
    known = {each.name: content[each.name] for each in fields(Signature) if each.name in content}
    if isinstance(known.get("required"), list):
        known["required"] = tuple(known["required"])
    try:
        signature = Signature(**known)
    except TypeError as error:
        raise SignatureError(f"a signature lacks something: {error}") from error
    check(signature)
    return signature


def check(signature: Signature) -> None:
    """Raise SignatureError unless a signature holds together."""
    if signature.input_type not in INPUT_TYPE_CODES:
        raise SignatureError(f"there is no input type {signature.input_type!r:.60}")
    if signature.call not in (BATCH, EACH) or signature.extra not in EXTRA:
        raise SignatureError(f"a model is not called {signature.call!r:.60}")
    if signature.fields is not None:
        _check_fields(signature.fields, signature.required)
    if signature.value is not None:
        check_schema(signature.value, "the input")
    check_schema(signature.output, "the output")
    try:
        size = len(json.dumps(signature.as_json(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SignatureError(f"it is not JSON: {error}") from error
    if size > MAX_BYTES:
        raise SignatureError(f"it has {size} bytes, more than {MAX_BYTES}")


def _check_fields(named: Any, required: Any) -> None:
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named):
        raise SignatureError("the fields of an input are named by texts")
    if len(named) > MAX_FIELDS:
        raise SignatureError(
            f"an input has {len(named)} named fields, more than {MAX_FIELDS}: "
            "give so many as a list of numbers (--input-type doubles)"
        )
    for name, schema in named.items():
        check_schema(schema, name)
        if name not in required and "default" not in schema:
            raise SignatureError(f"{name} is not required and has no default")
    for name in required:
        if name not in named:
            raise SignatureError(f"{name!r:.60} is required and no field")


def check_schema(schema: Any, where: str, depth: int = 0) -> None:
    """Raise SignatureError unless this is a JSON Schema of the keywords that are known here."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SignatureError(f"{where}: a schema is an object, not {schema!r:.60}")
    if depth > _MAX_DEPTH:
        raise SignatureError(f"{where}: the schema is nested more than {_MAX_DEPTH} deep")
    unknown = sorted(map(str, schema.keys() - KEYWORDS))
    if unknown:
        raise SignatureError(f"{where}: the keyword {unknown[0]!r:.60} is not one that servd knows")
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            raise SignatureError(
                f"{where}: there is no type {kind!r:.60}; types are {', '.join(_TYPES)}"
            )
    _check_values(schema, where)
    _check_parts(schema, where, depth + 1)


def _check_values(schema: Schema, where: str) -> None:
    for words, what, is_right in _VALUES:
        for word in words:
            if word in schema and not is_right(schema[word]):
                raise SignatureError(f"{where}: {word} is {what}, not {schema[word]!r:.60}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError):
        return False
    return isinstance(value, str)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_MOST: Final = 1 << 31
_VALUES: Final[tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...]] = (
    (("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "a number", _is_number),
    (("minItems", "maxItems", "minLength", "maxLength"), "a count", _is_count),
    (("pattern",), "a regular expression", _is_pattern),
    (("required",), "a list of names", _are_names),
    (("enum",), "a list of values", lambda value: isinstance(value, list) and value != []),
    (
        ("format", "contentEncoding", "contentMediaType", "title", "description"),
        "a text",
        lambda value: isinstance(value, str),
    ),
)
"""What the words of a schema have for a value."""


def _check_parts(schema: Schema, where: str, depth: int) -> None:
    named = schema.get("properties", {})
    if not isinstance(named, dict):
        raise SignatureError(f"{where}: properties are an object")
    for name, inner in named.items():
        check_schema(inner, f"{where}.{name}", depth)
    for key in ("anyOf", "prefixItems"):
        if not isinstance(schema.get(key, []), list):
            raise SignatureError(f"{where}: {key} is a list of schemas")
        for inner in schema.get(key, []):
            check_schema(inner, where, depth)
    for key in ("items", "additionalProperties"):
        if key in schema:
            check_schema(schema[key], f"{where}[…]", depth)
