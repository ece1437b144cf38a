"""The listening end of `ipc://` and `tcp://`: ZeroMQ's ROUTER. Made by listening.py.

Nothing else of a replica needs ZeroMQ: one that is reached by a stream runs where there is none.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import zmq

from model_runtime.admission import Admission
from model_runtime.carriers import FILE_SCHEME, OWNERS_ALONE, WAKE_MS, Peer
from model_runtime.framing import LONG_BYTES
from model_runtime.keys import ReplicaKeys

# Plain numbers: combining and passing the enum members takes longer than a send.
_RCVMORE = int(zmq.RCVMORE)
_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE = int(zmq.SNDMORE)


class ZmqListener:
    """A ROUTER socket; a peer is its identity frame."""

    def __init__(self, address: str, keys: ReplicaKeys | None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.RCVTIMEO, WAKE_MS)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.IPV6, int("[" in address))
        if keys is not None:
            Admission(self._context, keys).guard(self._socket)
        self._socket.bind(address)
        if address.startswith(FILE_SCHEME):
            Path(address.removeprefix(FILE_SCHEME)).chmod(OWNERS_ALONE)
        self._endpoint = bytes(self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()

    def receive(self, *, is_waiting: bool) -> tuple[Peer, list[bytes]] | None:
        """Return the next message."""
        try:
            frames = [self._socket.recv(0 if is_waiting else _NOBLOCK)]
        except zmq.Again:
            return None
        while self._socket.getsockopt(_RCVMORE):
            frames.append(self._socket.recv(_NOBLOCK))
        return frames[0], frames[1:]

    def send(
        self,
        peer: Peer,
        frames: tuple[bytes, ...],
        between: Callable[[], None] | None = None,
    ) -> bool:
        """Queue a message; ZeroMQ sends it in its own thread, a long frame uncopied."""
        del between
        try:
            self._socket.send(peer, _SNDMORE)
            for frame in frames[:-1]:
                self._socket.send(frame, _SNDMORE, len(frame) <= LONG_BYTES)
            self._socket.send(frames[-1], 0, len(frames[-1]) <= LONG_BYTES)
        except zmq.ZMQError:
            return False
        return True

    def send_all(
        self,
        peer: Peer,
        messages: Sequence[tuple[bytes, ...]],
        between: Callable[[], None] | None = None,
    ) -> bool:
        """Queue messages."""
        return all(self.send(peer, message, between) for message in messages)

    @property
    def descriptor(self) -> int:
        """The socket's own, which tells of changes only."""
        return int(self._socket.FD)

    def is_gone(self, peer: Peer) -> bool:
        """ZeroMQ does not tell."""
        del peer
        return False

    def close(self) -> None:
        """Give what was sent a second to be delivered."""
        self._socket.close()
        self._context.term()

    def abandon(self) -> None:
        """Close the listening socket and all that were accepted, which libzmq keeps to itself.

        Its own objects do nothing in a forked process, so no descriptor is closed twice.
        """
        for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
            with suppress(OSError):  # no socket, or the folder's own descriptor
                if _is_at(descriptor, self._endpoint):
                    os.close(descriptor)


def _is_at(descriptor: int, endpoint: str) -> bool:
    """Whether a descriptor is a socket whose own address is that of a ZeroMQ endpoint."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return False
    sock = socket.socket(fileno=descriptor)
    try:
        name = sock.getsockname()
    finally:
        sock.detach()
    if isinstance(name, tuple):
        return endpoint.startswith("tcp://") and endpoint.rpartition(":")[2] == str(name[1])
    return endpoint == f"ipc://{name}"
