"""WebSockets through a real query server, by a real client, to a real uvicorn."""

import asyncio

import pytest
import websockets

from tests.integration.http.web.test_passing import get
from tests.models import web_app
from tests.serving import run, until
from tests.web import web


def url(served, path="/app/ws"):
    """Return where a WebSocket is asked for."""
    return f"ws://127.0.0.1:{served.server.port}{path}"


def test_messages_go_both_ways():
    """Texts, bytes, and one that is longer than any buffer on the way."""

    async def main():
        async with (
            web(web_app.app) as served,
            websockets.connect(url(served), max_size=None) as sock,
        ):
            for message in ("hello", b"\0\1", "x" * (4 << 20), "end"):
                await sock.send(message)
                assert await sock.recv() == message

    run(main())


def test_what_ends_a_socket_is_told_on_the_other_side():
    """The application's code comes to the client; a client that goes is the application's end."""

    async def main():
        async with web(web_app.app) as served:
            async with websockets.connect(url(served)) as sock:
                await sock.send("bye")
                with pytest.raises(websockets.ConnectionClosed) as caught:
                    await sock.recv()
                assert caught.value.rcvd.code == 4000
            async with websockets.connect(url(served)) as sock:
                await sock.send("hello")
                await sock.recv()
                (replica,) = _replicas(served)
                assert len(replica.exchanges) == 1
                sock.transport.abort()
                await until(lambda: not replica.exchanges)
            await until(lambda: not served.server.connections)

    run(main())


def _replicas(served):
    return [slot.connection for each in served.engine.dispatchers.values() for slot in each.slots]


def test_a_socket_that_is_refused_leaves_the_connection_as_it_was():
    """403 is an answer like any; the next request is read."""

    async def main():
        async with web(web_app.app) as served:
            client = await served.client()
            offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
            client.send(get("/app/refused", *offer, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
            assert (await client.answer()).status == 403
            with pytest.raises(websockets.InvalidStatus, match="403"):
                await websockets.connect(url(served, "/app/refused"))

    run(main())


def test_a_server_that_ends_ends_its_sockets():
    """They are given the time that open answers have, and no more."""

    async def main():
        async with web(web_app.app) as served, websockets.connect(url(served)) as sock:
            await sock.send("hello")
            await sock.recv()
            served.server.stop_accepting()
            await served.server.drain(0.1)
            with pytest.raises(websockets.ConnectionClosed, match="close frame"):
                await asyncio.wait_for(sock.recv(), 10)
            (replica,) = _replicas(served)
            assert not replica.exchanges

    run(main())


def test_a_socket_to_an_application_that_has_none_is_an_ordinary_request():
    """A WSGI application refuses it."""

    def app(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    async def main():
        async with web(app, kind="wsgi") as served:
            with pytest.raises(websockets.InvalidStatus, match="403"):
                await websockets.connect(url(served))
            assert (await served.send(get("/app/"), has_body=False)).status == 200

    run(main())
