"""How messages reach a replica: the connecting end of the two carriers. Used by rpc.py.

Both are driven by their file descriptor in the event loop and never wait. `unix://PATH`, a stream
socket, is for replicas on this machine; `ipc://` and `tcp://`, ZeroMQ's DEALER, for all others.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import zmq

from model_runtime.carriers import STREAM_SCHEME
from model_runtime.framing import Assembler, prefix
from model_runtime.protocol import ProtocolError
from servd.curve import CurveKeys

RECONNECT_MS: Final = 10
"""A replica binds its socket a moment after it is launched; ZeroMQ's 100 ms would be waited out."""

MAX_UNSENT: Final = 1000
"""Messages that wait for a replica that reads none; more are dropped: heartbeats are not missed."""

_RECEIVE_BYTES: Final = 1 << 18

# Plain numbers: combining and passing the enum members takes longer than a send.
_POLLIN = int(zmq.POLLIN)
_EVENTS = int(zmq.EVENTS)
_RCVMORE = int(zmq.RCVMORE)
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.SNDMORE | zmq.NOBLOCK)

OnFrames = Callable[[list[bytes]], None]
"""Takes a message that came."""


class Carrier(Protocol):
    """One connection to one replica, whatever carries it."""

    def open(self) -> None:
        """Connect in the background: the replica may not listen yet."""
        ...

    def close(self) -> None:
        """Disconnect; nothing more is heard."""
        ...

    def send(self, *frames: bytes) -> None:
        """Send a message of a header and up to two payload frames."""
        ...

    def read(self) -> None:
        """Hand over the messages that have come; none may have. Called by the event loop too."""
        ...


def carrier(
    address: str,
    context: "zmq.Context[zmq.Socket[bytes]]",
    on_frames: OnFrames,
    curve: CurveKeys | None,
) -> Carrier:
    """Return the carrier of an address; keys are for ZeroMQ's."""
    if address.startswith(STREAM_SCHEME):
        return StreamCarrier(address.removeprefix(STREAM_SCHEME), on_frames)
    return ZmqCarrier(address, context, on_frames, curve)


class StreamCarrier:
    """A unix stream socket. It connects again when the replica hangs up; nobody else may."""

    def __init__(self, path: str, on_frames: OnFrames) -> None:
        self._path = path
        self._on_frames = on_frames
        self._socket: socket.socket | None = None
        self._assembler = Assembler()
        self._arrived = memoryview(bytearray(_RECEIVE_BYTES))
        self._unsent: deque[bytes] = deque()
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Connect, now or as soon as the replica listens."""
        self._retry = None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(RECONNECT_MS / 1000, self.open)
            return
        self._socket = sock
        self._assembler = Assembler()
        asyncio.get_running_loop().add_reader(sock.fileno(), self.read)
        self._flush()

    def close(self) -> None:
        """Let go of the socket."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._unsent.clear()
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
        if self._unsent or sock is None:
            if len(self._unsent) < MAX_UNSENT:
                self._unsent.append(message)
            return
        try:
            sent = sock.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has hung up: reading says so next
        if sent < len(message):
            self._unsent.append(message[sent:])
            asyncio.get_running_loop().add_writer(sock.fileno(), self._flush)

    def _flush(self) -> None:
        sock = self._socket
        while self._unsent and sock is not None:
            try:
                sent = sock.send(self._unsent[0])
            except BlockingIOError:
                sent = 0
            except OSError:
                self._unsent.clear()
                break
            if sent < len(self._unsent[0]):
                self._unsent[0] = self._unsent[0][sent:]
                asyncio.get_running_loop().add_writer(sock.fileno(), self._flush)
                return
            self._unsent.popleft()
        if sock is not None:
            asyncio.get_running_loop().remove_writer(sock.fileno())

    def read(self) -> None:
        """Hand over the messages that have come; none may have."""
        sock = self._socket
        if sock is None:
            return
        try:
            # Into one buffer: a fresh one of this size is mapped and unmapped for each message.
            size = sock.recv_into(self._arrived)
            messages = self._assembler.feed(bytes(self._arrived[:size])) if size else None
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            messages = None
        if messages is None:
            self.close()
            self._retry = asyncio.get_running_loop().call_later(RECONNECT_MS / 1000, self.open)
            return
        for frames in messages:
            if self._socket is None:
                return  # a message led to close()
            self._on_frames(frames)


class ZmqCarrier:
    """A DEALER socket.

    The descriptor is edge-triggered: it becomes readable when the socket's state may have changed,
    and says nothing of messages that are already there. So EVENTS is asked after every send as well
    as after every receive; without that a reply that comes while a batch is being sent is never
    seen.
    """

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

    def read(self) -> None:
        """Hand over the messages that have come; none may have."""
        sock = self._socket
        while sock is not None and _has_message(sock):
            frames = [sock.recv(_NOBLOCK)]
            while sock.getsockopt(_RCVMORE):
                frames.append(sock.recv(_NOBLOCK))
            self._on_frames(frames)
            sock = self._socket  # a message may have led to close()


def _has_message(sock: "zmq.Socket[bytes]") -> bool:
    # getsockopt and not the EVENTS attribute, which takes twice the time.
    return bool(int(sock.getsockopt(_EVENTS)) & _POLLIN)
