"""A replica's place in the rotation, and what is known of its pace. Used by dispatcher.py.

Times are taken apart here: what the replica takes sizes the batches and tells its capacity; the
round trip, in which the daemon's own lag is, tells how long a query that leaves now will be away.
"""

from typing import TYPE_CHECKING

from servd.engine.batching import HEADROOM, BatchController

if TYPE_CHECKING:
    from servd.engine.query import Batch
    from servd.engine.rpc import ReplicaConnection

MAX_IN_FLIGHT = 2
"""Batches per replica without a reply: the second travels while the first is computed."""

UNLIMITED = 1 << 40
"""Room where no bound is known."""

IN_TIME = 3 * HEADROOM
"""Share of the objective that computations may take, of which `HEADROOM` allows each one third."""

SLACK = 4
"""Queries that may wait beyond the room, so that the next batch is full although it grew."""

SMOOTHING = 0.2
"""Weight of the newest batch in the averages."""


class Slot:
    """One replica: its connection, its batch controller and its pace.

    `away_s` is how long a batch is away from the daemon, seldom longer; `full_s` is how long the
    replica takes for a full one. Both are 0 until seen.
    """

    __slots__ = (
        "_deviation_s",
        "_last_reply_s",
        "_round_trip_s",
        "away_s",
        "connection",
        "controller",
        "full_s",
    )

    def __init__(self, connection: "ReplicaConnection", controller: BatchController) -> None:
        self.connection = connection
        self.controller = controller
        self.full_s = 0.0
        self.away_s = 0.0
        self._round_trip_s = 0.0
        self._deviation_s = 0.0
        self._last_reply_s = 0.0

    def learn(self, batch: "Batch", now_s: float, looked_s: float) -> None:
        """Take in a batch that was read just now, and had not come when last looked for."""
        size = len(batch.queries)
        latency_s = self._latency(batch, now_s, looked_s)
        limit = self.controller.limit
        self.controller.on_batch(size, latency_s)
        if size * 5 >= limit * 4:
            self.full_s = _follow(self.full_s, latency_s * limit / size, SMOOTHING)
        # Mean and mean deviation, as TCP's retransmission timer has them (RFC 6298).
        round_trip_s = now_s - batch.sent_s
        self._round_trip_s = _follow(self._round_trip_s, round_trip_s, SMOOTHING)
        deviation_s = abs(round_trip_s - self._round_trip_s)
        self._deviation_s += (deviation_s - self._deviation_s) * SMOOTHING
        self.away_s = self._round_trip_s + 2 * self._deviation_s

    def _latency(self, batch: "Batch", now_s: float, looked_s: float) -> float:
        """Return what a batch took in the replica: the computation, or the way where that is more.

        The way shows in the time between two replies of a busy replica. What the daemon added by
        being late to read is left out: only until `looked_s` the batch was certainly away.
        """
        began_s = max(batch.sent_s, self._last_reply_s)
        self._last_reply_s = now_s
        if batch.compute_s <= 0:
            return (now_s - batch.sent_s) / 2  # not told: another one was computed before it
        return max(batch.compute_s, looked_s - began_s)

    def room(self, slo_s: float) -> int:
        """Return how many may wait for this replica and still be answered within `slo_s`.

        Of the batches' times that fit into it, two are in flight. At least one full batch may
        always wait, so that a replica that is slower than the objective has work and is seen to
        become faster.
        """
        if self.full_s <= self.controller.growing_below_s:
            return UNLIMITED
        batches = max(1.0, IN_TIME * slo_s / self.full_s - 2)
        return int(self.controller.limit * batches) + SLACK


def room(slots: list[Slot], slo_s: float) -> int:
    """Return how many may wait so that all are answered within an objective."""
    return sum(slot.room(slo_s) for slot in slots)


def next_slot(slots: list[Slot]) -> Slot | None:
    """Return the slot with the fewest batches in flight; None where each has as many as it may."""
    best = None
    fewest = MAX_IN_FLIGHT
    for slot in slots:
        in_flight = len(slot.connection.in_flight)
        if in_flight < fewest:
            best = slot
            fewest = in_flight
    if best is not None and len(slots) > 1:
        # To the end of the line: replicas with equally many in flight take turns.
        slots.remove(best)
        slots.append(best)
    return best


def _follow(average: float, value: float, weight: float) -> float:
    """Return an average moved towards a value; 0 stands for none yet."""
    return average + (value - average) * weight if average else value
