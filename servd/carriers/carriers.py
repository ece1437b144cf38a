"""How messages reach a replica: the connecting end of the two carriers. Used by rpc.py.

Both are driven by their file descriptor in the event loop and never wait. `unix://PATH`, a stream
socket, is for replicas on this machine; `ipc://` and `tcp://`, ZeroMQ's DEALER, for all others.
"""

import asyncio
import errno
import io
import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

import zmq

from model_runtime.carriers import STREAM_SCHEME
from model_runtime.framing import Assembler, prefix, prefix_of_sizes
from model_runtime.protocol import ProtocolError
from servd.carriers.curve import CurveKeys
from servd.carriers.long_bytes import LONG_BYTES, Mapping, view_of
from servd.carriers.processor_time import ProcessorTime
from servd.clock import monotonic
from servd.system.peers import unix_peer

RECONNECT_MS: Final = 10
"""A replica binds its socket a moment after it is launched; ZeroMQ's 100 ms would be waited out."""

MAX_UNSENT: Final = 1000
"""Messages that wait for a replica that reads none; more are dropped: heartbeats are not missed."""

TURN_BYTES: Final = 1 << 20
"""Of a long message are sent in one turn of the event loop: a fraction of a millisecond's work."""

SLOWEST_BYTES_S: Final = 10_000_000
"""A long message over ZeroMQ is waited for as if it came so fast, before silence is silence."""

_MOVES_S: Final = 1.0
_RECEIVE_BYTES: Final = 1 << 18
_SEND_BYTES: Final = 1 << 18
_SEND_PIECES: Final = 64

# Plain numbers: combining and passing the enum members takes longer than a send.
_POLLIN = int(zmq.POLLIN)
_EVENTS = int(zmq.EVENTS)
_RCVMORE = int(zmq.RCVMORE)
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.SNDMORE | zmq.NOBLOCK)

Piece = bytes | memoryview
"""A part of a message."""

OnFrames = Callable[[list[Any]], None]
"""Takes a message that came; its payload frames are bytes, or lists of pieces where it is long."""


class Carrier(Protocol):
    """One connection to one replica, whatever carries it.

    What is longer than `joined_bytes` had better be sent by `send_long`.
    """

    joined_bytes: int

    def open(self) -> None:
        """Connect in the background: the replica may not listen yet."""

    def close(self) -> None:
        """Disconnect; nothing more is heard."""

    def send(self, *frames: bytes) -> None:
        """Send a message of a header and up to two payload frames."""

    def send_long(self, header: bytes, data: Sequence[Piece], lengths: bytes) -> None:
        """Send a message whose data is long and in pieces, which must not change meanwhile."""

    def expect(self, size: int) -> None:
        """Take the replica's word that a message of so many bytes comes next."""

    def has_moved(self) -> bool:
        """Whether the replica shows life by other means than a message, since last asked."""

    def read(self) -> None:
        """Hand over the messages that have come; none may have. Called by the event loop too."""


Carry = Callable[[OnFrames, Callable[[], None]], Carrier]
"""Makes the carrier of a connection: given who takes messages, and who is told when the replica has
hung up and was connected to again, which ZeroMQ does not tell."""


def carry(
    address: str, context: "zmq.Context[zmq.Socket[bytes]]", curve: CurveKeys | None = None
) -> Carry:
    """Return what carries messages to an address on this machine; keys are for ZeroMQ's."""
    if address.startswith(STREAM_SCHEME):
        return partial(StreamCarrier, address.removeprefix(STREAM_SCHEME))
    return lambda on_frames, _on_reconnected: ZmqCarrier(address, context, on_frames, curve)


