"""What Clipper's query format takes and answers, for OpenAPI documents. Used by clipper.py."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from model_runtime.signature import Signature
from servd.datatypes import InputType
from servd.engine.query import Miss
from servd.http.documents.application import Described
from servd.http.documents.openapi import JSON, Operations, reference, refusals, slug
from servd.http.documents.schemas import (
    by_names,
    encoded_fields,
    example_of,
    input_schema,
    output_schema,
)
from servd.schemas.examples import of_schema
from servd.schemas.parts import is_of_bytes

MAX_PARAMETERS: Final = 100
"""So many fields an input has at most whose GET is described: no URL holds many more."""

MAX_VERSIONS: Final = 50
"""So many versions are named; of more it is said only that they can be."""

_QUERY_ID: Final = {"type": "integer", "description": "a number counted up since the start"}
OCTETS: Final = "application/octet-stream"
FORM: Final = "multipart/form-data"
_EVENTS: Final = "text/event-stream"


def operations(application: Described, is_short: bool) -> Iterator[Operations | None]:  # noqa: FBT001 - `Describe` has no names
    """Yield what `/NAME/predict` and `/NAME/schema` answer; in short without the schemas."""
    yield Operations(f"{application.path}/schema", {"get": _schema_operation(application)})
    if is_short:
        yield Operations(f"{application.path}/predict", {"post": _short_post(application)})
        return
    fields: dict[str, bytes] = {}
    for fields in encoded_fields(application.signature):  # noqa: B007 - the last has them all
        yield None
    for name, schema in _schemas(application, fields):
        yield Operations(schemas={_named(application, name): schema})
    item: dict[str, Any] = {"post": _post(application)}
    signature = application.signature
    if signature is not None and signature.fields and len(fields) <= MAX_PARAMETERS:
        item["get"] = _get(application, signature)
    yield Operations(f"{application.path}/predict", item)


def _named(application: Described, what: str) -> str:
    return f"{slug(application.name)}.{what}"


def _schemas(application: Described, fields: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    """Yield the schemas of an application's inputs, outputs, requests and answers."""
    signature = application.signature
    yield "input", input_schema(application, signature)
    for version, other in _others(application):
        yield f"input.{slug(version)}", input_schema(application, other)
    output = output_schema(signature)
    if signature is not None and signature.is_stream:
        output = {"type": "array", "items": output}
    yield "output", output
    if fields:
        yield "columns", _columns(application, fields)
    yield "request", _request(application)
    yield "prediction", _prediction(application)


def _others(application: Described) -> list[tuple[str, Signature | None]]:
    """Return the versions that take other inputs than the current one does."""
    others = application.inputs.versions
    return [(name, others[name]) for name in application.versions[:MAX_VERSIONS] if name in others]


def _columns(application: Described, fields: dict[str, bytes]) -> dict[str, Any]:
    """Return the schema of an input_batch that is given by columns."""
    signature = application.signature
    lists = {
        name: msgspec.Raw(b'{"type":"array","items":%b}' % schema)
        for name, schema in fields.items()
    }
    required = [] if signature is None else list(signature.required)
    some = [{"required": [name]} for name in fields]  # else nobody knows how many inputs there are
    return {
        "type": "object",
        "description": "several inputs by columns: lists of equal length",
        "properties": lists,
        **({"required": required} if required else {"anyOf": some}),
        "additionalProperties": signature is not None and signature.extra == "ignore",
    }


def _request(application: Described) -> dict[str, Any]:
    """Return the schema of a body: one input or several, for the current version or another."""
    others = [name for name, _ in _others(application)]
    same = [name for name in application.versions if name not in others]
    ways = _ways(application, "input", same)
    for name in others:
        ways += _ways(application, f"input.{slug(name)}", [name], is_current=False)
    return {"anyOf": ways}


