"""What a replica's life needs of the rest: times, limits and neighbours. Used by servd/replica.py.

The supervisor makes one `Surroundings` for each version; tests make them of small stand-ins.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from servd.clock import Clock
from servd.datatypes import End
from servd.launchers.base import Launcher
from servd.metrics import Counters
from servd.orphans import Orphans

_MAX_DOUBLINGS = 64  # a float has no room for what a thousand would make


@dataclass(frozen=True, slots=True)
class Timings:
    """Every time and limit of a replica's life, in seconds where not a count.

    `silent_s` and one heartbeat add up to the 2 s within which silence takes it out of rotation.
    `max_deaths` is how many deaths in a row without one answer make it failed. A life of `stable_s`
    makes the count of them, and the backoff, begin anew.
    `stuck_s` is how long one batch may be computed: heartbeats go on during a call of the model, so
    silence does not tell of one that never returns. `contact_s` is within which time of its start
    something in a container must speak the protocol.
    """

    heartbeat_s: float = 0.5
    silent_s: float = 1.4
    unhealthy_s: float = 30.0
    stuck_s: float = 60.0
    load_s: float = 120.0
    test_s: float = 30.0
    contact_s: float = 20.0
    report_s: float = 1.0
    term_s: float = 5.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 30.0
    stable_s: float = 30.0
    max_deaths: int = 10

    def backoff_s(self, deaths: int) -> float:
        """Return the delay after that many deaths in a row (1 or more)."""
        doublings = min(deaths - 1, _MAX_DOUBLINGS)
        return min(self.backoff_max_s, self.backoff_first_s * 2.0**doublings)


class Connection(Protocol):
    """What a replica's life uses of `servd.rpc.ReplicaConnection`."""

    @property
    def last_heard_s(self) -> float:
        """When the replica last said anything, by the clock."""
        ...

    @property
    def in_flight(self) -> Collection[object]:
        """What names the batches it has not answered, the oldest first."""
        ...

    @property
    def counters(self) -> Counters:
        """What it has done since it was launched."""
        ...

    def open(self) -> None:
        """Connect and say HELLO."""
        ...

    def close(self) -> None:
        """Close the socket."""
        ...

    def heartbeat(self) -> None:
        """Send a HEARTBEAT."""
        ...

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        ...


class Routes(Protocol):
    """What a replica's life uses of `servd.dispatcher.Dispatcher`."""

    def attach(self, connection: Any) -> None:
        """Give it queries."""
        ...

    def detach(self, connection: Any, end: End) -> None:
        """Give it none; those in flight move to others, and are told how it ended."""
        ...

    def drain(self, connection: Any) -> None:
        """Give it none; those in flight stay."""
        ...

    def mark_loading(self, who: object, *, is_loading: bool) -> None:
        """Note that a replica is being brought up, or no more: queries meanwhile are told."""
        ...


class Owner(Protocol):
    """Who a connection reports to (`servd.rpc.ReplicaOwner`)."""

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take what a STATE message says."""
        ...


Connect = Callable[[str, Owner], Connection]
"""Makes the connection to the replica at an address; it reports to the owner."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the replicas of one version share."""

    launcher: Launcher
    routes: Routes
    connect: Connect
    orphans: Orphans
    clock: Clock
    timings: Timings
