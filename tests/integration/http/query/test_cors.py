"""CORS on the query port over real connections: which answers say that a page may read them."""

import asyncio

import pytest

from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving

APP, OTHER, EVIL = "https://app.example", "http://localhost:3000", "https://evil.example"
LISTED = (APP, OTHER)
ALLOW = "access-control-allow-origin"
ASKS = "Access-Control-Request-Method: POST"

ANSWERS = {
    "a prediction": (post("/app/predict", {"input": [1]}), 200),
    "several": (post("/app/predict", {"input_batch": [[1], [2]]}), 200),
    "a default output": (post("/poisoned/predict", {"input": [1]}), 200),
    "no such application": (post("/nobody/predict", {"input": [1]}), 404),
    "not JSON": (post("/app/predict", b"{"), 400),
    "no such version": (post("/app/predict", {"input": [1], "version": "9"}), 400),
    "another method": (b"PUT /app/predict HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    "nothing there": (b"GET /nothing/here HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    "metrics": (b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    "a page": (b"GET /app HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    "a document": (b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    "readiness": (b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    "a body too long": (post("/app/predict", b"x" * 300_000), 413),
    "a long body": (post("/app/predict", {"input": [0.5] * 30_000}), 200),
    "another packing": (post("/app/predict", b"x", "Content-Encoding: br"), 415),
    "not HTTP": (b"POST /app/predict HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", 400),
}
"""A request of each kind, and the status of its answer."""


def with_app(check, **settings):
    """Run `check(served)` on a server with an application of one live replica, and one of none."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving(max_body_bytes=250_000, **settings) as served:
                await served.attach(replica, served.deploy())
                served.deploy("poisoned", "none")
                await check(served)

    run(main())


def of(request, origin):
    """Return a request as a page of an origin sends it."""
    if origin is None:
        return request
    first, _, rest = request.partition(b"\r\n")
    return b"%b\r\nOrigin: %b\r\n%b" % (first, origin.encode(), rest)


@pytest.mark.parametrize(
    ("cors", "origin", "allowed", "vary"),
    [
        ((), APP, None, None),
        (("*",), APP, "*", None),
        (("*",), None, "*", None),
        (LISTED, APP, APP, "Origin"),
        (LISTED, OTHER, OTHER, "Origin"),
        (LISTED, EVIL, None, "Origin"),
        (LISTED, None, None, "Origin"),
        (LISTED, "null", None, "Origin"),
        (LISTED, APP.upper(), None, "Origin"),
    ],
)
def test_every_answer_says_who_may_read_it(cors, origin, allowed, vary):
    """Each kind of answer has the header for the origins of the setting, and for no others."""

    async def check(served):
        for kind, (request, status) in ANSWERS.items():
            for _ in range(3):  # a head that has come before is answered in another way
                answer = await served.send(of(request, origin))
                assert (answer.status, kind) == (status, kind)
                assert (answer.headers.get(ALLOW), kind) == (allowed, kind)
                found = "Origin" if "Origin" in answer.headers.get("vary", "") else None
                assert (found, kind) == (vary, kind)
                assert "access-control-allow-credentials" not in answer.headers

    with_app(check, cors=cors)


def test_origins_on_one_connection():
    """A proxy has the requests of many pages on one connection: each answer is of its own."""

    async def check(served):
        client = await served.client()
        origins = [APP, None, EVIL, OTHER, None, APP, OTHER, EVIL] * 3
        request = post("/app/predict", {"input": [1]})
        for origin in origins:
            client.send(of(request, origin))
            found = (await client.answer()).headers.get(ALLOW)
            assert found == (origin if origin in LISTED else None)
        for origin in origins:  # pipelined
            client.send(of(request, origin))
        for origin in origins:
            found = (await client.answer()).headers.get(ALLOW)
            assert found == (origin if origin in LISTED else None)

    with_app(check, cors=LISTED)


@pytest.mark.parametrize("token", [None, "secret"])
@pytest.mark.parametrize(
    ("cors", "origin", "is_let_in"),
    [(("*",), EVIL, True), (LISTED, OTHER, True), (LISTED, EVIL, False), ((), APP, False)],
)
@pytest.mark.parametrize("path", ["/app/predict", "/nobody/predict", "/metrics", "/openapi.json"])
def test_browsers_ask_before(cors, origin, is_let_in, token, path):
    """A preflight needs no token, which browsers do not send; it allows the header of one."""

    async def check(served):
        request = f"OPTIONS {path} HTTP/1.1\r\nHost: h\r\n{ASKS}\r\n\r\n".encode()
        answer = await served.send(of(request, origin))
        if cors:
            assert answer.status == 204
        names = {name for name in answer.headers if name.startswith("access-control-allow")}
        if is_let_in:
            assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST"
            assert "Authorization" in answer.headers["access-control-allow-headers"]
            assert answer.headers["access-control-max-age"] == "7200"
            assert ALLOW in names
        else:
            assert not names

    with_app(check, cors=cors, token=token)


def test_a_refused_token_can_be_read():
    """The page is told that the token is wrong, not that there is no answer."""

    async def check(served):
        answer = await served.send(of(ANSWERS["a prediction"][0], APP))
        assert (answer.status, answer.headers[ALLOW]) == (401, APP)

    with_app(check, cors=LISTED, token="secret")


def test_too_many_connections_can_be_read():
    """Also who is turned away unread may know why, where all may."""

    async def check(served):
        served.server.max_connections = 0
        answer = await served.send(ANSWERS["a prediction"][0])
        assert (answer.status, answer.headers[ALLOW]) == (503, "*")
        assert answer.json["error"] == "Too many connections"

    with_app(check, cors=("*",))


def test_an_origin_that_comes_twice_is_none():
    """What two of these headers mean nobody knows."""

    async def check(served):
        request = of(of(ANSWERS["a prediction"][0], APP), OTHER)
        assert ALLOW not in (await served.send(request)).headers

    with_app(check, cors=LISTED)


def test_pages_requests_take_the_short_way(monkeypatch):
    """A head that has come before leads to its answer without being parsed, for each origin."""

    async def check(served):
        request = of(post("/app/predict", {"input": [1]}), APP)
        client = await served.client()
        client.send(request)
        await client.answer()
        head = request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        assert head in served.server.known_heads

        def slow(*_):
            raise AssertionError

        monkeypatch.setattr(served.server, "answer_slowly", slow)
        for _ in range(5):
            client.send(request)
            assert (await client.answer()).headers[ALLOW] == APP
        other = await served.client()
        other.send(request)
        assert (await other.answer()).headers[ALLOW] == APP

    with_app(check, cors=LISTED)


def test_dates_go_on():
    """All heads have the present second in their Date."""

    async def check(served):
        request = of(post("/app/predict", {"input": [1]}), APP)
        before = (await served.send(request)).headers["date"]
        now = before
        while now == before:
            await asyncio.sleep(0.05)
            now = (await served.send(request)).headers["date"]

    with_app(check, cors=LISTED)