def _ways(
    application: Described, schema: str, versions: list[str], *, is_current: bool = True
) -> list[dict[str, Any]]:
    one = reference(_named(application, schema))
    several: dict[str, Any] = {
        "type": "array",
        "items": one,
        "description": f"at most {application.max_rows}",
    }
    signature = application.signature
    if is_current and signature is not None and signature.fields:
        several = {"anyOf": [several, reference(_named(application, "columns"))]}
    version = _version(None if application.model is None else versions, is_current=is_current)
    return [
        {
            "type": "object",
            "properties": {key: value, "version": version},
            "required": [key] if is_current else [key, "version"],
        }
        for key, value in (("input", one), ("input_batch", several))
    ]


def _version(names: list[str] | None, *, is_current: bool) -> dict[str, Any]:
    """Return the schema of `version`: a text, the same as a number, or nothing.

    Without a model there is nothing that a version is looked for in.
    """
    text = "which version of the model is to answer, instead of the current one"
    if names is None or len(names) > MAX_VERSIONS:
        return {"type": ["string", "integer", "null"], "description": text}
    known: list[Any] = [None, ""] if is_current else []
    for name in names:
        known += [name, int(name)] if name.isdecimal() and str(int(name)) == name else [name]
    return {"enum": known, "description": text}


def _prediction(application: Described) -> dict[str, Any]:
    """Return the schema of what is said of one input: its output, or the default output."""
    output = {
        "type": "object",
        "properties": {
            "query_id": _QUERY_ID,
            "output": reference(_named(application, "output")),
            "default": {"const": False},
        },
        "required": ["query_id", "output", "default"],
    }
    if application.default is None:
        return output
    explained = {"type": "string", "description": "why it is the default output"}
    default = {
        "type": "object",
        "properties": {
            "query_id": _QUERY_ID,
            "output": {"const": json.loads(application.default)},
            "default": {"const": True},
            "default_explanation": explained,
        },
        "required": ["query_id", "output", "default", "default_explanation"],
    }
    return {"anyOf": [output, default]}


def _answers(application: Described, *, is_batch: bool) -> dict[str, Any]:
    """Return the responses of a prediction by status."""
    signature = application.signature
    one = reference(_named(application, "prediction"))
    several = {
        "type": "object",
        "properties": {
            "batch_predictions": {
                "type": "array",
                "items": {"anyOf": [one, reference("Refusal")]},
                "description": "in the order of the inputs",
            }
        },
        "required": ["batch_predictions"],
    }
    content: dict[str, Any] = {JSON: {"schema": {"anyOf": [one, several]} if is_batch else one}}
    if application.default is not None:
        content[JSON]["examples"] = {"default": {"value": _default_example(application)}}
    if signature is not None and signature.is_stream:
        content[_EVENTS] = {"schema": {"type": "string"}}
    return {
        "200": {"description": "The prediction, or the default output.", "content": content},
        **refusals(
            is_guarded=application.is_guarded,
            has_names=application.inputs.input_type is InputType.BYTES
            or (signature is not None and signature.fields is not None),
        ),
    }


def _default_example(application: Described) -> dict[str, Any]:
    return {
        "query_id": 0,
        "output": json.loads(application.default or b"null"),
        "default": True,
        "default_explanation": Miss.TIMED_OUT.value,
    }


def _post(application: Described) -> dict[str, Any]:
    example = example_of(application)
    examples = {
        "one": {"summary": "one input", "value": {"input": example}},
        "several": {"summary": "several inputs", "value": {"input_batch": [example, example]}},
    }
    signature = application.signature
    if signature is not None and signature.fields and isinstance(example, dict):
        columns = {name: [value, value] for name, value in example.items()}
        examples["columns"] = {"summary": "by columns", "value": {"input_batch": columns}}
    request = reference(_named(application, "request"))
    return {
        "operationId": _named(application, "predict"),
        "summary": f"Ask {application.name}",
        "description": _description(application),
        "tags": [application.name],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": request, "examples": examples}, **_files(application)},
        },
        "responses": _answers(application, is_batch=True),
    }


