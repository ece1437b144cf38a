# ruff: noqa: ARG001 - applications are called with what they need not use
"""Requests and answers pass a real query server on their way to and from a real uvicorn."""

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.serving import post, run, until
from tests.web import headers_of, respond, web


async def telling(scope, receive, send):
    """Answer with what the application sees of a request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    told = {
        key: scope[key]
        for key in ("method", "path", "root_path", "scheme", "client", "server", "http_version")
    }
    told["raw_path"] = scope["raw_path"].decode()
    told["query"] = scope["query_string"].decode()
    told["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    await respond(send, json.dumps(told | {"body": body.decode("latin-1")}).encode())


def get(path, *lines, version="1.1"):
    """Return the bytes of a GET."""
    head = "".join(f"{line}\r\n" for line in lines)
    return f"GET {path} HTTP/{version}\r\nHost: h\r\n{head}\r\n".encode()


def test_an_application_sees_a_request_below_its_own_path():
    """The name is in `root_path`; the path, its escapes and the query string come as they are."""

    async def main():
        async with web(telling) as served:
            client = await served.client()
            port = client.writer.get_extra_info("sockname")[1]
            client.send(get("/app/a%20b/%2F?x=1&y=%20"))
            told = (await client.answer()).json
            assert told["root_path"] == "/app"
            assert told["path"] == "/app/a b//"
            assert told["raw_path"] == "/app/a%20b/%2F"
            assert told["query"] == "x=1&y=%20"
            assert told["client"] == ["127.0.0.1", port]
            assert told["server"] == ["127.0.0.1", served.server.port]
            assert told["scheme"] == "http"
            names = dict(told["headers"])
            assert names["x-forwarded-for"] == "127.0.0.1"
            assert names["x-forwarded-host"] == "h"
            assert names["x-forwarded-prefix"] == "/app"
            assert "x-servd-origin" not in names

    run(main())


def test_a_request_that_comes_again_on_a_connection_is_passed_on_alike():
    """The way of heads that have come before leads to the same answers, with bodies as well."""

    async def main():
        async with web(telling) as served:
            client = await served.client()
            told = []
            for body in (b"one", b"two", b"six"):
                client.send(post("/app/x?y=1", body, "A: b"))
                told.append((await client.answer()).json)
            assert [each.pop("body") for each in told] == ["one", "two", "six"]
            assert told[0] == told[1] == told[2]
            client.send(get("/app/x"))
            assert (await client.answer()).json["method"] == "GET"

    run(main())


def test_a_proxy_on_this_machine_is_believed_what_it_says_of_its_client():
    """X-Forwarded-For, -Proto, -Host and -Prefix of a neighbour count, and are passed on."""

    async def main():
        async with web(telling) as served:
            lines = (
                *("X-Forwarded-For: 203.0.113.9, 127.0.0.1", "X-Forwarded-Proto: https"),
                *("X-Forwarded-Host: example.org", "X-Forwarded-Prefix: /ml"),
            )
            told = (await served.send(get("/app/x", *lines))).json
            assert told["client"] == ["203.0.113.9", 0]
            assert (told["scheme"], told["root_path"], told["path"]) == (
                "https",
                "/ml/app",
                "/ml/app/x",
            )
            names = dict(told["headers"])
            assert names["x-forwarded-for"] == "203.0.113.9, 127.0.0.1, 127.0.0.1"
            assert names["x-forwarded-host"] == "example.org"

    run(main())


def test_nobody_can_say_where_a_request_came_from_in_the_servers_name():
    """The header by which the server tells it is taken from requests."""

    async def main():
        async with web(telling) as served:
            told = (
                await served.send(get("/app/x", "X-Servd-Origin: 9.9.9.9 1 h 1 http /evil"))
            ).json
            assert told["root_path"] == "/app"
            assert told["client"][0] == "127.0.0.1"

    run(main())


def test_what_is_for_the_next_neighbour_only_is_not_passed_on():
    """Connection, what it names, TE, Keep-Alive and Proxy-… end here."""

    async def main():
        async with web(telling) as served:
            lines = ("Connection: keep-alive, X-Own", "X-Own: 1", "TE: trailers", "Keep-Alive: a=1")
            told = (
                await served.send(get("/app/x", *lines, "X-Other: 2", "Proxy-Connection: a"))
            ).json
            names = dict(told["headers"])
            assert names["x-other"] == "2"
            for name in ("connection", "x-own", "te", "keep-alive", "proxy-connection"):
                assert name not in names

    run(main())


def test_a_path_without_its_slash_is_sent_to_the_one_with_it():
    """What a page names is relative to the folder that it is in."""

    async def main():
        async with web(telling) as served:
            answer = await served.send(get("/app?x=1"))
            assert (answer.status, answer.headers["location"]) == (307, "app/?x=1")

    run(main())


def test_a_body_comes_piece_by_piece_and_so_does_its_answer():
    """An application that answers each piece is heard before the next is sent."""

    async def echoing(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            message = await receive()
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
            if not message["more_body"]:
                break
        await send({"type": "http.response.body", "body": b""})

    async def main():
        async with web(echoing) as served:
            client = await served.client()
            client.send(b"POST /app/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for word in (b"alpha", b"beta", b"gamma"):
                client.send(b"%x\r\n%b\r\n" % (len(word), word))
                assert (await client.reader.readuntil(word)).endswith(word)
            client.send(b"0\r\n\r\n")
            await client.reader.readuntil(b"0\r\n\r\n")
            assert await client.is_closed()  # as it was told when the request was not whole
            client = await served.client()
            client.send(post("/app/", b"again"))
            assert b"again" in await client.reader.readuntil(b"0\r\n\r\n")

    run(main())


@pytest.mark.parametrize("is_chunked", [True, False])
def test_an_application_is_told_that_its_client_has_hung_up(is_chunked):
    """Amid a stream, with an end of the connection or a reset."""
    told = asyncio.Event()

    async def streaming(scope, receive, send):
        await receive()
        headers = [] if is_chunked else [(b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    async def main():
        async with web(streaming) as served:
            client = await served.client()
            client.send(get("/app/"))
            await client.reader.readuntil(b"x")
            await client.close()
            await told.wait()
            await until(lambda: not any(c.exchanges for c in _replicas(served)))

    run(main())


def test_an_application_that_computes_is_told_that_its_client_has_gone():
    """Before anything was answered, after a reset."""
    told = asyncio.Event()
    begun = asyncio.Event()

    async def waiting(scope, receive, send):
        await receive()
        begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    async def main():
        async with web(waiting) as served:
            client = await served.client()
            client.send(get("/app/"))
            await begun.wait()
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.writer.transport.abort()
            await told.wait()

    run(main())


def test_a_slow_reader_holds_the_application_up_and_nothing_is_held_for_it():
    """An answer of 64 MiB waits in the application until its client reads."""
    sent = 0

    async def flooding(scope, receive, send):
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1024):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 65536
        await send({"type": "http.response.body", "body": b""})

    async def main():
        async with web(flooding) as served:
            client = await served.client()
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, 65536
            )
            client.send(get("/app/"))
            await until(lambda: sent > 0)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < 24 << 20
            read = 0
            while not (piece := await client.reader.read(1 << 20)).endswith(b"0\r\n\r\n"):
                read += len(piece)
            assert read >= (64 << 20) - (1 << 20)

    run(main())


def test_an_application_that_does_not_read_holds_its_client_up():
    """An upload waits at the client until the application takes it."""
    go_on = asyncio.Event()
    read = 0

    async def taking(scope, receive, send):
        nonlocal read
        await go_on.wait()
        while True:
            message = await receive()
            read += len(message["body"])
            if not message["more_body"]:
                break
        await respond(send)

    async def main():
        size = 64 << 20
        async with web(taking) as served:
            client = await served.client()
            client.send(b"PUT /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            client.writer.write(b"x" * size)
            waiting = client.writer.transport.get_write_buffer_size
            before = -1
            while before != waiting():
                before = waiting()
                await asyncio.sleep(0.2)
            assert before > size - (24 << 20)
            go_on.set()
            assert (await client.answer()).status == 200
            assert read == size

    run(main())


def _replicas(served):
    return [slot.connection for each in served.engine.dispatchers.values() for slot in each.slots]


def test_heads_without_bodies_are_answered_as_such():
    """HEAD, 204 and 304 have none, whatever length is told; the connection goes on."""

    async def app(scope, receive, send):
        status = int(scope["path"].rpartition("/")[2])
        length = [] if status == 204 else [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": status, "headers": length})
        body = b"hello" if status == 200 else b""
        await send({"type": "http.response.body", "body": body})

    async def main():
        async with web(app) as served:
            client = await served.client()
            client.send(b"HEAD /app/200 HTTP/1.1\r\nHost: h\r\n\r\n")
            answer = await client.answer(has_body=False)
            assert (answer.status, answer.headers["content-length"]) == (200, "5")
            client.send(get("/app/204"))
            assert (await client.answer(has_body=False)).status == 204
            client.send(get("/app/200"))
            assert (await client.answer()).body == b"hello"

    run(main())


def test_a_client_that_expects_to_be_told_is_told_by_the_application():
    """`Expect: 100-continue` is answered when the application reads, not before."""

    async def refusing(scope, receive, send):
        if headers_of(scope).get(b"x-want") == b"1":
            await receive()
        await respond(send, status=413)

    async def main():
        async with web(refusing) as served:
            client = await served.client()
            expecting = (
                "PUT /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
            )
            client.send(f"{expecting}X-Want: 1\r\n\r\n".encode())
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b"ab")
            assert (await client.answer()).status == 413
            client = await served.client()
            client.send(f"{expecting}\r\n".encode())
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (413, "close")

    run(main())


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_client_of_an_older_http_gets_no_chunks(framing):
    """HTTP/1.0: the body ends with its length or with the connection."""

    async def app(scope, receive, send):
        headers = [(b"content-length", b"6")] if framing == "length" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def"})

    async def main():
        async with web(app) as served:
            client = await served.client()
            client.send(get("/app/", version="1.0"))
            head, _, body = (await client.reader.read()).partition(b"\r\n\r\n")
            assert body == b"abcdef"
            assert b"connection: close" in head.lower()
            assert b"transfer-encoding" not in head.lower()

    run(main())


def test_an_application_may_end_its_connection():
    """`Connection: close` of an answer is for the proxy: the client's connection goes on."""

    async def app(scope, receive, send):
        await respond(send, headers=[(b"connection", b"close")])

    async def main():
        async with web(app) as served:
            client = await served.client()
            for _ in range(3):
                client.send(get("/app/"))
                answer = await client.answer()
                assert (answer.status, "connection" in answer.headers) == (200, False)

    run(main())


