"""Two connections of which each is sent what the other says: WebSockets. Made by exchange.py."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from servd.http.web.upstream import Upstream

if TYPE_CHECKING:
    from servd.http.web.gate import Gate


class Owner(Protocol):
    """Whose connection the client's end was: told when that has ended."""

    transport: asyncio.Transport | None

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end."""


class _End(asyncio.Protocol):
    """One end: what it is told goes to the other."""

    def __init__(
        self,
        on_data: Callable[[bytes], None],
        on_room: Callable[[bool], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._on_data = on_data
        self._on_room = on_room
        self._on_end = on_end

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        self._on_data(data)

    def pause_writing(self) -> None:
        """Read no more of the other end."""
        self._on_room(False)

    def resume_writing(self) -> None:
        """Read on."""
        self._on_room(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other end."""
        self._on_end(exc)


class Tunnel:
    """A client's and a replica's connection. `moved` is when anything last went through."""

    def __init__(
        self, upstream: Upstream, client: Owner, on_end: Callable[[], None], gate: "Gate"
    ) -> None:
        self._near = client
        self._far = upstream.transport
        self._upstream = upstream
        self._on_end = on_end
        self._gate = gate
        self.moved = gate.second
        if self._far is not None:
            far = _End(self._from_replica, self._on_far_room, self._on_far_end)
            self._far.set_protocol(far)

    def client_end(self) -> asyncio.Protocol:
        """Return what the client's transport is to talk to from now on."""
        return _End(self.from_client, self._on_near_room, self._on_near_end)

    def from_client(self, data: bytes) -> None:
        """Pass on what the client says."""
        self.moved = self._gate.second
        if self._far is not None:
            self._far.write(data)

    def _from_replica(self, data: bytes) -> None:
        self.moved = self._gate.second
        if self._near.transport is not None:
            self._near.transport.write(data)

    def pause_upstream(self, *, is_paused: bool) -> None:
        """Read no more of what the replica says, or again."""
        _pause(self._far, is_paused=is_paused)

    def _on_far_room(self, has_room: bool) -> None:  # noqa: FBT001  # a callback
        _pause(self._near.transport, is_paused=not has_room)

    def _on_near_room(self, has_room: bool) -> None:  # noqa: FBT001  # a callback
        _pause(self._far, is_paused=not has_room)

    def _on_far_end(self, exc: Exception | None) -> None:
        self._far = None
        self._upstream.connection_lost(exc)
        self._on_end()
        if self._near.transport is not None:
            self._near.transport.close()

    def _on_near_end(self, exc: Exception | None) -> None:
        self._on_end()
        self.close()
        self._near.connection_lost(exc)

    def close(self) -> None:
        """Hang up on the replica, after what the client has said."""
        far, self._far = self._far, None
        if far is not None:
            far.close()


def _pause(transport: asyncio.Transport | None, *, is_paused: bool) -> None:
    if transport is not None and not transport.is_closing():
        (transport.pause_reading if is_paused else transport.resume_reading)()
