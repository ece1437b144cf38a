"""A WSGI application as an ASGI one: a2wsgi's bridge, in threads. Used by serving.py.

Beyond that bridge, an application whose client has hung up is told so: what it yields is closed, as
PEP 3333 asks for, so that a thread does not go on for nobody.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from a2wsgi.wsgi import Body, WSGIResponder

THREADS: Final = 32
"""Requests at once of a replica, where the deployer does not say (`--concurrency`)."""
_QUEUED: Final = 4
"""Pieces of an answer that wait for a client who reads slowly."""


class HungUpError(ConnectionError):
    """The client has hung up; raised in the thread, where the application reads or answers."""


class WsgiBridge:
    """Answers requests by a WSGI application in `threads` threads."""

    def __init__(self, app: Callable[..., Any], threads: int = THREADS) -> None:
        self._app = app
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="wsgi")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request; there are neither WebSockets nor a lifespan in WSGI."""
        if scope["type"] == "http":
            scope["headers"] = [*_told(scope["headers"])]
            await _Responder(self._called, self._pool, receive).answer(scope, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise NotImplementedError(scope["type"])

    def _called(self, environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = io.BufferedReader(_Input(environ["wsgi.input"]))
        # What comes in chunks has an end, too.
        environ["wsgi.input_terminated"] = True
        environ["wsgi.errors"] = sys.stderr
        environ["wsgi.multiprocess"] = False
        return self._app(environ, start_response)


class _Input(io.RawIOBase):
    """A request's body as it comes, for a reader that keeps what a file's methods promise.

    The bridge's own says the body is over where `readline(limit)` finds nothing there yet.
    """

    def __init__(self, body: Body) -> None:
        self._body = body

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, into: Any) -> int:
        """Read what is there, or wait for something; 0 at the end."""
        view = memoryview(into).cast("B")
        data = self._body.read(1)
        if data and len(view) > 1:
            data += self._body.read(min(len(view) - 1, len(self._body.buffer)))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Read all of it."""
        return self._body.read()


class _Responder(WSGIResponder):
    """One request. Who waits for the client's end reads ahead of the application, a message."""

    def __init__(self, app: Callable[..., Any], pool: ThreadPoolExecutor, receive: Any) -> None:
        super().__init__(app, pool, _QUEUED)
        self._receive = receive
        self._come: deque[dict[str, Any]] = deque()
        self._whole = asyncio.Event()
        self._is_gone = False
        self._failure: Exception | None = None

    async def answer(self, scope: dict[str, Any], send: Any) -> None:
        """Answer, and watch for the client's end once there is nothing more to read."""
        watching = asyncio.get_running_loop().create_task(self._watch(_has_body(scope)))
        try:
            await self(scope, self._next, send)  # type: ignore[arg-type]
        except HungUpError:
            if self._failure is not None:
                raise self._failure from None
        finally:
            watching.cancel()

    async def sender(self, send: Any) -> None:
        """Send what is queued; what cannot be sent ends the application's thread."""
        try:
            await super().sender(send)
        except Exception as error:
            self._failure, self._is_gone = error, True
            while not self.send_queue.empty():
                self.send_queue.get_nowait()
            raise

    async def _next(self) -> Any:
        """Return the next message for the application's input."""
        if self._come:
            return self._come.popleft()
        if self._whole.is_set():
            return {"type": "http.request", "body": b"", "more_body": False}
        message = self._note(await self._receive())
        if message["type"] == "http.disconnect":
            # A part of a body is none: an application that got it might act on it.
            raise HungUpError("the client has hung up amid its request")
        return message

    async def _watch(self, has_body: bool) -> None:  # noqa: FBT001  # private, called once
        if has_body:  # which nobody but the application may read
            await self._whole.wait()
        else:
            self._come.append(self._note(await self._receive()))
        while not self._is_gone:
            self._note(await self._receive())

    def _note(self, message: dict[str, Any]) -> dict[str, Any]:
        self._is_gone |= message["type"] == "http.disconnect"
        if not message.get("more_body", False):
            self._whole.set()
        return message

    def send(self, message: Any) -> None:
        """Send a part of the answer. Called in a thread.

        Raises:
            HungUpError: nobody hears it.
        """
        if self._is_gone:
            raise HungUpError("the client has hung up")
        super().send(message)


def _told(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Give the headers that an environment can have without being ambiguous.

    CGI's names do not tell `X_Forwarded_For`, which any client may send, from the proxy's own
    `X-Forwarded-For`: as with other WSGI servers, names with an underscore are left out. Several
    cookies are one, as RFC 9110 §5.3 would not have it but RFC 9113 §8.2.3 does.
    """
    cookies = []
    for name, value in headers:
        if name == b"cookie":
            cookies.append(value)
        elif b"_" not in name:
            yield name, value
    if cookies:
        yield b"cookie", b"; ".join(cookies)


def _has_body(scope: dict[str, Any]) -> bool:
    wanted = {b"content-length", b"transfer-encoding"}
    return any(name in wanted and value != b"0" for name, value in scope["headers"])
