"""The daemon's own connection to a replica that front-end processes send the queries to.

Made by hub.py, used by replica.py: heartbeats and states are the connection's, what is in
flight and counted is what the frontends say (`servd.replicas.link.Connection`).
"""

from collections.abc import Collection

from servd.engine.rpc import ReplicaConnection
from servd.metrics.counters import Counters


class Watched:
    """One replica as the daemon sees it."""

    def __init__(self, connection: ReplicaConnection) -> None:
        self.counters = Counters()
        self.is_draining = False
        self._connection = connection
        self._oldest: dict[int, int | None] = {}

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._connection.address

    @property
    def row_items(self) -> int | None:
        """How many numbers an input must have."""
        return self._connection.row_items

    @property
    def spoken(self) -> int:
        """The version of the replica protocol that it speaks."""
        return self._connection.spoken

    @property
    def last_heard_s(self) -> float:
        """When it last said anything, by the clock."""
        return self._connection.last_heard_s

    @property
    def in_flight(self) -> Collection[tuple[int, int | None]]:
        """The oldest batch of each frontend that has any at it.

        While it drains, of each that has not said yet that it has none.
        """
        return list(self._oldest.items())

    def open(self) -> None:
        """Connect and say HELLO."""
        self._connection.open()

    def close(self) -> None:
        """Close the socket."""
        self._connection.close()

    def heartbeat(self) -> None:
        """Send a HEARTBEAT."""
        self._connection.heartbeat()

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        self._connection.excuse(missed_s)

    def drain(self, frontends: Collection[int]) -> None:
        """Wait for these frontends to have nothing in flight. Called by the rotation."""
        if not self.is_draining:
            self.is_draining = True
            self._oldest = {number: self._oldest.get(number) for number in frontends}

    def on_drained(self, frontend: int) -> None:
        """Take the news that a frontend has nothing at it, or is gone."""
        self._oldest.pop(frontend, None)

    def on_report(self, frontend: int, oldest: int | None) -> None:
        """Take a frontend's oldest batch in flight; None where there is none."""
        if self.is_draining:
            if frontend in self._oldest:
                self._oldest[frontend] = oldest
        elif oldest is None:
            self._oldest.pop(frontend, None)
        else:
            self._oldest[frontend] = oldest
