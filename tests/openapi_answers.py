"""Holds answers of the admin API against its OpenAPI document: status, kind and content.

Nothing may be in an answer that the document does not have: fields that nobody documents are those
that nobody can rely on.
"""

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from servd.http.admin.openapi import PREFIX, document
from tests import strict_json


def check(method: str, path: str, status: int, kind: str, body: bytes) -> None:
    """Fail if an answer is not one of those that the document has for a call."""
    operation = _operation(method, path)
    if operation is None:
        assert status in (404, 405), f"{method} {path} is not documented and gives {status}"
        operation = {"responses": {"default": _any_refusal()}}
    answers = operation["responses"]
    is_known = str(status) in answers
    assert is_known or status >= 400, f"{method} {path} gives {status}: documented: {[*answers]}"
    answer = answers[str(status)] if is_known else answers["default"]
    content = answer.get("content", {})
    if not content:
        assert not body, f"{method} {path} has no content at {status}: {body[:80]!r}"
        return
    if method == "HEAD":
        return
    assert kind in content, f"{method} {path} gives {kind}: documented: {[*content]}"
    validator = _validator(json.dumps(content[kind]["schema"]))
    for value in _values(kind, body):
        errors = [each.message for each in validator.iter_errors(value)]
        assert not errors, f"{method} {path} gives {status}: {errors[:3]}"


def _values(kind: str, body: bytes) -> list[Any]:
    if kind == "application/json":
        return [strict_json.read(body)]
    if "json" in kind:
        return [strict_json.read(line) for line in body.splitlines() if line]
    return [body.decode(errors="replace")]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    path = path.partition("?")[0].removeprefix(PREFIX)
    methods = (method.lower(), "get") if method == "HEAD" else (method.lower(),)
    for template, item in _document()["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", template)
        found = next((item[each] for each in methods if each in item), None)
        if found is not None and re.fullmatch(pattern, path):
            return dict(found)
    return None


def _any_refusal() -> dict[str, Any]:
    answers: dict[str, Any] = _document()["paths"]["/status"]["get"]["responses"]["default"]
    return answers


@cache
def _document() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(document())
    for schema in whole["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return whole


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _document()["components"]})