def test_a_client_may_end_its_connection():
    """`Connection: close` of a request is kept to."""

    async def main():
        async with web(telling) as served:
            client = await served.client()
            client.send(get("/app/", "Connection: close"))
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.is_closed()

    run(main())


def test_requests_that_are_sent_ahead_are_answered_in_order():
    """Pipelining, with bodies, over web applications and others alike."""

    async def main():
        async with web(telling) as served:
            client = await served.client()
            client.send(
                get("/app/1") + post("/app/2", b"x" * 1000) + get("/healthz") + get("/app/3")
            )
            paths = []
            for number in range(4):
                answer = await client.answer()
                paths.append("" if number == 2 else answer.json["path"])
            assert paths == ["/app/1", "/app/2", "", "/app/3"]

    run(main())


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: a\rb\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\x00b\r\n",
        b"Host: other\r\n",
    ],
)
def test_a_request_that_two_would_read_differently_is_refused(head):
    """Smuggling: lengths that contradict each other, headers that are none; nobody is asked."""
    asked = []

    async def app(scope, receive, send):
        asked.append(scope["path"])
        await respond(send)

    async def main():
        async with web(app) as served:
            client = await served.client()
            hidden = b"0\r\n\r\nGET /app/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
            client.send(b"POST /app/ HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n" + hidden)
            assert (await client.answer()).status == 400
            assert await client.is_closed()
        assert "/app/hidden" not in asked
        assert asked == []

    run(main())