class StreamCarrier:
    """A unix stream socket. It connects again when the replica hangs up; nobody else may.

    `_at` is where it connects to, and `_pause_s` how long it waits before it tries that again.
    `_unsent` are messages that the socket has not taken, `_going` is what is left of the one that
    is being sent, and `_sent` how much of its first piece has gone. While `_is_behind`, all waits.
    """

    joined_bytes: int = 1 << 14
    """To copy more takes longer than to tell the system where the pieces are."""

    def __init__(
        self, path: str, on_frames: OnFrames, on_reconnected: Callable[[], None] = lambda: None
    ) -> None:
        self._at: str | tuple[str, int] = path
        self._pause_s = RECONNECT_MS / 1000
        self._on_reconnected = on_reconnected
        self._has_hung_up = False
        self._on_frames = on_frames
        self._socket: socket.socket | None = None
        self._feed: Callable[[bytes | memoryview], list[list[Any]]] = Assembler(
            new_piece=Mapping
        ).feed
        self._arrived = memoryview(bytearray(_RECEIVE_BYTES))
        self._is_behind = True
        self._unsent: deque[tuple[Piece, ...]] = deque()
        self._going: deque[Piece] = deque()
        self._sent = 0
        self._has_moved = False
        self._life: ProcessorTime | None = None
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Connect, now or as soon as the replica listens."""
        self._retry = None
        sock = self._new_socket()
        try:
            failure = sock.connect_ex(self._at)
        except OSError:
            failure = errno.EADDRNOTAVAIL  # a name that nobody knows, a path that is too long
        if failure not in (0, errno.EINPROGRESS):
            sock.close()
            self._open_later()
            return
        self._socket = sock
        self._on_open(sock)

    def _new_socket(self) -> socket.socket:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def _on_open(self, sock: socket.socket) -> None:
        """Go on with a socket that is connected, or will be."""
        self._feed = Assembler(new_piece=Mapping).feed
        self._life = ProcessorTime(unix_peer(sock)[0])
        asyncio.get_running_loop().add_reader(sock.fileno(), self.read)
        self._begin()

    def _begin(self) -> None:
        """Send what waits, now that there is somebody to send it to."""
        self._flush()
        if self._has_hung_up:
            self._on_reconnected()

    def close(self) -> None:
        """Let go of the socket."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._drop_unsent()
        sock, self._socket = self._socket, None
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            loop.remove_writer(sock.fileno())
            sock.close()

    def send(self, *frames: bytes) -> None:
        """Send a message in one call of the system; keep what the socket does not take."""
        message = b"".join((prefix(*frames), *frames))
        sock = self._socket
        if self._is_behind or sock is None:
            self._keep((message,))
            return
        self._offer(sock, message)

    def _offer(self, sock: socket.socket, message: bytes) -> None:
        """Give the socket a message that nothing waits before; keep what it does not take."""
        try:
            sent = sock.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has hung up: reading says so next
        if sent < len(message):
            self._is_behind = True
            self._going.append(message)
            self._sent = sent
            asyncio.get_running_loop().add_writer(sock.fileno(), self._flush)

    def send_long(self, header: bytes, data: Sequence[Piece], lengths: bytes) -> None:
        """Send a message whose data is in pieces, a turn of the loop for every so many bytes.

        The first of them now, where nothing waits before it.
        """
        before = prefix_of_sizes(len(header), sum(map(len, data)), len(lengths)) + header
        self._keep((before, *data, lengths))
        if self._socket is not None and not self._is_behind:
            self._flush()

    def _keep(self, message: tuple[Piece, ...]) -> None:
        if len(self._unsent) < MAX_UNSENT:
            self._unsent.append(message)

    def expect(self, size: int) -> None:
        """Take note of nothing: what comes is seen coming."""

    def has_moved(self) -> bool:
        """Whether a part of a message went or came, or the replica computed, since last asked."""
        has_moved, self._has_moved = self._has_moved, False
        return has_moved or (self._life is not None and self._life.has_grown())

    def _flush(self) -> None:
        """Send what waits, as much as the socket takes but no more than a turn's share."""
        sock = self._socket
        left = TURN_BYTES
        while sock is not None and (pieces := self._next_pieces()):
            try:
                sent = sock.sendmsg(pieces)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop_unsent()  # it has hung up: reading says so next
                break
            self._take_off(sent)
            left -= sent
            if left <= 0 or not sent:
                self._is_behind = True
                asyncio.get_running_loop().add_writer(sock.fileno(), self._flush)
                return
        self._is_behind = False
        if sock is not None:
            asyncio.get_running_loop().remove_writer(sock.fileno())

    def _next_pieces(self) -> list[Piece]:
        """Return what is to be sent next in one call of the system, without copying it."""
        if not self._going:
            if not self._unsent:
                return []
            self._going.extend(self._unsent.popleft())
        pieces: list[Piece] = [memoryview(self._going[0])[self._sent :][:_SEND_BYTES]]
        size = len(pieces[0])
        if size < _SEND_BYTES:
            for piece in islice(self._going, 1, _SEND_PIECES):
                pieces.append(memoryview(piece)[: _SEND_BYTES - size])
                size += len(pieces[-1])
                if size >= _SEND_BYTES:
                    break
        return pieces

    def _take_off(self, sent: int) -> None:
        """Forget what was sent. The replica has read: its buffer had been full."""
        self._has_moved |= sent > 0
        self._sent += sent
        while self._going and self._sent >= len(self._going[0]):
            self._sent -= len(self._going.popleft())

    def _drop_unsent(self) -> None:
        self._unsent.clear()
        self._going.clear()
        self._sent = 0

    def read(self) -> None:
        """Hand over the messages that have come; none may have."""
        sock = self._socket
        if sock is None:
            return
        try:
            # Into one buffer: a fresh one of this size is mapped and unmapped for each message.
            size = sock.recv_into(self._arrived)
            messages = self._feed(self._arrived[:size]) if size else None
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            messages = None
        if messages is None:
            self._hang_up()
            return
        if not messages:
            self._has_moved = True
        for frames in messages:
            if self._socket is None:
                return  # a message led to close()
            self._on_frames(frames)

    def _hang_up(self) -> None:
        """Connect again, and send nothing of what was meant for the connection before."""
        self.close()
        self._has_hung_up = True
        self._open_later()

    def _open_later(self) -> None:
        self._retry = asyncio.get_running_loop().call_later(self._pause_s, self.open)


