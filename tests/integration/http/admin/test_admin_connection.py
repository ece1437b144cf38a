"""Connections to the admin server: who closes first, how long a head may be, what breaks off."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from servd.http.admin.api import Api
from servd.http.admin.connection import MAX_HEAD_BYTES
from servd.logs.reader import LogReader
from tests.serving import Client

GET = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def errors(caplog):
    """Return the function that gives what was logged as an error."""
    caplog.set_level(logging.ERROR)
    return lambda: [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


def post(path, body, length=None):
    """Return a request's bytes; `length` is what its head says."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


@asynccontextmanager
async def connected(parts):
    """Open a connection over TCP."""
    client = Client(*await asyncio.open_connection("127.0.0.1", urlsplit(parts.base).port))
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("pause_s", [0, 0.05])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("is_body_whole", [True, False])
def test_a_client_that_closes_its_side(scenario, tmp_path, errors, count, is_body_whole, pause_s):
    """All that it asked is answered, pipelined or broken off as it may be; then it is over."""

    async def steps(parts):
        async with connected(parts) as client:
            last = post("/admin/get_application", b'{"name": "a"}', None if is_body_whole else 20)
            client.send(GET * (count - 1) + last)
            await asyncio.sleep(pause_s)
            client.writer.write_eof()
            for _ in range(count - 1):
                assert (await client.answer()).status == 200
            answer = await client.answer()
            assert answer.status == (200 if is_body_whole else 400)
            assert await client.is_closed()

    scenario(tmp_path, steps)
    assert not errors()


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /healthz\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA B\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_not_http_is_told_as_all_else(scenario, tmp_path, errors, data):
    """In JSON, by the same fields, and the connection is closed."""

    async def steps(parts):
        async with connected(parts) as client:
            client.send(GET)
            assert (await client.answer()).status == 200
            client.send(data)
            answer = await client.answer()
            assert answer.status in (400, 431)
            assert answer.headers["content-type"].startswith("application/json")
            problem = answer.json["error"]
            assert problem["code"] == "request_refused"
            assert problem["message"]
            assert "\n" not in problem["message"]
            assert await client.is_closed()

    scenario(tmp_path, steps)
    assert not errors()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Expect: more", 417),
        ("Content-Encoding: gzip", 415),
        ("Content-Encoding: identity\r\nContent-Encoding: gzip", 415),
    ],
)
def test_what_is_not_done_is_told_as_all_else(scenario, tmp_path, errors, line, status):
    """Also what aiohttp refuses before any handler is asked; the connection goes on."""

    async def steps(parts):
        async with connected(parts) as client:
            head = f"POST /api/v1/applications HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"
            client.send(head.encode() + b"Content-Length: 2\r\n\r\n{}")
            answer = await client.answer()
            assert answer.status == status
            assert answer.json["error"]["code"] == "request_refused"
            client.send(GET)
            assert (await client.answer()).status == 200

    scenario(tmp_path, steps)
    assert not errors()


@pytest.mark.parametrize("settings", [{}, {"bind": "0.0.0.0", "token": "t"}], ids=["open", "token"])
def test_probers_need_no_token(scenario, tmp_path, settings):
    """Whatever name they ask by, on the admin port as on the query port."""

    async def steps(parts):
        async with connected(parts) as client:
            for line in ("GET /healthz", "GET /readyz?verbose=1", "HEAD /readyz"):
                client.send(f"{line} HTTP/1.1\r\nHost: 10.0.0.7\r\n\r\n".encode())
                answer = await client.answer(has_body=not line.startswith("HEAD"))
                assert answer.status == 200
            client.send(b"POST /healthz HTTP/1.1\r\nHost: 10.0.0.7\r\nContent-Length: 0\r\n\r\n")
            assert (await client.answer()).status == 405
            is_ready.clear()
            client.send(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.body) == (503, b"not ready\n")

    is_ready = [True]
    scenario(tmp_path, steps, is_ready=lambda: bool(is_ready), **settings)


def test_a_client_that_asks_nothing(scenario, tmp_path):
    """It is let go at once, after no request and after an answered one."""

    async def steps(parts):
        for requests in (0, 1):
            async with connected(parts) as client:
                client.send(GET * requests)
                for _ in range(requests):
                    await client.answer()
                client.writer.write_eof()
                async with asyncio.timeout(2):
                    assert await client.is_closed()

    scenario(tmp_path, steps)


def test_an_answer_without_an_end_ends_with_its_reader(scenario, tmp_path):
    """Following a log is over when the client has closed its side: it may be gone."""

    async def steps(parts):
        path = parts.config.logs_dir / "daemon.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\n")
        async with connected(parts) as client:
            client.send(b"GET /api/v1/logs/daemon?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"one" in await client.reader.readuntil(b"one\n")
            client.writer.write_eof()
            async with asyncio.timeout(5):
                await client.reader.read()

    scenario(tmp_path, steps)


def head_of(size):
    """Return a request with a head of so many bytes, in lines of a length that is allowed."""
    head = GET[:-2]
    while len(head) + 2 < size:
        room = size - 2 - len(head) - len("X: \r\n")
        head += b"X: " + b"x" * min(4000, room if room <= 4000 else room - 100) + b"\r\n"
    return head + b"\r\n"


@pytest.mark.parametrize("cut", [1000, MAX_HEAD_BYTES - 1, 10**6])
def test_the_limit_of_a_head_is_exact(scenario, tmp_path, cut):
    """A head of the limit is taken, one of a byte more refused, in one piece or in several."""

    async def steps(parts):
        for size, status in ((MAX_HEAD_BYTES, 200), (MAX_HEAD_BYTES + 1, 431), (60_000, 431)):
            data = head_of(size)
            assert len(data) == size
            async with connected(parts) as client:
                for at in range(0, size, cut):
                    client.send(data[at : at + cut])
                    await asyncio.sleep(0)
                assert (await client.answer()).status == status

    scenario(tmp_path, steps)


def test_a_fault_before_and_within_an_answer(scenario, tmp_path, monkeypatch, errors):
    """Before it, the fault is a 500 with an id and one entry; within it the connection breaks."""

    def broken(*_given):
        raise KeyError("ours")

    async def steps(parts):
        async with connected(parts) as client:
            monkeypatch.setattr(Api, "_application", broken)
            request = b"GET /api/v1/applications/a HTTP/1.1\r\nHost: localhost\r\n\r\n"
            client.send(request)
            answer = await client.answer()
            assert answer.status == 500
            (entry,) = errors()
            assert entry.split(":")[0].removeprefix("unexpected error ") in json.dumps(answer.json)
            client.send(GET)
            assert (await client.answer()).status == 200
            path = parts.config.logs_dir / "daemon.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("one\n")
            monkeypatch.setattr(LogReader, "more", broken)
            client.send(b"GET /api/v1/logs/daemon?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n")
            rest = await client.reader.read()
            assert rest.count(b"HTTP/1.1") == 1
            assert not rest.endswith(b"0\r\n\r\n")
            assert len(errors()) == 2

    scenario(tmp_path, steps)
