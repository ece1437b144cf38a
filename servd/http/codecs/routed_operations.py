"""What the path of a rule takes and answers, for OpenAPI documents. Used by routed.py."""

from typing import Any

from servd.datatypes import RouteRule
from servd.http.codecs.clipper_operations import MAX_PARAMETERS, parameters_of
from servd.http.documents.application import Described
from servd.http.documents.openapi import JSON, Operations, reference, refusals, slug
from servd.http.documents.schemas import example_of


def operations(rule: RouteRule, application: Described, *, is_short: bool) -> Operations:
    """Return what its path answers; in short without the schemas of inputs and outputs."""
    name = slug(application.name)
    one: dict[str, Any] = {} if is_short else reference(f"{name}.output")
    output = {"type": "array", "items": one} if rule.is_batch else one
    content = {"schema": _under(rule.gives, output)}
    operation: dict[str, Any] = {
        "operationId": f"{name}.route.{slug(rule.name)}",
        "summary": f"Ask {application.name}",
        "tags": [application.name],
        "responses": {
            "200": {
                "description": "The output; the header Servd-Default says why it is the default.",
                "content": {JSON: content},
            },
            **refusals(is_guarded=application.is_guarded, has_names=True),
        },
    }
    if rule.method == "GET":
        signature = application.signature
        fields = {} if signature is None else signature.fields or {}
        if signature is not None and len(fields) <= MAX_PARAMETERS and not is_short:
            operation["parameters"] = parameters_of(application, signature)
    else:
        operation["requestBody"] = _body(rule, application, is_short=is_short)
    return Operations(rule.path, {rule.method.lower(): operation})


def _body(rule: RouteRule, application: Described, *, is_short: bool) -> dict[str, Any]:
    one: dict[str, Any] = {} if is_short else reference(f"{slug(application.name)}.input")
    example = example_of(application)
    value = {"type": "array", "items": one, "maxItems": application.max_rows}
    content = {
        "schema": _under(rule.takes, value if rule.is_batch else one),
        "example": _value_under(rule.takes, [example, example] if rule.is_batch else example),
    }
    return {"required": True, "content": {JSON: content}}


def _under(key: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    if key is None:
        return schema
    return {"type": "object", "properties": {key: schema}, "required": [key]}


def _value_under(key: str | None, value: Any) -> Any:
    return value if key is None else {key: value}
