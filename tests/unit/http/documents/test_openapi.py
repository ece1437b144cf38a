"""The OpenAPI documents of applications."""

import json
import time

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from model_runtime.signature import Signature
from servd.datatypes import InputType
from servd.http.codecs.clipper import CLIPPER
from servd.http.documents.application import Described
from servd.http.documents.openapi import MAX_FIELDS, MAX_SCHEMA_BYTES, document, slug
from servd.http.documents.schemas import example_of
from tests.described import ALL, CREDIT, SIGNED, described, wide

MAX_COLUMNS = 2000
LONGEST_S = 0.02
"""Four times what it takes, for slow machines: all at once it would be much longer."""


def of(*applications, is_whole=True, is_guarded=False):
    """Return a document, decoded; keys that come twice are found."""
    pieces = document(
        iter(applications), CLIPPER.operations, is_guarded=is_guarded, is_whole=is_whole
    )
    return json.loads(b"".join(pieces), object_pairs_hook=_once)


def _once(pairs):
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def validator(whole, name):
    """Return what checks values against one of a document's schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": whole["components"]}
    return Draft202012Validator(schema)


@pytest.mark.parametrize("application", ALL, ids=[each.name for each in ALL])
def test_a_document_is_openapi(application):
    """Each application's document is one by the meta-schema of OpenAPI 3.1."""
    whole = of(application, is_guarded=application.is_guarded)
    assert [*OpenAPIV31SpecValidator(whole).iter_errors()] == []
    assert set(whole["paths"]) == {f"/{application.name}/schema", f"/{application.name}/predict"}


def test_the_document_of_all_is_openapi():
    """That of all applications has each, and no name twice."""
    whole = of(*ALL, is_whole=False)
    assert [*OpenAPIV31SpecValidator(whole).iter_errors()] == []
    assert len(whole["paths"]) == 2 * len(ALL)
    ids = [each["operationId"] for item in whole["paths"].values() for each in item.values()]
    assert len(set(ids)) == len(ids)


def test_a_document_of_none_is_openapi():
    """A server without applications has a document, too."""
    assert [*OpenAPIV31SpecValidator(of(is_whole=False)).iter_errors()] == []


@pytest.mark.parametrize("application", SIGNED, ids=[each.name for each in SIGNED])
def test_the_examples_are_requests(application):
    """Each example of a body is one by the schema of bodies, in all three forms."""
    whole = of(application)
    body = whole["paths"][f"/{application.name}/predict"]["post"]["requestBody"]
    examples = body["content"]["application/json"]["examples"]
    assert ("columns" in examples) == bool(application.signature.fields)
    for example in examples.values():
        validator(whole, f"{slug(application.name)}.request").validate(example["value"])


@pytest.mark.parametrize(
    ("body", "is_right"),
    [
        ({"input": "example"}, True),
        ({"input": "example", "version": "2"}, False),
        ({"input": {"a": 1}, "version": "2"}, True),
        ({"input": {"a": 1}, "version": 2}, True),
        ({"input": {"a": "x"}, "version": "2"}, False),
        ({"input": "example", "version": None}, True),
        ({"input": "example", "version": "9"}, False),
        ({"input_batch": ["example", "example"]}, True),
        ({"input_batch": []}, True),
        ({"input_batch": {"age": [1]}}, False),
        ({"input": {"age": 33}}, False),
        ({"input": [33, None, "Oslo", "2021-05-04", True, "a"]}, True),
        ({}, False),
    ],
)
def test_requests_that_name_a_version(body, is_right):
    """A version that takes other inputs has its own schema; one that is not there is no request."""
    application = SIGNED[-1]
    example = example_of(application)
    text = json.dumps(body).replace('"example"', json.dumps(example))
    assert validator(of(application), "changed.request").is_valid(json.loads(text)) is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ({"query_id": 1, "output": "yes", "default": False}, True),
        ({"query_id": 1, "output": "maybe", "default": False}, False),
        ({"query_id": 1, "output": "no", "default": True, "default_explanation": "late"}, True),
        ({"query_id": 1, "output": "no", "default": True}, False),
    ],
)
def test_what_is_said_of_one_input(answer, is_right):
    """An output is as the model's output schema says; the default output comes with its reason."""
    whole = of(SIGNED[0])
    assert validator(whole, "credit.prediction").is_valid(answer) is is_right


