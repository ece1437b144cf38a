"""The connecting end of `tls://HOST:PORT`: the stream carrier for replicas on other machines.

Made by remote.py. Encryption is done in the event loop where a message is sent or read, by objects
without a socket (model_runtime/tls.py): no thread is woken for a message.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from model_runtime.carriers import TLS_SCHEME
from model_runtime.framing import Assembler, prefix
from model_runtime.health import parse_address
from model_runtime.tls import Identity, Session, StrangerError
from servd.carriers.carriers import RECONNECT_MS, OnFrames, Piece, StreamCarrier
from servd.carriers.long_bytes import Mapping

RECONNECT_MAX_S: Final = 1.0
"""A replica that nobody listens for is tried ever less often, up to this."""

SLICE_BYTES: Final = 1 << 17
"""Of a long message are encrypted at a time, when the socket has taken what was before."""


class TlsCarrier(StreamCarrier):
    """A TLS connection. It connects again when the replica hangs up or none is there.

    `_plain` is what is left of the message that is being sent; `_going` what was encrypted of it.

    Args:
        address: "tls://HOST:PORT".
        identity: the front end's; None where it has none: nobody is connected to.
        on_frames: called with each message.
        on_end: called when a connection that had been made has ended.
        on_refused: called with the reason why one was not made, by either end.
    """

    def __init__(
        self,
        address: str,
        identity: Identity | None,
        on_frames: OnFrames,
        *,
        on_reconnected: Callable[[], None],
        on_end: Callable[[], None],
        on_refused: Callable[[str], None],
    ) -> None:
        super().__init__(address, on_frames, on_reconnected)
        self._at = self._host, _ = parse_address(address.removeprefix(TLS_SCHEME))
        self._identity = identity
        self._on_end = on_end
        self._on_refused = on_refused
        self._session: Session | None = None
        self._assembler = Assembler(new_piece=Mapping)
        self._has_heard = self._is_refused = False
        self._plain: deque[Piece] = deque()

    def open(self) -> None:
        """Begin to connect; it goes on in the event loop, and again until it succeeds."""
        if self._identity is None:
            self._on_refused("this front end has no certificate")
        else:
            super().open()

    def _new_socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _on_open(self, sock: socket.socket) -> None:
        self._is_behind = True
        self._has_heard = self._is_refused = False
        asyncio.get_running_loop().add_writer(sock.fileno(), self._on_connected)

    def _on_connected(self) -> None:
        sock, identity = self._socket, self._identity
        assert sock is not None  # noqa: S101  # close() has removed the writer else
        assert identity is not None  # noqa: S101  # open() has asked
        loop = asyncio.get_running_loop()
        loop.remove_writer(sock.fileno())
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._socket = None
            sock.close()
            self._open_later()
            return
        self._session = Session(identity)
        self._assembler = Assembler(new_piece=Mapping)
        self._feed = self._greet
        loop.add_reader(sock.fileno(), self.read)
        self._answer(self._session.begin())

    def close(self) -> None:
        """Let go of the socket."""
        super().close()
        self._session = None

    def send(self, *frames: bytes) -> None:
        """Send a message in one call of the system; keep what the socket does not take."""
        message = b"".join((prefix(*frames), *frames))
        sock, session = self._socket, self._session
        if self._is_behind or sock is None or session is None:
            self._keep((message,))
            return
        self._offer(sock, session.wrap(message))

    def _next_pieces(self) -> list[Piece]:
        """Return what is to be sent next, encrypted no earlier than it can go."""
        if self._going:
            return [memoryview(self._going[0])[self._sent :]]
        if not self._plain and self._unsent:
            self._plain.extend(self._unsent.popleft())
        hidden: list[bytes] = []
        left = SLICE_BYTES
        while self._plain and left > 0:
            piece = memoryview(self._plain.popleft())
            if len(piece) > left:
                self._plain.appendleft(piece[left:])
                piece = piece[:left]
            left -= len(piece)
            if piece and self._session is not None:
                hidden.append(self._session.wrap(piece))
        if not hidden:
            return []
        self._going.append(b"".join(hidden))
        return [self._going[0]]

    def _drop_unsent(self) -> None:
        super()._drop_unsent()
        self._plain.clear()

    def _greet(self, arrived: bytes | memoryview) -> list[list[Any]]:
        """Take what comes until the handshake is over; then send what has waited for that."""
        session = self._session
        messages = self._decrypt(arrived)
        if session is not None and session.is_open:
            self._feed = self._decrypt
            self._begin()
        return messages

    def _decrypt(self, arrived: bytes | memoryview) -> list[list[Any]]:
        session = self._session
        assert session is not None  # noqa: S101  # it is there as long as the socket is read
        try:
            said = session.take(arrived)
        except StrangerError as error:
            self._answer(session.outgoing())
            self._refuse(str(error))
            raise
        self._answer(session.outgoing())
        if not said:
            return []
        self._has_heard = True
        return self._assembler.feed(said)

    def _answer(self, hidden: bytes) -> None:
        """Send what TLS itself has to say: a handshake, or why it is refused."""
        sock, session = self._socket, self._session
        if not hidden or sock is None or session is None:
            return
        if self._going:
            self._going.append(hidden)
        elif session.is_open:
            self._offer(sock, hidden)
        else:
            with suppress(OSError):  # it has hung up: reading says so next
                sock.send(hidden)  # an empty buffer takes a handshake whole

    def _hang_up(self) -> None:
        """Connect again, and tell of the end, or that there was no beginning."""
        session, has_heard = self._session, self._has_heard
        if session is not None and session.is_open and not (has_heard or self._is_refused):
            self._refuse("it hung up without a word")
        if has_heard:
            self._pause_s = RECONNECT_MS / 1000
        super()._hang_up()
        if has_heard:
            self._on_end()

    def _refuse(self, why: str) -> None:
        self._is_refused = True
        self._on_refused(why)

    def _open_later(self) -> None:
        super()._open_later()
        self._pause_s = min(self._pause_s * 2, RECONNECT_MAX_S)
