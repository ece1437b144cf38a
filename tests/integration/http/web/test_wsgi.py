"""What a WSGI application is told, by way of a real query server and a real uvicorn."""

import asyncio
import json
import threading

from tests.integration.http.web.test_passing import get
from tests.serving import run, until
from tests.web import web


def telling(environ, start_response):
    """Answer with what tells of the client."""
    told = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def test_no_client_passes_for_the_proxy():
    """An environment has one name for `X_Forwarded_For` and for what the proxy says itself."""
    lines = ("X_Forwarded_For: 9.9.9.9", "X_Forwarded_Proto: https", "X_Servd_Origin: x", "X-A: 1")

    async def main():
        async with web(telling, kind="wsgi") as served:
            told = (await served.send(get("/app/", *lines))).json
            assert told["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
            assert told["HTTP_X_FORWARDED_PROTO"] == "http"
            assert "HTTP_X_SERVD_ORIGIN" not in told
            assert told["HTTP_X_A"] == "1"

    run(main())


def test_several_cookies_are_one():
    """They are told apart by semicolons."""

    async def main():
        async with web(telling, kind="wsgi") as served:
            answer = await served.send(get("/app/", "Cookie: a=1", "Cookie: b=2"))
            assert answer.json["HTTP_COOKIE"] == "a=1; b=2"

    run(main())


def test_a_part_of_a_body_is_not_taken_for_all_of_it():
    """What an application reads raises where its client hangs up; it does not act on a part."""
    seen = []
    reading = threading.Event()

    def app(environ, start_response):
        reading.set()
        try:
            seen.append(environ["wsgi.input"].read())
        except OSError as error:
            seen.append(type(error).__name__)
            raise
        start_response("200 OK", [])
        return [b""]

    async def main():
        async with web(app, kind="wsgi") as served:
            client = await served.client()
            client.send(b"POST /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart")
            await until(reading.is_set)
            client.writer.transport.abort()
            await until(lambda: seen)
            assert seen == ["HungUpError"]

    run(asyncio.wait_for(main(), 60))


def test_a_body_is_read_as_a_file_is():
    """Lines with a limit, as parsers of forms read them."""
    lines = [b"a" * 20_000 + b"\n", b"b\n", b"\n", b"c" * 50_000]

    def app(environ, start_response):
        body = environ["wsgi.input"]
        how = environ["PATH_INFO"]
        if how == "/limit":
            told = list(iter(lambda: body.readline(1 << 16), b""))
        elif how == "/short":
            told = [body.readline(10), body.readline(), *body]
        else:
            told = {"/lines": body.readlines, "/all": lambda: [body.read(None)]}[how]()
        answer = repr((len(told), [len(line) for line in told], body.read(5))).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]

    async def main():
        async with web(app, kind="wsgi") as served:
            for how, told in (
                ("limit", (4, [20_001, 2, 1, 50_000], b"")),
                ("lines", (4, [20_001, 2, 1, 50_000], b"")),
                ("short", (5, [10, 19_991, 2, 1, 50_000], b"")),
                ("all", (1, [70_004], b"")),
            ):
                answer = await served.post(f"/app/{how}", b"".join(lines))
                assert answer.body.decode() == repr(told)

    run(main())
