"""What a replica's life needs of the rest: times, limits and neighbours. Used by replica.py.

The supervisor makes one `Collaborators` for each version; tests make them of small stand-ins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from servd.clock import Clock
from servd.engine.rpc import ReplicaConnection, ReplicaOwner
from servd.replicas.launchers.base import Launcher
from servd.replicas.launchers.orphans import Orphans
from servd.replicas.link import SILENT_S, Routes

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
    silent_s: float = SILENT_S
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


class LoadingRoutes(Routes, Protocol):
    """What a replica's life uses of `servd.engine.dispatcher.Dispatcher`."""

    def mark_loading(self, who: object, *, is_loading: bool) -> None:
        """Note that a replica is being brought up, or no more: queries meanwhile are told."""


Connect = Callable[[str, ReplicaOwner], ReplicaConnection]
"""Makes the connection to the replica at an address; it reports to the owner."""


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What the replicas of one version share."""

    launcher: Launcher
    routes: LoadingRoutes
    connect: Connect
    orphans: Orphans
    clock: Clock
    timings: Timings
