"""A version under more load than it can bear, on a clock of its own. Used by test_overload.py.

The dispatcher and the engine's admission are the real ones; replicas take the time
that a line says.
"""

import asyncio
import heapq
from itertools import count

from servd.datatypes import Application, Batching, InputType, ModelVersion, RegistryState
from servd.engine.batching import HEADROOM
from servd.engine.engine import Engine
from servd.engine.query import Miss
from servd.engine.slot import MAX_IN_FLIGHT
from servd.metrics.counters import Counters

SLO_S = 0.02
SLOPE_S, CONSTANT_S = 0.0002, 0.0005


class Replica:
    """Stands in for a ReplicaConnection; computes one batch after the other."""

    def __init__(self, world):
        self.world = world
        self.in_flight = {}
        self.counters = Counters()
        self.row_items = None
        self.tried = None
        self.handler = None
        self._free_s = 0.0

    def send_batch(self, batch, _type_code):
        """Have the batch come back when it is computed."""
        assert len(self.in_flight) < MAX_IN_FLIGHT
        key = next(self.world.numbers)
        self.in_flight[key] = batch
        batch.compute_s = SLOPE_S * len(batch.queries) + CONSTANT_S
        self._free_s = max(self._free_s, self.world.now_s) + batch.compute_s
        heapq.heappush(self.world.replies, (self._free_s, key, self))


class Overload:
    """An engine with one application, its replicas, and what became of the queries."""

    def __init__(self, replicas, batching):
        self.now_s = 1.0
        self.numbers = count()
        self.replies = []
        version = ModelVersion(
            model="m", version="1", input_type=InputType.DOUBLES, batching=Batching(batching)
        )
        app = Application(name="a", input_type=InputType.DOUBLES, slo_us=int(SLO_S * 1e6))
        self.engine = Engine(0, lambda: self.now_s)
        self.engine.context.term()
        self.engine.apply(
            RegistryState({"a": app}, {version.id: version}, {"m": "1"}, {"a": ("m",)})
        )
        self.dispatcher = self.engine.dispatcher(version.id)
        self.replicas = [Replica(self) for _ in range(replicas)]
        size = (SLO_S * HEADROOM - CONSTANT_S) / SLOPE_S
        self.capacity = replicas * size / (SLO_S * HEADROOM)

    async def run(self, share, seconds):
        """Offer a share of the capacity for a time, evenly, and count what becomes of it."""
        self.asked = self.good = self.late = 0
        self.refused_after_s = 0.0
        for replica in self.replicas:
            self.dispatcher.attach(replica)
        route = self.engine.by_name["a"]
        until_s, due_s = self.now_s + seconds, self.now_s
        while due_s < until_s or self.replies:
            if self.replies and (due_s >= until_s or self.replies[0][0] <= due_s):
                self.now_s, key, replica = heapq.heappop(self.replies)
                batch = replica.in_flight.pop(key)
                self.dispatcher.on_outputs(replica, batch, [b"1"] * len(batch.queries))
            else:
                self.now_s = due_s
                due_s += 1 / (share * self.capacity)
                self.asked += 1
                self.engine.submit(route, self.dispatcher, b"r", self)
            await asyncio.sleep(0)
            if route.timer is not None:  # the event loop's clock is another
                route.timer.cancel()  # type: ignore[attr-defined]
                self.engine._on_deadline(route)

    def on_output(self, query, _output):
        """Count an output by whether it was in time."""
        is_late = self.now_s > query.deadline_s
        self.late += is_late
        self.good += not is_late

    def on_miss(self, query, why):
        """Count a miss; what was refused was refused after so long at the most."""
        if why is Miss.OVERLOADED:
            self.refused_after_s = max(self.refused_after_s, self.now_s - query.started_s)
        else:
            self.late += 1