def test_parameters_have_types_defaults_and_examples():
    """GET takes the fields by name, each with its schema."""
    version, *found = of(SIGNED[0])["paths"]["/credit/predict"]["get"]["parameters"]
    assert (version["name"], version["schema"]["enum"]) == ("version", ["", "1"])
    assert [each["name"] for each in found] == list(CREDIT.fields)
    assert [each["required"] for each in found] == [True] * 4 + [False] * 2
    assert [each["schema"] for each in found] == list(CREDIT.fields.values())
    assert [each["example"] for each in found] == CREDIT.example


def test_a_token_is_asked_for_where_there_is_one():
    """Only of a server with a token the document says that one is needed, and what comes else."""
    guarded, free = (of(each, is_guarded=each.is_guarded) for each in (SIGNED[2], SIGNED[0]))
    assert guarded["security"] == [{"token": []}]
    assert guarded["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "401" in guarded["paths"]["/upper/predict"]["post"]["responses"]
    assert "security" not in free
    assert "401" not in free["paths"]["/credit/predict"]["post"]["responses"]


def test_a_stream_is_described():
    """What yields items answers as events, or with the list of them."""
    whole = of(SIGNED[3])
    answer = whole["paths"]["/tokens/predict"]["post"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/event-stream"}
    assert whole["components"]["schemas"]["tokens.output"]["type"] == "array"


@pytest.mark.parametrize("count", [MAX_FIELDS, 2000])
def test_the_document_of_all_is_bounded(count):
    """An application with very many fields has its schemas in its own document only."""
    application = described("wide", wide(count, title="long" * 50))
    own = of(application)
    schemas = own["components"]["schemas"]
    assert len(schemas["wide.input"]["anyOf"][0]["properties"]) == count
    assert len(msgspec.json.encode(own)) > MAX_SCHEMA_BYTES
    whole = of(application, SIGNED[0], is_whole=False)
    assert [*OpenAPIV31SpecValidator(whole).iter_errors()] == []
    assert "wide.input" not in whole["components"]["schemas"]
    assert "credit.input" in whole["components"]["schemas"]
    assert "/wide/openapi.json" in whole["paths"]["/wide/predict"]["post"]["description"]


def test_no_piece_of_a_document_takes_long():
    """A document of many columns is made in pieces: the event loop has others to look after."""
    application = described("wide", wide(MAX_COLUMNS))
    longest_s = 0.0
    pieces = document(iter([application]), CLIPPER.operations, is_guarded=False, is_whole=True)
    for _ in range(100):
        began_s = time.thread_time()
        if next(pieces, None) is None:
            break
        longest_s = max(longest_s, time.thread_time() - began_s)
    assert 0 < longest_s < LONGEST_S


def test_names_of_schemas():
    """Names that Clipper's clients may use come to names that OpenAPI takes."""
    assert slug("a-b.c_d") == "a-b.c_d"
    assert slug("a$b") != slug("a&b")


def test_an_application_without_a_model_is_described():
    """Its document says that there is no model yet."""
    whole = of(Described(name="none", inputs=ALL[-1].inputs))
    assert "no model yet" in whole["info"]["summary"]


def test_what_takes_files_says_so():
    """Bytes as they are and as a form; of inputs with names the form has a part each."""
    cats = next(each for each in ALL if each.inputs.input_type is InputType.BYTES)
    content = of(cats)["paths"][f"/{cats.name}/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/octet-stream", "multipart/form-data"}
    image = {"type": "string", "contentEncoding": "base64"}
    fields = {"image": image, "threshold": {"type": "number", "default": 0.5}}
    signature = Signature(input_type="rows", fields=fields, required=("image",))
    named = described("pictures", signature)
    content = of(named)["paths"]["/pictures/predict"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    parts = content["multipart/form-data"]["schema"]["properties"]
    assert parts["image"]["contentMediaType"] == "application/octet-stream"
    assert parts["threshold"] == fields["threshold"]