def _files(application: Described) -> dict[str, Any]:
    """Return the bodies that are files: as they are, or as parts of a form."""
    signature = application.signature
    if application.inputs.input_type is InputType.BYTES:
        file = {"type": "string", "contentMediaType": OCTETS, "minLength": 1}
        files = {"type": "array", "items": file, "minItems": 1, "maxItems": application.max_rows}
        form = {
            "type": "object",
            "properties": {"file": files},
            "required": ["file"],
            "additionalProperties": False,
            "description": _FORM_OF_FILES,
        }
        return {
            OCTETS: {"schema": {**file, "description": "the input, as it is"}},
            FORM: {"schema": form},
        }
    if signature is None or not any(map(is_of_bytes, (signature.fields or {}).values())):
        return {}
    fields = {
        name: {"type": "string", "contentMediaType": OCTETS} if is_of_bytes(schema) else schema
        for name, schema in (signature.fields or {}).items()
    }
    parts: dict[str, Any] = {"type": "object", "properties": fields}
    parts["required"] = list(signature.required)
    parts["additionalProperties"] = signature.extra == "ignore"
    return {FORM: {"schema": parts}}


_FORM_OF_FILES: Final = "each file is an input, whatever the name of its part: several are a batch"


def _description(application: Described) -> str:
    objective = f"An answer comes within {application.slo_s * 1000:g} ms"
    if application.signature is not None and application.signature.is_stream:
        events = f"With 'Accept: {_EVENTS}', or ?stream=1, its items are events as they come"
        return f"{events}; the first within {application.slo_s * 1000:g} ms. Else they are a list."
    if application.default is None:
        return f"{objective}, or a 504 says that there is none."
    return f"{objective}; where the model has none by then, it is the default output."


def _get(application: Described, signature: Signature) -> dict[str, Any]:
    fields = parameters_of(application, signature)
    return {
        "operationId": _named(application, "predict.get"),
        "summary": f"Ask {application.name} about one input, by the names of its fields",
        "tags": [application.name],
        "parameters": [*_version_parameter(application, signature), *fields],
        "responses": _answers(application, is_batch=False),
    }


def parameters_of(application: Described, signature: Signature) -> list[dict[str, Any]]:
    """Return the fields of an input as query parameters."""
    known = by_names(signature, example_of(application))
    return [
        _parameter(name, schema, known.get(name), is_required=name in signature.required)
        for name, schema in (signature.fields or {}).items()
    ]


def _parameter(name: str, schema: Any, example: Any, *, is_required: bool) -> dict[str, Any]:
    """Return a field as a query parameter; lists and objects are JSON in a query string too."""
    example = of_schema(schema) if example is None else example
    is_json = isinstance(example, list | dict)
    how = {"schema": schema, "example": example}
    return {
        "name": name,
        "in": "query",
        "required": is_required,
        **({"content": {JSON: how}} if is_json else how),
    }


def _version_parameter(application: Described, signature: Signature) -> list[dict[str, Any]]:
    """Return the parameter that names a version that takes the same; a field may have its name."""
    others = application.inputs.versions
    names = [name for name in application.versions if name not in others]
    if "version" in (signature.fields or {}) or not names or len(names) > MAX_VERSIONS:
        return []
    about = "which version of the model is to answer, instead of the current one"
    schema = {"type": "string", "enum": ["", *names]}
    return [{"name": "version", "in": "query", "description": about, "schema": schema}]


def _schema_operation(application: Described) -> dict[str, Any]:
    return {
        "operationId": _named(application, "schema"),
        "summary": f"The JSON Schema of what {application.name} takes and gives, and an example",
        "tags": [application.name],
        "responses": {
            "200": {
                "description": "It.",
                "content": {JSON: {"schema": {"type": "object"}}},
            },
            **refusals(is_guarded=application.is_guarded, has_names=False),
        },
    }


def _short_post(application: Described) -> dict[str, Any]:
    """Return the operation without schemas: the application's own document has them."""
    anything = {"type": "object", "description": f"see {application.path}/openapi.json"}
    return {
        "operationId": _named(application, "predict"),
        "summary": f"Ask {application.name}",
        "description": f"{_description(application)} Its schema: {application.path}/openapi.json",
        "tags": [application.name],
        "requestBody": {"required": True, "content": {JSON: {"schema": anything}}},
        "responses": {
            "200": {"description": "It.", "content": {JSON: {"schema": {"type": "object"}}}},
            **refusals(is_guarded=application.is_guarded, has_names=True),
        },
    }