def test_a_head_that_is_too_long_is_refused():
    """32 KiB are the limit here as for all."""

    async def main():
        async with web(telling) as served:
            assert (await served.send(get("/app/", f"X: {'a' * 30_000}"))).status == 200
            assert (await served.send(get("/app/", f"X: {'a' * 40_000}"))).status == 431

    run(main())


def test_an_offer_of_another_protocol_is_left_out():
    """HTTP/2 over this connection is declined; the request is answered, its body with it."""

    async def main():
        async with web(telling) as served:
            lines = (
                "Connection: Upgrade, HTTP2-Settings",
                "Upgrade: h2c",
                "HTTP2-Settings: AAA",
                "B: c",
            )
            told = (await served.post("/app/", b"body", *lines)).json
            assert told["body"] == "body"
            assert dict(told["headers"])["b"] == "c"
            assert "upgrade" not in dict(told["headers"])
            client = await served.client()
            client.send(get("/app/x", *lines) * 2)
            for _ in range(2):
                told = (await client.answer()).json
                assert (told["path"], told["body"]) == ("/app/x", "")
                assert "content-length" not in dict(told["headers"])
            head = "\r\n".join(("POST /app/ HTTP/1.1", *lines, "Transfer-Encoding: chunked"))
            client.send(f"{head}\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n".encode())
            assert (await client.answer()).json["body"] == "body"

    run(main())


