"""Connections to the query port that are kept between queries. Used by client.py.

A connection is one caller's at a time; as many are kept as there were callers at once.
"""

import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from servd.client.exchange import Answer, LateError, LostError, Reading, Request

_PIECE_BYTES = 256 * 1024


class Connection:
    """One connection, made when something is sent first."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None

    def connect(self, timeout_s: float) -> None:
        """Connect, where that has not been done.

        Raises:
            LostError: nothing answers there.
        """
        if self._socket is not None:
            return
        try:
            made = socket.create_connection((self._host, self._port), timeout_s)
        except OSError as error:
            reason = error.strerror or error
            message = f"nothing answers at {self._host}:{self._port}: {reason}"
            raise LostError(message, is_sent=False) from error
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = made

    @property
    def is_usable(self) -> bool:
        """Whether it is there, and the other side has neither closed it nor said anything."""
        if self._socket is None:
            return False
        poll = select.poll()  # `select` knows no descriptors above 1023
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def send(self, data: bytes, timeout_s: float) -> None:
        """Send the bytes of a request; what is refused is answered before it was all read."""
        sock = self._socket
        assert sock is not None  # noqa: S101 - connect comes first
        sock.settimeout(timeout_s)
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(data)

    def read(self, timeout_s: float) -> bytes:
        """Return what comes; nothing at the end."""
        sock = self._socket
        assert sock is not None  # noqa: S101 - as above
        sock.settimeout(timeout_s)
        try:
            return sock.recv(_PIECE_BYTES)
        except ConnectionError:
            return b""

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Connections:
    """Those of one client; may be used by several threads."""

    def __init__(self, host: str, port: int, token: str | None) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host = host
        self._port = port
        self._token = token
        self._idle: list[Connection] = []
        self._pid = os.getpid()

    def exchange(self, request: Request, timeout_s: float) -> Answer:
        """Send a request and return its answer.

        Raises:
            LostError: none came, or only a part of it.
            LateError: none came in time.
        """
        with self.sending(request, timeout_s) as (reading, pieces):
            body = b"".join(pieces)
        reading.answer.body = body
        return reading.answer

    @contextmanager
    def sending(
        self, request: Request, timeout_s: float
    ) -> Iterator[tuple[Reading, Iterator[bytes]]]:
        """Send a request; yield its answer's head and the pieces of its body, as they come."""
        connection = self._take()
        reading = Reading()
        deadline_s = time.monotonic() + timeout_s
        try:
            connection.connect(timeout_s)
            connection.send(request.encoded(self.address, self._token), timeout_s)
            while not reading.has_head:
                reading.feed(connection.read(max(deadline_s - time.monotonic(), 1e-3)))
            yield reading, _pieces(connection, reading, timeout_s)
        except TimeoutError as error:
            raise LateError(f"{self.address} did not answer within {timeout_s:g} s") from error
        finally:
            if reading.is_whole and reading.is_kept:
                self._idle.append(connection)
            else:
                connection.close()

    def _take(self) -> Connection:
        if self._pid != os.getpid():
            # A forked process would take its parent's answers; what it closes stays open there.
            self.close()
            self._pid = os.getpid()
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.is_usable:
                    return connection
                connection.close()
        return Connection(self._host, self._port)

    def close(self) -> None:
        """Close what is kept."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()


def _pieces(connection: Connection, reading: Reading, timeout_s: float) -> Iterator[bytes]:
    while True:
        if piece := reading.take():
            yield piece
        if reading.is_whole:
            return
        reading.feed(connection.read(timeout_s))
