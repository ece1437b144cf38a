"""The documents of the query port over real connections: schemas, OpenAPI, pages for people."""

import asyncio
import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from servd.datatypes import InputType
from servd.engine.engine import Engine
from servd.http.documents.page import policy
from servd.http.query import documents as documents_module
from servd.logs import faults
from tests.described import CREDIT, IRIS, wide
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving

PATHS = ["/credit", "/credit/", "/credit/schema", "/credit/openapi.json", "/openapi.json"]


def with_credit(check, **settings):
    """Run `check(served)` on a server with an application whose inputs have names."""

    async def main():
        async with serving(**settings) as served:
            served.deploy("credit", "credit", input_type=InputType.ROWS, signature=CREDIT)
            await check(served)

    run(main())


async def get(served, path, *lines, method="GET"):
    """Ask for a document on a connection of its own."""
    head = "".join(f"{line}\r\n" for line in lines)
    request = f"{method} {path} HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode()
    return await served.send(request, has_body=method != "HEAD")


@pytest.mark.parametrize("path", PATHS)
def test_who_has_a_document_is_told_so(path):
    """A document has a tag, and is sent again only to who has another one; HEAD has the same head.

    It has another tag when what it says has changed.
    """

    async def check(served):
        first = await get(served, path)
        assert first.status == 200
        tag = first.headers["etag"]
        head = await get(served, path, method="HEAD")
        assert head.headers["etag"] == tag
        assert head.headers["content-length"] == str(len(first.body))
        for tags in (tag, f'"other", W/{tag}', "*"):
            same = await get(served, path, f"If-None-Match: {tags}")
            assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in same.headers
        assert (await get(served, path, 'If-None-Match: "other"')).body == first.body
        served.deploy("credit", "credit", "2", input_type=InputType.DOUBLES, signature=IRIS)
        changed = await get(served, path, f"If-None-Match: {tag}")
        assert changed.status == 200
        assert changed.headers["etag"] != tag

    with_credit(check)


def test_a_connection_goes_on_after_a_document():
    """A document is an answer like others: what is pipelined behind it is answered next."""

    async def check(served):
        client = await served.client()
        for method in ("GET", "HEAD"):
            for path in PATHS:
                client.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        for method in ("GET", "HEAD"):
            for _ in PATHS:
                assert (await client.answer(has_body=method == "GET")).status == 200

    with_credit(check)


def test_documents_are_valid():
    """What is served is OpenAPI, and JSON of the schema's own kind."""

    async def check(served):
        for path in ("/credit/openapi.json", "/openapi.json"):
            answer = await get(served, path)
            assert answer.headers["content-type"] == "application/json"
            assert [*OpenAPIV31SpecValidator(answer.json).iter_errors()] == []
        assert (await get(served, "/credit/schema")).json["output"]["enum"] == ["no", "yes"]

    with_credit(check)


def test_a_document_is_rendered_once_a_change(monkeypatch):
    """Who asks again gets what was rendered, from any connection, until something changes."""
    rendered = []
    real = documents_module.Documents._pieces

    def counting(self, route, what):
        rendered.append(what)
        return real(self, route, what)

    monkeypatch.setattr(documents_module.Documents, "_pieces", counting)

    async def check(served):
        await asyncio.gather(*(get(served, "/credit/openapi.json") for _ in range(20)))
        assert len(rendered) == 1
        served.deploy("other", "other")
        await get(served, "/credit/openapi.json")
        assert len(rendered) == 2

    with_credit(check)


def test_what_a_replica_says_of_its_inputs_comes_in():
    """How many numbers a model takes is known when its first replica is: the schema says it."""

    async def main():
        with ScriptedReplica(row_items=3) as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                assert "minItems" not in (await get(served, "/app/schema")).json["input"]
                await served.attach(replica, dispatcher)
                found = (await get(served, "/app/schema")).json
                assert (found["input"]["minItems"], len(found["example"])) == (3, 3)

    run(main())


