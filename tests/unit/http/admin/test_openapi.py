"""The OpenAPI document."""

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from servd.http.admin.openapi import document
from tests.openapi_answers import check

JSON = "application/json"


def test_the_document_is_valid():
    """It is a valid OpenAPI 3.1 document."""
    OpenAPIV31SpecValidator(json.loads(document())).validate()


RIGHT = {
    "name": "a",
    "input_type": "doubles",
    "default_output": None,
    "slo_us": 1,
    "policy": "default",
    "linked_models": [],
    "query_url": "",
    "is_default": True,
}


@pytest.mark.parametrize(
    ("call", "status", "kind", "body"),
    [
        ("GET /api/v1/applications/a", 200, JSON, RIGHT | {"more": 1}),
        ("GET /api/v1/applications/a", 200, JSON, RIGHT | {"slo_us": "1"}),
        ("GET /api/v1/applications/a", 200, JSON, RIGHT | {"input_type": "words"}),
        ("GET /api/v1/applications/a", 200, JSON, {"name": "a"}),
        ("GET /api/v1/applications/a", 202, JSON, RIGHT),
        ("GET /api/v1/applications/a", 200, "text/plain", RIGHT),
        ("GET /api/v1/applications/a", 404, JSON, {"error": {"code": 1}}),
        ("GET /api/v1/applications", 200, JSON, [RIGHT | {"name": None}]),
        ("DELETE /api/v1/applications/a", 204, JSON, {}),
        ("GET /api/v1/nothing", 200, JSON, {}),
        ("POST /api/v1/deployments", 200, "application/x-ndjson", {"event": 1}),
    ],
)
def test_an_answer_that_is_not_documented_is_found(call, status, kind, body):
    """What the tests of the API hold every answer against would fail for each of these."""
    method, path = call.split()
    check("GET", "/api/v1/applications/a", 200, JSON, json.dumps(RIGHT).encode())
    with pytest.raises(AssertionError, match=path.removesuffix("/a")):
        check(method, path, status, kind, json.dumps(body).encode())
