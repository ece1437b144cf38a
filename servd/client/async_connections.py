"""Connections of an event loop: to the query port, kept between queries, and to the admin API.

Used by async_client.py; what is sent and what it means is exchange.py's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from servd.client.admin import API, NDJSON, Address, AdminClient, check_peer
from servd.client.calls import Call
from servd.client.exchange import Answer, LateError, LostError, Reading, Request
from servd.client.items import Lines
from servd.errors import DaemonNotRunningError

_PIECE_BYTES: Final = 256 * 1024

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class AsyncConnection:
    """One connection, made when something is sent first."""

    def __init__(self, connect: Connect, host: str, token: str | None) -> None:
        self._connect = connect
        self._host = host
        self._token = token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is there, and the other side has not closed it."""
        reader, writer = self._reader, self._writer
        return reader is not None and writer is not None and not reader.at_eof()

    async def send(self, request: Request) -> None:
        """Send a request.

        Raises:
            LostError: nothing answers there.
        """
        if self._writer is None:
            try:
                self._reader, self._writer = await self._connect()
            except OSError as error:
                reason = error.strerror or error
                message = f"nothing answers at {self._host}: {reason}"
                raise LostError(message, is_sent=False) from error
        self._writer.write(request.encoded(self._host, self._token))
        with suppress(ConnectionError):
            # What is refused is answered before it was all read.
            await self._writer.drain()

    async def read(self) -> bytes:
        """Return what comes; nothing at the end."""
        assert self._reader is not None  # noqa: S101 - it has been sent to
        try:
            return await self._reader.read(_PIECE_BYTES)
        except ConnectionError:
            return b""

    async def close(self) -> None:
        """Close it."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


class AsyncConnections:
    """Those to one address, of one event loop."""

    def __init__(self, address: str, connect: Connect, token: str | None) -> None:
        self.address = address
        self._connect = connect
        self._token = token
        self._idle: list[AsyncConnection] = []

    async def exchange(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and return its answer.

        Raises:
            LostError: none came, or only a part of it.
            LateError: none came in time.
        """
        try:
            async with asyncio.timeout(timeout_s), self.sending(request) as (reading, pieces):
                body = b"".join([piece async for piece in pieces])
        except TimeoutError as error:
            raise LateError(f"{self.address} did not answer within {timeout_s:g} s") from error
        reading.answer.body = body
        return reading.answer

    @asynccontextmanager
    async def sending(
        self, request: Request, *, silence_s: float | None = None
    ) -> AsyncIterator[tuple[Reading, AsyncIterator[bytes]]]:
        """Send a request; yield its answer's head and the pieces of its body, as they come.

        Nothing may come for `silence_s`, None: as long as it takes.
        """
        connection = await self._take()
        reading = Reading()
        try:
            async with asyncio.timeout(silence_s):
                await connection.send(request)
                while not reading.has_head:
                    reading.feed(await connection.read())
            yield reading, _pieces(connection, reading, silence_s)
        except TimeoutError as error:
            if silence_s is None:
                raise
            raise LateError(f"{self.address} said nothing for {silence_s:g} s") from error
        finally:
            if reading.is_whole and reading.is_kept:
                self._idle.append(connection)
            else:
                await connection.close()

    async def _take(self) -> AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            await connection.close()
        return AsyncConnection(self._connect, self.address, self._token)

    async def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            await self._idle.pop().close()


async def _pieces(
    connection: AsyncConnection, reading: Reading, silence_s: float | None
) -> AsyncIterator[bytes]:
    while True:
        if piece := reading.take():
            yield piece
        if reading.is_whole:
            return
        async with asyncio.timeout(silence_s):
            reading.feed(await connection.read())


class AsyncAdmin:
    """The admin API as an `AdminClient` (admin.py) knows it, for an event loop."""

    def __init__(self, known: AdminClient) -> None:
        self._known = known

    async def ask(self, call: Call, timeout_s: float) -> Any:
        """Return the JSON answer of a call, or None where it has none.

        Raises:
            ApiError: it is an error.
            DaemonNotRunningError: nothing answers.
        """
        connections = AsyncConnections(str(self._known.address), self._connect, self._known.token)
        try:
            answer = await connections.exchange(_request(call), timeout_s)
        finally:
            await connections.close()
        if answer.status >= 400:
            raise self._known.error_of(answer.status, answer.body)
        return json.loads(answer.body) if answer.body else None

    async def lines(self, call: Call, silence_s: float | None) -> AsyncIterator[str]:
        """Make a call and yield each line of the answer as it comes."""
        connections = AsyncConnections(str(self._known.address), self._connect, self._known.token)
        lines = Lines()
        try:
            async with connections.sending(_request(call), silence_s=silence_s) as (
                reading,
                pieces,
            ):
                if reading.answer.status >= 400:
                    body = b"".join([piece async for piece in pieces])
                    raise self._known.error_of(reading.answer.status, body)
                async for piece in pieces:
                    for line in lines.feed(piece):
                        yield line
            for line in lines.finish():
                yield line
        finally:
            await connections.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        first, *others = self._known.addresses
        try:
            return await _opened(first)
        except OSError as error:
            for other in others:
                # The socket's file was taken away; the daemon that made it answers on its port.
                with suppress(OSError):
                    return await _opened(other)
            raise DaemonNotRunningError(str(first)) from error


async def _opened(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.path is None:
        return await asyncio.open_connection(address.host, address.port)
    reader, writer = await asyncio.open_unix_connection(str(address.path))
    try:
        check_peer(writer.get_extra_info("socket"), address)
    except PermissionError:
        writer.close()
        raise
    return reader, writer


def _request(call: Call) -> Request:
    body = None if call.method in ("GET", "DELETE") else b""
    if call.body is not None:
        body = json.dumps(call.body).encode()
    return Request(call.method, API + call.path, body, headers=(("Accept", f"{NDJSON}, */*"),))
