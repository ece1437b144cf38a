"""The OpenAPI 3.1 documents of the query port: of one application, and of all. Pure.

A document is made in pieces, none of which takes long, and so large ones hold nobody up. What a
request is like and what answers it each codec says (`Codec.operations`).
"""

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from servd import __version__
from servd.http.documents.application import Described

MAX_BYTES: Final = 16 * 1024 * 1024
"""In the document of all applications those that come later have no schemas of their own."""

MAX_SCHEMA_BYTES: Final = 128 * 1024
"""Nor have those, in the document of all, whose schemas are longer."""

MAX_FIELDS: Final = 500
"""Nor those that have more fields."""

JSON: Final = "application/json"


class Operations(NamedTuple):
    """What one path answers, if any, and schemas that are referred to, by their names."""

    path: str = ""
    item: dict[str, Any] = {}  # noqa: RUF012  # read only
    schemas: dict[str, Any] = {}  # noqa: RUF012  # read only


Describe = Callable[[Described, bool], Iterator[Operations | None]]
"""An application to what its paths answer, in short where it says so; None: let others have a turn.
"""


def slug(name: str) -> str:
    """Return an application's name as names of schemas and operations may be written."""
    return re.sub(r"[^A-Za-z0-9_.-]", lambda found: f".{ord(found[0]):x}.", name)


def reference(name: str) -> dict[str, str]:
    """Return what stands for a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def document(
    applications: Iterator[Described], describe: Describe, *, is_guarded: bool, is_whole: bool
) -> Iterator[bytes]:
    """Yield the pieces of a document, some of them empty.

    Args:
        applications: what it is about; exactly one where it `is_whole`.
        describe: says what an application's paths answer.
        is_guarded: queries need a token.
        is_whole: nothing is left out however long it becomes.
    """
    first = next(applications) if is_whole else None
    opening = _opening(first, is_guarded=is_guarded)
    yield opening[:-1] + b',"paths":{'
    schemas: list[bytes] = []
    size, count = 0, 0
    for application in chain([] if first is None else [first], applications):
        is_full = size > MAX_BYTES
        for path, parts in _paths(application, describe, is_whole=is_whole, is_full=is_full):
            size += len(path) + sum(map(len, parts))
            schemas += parts
            count += bool(path)
            yield b"," * (count > 1 and bool(path)) + path
    yield b'},"components":' + msgspec.json.encode(_components(is_guarded=is_guarded))[:-1]
    yield b',"schemas":{' + _members(_SCHEMAS)
    for part in schemas:
        yield b"," + part
    yield b"}}}"


def _paths(
    application: Described, describe: Describe, *, is_whole: bool, is_full: bool
) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield an application's path items and schemas as members of objects, in short if it must."""
    signature = application.signature
    is_full |= not is_whole and signature is not None and len(signature.fields or ()) > MAX_FIELDS
    if not is_full:
        found: list[tuple[bytes, list[bytes]]] = []
        size = 0
        for operations in describe(application, False):
            if operations is not None:
                found.append(_encoded(operations))
                size += len(found[-1][0]) + sum(map(len, found[-1][1]))
            if size > MAX_SCHEMA_BYTES and not is_whole:
                break
            yield b"", []
        else:
            yield from found
            return
    for operations in describe(application, True):
        if operations is not None:
            yield _encoded(operations)


def _encoded(operations: Operations) -> tuple[bytes, list[bytes]]:
    schemas = [_members({name: schema}) for name, schema in operations.schemas.items()]
    path = _members({operations.path: operations.item}) if operations.path else b""
    return path, schemas


def _members(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value)[1:-1]


def _opening(application: Described | None, *, is_guarded: bool) -> bytes:
    about = (
        {"title": "servd", "version": __version__, "summary": "Predictions over HTTP."}
        if application is None
        else {
            "title": application.name,
            "version": application.version or "none",
            "summary": f"Predictions of {application.model or 'no model yet'}, by servd.",
        }
    )
    whole = {"openapi": "3.1.0", "info": about, "servers": [{"url": "/"}]}
    return msgspec.json.encode(whole | ({"security": [{"token": []}]} if is_guarded else {}))


def _components(*, is_guarded: bool) -> dict[str, Any]:
    refused = {
        name: {"description": text, "content": {JSON: {"schema": _any_of(schemas)}}}
        for name, text, *schemas in _REFUSALS
    }
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    return {"responses": refused} | ({"securitySchemes": schemes} if is_guarded else {})


def _any_of(schemas: list[str]) -> dict[str, Any]:
    found = [reference(name) for name in schemas]
    return found[0] if len(found) == 1 else {"anyOf": found}


def refusals(*, is_guarded: bool, has_names: bool) -> dict[str, Any]:
    """Return the responses to what is refused, by status."""
    left_out = set() if is_guarded else {"401"}
    left_out |= set() if has_names else {"422"}
    return {
        name[1:]: {"$ref": f"#/components/responses/{name}"}
        for name, *_ in _REFUSALS
        if name[1:] not in left_out
    }


_REFUSALS: Final = (
    (
        "E400",
        "It is not the JSON that is taken, or names no version that there is.",
        "Refusal",
        "Refusals",
    ),
    ("E401", "The token is missing or wrong.", "Refusal"),
    ("E404", "There is no such application.", "Refusal"),
    ("E405", "Another method than the path has; Allow says which it has.", "Refusal"),
    ("E408", "The request came too slowly.", "Refusal"),
    ("E413", "The body, or the number of inputs, is beyond a limit of the server.", "Refusal"),
    ("E415", "Packed in another way than gzip and deflate.", "Refusal"),
    ("E422", "An input that is not as its schema says.", "InvalidInput", "Refusal", "Refusals"),
    ("E431", "The head is too long.", "Refusal"),
    ("E500", "The model failed on this input, or the server did.", "Refusal", "Refusals"),
    (
        "E503",
        "No replica is there, or too many queries wait; try again later.",
        "Refusal",
        "Refusals",
    ),
    ("E504", "There was no output within the application's objective.", "Refusal", "Refusals"),
)

_REFUSAL: Final = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "what kind of refusal it is"},
        "cause": {"type": "string", "description": "what was wrong, and what to do"},
        "query_id": {"type": "integer", "description": "what the log has it under"},
    },
    "required": ["error", "cause"],
}

_FAULT: Final = {
    "type": "object",
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "where it is in the request",
        },
        "msg": {"type": "string"},
        "type": {"type": "string"},
        "input": {"description": "what was found there"},
    },
    "required": ["loc", "msg", "type"],
}

_SCHEMAS: Final[dict[str, Any]] = {
    "Refusal": _REFUSAL,
    "Refusals": {
        "type": "object",
        "description": "none of several inputs has an output",
        "properties": {"batch_predictions": {"type": "array", "items": reference("Refusal")}},
        "required": ["batch_predictions"],
    },
    "InvalidInput": {
        "type": "object",
        "properties": {
            **_REFUSAL["properties"],  # type: ignore[dict-item]  # an object
            "detail": {"type": "array", "items": _FAULT, "description": "at most 20 faults"},
        },
        "required": ["error", "cause", "detail"],
    },
}
