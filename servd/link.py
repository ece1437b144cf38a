"""One replica as a front-end process sees it. Made and driven by follower.py."""

from pathlib import Path
from typing import Any, Protocol

from servd.announced import other_files
from servd.curve import keys_for
from servd.datatypes import GONE, OTHER, SILENT, End
from servd.dispatcher import Dispatcher
from servd.engine import Engine
from servd.feed import ReplicaSeat
from servd.log import log
from servd.rpc import ReplicaConnection

SILENT_S = 1.4
"""With one heartbeat (0.5 s) it adds up to the 2 s within which silence takes it out."""


class OpenLink(Protocol):
    """What a follower needs of a link: `Link` here, `servd.remote.RemoteLink` on a cluster."""

    dispatcher: Dispatcher

    @property
    def is_draining(self) -> bool:
        """Whether it was told to drain."""
        ...

    @property
    def connection(self) -> ReplicaConnection:
        """The present connection."""
        ...

    def drain(self) -> None:
        """Send nothing new."""
        ...

    def close(self, end: End = GONE) -> None:
        """Give what is in flight to other replicas and disconnect."""
        ...

    def tick(self, now_s: float) -> None:
        """Send a heartbeat and act on silence."""
        ...

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        ...


class Link:
    """A connection, and whether the version's dispatcher gives it queries.

    The connection's owner (`servd.rpc.ReplicaOwner`). `is_draining` is for ever: a replica that is
    told to end does not come back at its address.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.is_draining = False
        self._connection: ReplicaConnection | None = None
        self._is_attached = False

    @property
    def connection(self) -> ReplicaConnection:
        """The connection, once opened."""
        assert self._connection is not None  # noqa: S101  # `open` comes first
        return self._connection

    def open(self, connection: ReplicaConnection, row_items: int | None) -> None:
        """Connect, and send queries at once: the daemon has heard that it is ready."""
        self._connection = connection
        connection.open()
        connection.row_items = row_items
        self._attach()

    def drain(self) -> None:
        """Send nothing new; what is in flight is answered."""
        if not self.is_draining:
            self.is_draining = True
            self.dispatcher.drain(self.connection)

    def close(self, end: End = GONE) -> None:
        """Give what is in flight to other replicas and disconnect: it has gone."""
        self._detach(end)
        self.connection.close()

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take what the replica says of itself: it may be told to end by somebody else.

        At an address on a container's network, another may have come in its place.
        """
        if state == "draining":
            self.drain()
        elif state == "ready" and not self.is_draining:
            fault = other_files(self.dispatcher.version, info)
            if fault:
                log.error("%s %s: it gets no queries", self.connection.address, fault)
                self.is_draining = True
                self._detach(OTHER)

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        self.connection.excuse(missed_s)

    def tick(self, now_s: float) -> None:
        """Send a heartbeat and act on silence, without waiting for the daemon to notice it."""
        connection = self.connection
        connection.heartbeat()
        is_silent = now_s - connection.last_heard_s > SILENT_S
        if is_silent and self._is_attached:
            log.warning("%s is silent: out of rotation", connection.address)
            self._detach(SILENT)
        elif not is_silent and not self._is_attached and not self.is_draining:
            self._attach()

    def _attach(self) -> None:
        self._is_attached = True
        self.dispatcher.attach(self.connection)

    def _detach(self, end: End) -> None:
        if self._is_attached:
            self._is_attached = False
            self.dispatcher.detach(self.connection, end)


def open_link(engine: Engine, seat: ReplicaSeat, curve_dir: Path | None = None) -> Link:
    """Return an open link to a replica of this machine; `curve_dir` is for those on tcp."""
    link = Link(engine.dispatcher(seat.version_id))
    keys = keys_for(seat.address, curve_dir) if curve_dir else None
    connection = ReplicaConnection(seat.address, link, engine.context, engine.clock, curve=keys)
    connection.spoken = seat.spoken
    link.open(connection, seat.row_items)
    return link