class ZmqCarrier:
    """A DEALER socket.

    The descriptor is edge-triggered: it becomes readable when the socket's state may have changed,
    and says nothing of messages that are already there. So EVENTS is asked after every send as well
    as after every receive; without that a reply that comes while a batch is being sent is never
    seen.
    """

    joined_bytes: int = LONG_BYTES
    """A frame lies in one piece: what is shorter is sent sooner when it is joined at once."""

    def __init__(
        self,
        address: str,
        context: "zmq.Context[zmq.Socket[bytes]]",
        on_frames: OnFrames,
        curve: CurveKeys | None,
    ) -> None:
        self._address = address
        self._context = context
        self._curve = curve
        self._on_frames = on_frames
        self._socket: zmq.Socket[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moving_until_s = 0.0
        self._is_expecting = False

    def open(self) -> None:
        """Connect; ZeroMQ goes on trying."""
        sock = self._context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        sock.setsockopt(zmq.SNDHWM, MAX_UNSENT)
        sock.setsockopt(zmq.RCVHWM, 0)
        if self._curve is not None:
            sock.curve_serverkey = self._curve.replica_public
            sock.curve_publickey = self._curve.frontend_public
            sock.curve_secretkey = self._curve.frontend_secret
        sock.connect(self._address)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.FD, self.read)

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is None or self._loop is None:
            return
        self._loop.remove_reader(self._socket.FD)
        self._socket.close()
        self._socket = None

    def send(self, *frames: bytes) -> None:
        """Queue a message; ZeroMQ sends it in its own thread."""
        sock = self._socket
        if sock is None:
            return
        try:
            for frame in frames[:-1]:
                sock.send(frame, _MORE)
            sock.send(frames[-1], _NOBLOCK)
        except zmq.Again:
            return
        if _has_message(sock) and self._loop is not None:
            self._loop.call_soon(self.read)

    def send_long(self, header: bytes, data: Sequence[Piece], lengths: bytes) -> None:
        """Send a message whose data is in pieces: a frame lies in one piece, so they are joined.

        A turn of the loop for every so many bytes; ZeroMQ takes the frame as it is, uncopied.
        """
        sock = self._socket
        if sock is None:
            return
        if len(data) > 1:
            self._join(header, deque(data), lengths, io.BytesIO())
            return
        self._expect(len(data[0]))
        try:
            sock.send(header, _MORE)
            sock.send(data[0], _MORE if lengths else _NOBLOCK, copy=False)
            if lengths:
                sock.send(lengths, _NOBLOCK)
        except zmq.Again:
            return
        if _has_message(sock) and self._loop is not None:
            self._loop.call_soon(self.read)

    def _join(self, header: bytes, data: deque[Piece], lengths: bytes, joined: io.BytesIO) -> None:
        left = TURN_BYTES
        while data and left > 0:
            piece = memoryview(data.popleft())
            joined.write(piece[:left])
            if len(piece) > left:
                data.appendleft(piece[left:])
            left -= len(piece)
        if not data:
            self.send_long(header, (joined.getvalue(),), lengths)
        elif self._loop is not None and self._socket is not None:
            self._moving_until_s = monotonic() + _MOVES_S
            self._loop.call_soon(self._join, header, data, lengths, joined)

    def expect(self, size: int) -> None:
        """Take the news that the next message is long."""
        self._is_expecting = True
        self._expect(size)

    def _expect(self, size: int) -> None:
        now_s = monotonic()
        self._moving_until_s = max(self._moving_until_s, now_s) + _MOVES_S + size / SLOWEST_BYTES_S

    def has_moved(self) -> bool:
        """Whether a long message may be on its way: ZeroMQ does not tell how much has gone."""
        return monotonic() < self._moving_until_s

    def read(self) -> None:
        """Hand over the messages that have come; none may have."""
        sock = self._socket
        while sock is not None and _has_message(sock):
            frames: list[Any] = [sock.recv(_NOBLOCK)]
            while sock.getsockopt(_RCVMORE):
                # Uncopied only if it is known to be long: for others that takes longer.
                if self._is_expecting:
                    frames.append([view_of(sock.recv(_NOBLOCK, copy=False))])
                else:
                    frames.append(sock.recv(_NOBLOCK))
                self._is_expecting, self._moving_until_s = False, 0.0
            self._on_frames(frames)
            sock = self._socket  # a message may have led to close()


def _has_message(sock: "zmq.Socket[bytes]") -> bool:
    # getsockopt and not the EVENTS attribute, which takes twice the time.
    return bool(int(sock.getsockopt(_EVENTS)) & _POLLIN)
