# ruff: noqa: ARG001 - what answers a connection has both of its ends
"""Servers that answer what is no answer, or nothing: what the client is told."""

import asyncio
import contextlib

import pytest

from tests.integration.http.web.test_passing import get
from tests.serving import post, run, until
from tests.web import OK, folder, keeping, listening, says, scripted, seat, serving


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"hello\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, "longer than 65536"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "hung up amid"),
        (OK + OK, "answered more than once"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "another protocol",
        ),
        (b"", "gave no answer"),
    ],
)
def test_what_is_no_answer_is_told_as_a_bad_gateway(answer, cause):
    """502 says what was wrong; a POST is not sent twice."""
    heads = []

    async def answering(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    async def main():
        async with scripted(answering) as served:
            told = await served.send(post("/app/x", b""))
            assert told.status == 502
            assert cause in told.json["cause"]
            assert len(heads) == 1

    run(main())


def test_a_body_that_ends_too_early_ends_the_connection():
    """So the client sees that it is not whole; it may be a length or chunks that are missing."""

    async def main():
        for framing in (
            b"Content-Length: 10\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ):
            async with scripted(says(b"HTTP/1.1 200 OK\r\n" + framing)) as served:
                client = await served.client()
                client.send(get("/app/"))
                assert (await client.reader.read()).endswith(framing)

    run(main())


def test_a_chunk_that_is_none_ends_the_connection():
    """What came before it was passed on; what it is, is not."""

    async def main():
        text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"

        async def answering(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(text)
            await asyncio.sleep(0.05)
            writer.write(b"zz\r\nabc\r\n0\r\n\r\n")
            await reader.read()

        async with scripted(answering) as served:
            client = await served.client()
            client.send(get("/app/"))
            assert await client.reader.read() == text

    run(main())


def test_an_answer_that_ends_with_its_connection_gets_chunks():
    """An older server's: the client's connection goes on; a client of HTTP/1.0 has it as it is."""

    async def main():
        text = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
        async with scripted(says(text)) as served:
            client = await served.client()
            for _ in range(2):
                client.send(get("/app/"))
                whole = await client.reader.readuntil(b"0\r\n\r\n")
                assert b"Transfer-Encoding: chunked" in whole
                assert whole.endswith(b"5\r\nhello\r\n0\r\n\r\n")
            old = await served.client()
            old.send(get("/app/", version="1.0"))
            assert (await old.reader.read()).endswith(b"\r\n\r\nhello")

    run(main())


def test_answers_before_the_answer_are_passed_on():
    """103 with its headers, in one piece with the answer or before; not to HTTP/1.0."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

    async def main():
        async with scripted(says(hints + OK, hints + OK, is_closing=False)) as served:
            client = await served.client()
            for _ in range(2):
                client.send(get("/app/"))
                early = await client.answer()
                assert (early.status, early.headers["link"]) == (103, "</a.css>")
                assert (await client.answer()).body == b"ok"
        async with scripted(says(hints + OK)) as served:
            client = await served.client()
            client.send(get("/app/", version="1.0"))
            assert b"103" not in await client.reader.read()

    run(main())


def test_trailers_are_passed_on():
    """What stands behind the last chunk comes as it is."""
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDigest: x\r\n\r\n"

    async def main():
        async with scripted(says(text, text, is_closing=False)) as served:
            client = await served.client()
            for _ in range(2):
                client.send(get("/app/"))
                assert await client.reader.readexactly(len(text)) == text

    run(main())


def test_a_connection_is_used_again():
    """Requests one after the other, of several clients, take one connection to a replica."""
    heads: list[bytes] = []
    connections = 0

    async def main():
        nonlocal connections
        answer = keeping(heads, OK)

        async def counting(reader, writer):
            nonlocal connections
            connections += 1
            await answer(reader, writer)

        async with scripted(counting) as served:
            for _ in range(10):
                assert (await served.send(get("/app/"))).body == b"ok"
        assert (connections, len(heads)) == (1, 10)

    run(main())


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 200), ("POST", 502)])
def test_a_kept_connection_that_was_closed_is_no_failure_where_asking_again_is_safe(method, status):
    """The replica closes a connection as it is used again: another one is made."""
    connections = 0

    async def main():
        nonlocal connections

        async def answering(reader, writer):
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            if connections == 1:
                await reader.readuntil(b"\r\n\r\n")  # of the next, which is not answered
            else:
                await reader.read()

        async with scripted(answering) as served:
            assert (await served.send(get("/app/"))).status == 200
            line = f"{method} /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
            told = await served.send(line.encode())
            assert told.status == status
            if status == 502:
                assert "POST" in told.json["cause"]

    run(main())


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_replica_that_cannot_be_reached_is_passed_over(method):
    """Nothing was sent to it, so that any request may be asked of another."""

    async def main():
        with folder() as place:
            async with listening(keeping([], OK), place / "there"), serving() as served:
                seat(served, place / "gone")
                seat(served, place / "there")
                for _ in range(6):
                    line = f"{method} /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
                    assert (await served.send(line.encode())).status == 200

    run(main())


def test_the_replica_with_the_fewest_requests_is_asked():
    """One that is busy with a slow request gets no other while a free one is there."""
    slow: list[bytes] = []
    fast: list[bytes] = []

    async def never(reader, writer):
        slow.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()

    async def main():
        with folder() as place:
            async with (
                listening(never, place / "slow"),
                listening(keeping(fast, OK), place / "fast"),
                serving() as served,
            ):
                seat(served, place / "slow")
                waiting = await served.client()
                waiting.send(get("/app/"))
                await until(lambda: slow)
                seat(served, place / "fast")
                for _ in range(10):
                    assert (await served.send(get("/app/"))).status == 200
                assert (len(slow), len(fast)) == (1, 10)

    run(main())


def test_an_application_that_says_nothing_is_given_up():
    """504 names the limit; the application is hung up on."""
    ended = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        ended.set()

    async def main():
        async with scripted(silent) as served:
            served.engine.stream_idle_s = 1.0
            told = await served.send(get("/app/"))
            assert told.status == 504
            assert "SERVD_PREDICT_TIMEOUT" in told.json["cause"]
            await ended.wait()

    run(main())


def test_a_stream_that_falls_silent_is_ended():
    """Its head is sent already, so that the connection ends."""

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        await reader.read()

    async def main():
        async with scripted(silent) as served:
            served.engine.stream_idle_s = 1.0
            client = await served.client()
            client.send(get("/app/"))
            assert (await client.reader.read()).endswith(b"ok\r\n")

    run(main())


def test_without_a_replica_it_says_so():
    """503 with what shows why, for requests with bodies and for HEAD as well."""

    async def main():
        async with scripted() as served:
            with folder() as place:
                connection = seat(served, place / "gone")
            for dispatcher in served.engine.dispatchers.values():
                dispatcher.detach(connection)
            told = await served.send(get("/app/"))
            assert (told.status, told.headers["retry-after"]) == (503, "1")
            assert "no replica of model:1 is ready" in told.json["cause"]
            assert (await served.send(post("/app/", b"x" * 100_000))).status == 503
            head = await served.send(b"HEAD /app/ HTTP/1.1\r\nHost: h\r\n\r\n", has_body=False)
            assert head.status == 503

    run(main())


def test_a_client_that_ends_amid_its_request_ends_the_replicas_too():
    """Half a body, then the end: the application is not left waiting for the rest."""
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def taking(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        await reader.read()
        ended.set()

    async def main():
        async with scripted(taking) as served:
            client = await served.client()
            client.send(b"PUT /app/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
            await begun.wait()
            client.writer.write_eof()
            assert (await client.answer()).status == 400
            await ended.wait()

    run(main())


def test_a_client_that_has_sent_all_may_close_its_side():
    """It is answered all the same, as `nc -N` wants it."""

    async def slowly(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(OK)

    async def main():
        async with scripted(slowly) as served:
            client = await served.client()
            client.send(get("/app/"))
            client.writer.write_eof()
            assert (await client.answer()).body == b"ok"
            assert await client.is_closed()

    run(main())


def test_one_that_has_closed_its_side_is_not_waited_for_for_ever():
    """Where nothing comes of the application it is taken to have gone, and the application told."""
    ended = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        ended.set()

    async def main():
        async with scripted(silent) as served:
            client = await served.client()
            client.send(get("/app/"))
            client.writer.write_eof()
            await ended.wait()

    run(main())


def test_a_replica_that_dies_with_many_kept_connections_costs_no_get():
    """All of its connections are at their end, and it cannot be reached: another one is asked."""

    async def main():
        with folder() as place:
            dying: list[asyncio.StreamWriter] = []

            async def once(reader, writer):
                dying.append(writer)
                await reader.readuntil(b"\r\n\r\n")
                await until(lambda: len(dying) == 8)
                writer.write(OK)
                await reader.readuntil(b"\r\n\r\n")  # of the next, of which it dies
                writer.write(b"HTTP/1.1 200 O")

            async with serving() as served:
                async with listening(once, place / "dying"):
                    seat(served, place / "dying")
                    clients = [await served.client() for _ in range(8)]
                    for client in clients:
                        client.send(get("/app/"))
                    assert [(await client.answer()).status for client in clients] == [200] * 8
                (place / "dying").unlink()
                async with listening(keeping([], OK), place / "well"):
                    seat(served, place / "well")
                    for client in clients:
                        client.send(get("/app/"))
                    assert [(await client.answer()).status for client in clients] == [200] * 8

    run(main())


def test_a_request_that_ends_replicas_costs_three_of_them():
    """It is asked again of others, but not until none is left; who asks is told."""
    ended = []

    async def dying(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        ended.append(writer)
        writer.close()

    async def main():
        with folder() as place:
            async with contextlib.AsyncExitStack() as stack:
                served = await stack.enter_async_context(serving())
                for number in range(5):
                    await stack.enter_async_context(listening(dying, place / str(number)))
                    seat(served, place / str(number))
                client = await served.client()
                client.send(get("/app/poison"))
                told = await client.answer()
                assert told.status == 502
                assert "nor did 2 others" in told.json["cause"]
                assert len(ended) == 3

    run(main())