def test_many_documents_are_not_all_kept():
    """What is kept of documents is bounded."""

    async def check(served):
        for number in range(documents_module.MAX_KEPT + 10):
            served.deploy(f"app{number}", "credit", input_type=InputType.ROWS, signature=CREDIT)
        client = await served.client()
        for number in range(documents_module.MAX_KEPT + 10):
            client.send(f"GET /app{number}/schema HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            assert (await client.answer()).status == 200
        assert 0 < len(served.server.pages._documents._kept) <= documents_module.MAX_KEPT

    with_credit(check)


def test_others_are_answered_while_a_long_document_is_made():
    """A document of thousands of applications is made in turns, in which others are answered."""

    async def check(served):
        signature = wide(400)
        # All at once, as each deployment applies the whole state.
        real, Engine.apply = Engine.apply, lambda *_: None
        try:
            for number in range(300):
                served.deploy(f"a{number}", "m", input_type=InputType.ROWS, signature=signature)
        finally:
            Engine.apply = real
        served.engine.apply(served.state)
        whole = asyncio.ensure_future(get(served, "/openapi.json"))
        count = 0
        client = await served.client()
        while not whole.done():
            client.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await client.answer()).status == 200
            count += 1
        answer = await whole
        assert count > 10
        assert len(answer.json["paths"]) == 2 * 301
        assert len(answer.body) > documents_module.PIECE_BYTES

    with_credit(check)


def test_a_document_that_cannot_be_made_is_a_fault(monkeypatch):
    """An exception in making one is answered as any other, and the next request is not harmed."""
    monkeypatch.setattr(faults, "report", lambda *_: None)

    def broken(*_):
        raise ArithmeticError
        yield b""

    async def check(served):
        monkeypatch.setattr(documents_module, "schema_document", broken)
        assert (await get(served, "/credit/schema")).status == 500
        monkeypatch.undo()
        assert (await get(served, "/credit/schema")).status == 200

    with_credit(check)


def test_pages_are_for_people():
    """Those of an application and of all are HTML with a strict policy; `/` is text else."""

    async def check(served):
        page = await get(served, "/credit")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        said = f"Content-Security-Policy: {page.headers['content-security-policy']}\r\n"
        assert policy().decode().startswith(said)
        assert b"<h1>credit</h1>" in page.body
        index = await get(served, "/", "Accept: text/html,*/*;q=0.8")
        assert b'href="/credit"' in index.body
        text = await get(served, "/", "Accept: */*")
        assert text.body == b"servd is running\n"
        assert index.headers["vary"] == text.headers["vary"] == "Accept"

    with_credit(check)


@pytest.mark.parametrize("path", ["/", *PATHS])
def test_documents_need_the_token(path):
    """As queries do: a program is told the header, a browser gets a page that asks for it."""

    async def check(served):
        refused = await get(served, path)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json["error"] == "Unauthorized"
        asked = await get(served, path, "Accept: text/html")
        assert (asked.status, asked.headers["www-authenticate"]) == (401, "Bearer")
        assert b'data-kind="token"' in asked.body
        assert b"credit" not in asked.body
        right = await get(served, path, "Authorization: Bearer secret", "Accept: text/html")
        assert right.status == 200

    with_credit(check, token="secret")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nobody", 404),
        ("/nobody/schema", 404),
        ("/credit/schemas", 404),
        ("/credit/schema/more", 404),
        ("/%63redit/schema", 200),
        ("/credit/schema?x=1", 200),
    ],
)
def test_where_documents_are(path, status):
    """At their paths, however these are spelled, and nowhere else."""

    async def check(served):
        assert (await get(served, path)).status == status

    with_credit(check)


def test_other_methods_are_told_where_predictions_are():
    """Who sends an input to an application's page is told the path that is meant."""

    async def check(served):
        answer = await served.post("/credit", {"input": 1})
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert "/<application>/predict" in json.loads(answer.body)["cause"]

    with_credit(check)


def test_an_application_may_be_called_as_a_document_is():
    """Documents are below an application's path, so its name is free to be that of one."""

    async def check(served):
        served.deploy("schema", "credit", input_type=InputType.ROWS, signature=CREDIT)
        assert (await get(served, "/schema")).headers["content-type"].startswith("text/html")
        assert (await get(served, "/schema/schema")).json["application"] == "schema"

    with_credit(check)
