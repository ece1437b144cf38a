"""The link to one replica: a connection, and whether its version's routes give it queries.

Used by the daemon's replicas (replica.py), by front ends on the same machine (follower.py) and on a
cluster (remote.py). They say what a replica's words mean; what its silence means, and that it comes
into rotation and leaves it once, is said here.
"""

from typing import Any, Final, Generic, Protocol, TypeVar

from servd.datatypes import GONE, SILENT, End
from servd.engine.rpc import ReplicaConnection
from servd.logs.log import log

SILENT_S: Final = 1.4
"""With one heartbeat (0.5 s at most) it stays below the 2 s within which silence takes it out."""


class Routes(Protocol):
    """What a link uses of `servd.engine.dispatcher.Dispatcher`."""

    def attach(self, connection: Any) -> None:
        """Give it queries."""

    def detach(self, connection: Any, end: End) -> None:
        """Give it none; those in flight move to others, and are told how it ended."""

    def drain(self, connection: Any) -> None:
        """Give it none; those in flight stay."""


_Routes = TypeVar("_Routes", bound=Routes)


class Link(Generic[_Routes]):
    """A connection, once opened, and whether `routes` give it queries.

    `name` is what logs call the replica. `is_draining` is for ever: a replica that is told to end
    does not come back on this link.
    """

    def __init__(self, routes: _Routes, name: str, silent_s: float = SILENT_S) -> None:
        self.routes = routes
        self.name = name
        self.is_attached = False
        self.is_draining = False
        self._silent_s = silent_s
        self._connection: ReplicaConnection | None = None
        self._complaint = ""

    @property
    def connection(self) -> ReplicaConnection:
        """The connection that was opened last."""
        assert self._connection is not None  # noqa: S101  # `open` comes first
        return self._connection

    def open(self, connection: ReplicaConnection) -> None:
        """Connect; nothing is sent before `attach`."""
        self._connection = connection
        connection.open()

    def attach(self) -> None:
        """Give it queries, if it has none yet."""
        if not self.is_attached:
            self.is_attached, self._complaint = True, ""
            self.routes.attach(self.connection)

    def detach(self, end: End) -> None:
        """Give what is in flight to other replicas, which are told how this one ended."""
        if self.is_attached:
            self.is_attached = False
            self.routes.detach(self.connection, end)

    def pause(self) -> None:
        """Send nothing new; what is in flight is answered."""
        if self.is_attached:
            self.routes.drain(self.connection)

    def drain(self) -> None:
        """Send nothing new from now on: it ends."""
        self.is_draining = True
        self.pause()

    def close(self, end: End = GONE) -> None:
        """Give what is in flight to other replicas and disconnect."""
        self.detach(end)
        self.connection.close()

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        self.connection.excuse(missed_s)

    def silence_s(self, now_s: float) -> float:
        """Return for how long it has said nothing."""
        return now_s - self.connection.last_heard_s

    def is_silent(self, now_s: float) -> bool:
        """Return whether it has said nothing for too long."""
        return self.silence_s(now_s) > self._silent_s

    def leave(self, now_s: float) -> None:
        """Take it out of rotation for its silence."""
        if self.is_attached:
            silent_s = self.silence_s(now_s)
            log.warning("%s is silent for %.1f s: out of rotation", self.name, silent_s)
            self.detach(SILENT)

    def tick(self, now_s: float) -> None:
        """Send a heartbeat; take a silent one out of rotation, and back once it is heard."""
        self.connection.heartbeat()
        if self.is_silent(now_s):
            self.leave(now_s)
        elif not self.is_draining:
            self.attach()

    def complain(self, what: str) -> None:
        """Log why it is not in rotation; not again while that stays the same."""
        if what != self._complaint:
            self._complaint = what
            log.error("%s %s: it gets no queries", self.name, what)