def test_the_servers_token_is_asked_for_and_not_shown():
    """A web application is behind the token like any; its own Authorization is its own."""

    async def main():
        async with web(telling, token="secret") as served:
            assert (await served.send(get("/app/"))).status == 401
            offer = ("Connection: Upgrade", "Upgrade: websocket")
            assert (await served.send(get("/app/", *offer))).status == 401
            told = (await served.send(get("/app/", "Authorization: Bearer secret"))).json
            assert "authorization" not in dict(told["headers"])
        async with web(telling, token="secret", public_queries=True) as served:
            told = (await served.send(get("/app/", "Authorization: Bearer own"))).json
            assert dict(told["headers"])["authorization"] == "Bearer own"

    run(main())


def test_a_connection_that_waited_for_a_slow_reader_is_used_again_by_others():
    """The last piece of an answer may be one too many for its client, not for the next."""

    async def large(scope, receive, send):
        await respond(send, b"x" * (4 << 20))

    async def main():
        async with web(large) as served:
            slow = await served.client()
            reading: Any = slow.writer.transport
            reading.pause_reading()
            slow.send(get("/app/"))
            await until(lambda: any(c.exchanges for c in _replicas(served)))
            for client in [await served.client() for _ in range(3)]:
                for _ in range(3):
                    client.send(get("/app/"))
                    assert len((await client.answer()).body) == 4 << 20
            reading.resume_reading()
            assert len((await slow.answer()).body) == 4 << 20
            for client in [await served.client() for _ in range(3)]:
                client.send(get("/app/"))
                assert len((await client.answer()).body) == 4 << 20

    run(main())


def test_an_upload_that_an_application_does_not_take_is_the_applications_fault():
    """504 after its time, and not 408 for the client."""

    async def never(scope, receive, send):
        await asyncio.Event().wait()

    async def main():
        async with web(never) as served:
            served.engine.stream_idle_s = 1.0
            client = await served.client()
            client.send(b"PUT /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
            client.send(b"x" * 50_000_000)
            assert (await client.answer()).status == 504

    run(main())


def test_a_path_that_becomes_another_applications_is_so_on_open_connections_too():
    """A kept connection follows the default application, new names and the end of one."""

    async def main():
        async with web(telling) as served:
            client = await served.client()
            asked = get("/other/x")
            for _ in range(3):
                client.send(asked)
                assert (await client.answer()).json["root_path"] == ""
            served.deploy("other", model="sums")
            client.send(asked)
            assert (await client.answer()).status == 404
            client.send(get("/app/x"))
            assert (await client.answer()).json["root_path"] == "/app"
            client.send(get("/app/x"))
            assert (await client.answer()).json["root_path"] == "/app"

    run(main())
