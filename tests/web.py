"""Web applications behind a real query server: uvicorn, or a server that says what a test says."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from model_runtime.web.serving import WebApp, config_of
from servd.datatypes import InputType
from servd.engine.rpc import ReplicaConnection, connector
from tests.serving import Owner, Serving, serving, until

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a server does with one connection."""


class Server(uvicorn.Server):
    """uvicorn in a test's own event loop: signals are the test's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them."""
        yield


def seat(
    served: Serving, path: Path | str, version: str = "1", **options: Any
) -> ReplicaConnection:
    """Have a replica of the application in rotation whose HTTP server is at a path."""
    dispatcher = served.deploy(
        version=version, web="asgi", input_type=InputType.ANY, default=None, **options
    )
    assert dispatcher is not None
    connect = connector(served.engine.context, served.engine.clock)
    connection = connect(f"ipc://{path}.not-there", Owner())
    connection.http = f"unix://{path}"
    dispatcher.attach(connection)
    return connection


@asynccontextmanager
async def listening(answering: Answering, path: Path) -> AsyncIterator[None]:
    """Have a server at a path that does what a test says."""
    tasks: set[asyncio.Task[Any]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await answering(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(app: Any, path: Path, kind: str = "asgi") -> AsyncIterator[Server]:
    """Have an application run at a path, as in a replica."""
    config = config_of(WebApp(app, kind))
    config.lifespan = "off"
    server = Server(config)
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[sock]))
    try:
        await until(lambda: server.started or task.done())
        yield server
    finally:
        server.should_exit = server.force_exit = True
        await task


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="sv-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def web(app: Any, *, kind: str = "asgi", **settings: Any) -> AsyncIterator[Serving]:
    """Yield a query server whose application `app` is a web application with one replica."""
    with folder() as place:
        async with running(app, place / "0", kind), serving(**settings) as served:
            seat(served, place / "0")
            yield served


@asynccontextmanager
async def scripted(*answering: Answering, **settings: Any) -> AsyncIterator[Serving]:
    """Yield a query server whose application has replicas that answer as a test says."""
    with folder() as place:
        async with contextlib.AsyncExitStack() as stack:
            for number, each in enumerate(answering):
                await stack.enter_async_context(listening(each, place / str(number)))
            served = await stack.enter_async_context(serving(**settings))
            for number in range(len(answering)):
                seat(served, place / str(number))
            yield served


def says(*answers: bytes, is_closing: bool = True) -> Answering:
    """Return what answers each request of a connection with bytes, then hangs up or waits."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for text in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(text)
        if not is_closing:
            await reader.read()

    return answer


def keeping(heads: list[bytes], text: bytes) -> Answering:
    """Return what keeps the heads of requests and answers each with the same bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(text)

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def headers_of(scope: dict[str, Any]) -> dict[bytes, bytes]:
    """Return the headers that an application sees."""
    return dict(scope["headers"])


async def respond(
    send: Any, body: bytes = b"ok", status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer a request whole."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})
