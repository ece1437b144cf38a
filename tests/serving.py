"""A real engine and query server in the test's own event loop, with a small raw HTTP client."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from msgspec.structs import replace

from model_runtime import protocol
from servd.config import Config
from servd.datatypes import (
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    RouteRule,
    VersionId,
)
from servd.engine.dispatcher import Dispatcher
from servd.engine.engine import Engine
from servd.engine.rpc import ReplicaConnection, connector
from servd.http.codecs import CODECS
from servd.http.codecs.base import Codec
from servd.http.query.server import QueryServer
from tests import strict_json
from tests.scripted_replica import ScriptedReplica

TEST_TIMEOUT_S = 30.0


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on the daemon's kind of event loop, under a timeout."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main, TEST_TIMEOUT_S))


async def until(is_true: Callable[[], object]) -> None:
    """Wait for a condition; the test's timeout is its limit."""
    while not is_true():  # noqa: ASYNC110 - what is waited for happens in another thread
        await asyncio.sleep(0.001)


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return strict_json.read(self.body)

    @property
    def pair(self) -> tuple[int, Any]:
        """Status and JSON."""
        return self.status, self.json


class Client:
    """One TCP connection; `send` takes raw bytes, `answer` reads one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def answer(self, *, has_body: bool = True) -> Answer:
        """Read the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0)) if has_body else 0
        return Answer(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def is_closed(self) -> bool:
        """Wait for the server to close; whether it sent nothing more before."""
        try:
            return not await self.reader.read()
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def rendered(rendering: Generator[None, None, bytes]) -> bytes:
    """Return a text that is rendered in slices, all at once."""
    while True:
        try:
            next(rendering)
        except StopIteration as end:
            return bytes(end.value)


def post(path: str, body: Any, *lines: str) -> bytes:
    """Return a request's bytes; `body` is sent as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "".join(f"{line}\r\n" for line in lines)
    return (
        f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(data)}\r\n{head}\r\n".encode()
        + data
    )


class Owner:
    """Remembers what a replica says of itself."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.infos: list[dict[str, Any]] = []

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take a STATE message."""
        self.states.append(state)
        self.infos.append(info)


class Serving:
    """An engine with its query server. `deploy` makes an application on a model."""

    def __init__(self, engine: Engine, server: QueryServer) -> None:
        self.engine = engine
        self.server = server
        self.state = RegistryState()
        self._clients: list[Client] = []
        self._connections: list[ReplicaConnection] = []

    def deploy(
        self,
        application: str = "app",
        model: str | None = "model",
        version: str = "1",
        *,
        slo_ms: float = 20_000,
        default: str | None = "-1",
        **options: Any,
    ) -> Dispatcher | None:
        """Put an application and a version into the registry's state and apply it."""
        input_type = options.pop("input_type", InputType.DOUBLES)
        apps, versions = dict(self.state.applications), dict(self.state.versions)
        current, links = dict(self.state.current), dict(self.state.links)
        apps[application] = Application(
            name=application,
            input_type=input_type,
            slo_us=int(slo_ms * 1000),
            default_output=default,
        )
        if model is not None:
            made = ModelVersion(model=model, version=version, input_type=input_type, **options)
            versions[made.id] = made
            current[model] = version
            links[application] = (model,)
        self.state = replace(
            self.state, applications=apps, versions=versions, current=current, links=links
        )
        self.engine.apply(self.state)
        return self.engine.dispatchers.get(VersionId(model or "", version))

    def route(self, *rules: RouteRule) -> None:
        """Have these further paths and no others."""
        self.state = replace(self.state, routes={rule.name: rule for rule in rules})
        self.engine.apply(self.state)

    async def attach(
        self, replica: ScriptedReplica, dispatcher: Dispatcher | None
    ) -> ReplicaConnection:
        """Connect a replica and give it work once it says that it is ready."""
        assert dispatcher is not None
        owner = Owner()
        connection = connector(self.engine.context, self.engine.clock)(replica.address, owner)
        self._connections.append(connection)
        connection.open()
        await until(lambda: protocol.READY in owner.states)
        dispatcher.attach(connection)
        return connection

    async def client(self) -> Client:
        """Open a connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self._clients.append(client)
        return client

    async def post(self, path: str, body: Any, *lines: str) -> Answer:
        """Send one request on a connection of its own and read the answer."""
        return await self.send(post(path, body, *lines))

    async def predict(self, body: Any, application: str = "app") -> tuple[int, Any]:
        """Ask an application; return status and JSON."""
        return (await self.post(f"/{application}/predict", body)).pair

    async def send(self, data: bytes, *, has_body: bool = True) -> Answer:
        """Send raw bytes on a connection of their own and read the answer."""
        client = await self.client()
        client.send(data)
        answer = await client.answer(has_body=has_body)
        await client.close()
        return answer

    async def end(self) -> None:
        """Close what was opened."""
        for client in self._clients:
            await client.close()
        for connection in self._connections:
            connection.close()


@asynccontextmanager
async def serving(
    cache_bytes: int = 1 << 20,
    *,
    is_lazy: bool = True,
    codecs: Sequence[Codec] = CODECS,
    **settings: Any,
) -> AsyncIterator[Serving]:
    """Yield a running engine with a query server on a free port.

    `is_lazy` says that no reader of long bodies is started before there is one: most tests have
    none.
    """
    config = Config(data_dir=Path("unused"), query_port=0, **settings)
    async with Engine(cache_bytes) as engine:
        server = QueryServer(engine, config, codecs=codecs)
        server.reader.nursery.is_lazy = is_lazy
        async with server:
            served = Serving(engine, server)
            try:
                yield served
            finally:
                await served.end()
