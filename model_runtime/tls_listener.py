"""The listening end of `tls://HOST:PORT`: the stream carrier for replicas on other machines.

Made by listening.py. No thread lies between the socket and whoever computes, as on a unix stream;
strangers get as far as the handshake, and no more than some of them at a time.
"""

from __future__ import annotations

import socket
import time
from typing import Final

from model_runtime.carriers import TLS_SCHEME, StreamListener, StreamPeer
from model_runtime.framing import Assembler
from model_runtime.health import parse_address
from model_runtime.keys import KeyFileError
from model_runtime.tls import Identity, Session, StrangerError

MAX_UNKNOWN: Final = 64
"""Connections that have not said who they are yet; the oldest makes room for a new one."""

HANDSHAKE_S: Final = 10.0
"""They have so long; a replica that computes goes on with them twice a second."""

_REMEMBERED: Final = 1000
"""Refusals of which the log was told; a stranger must not fill it."""

_KEEPALIVE: Final = (
    (socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1),
    (socket.TCP_KEEPIDLE, socket.IPPROTO_TCP, 20),
    (socket.TCP_KEEPINTVL, socket.IPPROTO_TCP, 10),
    (socket.TCP_KEEPCNT, socket.IPPROTO_TCP, 4),
)
"""A front end whose machine has gone says no goodbye."""


class TlsPeer(StreamPeer):
    """A frontend on another machine, or a stranger until the listener is told `on_known`."""

    __slots__ = ("_assembler", "_listener", "_session", "since_s")

    def __init__(self, accepted: socket.socket, listener: TlsListener, session: Session) -> None:
        super().__init__(accepted)
        self._assembler = Assembler()
        self._listener = listener
        self._session = session
        self.since_s = time.monotonic()
        self.write = self._encrypt
        self.feed = self._greet

    def _encrypt(self, piece: bytes | memoryview) -> None:
        self.socket.sendall(self._session.wrap(piece))

    def _greet(self, arrived: bytes | memoryview) -> list[list[bytes]]:
        """Take what comes until it is known who it is."""
        try:
            messages = self._decrypt(arrived)
        except StrangerError as error:
            self._listener.on_refused(self, str(error))
            raise
        if self._session.is_open:
            self.feed = self._decrypt
            self._listener.on_known(self)
        return messages

    def _decrypt(self, arrived: bytes | memoryview) -> list[list[bytes]]:
        try:
            said = self._session.take(arrived)
        finally:
            # The answers of a handshake; to a stranger why he is refused.
            answer = self._session.outgoing()
            if answer:
                self.socket.sendall(answer)
        return self._assembler.feed(said) if said else []


class TlsListener(StreamListener):
    """A TCP socket that any number of frontends with the known certificate connect to."""

    def __init__(self, address: str, identity: Identity | None) -> None:
        if identity is None:
            raise KeyFileError(f"{address} needs a certificate and a key")
        self._identity = identity
        self._unknown: dict[TlsPeer, None] = {}
        self._refused: set[str] = set()
        super().__init__(address)

    def _bind(self, address: str) -> socket.socket:
        host, port = parse_address(address.removeprefix(TLS_SCHEME))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        door = socket.socket(family, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        door.bind((host, port))
        self.port = int(door.getsockname()[1])
        return door

    def _welcome(self, accepted: socket.socket) -> StreamPeer | None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, level, value in _KEEPALIVE:
            accepted.setsockopt(level, option, value)
        self._send_away()
        peer = TlsPeer(accepted, self, Session(self._identity))
        self._unknown[peer] = None
        return peer

    def _send_away(self) -> None:
        """Hang up on those who have not said who they are in time, or are too many."""
        oldest_s = time.monotonic() - HANDSHAKE_S
        for peer in [*self._unknown]:
            if len(self._unknown) < MAX_UNKNOWN and peer.since_s > oldest_s:
                return
            self._drop(peer)

    def on_known(self, peer: TlsPeer) -> None:
        """Take the news that a peer has shown the known certificate."""
        self._unknown.pop(peer, None)

    def on_refused(self, peer: TlsPeer, why: str) -> None:
        """Tell the log of a stranger, once; the same from there is not told again."""
        what = f"a frontend at {_name_of(peer)} was refused: {why}"
        if what not in self._refused and len(self._refused) < _REMEMBERED:
            self._refused.add(what)
            print(what, flush=True)  # noqa: T201  # the log is stdout

    def _drop(self, peer: StreamPeer) -> None:
        if isinstance(peer, TlsPeer):
            self._unknown.pop(peer, None)
        super()._drop(peer)


def _name_of(peer: StreamPeer) -> str:
    """Return the address of the other end, without its port: it comes from a new one each time."""
    try:
        return str(peer.socket.getpeername()[0])
    except OSError:
        return "an unknown address"
