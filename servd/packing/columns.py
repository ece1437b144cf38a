"""What a deployer says of an input's columns, as JSON Schema: `--columns`, `--schema`.

Used by deploy_body.py. What is not said here is what the model knows (model_runtime/signature.py).
"""

import json
from pathlib import Path
from typing import Any, Final

from model_runtime.signature import SignatureError, check_schema
from servd.errors import TargetError, did_you_mean
from servd.packing.references import resolved

_TYPES: Final[dict[str, dict[str, Any]]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "any": {},
}
_ALIASES: Final = {
    "integer": "int",
    "number": "float",
    "double": "float",
    "boolean": "bool",
    "string": "str",
    "text": "str",
    "timestamp": "datetime",
}
_MAX_BYTES: Final = 1 << 20
_FORM: Final = "--columns 'age:int,city:str,income:float?'    where ? is one that may be missing"


def schema_of_columns(text: str) -> dict[str, Any]:
    """Return the schema of an input that has these columns.

    Raises:
        TargetError: the text is not a list of names with types.
    """
    named: dict[str, Any] = {}
    for part in text.split(","):
        name, colon, word = part.strip().rpartition(":")
        if not colon:
            name, word = word, "any"
        name = name.strip()
        if not name:
            raise TargetError(f"--columns: {part.strip()!r} has no name", hint=_FORM)
        if name in named:
            raise TargetError(f"--columns: {name} is there twice", hint=_FORM)
        named[name] = _column(name, word.strip())
    required = [name for name, schema in named.items() if "default" not in schema]
    return {"type": "object", "properties": named, "required": required}


def _column(name: str, word: str) -> dict[str, Any]:
    plain = word.removesuffix("?")
    known = _TYPES.get(_ALIASES.get(plain, plain))
    if known is None:
        near = did_you_mean(plain, [*_TYPES, *_ALIASES])
        raise TargetError(
            f"--columns: {name} cannot be of type {plain!r}; types are {', '.join(_TYPES)}",
            hint=near or _FORM,
        )
    if not word.endswith("?"):
        return dict(known)
    if "type" not in known:
        return {"default": None}
    return known | {"type": [known["type"], "null"], "default": None}


def schema_of_file(path: Path) -> dict[str, Any]:
    """Return the JSON Schema of an input that a file holds.

    Raises:
        TargetError: it cannot be read, or is no schema of what servd knows.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TargetError(f"--schema {path}: {error.strerror or error}") from error
    if len(content) > _MAX_BYTES:
        raise TargetError(f"--schema {path} has {len(content)} bytes, more than {_MAX_BYTES}")
    try:
        schema = resolved(json.loads(content))
        check_schema(schema, "the input")
    except SignatureError as error:
        hint = "it is the JSON Schema of one input: docs/deploying.md"
        raise TargetError(f"--schema {path}: {error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise TargetError(f"--schema {path} is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise TargetError(f"--schema {path} holds no JSON object")
    return schema
