"""How messages reach a replica: the listening end of the carriers. Used by listening.py.

`unix://PATH` is a stream socket of this machine: one system call a message and no thread between.
`tls://` (tls_listener.py) is the same for other machines. `ipc://` and `tcp://` are ZeroMQ's
ROUTER (zmq_listener.py). All carry the frames of docs/protocol.md.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from model_runtime.framing import LONG_BYTES, Assembler, prefix
from model_runtime.protocol import ProtocolError

STREAM_SCHEME: Final = "unix://"
TLS_SCHEME: Final = "tls://"
FILE_SCHEME: Final = "ipc://"
SEND_TIMEOUT_S: Final = 2
"""A frontend that does not read its answers for so long is hung up on: others wait behind it."""

WAKE_MS: Final = 200
"""How often an idle replica looks whether it has been told to end."""

TURN_BYTES: Final = 1 << 24
"""Of long messages are read before the reader looks after something else."""

_WAKE_S: Final = WAKE_MS / 1000
_RECEIVE_BYTES: Final = 1 << 18
OWNERS_ALONE: Final = 0o600
"""The rights of a socket's file."""

_CREDENTIALS: Final = struct.Struct("3i")

Peer = Any
"""Who sent a message, as the carrier knows it: hashable, to be handed back to `send`."""


class Listener(Protocol):
    """What a replica's socket does, whatever carries it. Not safe for several threads at once."""

    def receive(self, *, is_waiting: bool) -> tuple[Peer, list[bytes]] | None:
        """Return the next message and who sent it; None where none has come.

        With `is_waiting` it waits up to `WAKE_MS` for one.
        """

    def send(
        self, peer: Peer, frames: tuple[bytes, ...], between: Callable[[], None] | None = None
    ) -> bool:
        """Send a message; False where its receiver has gone.

        `between` is called now and then while a long one goes out.
        """

    def send_all(
        self,
        peer: Peer,
        messages: Sequence[tuple[bytes, ...]],
        between: Callable[[], None] | None = None,
    ) -> bool:
        """Send messages, together where they are short; False where their receiver has gone."""

    @property
    def descriptor(self) -> int:
        """What becomes readable when there may be messages, after all that were there are read."""

    def is_gone(self, peer: Peer) -> bool:
        """Whether it is known that a peer has hung up."""

    def close(self) -> None:
        """Stop listening; what was sent is delivered."""

    def abandon(self) -> None:
        """Close the descriptors in a forked process; nobody hears of it."""


