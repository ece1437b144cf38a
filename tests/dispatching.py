"""A dispatcher with stand-ins for its replicas and a clock of its own. Used by its unit tests."""

from model_runtime import protocol
from servd.datatypes import Application, InputType, ModelVersion
from servd.engine.engine import Engine
from servd.engine.failure import Failure
from servd.engine.query import Miss, Query
from servd.engine.route import Route
from servd.engine.slot import MAX_IN_FLIGHT
from servd.metrics.counters import Counters, Tally


class Carrier:
    """Stands in for a ReplicaConnection, so that thousands of histories can be tried."""

    def __init__(self, clock):
        self.in_flight = {}
        self.counters = Counters()
        self.tally = Tally(self.counters)
        self.row_items = None
        self.tried = None
        self.handler = None
        self.sent = []
        self._clock = clock

    def send_batch(self, batch, type_code):
        """Keep a batch as if it had been sent."""
        assert type_code == protocol.DOUBLES
        assert len(self.in_flight) < MAX_IN_FLIGHT
        assert batch.queries
        self.sent.append(batch)
        self.in_flight[len(self.sent)] = batch

    def read(self):
        """Read nothing: what it says is given to the dispatcher by the test."""


class World:
    """A dispatcher, its carriers, a clock, and what every query heard."""

    def __init__(self, limit, slos):
        self.now_s = 0.0
        self.limit = limit
        version = ModelVersion(
            model="m", version="1", input_type=InputType.DOUBLES, max_batch=limit
        )
        engine = Engine(4096, lambda: self.now_s)
        self.dispatcher = engine.prepare(version)
        engine.context.term()
        self.routes = [
            Route(Application(name=str(n), input_type=InputType.DOUBLES, slo_us=slo), None)
            for n, slo in enumerate(slos)
        ]
        self.heard = {}
        self.queries = []
        self.carriers = []

    def on_output(self, query, output):
        """Hear an output, once."""
        assert query.index not in self.heard
        assert output == query.row
        self.heard[query.index] = output

    def on_miss(self, query, why):
        """Hear a miss, once."""
        assert query.index not in self.heard
        self.heard[query.index] = why

    def ask(self, which, number):
        """Do what the engine does for a query that is not in the cache."""
        route = self.routes[which % len(self.routes)]
        row = b"%d" % number
        query = Query(route, row, self, len(self.queries), self.now_s)
        self.queries.append(query)
        leader = self.dispatcher.cache.pending.setdefault(row, query)
        if leader is query:
            self.dispatcher.enqueue(query)
        else:
            leader.followers = [*(leader.followers or []), query]

    def oldest(self, which):
        """Return a carrier and its oldest batch in flight, or None."""
        if not self.carriers:
            return None
        carrier = self.carriers[which % len(self.carriers)]
        if not carrier.in_flight:
            return None
        key = next(iter(carrier.in_flight))
        return carrier, carrier.in_flight.pop(key)

    def reply(self, which):
        """Have a replica answer its oldest batch."""
        if found := self.oldest(which):
            carrier, batch = found
            self.dispatcher.on_outputs(carrier, batch, [q.row for q in batch.queries])

    def fail(self, which):
        """Have a replica's model raise on its oldest batch."""
        if found := self.oldest(which):
            carrier, batch = found
            self.dispatcher.on_failure(carrier, batch, Failure(""))

    def part(self, which):
        """Have a replica answer its oldest batch, of which every other input fails by itself."""
        if found := self.oldest(which):
            carrier, batch = found
            failed = {at: Failure("", "input") for at in range(0, len(batch.queries), 2)}
            self.dispatcher.on_partial(carrier, batch, batch.rows[1::2], failed)

    def attach(self, _which):
        """Bring a replica up."""
        carrier = Carrier(lambda: self.now_s)
        self.carriers.append(carrier)
        self.dispatcher.attach(carrier)

    def detach(self, which):
        """Have a replica die."""
        if self.carriers:
            self.dispatcher.detach(self.carriers.pop(which % len(self.carriers)))

    def wait(self, tenths):
        """Let time pass, and queries expire as the engine's timer has them."""
        self.now_s += tenths / 10
        for query in self.queries:
            if not query.is_done and query.deadline_s <= self.now_s:
                query.is_done = True
                self.on_miss(query, Miss.TIMED_OUT)