class StreamListener:
    """A stream socket that any number of frontends connect to; here a unix one."""

    def __init__(self, address: str) -> None:
        self._poll = select.epoll()
        self._door = self._bind(address)
        self._door.listen(64)
        self._door.setblocking(False)
        self._poll.register(self._door.fileno(), select.EPOLLIN)
        self._peers: dict[int, StreamPeer] = {}
        self._come: deque[tuple[StreamPeer, list[bytes]]] = deque()
        self._arrived = memoryview(bytearray(_RECEIVE_BYTES))

    def _bind(self, path: str) -> socket.socket:
        """Return the socket at an address, which does not listen yet."""
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        Path(path).unlink(missing_ok=True)
        door.bind(path)
        Path(path).chmod(OWNERS_ALONE)  # before that, its folder (0700) guards it
        return door

    def _welcome(self, accepted: socket.socket) -> StreamPeer | None:
        """Return the peer at the other end of a new connection; None for a stranger."""
        return StreamPeer(accepted) if _is_owners(accepted) else None

    def receive(self, *, is_waiting: bool) -> tuple[Peer, list[bytes]] | None:
        """Return the next message; where none is left, read from all that can be read."""
        left = TURN_BYTES
        wait_s = _WAKE_S if is_waiting else 0
        while not self._come and left > 0:
            # A part of a long message is followed by the next: nobody is to be asked before.
            read = self._read_all(wait_s)
            if not read:
                break
            left -= read
            wait_s = 0
        return self._come.popleft() if self._come else None

    def send(
        self, peer: Peer, frames: tuple[bytes, ...], between: Callable[[], None] | None = None
    ) -> bool:
        """Send a message in one call of the system where its buffer takes it.

        `between` is called now and then while a long one is sent; what it sends to others goes
        out, what it sends to the same peer follows the message.
        """
        if peer.is_gone:
            return False
        if peer.later is not None:
            peer.later.append(frames)
            return True
        try:
            if sum(map(len, frames)) <= LONG_BYTES:
                peer.write(b"".join((prefix(*frames), *frames)))
            else:
                self._send_long(peer, frames, between)
        except OSError:
            self._drop(peer)
            return False
        return True

    def send_all(
        self,
        peer: Peer,
        messages: Sequence[tuple[bytes, ...]],
        between: Callable[[], None] | None = None,
    ) -> bool:
        """Send messages in one call of the system, but for those that are long."""
        frames = [frame for message in messages for frame in (prefix(*message), *message)]
        if peer.is_gone or peer.later is not None or sum(map(len, frames)) > LONG_BYTES:
            return all(self.send(peer, message, between) for message in messages)
        try:
            peer.write(b"".join(frames))
        except OSError:
            self._drop(peer)
            return False
        return True

    def _send_long(
        self, peer: StreamPeer, frames: tuple[bytes, ...], between: Callable[[], None] | None
    ) -> None:
        """Send a message piece by piece, uncopied."""
        later: list[tuple[bytes, ...]] = []
        peer.later = later
        try:
            for frame in (prefix(*frames), *frames):
                for at in range(0, len(frame), LONG_BYTES):
                    peer.write(memoryview(frame)[at : at + LONG_BYTES])
                    if between is not None:
                        between()
        finally:
            peer.later = None
        for message in later:
            peer.write(b"".join((prefix(*message), *message)))

    def _read_all(self, wait_s: float) -> int:
        """Read once from everybody who has sent something; return how many bytes were read."""
        read = 0
        for descriptor, _ in self._poll.poll(wait_s):
            peer = self._peers.get(descriptor)
            if peer is None:
                self._accept()
            else:
                read += self._read(peer)
        return read

    @property
    def descriptor(self) -> int:
        """The poll itself: it is readable while a socket of it is."""
        return self._poll.fileno()

    def is_gone(self, peer: Peer) -> bool:
        """Whether a peer has hung up, or was hung up on."""
        return bool(peer.is_gone)

    def close(self) -> None:
        """Hang up on everybody."""
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._door.close()
        self._poll.close()

    def abandon(self) -> None:
        """Close this process' copies; the poll's list of descriptors is shared and stays."""
        self._poll.close()
        self._door.close()
        for peer in self._peers.values():
            peer.socket.close()

    def _accept(self) -> None:
        try:
            accepted, _ = self._door.accept()
        except OSError:
            return  # it hung up before it was accepted
        peer = self._welcome(accepted)
        if peer is None:
            accepted.close()
            return
        accepted.setblocking(True)
        accepted.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0)
        )
        self._peers[accepted.fileno()] = peer
        self._poll.register(accepted.fileno(), select.EPOLLIN)

    def _read(self, peer: StreamPeer) -> int:
        size = 0
        try:
            # Into one buffer: a fresh one of this size is mapped and unmapped for each message.
            size = peer.socket.recv_into(self._arrived, 0, socket.MSG_DONTWAIT)
            messages = peer.feed(self._arrived[:size]) if size else None
        except BlockingIOError:
            return 0
        except (OSError, ProtocolError):
            messages = None
        if messages is None:
            self._drop(peer)
            return 0
        for message in messages:
            self._come.append((peer, message))
        return size

    def _drop(self, peer: StreamPeer) -> None:
        if not peer.is_gone:
            peer.is_gone = True
            descriptor = peer.socket.fileno()
            del self._peers[descriptor]
            self._poll.unregister(descriptor)
            peer.socket.close()


def _is_owners(accepted: socket.socket) -> bool:
    """Return whether the process at the other end is of this user, or root's."""
    credentials = accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(credentials)[1] in (0, os.geteuid())


class StreamPeer:
    """One connected frontend; `later` is what waits while a long message is sent to it.

    `write` sends bytes, all of them; `feed` takes what was read and returns the messages in it.
    """

    __slots__ = ("feed", "is_gone", "later", "socket", "write")

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self.later: list[tuple[bytes, ...]] | None = None
        self.write: Callable[[Any], object] = accepted.sendall
        self.feed: Callable[[bytes | memoryview], list[list[bytes]]] = Assembler().feed
        self.is_gone = False
