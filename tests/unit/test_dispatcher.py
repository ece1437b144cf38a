"""Queues, batches and replicas: by scripted replicas over real sockets, and as a property."""

import asyncio
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from model_runtime import protocol
from model_runtime.carriers import StreamListener
from servd.datatypes import SILENT, Application, End, InputType, ModelVersion
from servd.engine import Engine
from servd.metrics import Counters, Tally
from servd.query import Miss, Query
from servd.route import Route
from servd.rpc import ReplicaConnection
from servd.slot import MAX_IN_FLIGHT
from servd.tick import LOOK_EVERY
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import Owner, run, serving, until


async def ask_all(served, rows, application="app"):
    """Ask for each row on a connection of its own; return the answers in order."""
    return await asyncio.gather(
        *(served.predict({"input": list(row)}, application) for row in rows)
    )


def test_a_poisoned_row_fails_alone():
    """A batch that the model raises on is halved until the bad row is alone."""
    poison = doubles(13.0)

    async def main():
        with ScriptedReplica(poison=poison.__eq__, is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=32, default=None)
                await served.attach(replica, dispatcher)
                asked = asyncio.create_task(ask_all(served, [[n] for n in range(16)]))
                await until(lambda: dispatcher.queued + sum(map(len, replica.batches)) == 16)
                replica.release()
                answers = await asked
        for n, (status, answer) in enumerate(answers):
            if n == 13:
                assert status == 500
                assert answer["cause"] == Miss.MODEL_FAILED.value
            else:
                assert (status, answer["output"]) == (200, float(n))

    run(main())


def test_a_dead_replica_leaves_its_queries_to_another():
    """Queries in flight at a replica that dies are computed by another one."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying, ScriptedReplica() as other:
            async with serving() as served:
                dispatcher = served.deploy()
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(ask_all(served, [[1.0], [2.0]]))
                await until(lambda: sum(map(len, dying.batches)) == 2)
                dying.die()
                dispatcher.detach(connection)
                dispatcher.detach(connection)
                await served.attach(other, dispatcher)
                answers = await asked
        assert [answer["output"] for _, answer in answers] == [1.0, 2.0]

    run(main())


def test_a_query_that_kills_two_replicas_fails():
    """The second replica that dies with a query shows that the query is the cause."""
    deadly = doubles(9.0)

    async def main():
        with (
            ScriptedReplica(deadly=deadly.__eq__) as first,
            ScriptedReplica(deadly=deadly.__eq__) as second,
            ScriptedReplica() as third,
        ):
            async with serving() as served:
                dispatcher = served.deploy(default=None)
                asked = None
                for replica in (first, second):
                    connection = await served.attach(replica, dispatcher)
                    if asked is None:
                        asked = asyncio.create_task(served.predict({"input": [9]}))
                    await until(lambda seen=replica: seen.batches)
                    dispatcher.detach(connection, End("ended (exit 7)"))
                await served.attach(third, dispatcher)
                status, answer = await asked
        assert (status, answer["cause"]) == (500, "No output: the replica ended (exit 7)")
        assert not third.batches

    run(main())


def test_two_batches_at_most_are_in_flight_and_none_above_the_limit():
    """A third batch waits until a reply comes; each holds what the version allows."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await served.attach(replica, served.deploy(max_batch=3))
                asked = asyncio.create_task(ask_all(served, [[n] for n in range(20)]))
                dispatcher = served.engine.dispatchers["model", "1"]
                await until(
                    lambda: (
                        len(replica.batches) == 2
                        and dispatcher.queued + sum(map(len, replica.batches)) == 20
                    )
                )
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                replica.release(1)
                await until(lambda: len(replica.batches) == 3)
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                replica.release()
                await asked
                assert dispatcher.limits() == [3]
        assert max(map(len, replica.batches)) == 3

    run(main())


def test_a_batch_wait_gathers():
    """With a batch wait the first query waits for others until the batch is full."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=3, batch_wait_us=60_000_000)
                await served.attach(replica, dispatcher)
                first = asyncio.create_task(served.predict({"input": [1]}))
                await until(lambda: dispatcher.queued == 1 and dispatcher._delay._timer)
                assert not replica.batches
                await ask_all(served, [[2], [3]])
                await first
                dispatcher._delay._on_time()
        assert list(map(len, replica.batches)) == [3]

    run(main())


def test_a_batch_wait_ends():
    """A short batch leaves when its oldest query has waited for long enough."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=3, batch_wait_us=20_000))
                status, answer = await served.predict({"input": [1]})
        assert (status, answer["output"]) == (200, 1.0)

    run(main())


def test_replicas_take_turns():
    """Idle replicas share the work."""

    async def main():
        with ScriptedReplica() as one, ScriptedReplica() as two:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy()
                await served.attach(one, dispatcher)
                await served.attach(two, dispatcher)
                for n in range(6):
                    await served.predict({"input": [n]})
        assert len(one.batches) == len(two.batches) == 3

    run(main())


def test_a_draining_replica_gets_no_new_batch():
    """It answers what it has; attached once, a second attach changes nothing."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=10_000)
                connection = await served.attach(replica, dispatcher)
                dispatcher.attach(connection)
                assert len(dispatcher.slots) == 1
                asked = asyncio.create_task(served.predict({"input": [1]}))
                await until(lambda: replica.batches)
                dispatcher.drain(connection)
                assert (await served.predict({"input": [2]}))[1]["default"]
                replica.release()
                assert (await asked)[1]["output"] == 1.0

    run(main())


def test_a_hanging_model_does_not_let_the_queue_grow():
    """Expired queries leave the queue of a version whose replicas are all stuck."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=5, max_batch=1)
                await served.attach(replica, dispatcher)
                for n in range(30):
                    assert (await served.predict({"input": [n]}))[1]["default"]
                assert dispatcher.queued <= 2
                assert len(dispatcher.cache.pending) <= 4

    run(main())


def test_the_objective_sets_the_controller():
    """An adaptive version aims at the tightest objective of the applications on it."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy("slow", slo_ms=1000)
                connection = await served.attach(replica, dispatcher)
                before = dispatcher._slot_of[connection].controller
                served.deploy("fast", slo_ms=10)
                after = dispatcher._slot_of[connection].controller
                assert before._target_s > after._target_s
                served.deploy("fast", slo_ms=10)
                assert dispatcher._slot_of[connection].controller is after

    run(main())


# --- as a property ---


class Carrier:
    """Stands in for a ReplicaConnection, so that thousands of histories can be tried."""

    def __init__(self, clock):
        self.in_flight = {}
        self.counters = Counters()
        self.tally = Tally(self.counters)
        self.row_items = None
        self.handler = None
        self.sent = []
        self._clock = clock

    def send_batch(self, batch, type_code):
        """Keep a batch as if it had been sent."""
        assert type_code == InputType.DOUBLES.code
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
            self.dispatcher.on_failure(carrier, batch, "")

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


def check_urgency(world, batch):
    """Assert that no query left in a queue is more urgent than one that was sent just now."""
    left = [q for queue in world.dispatcher._queues.values() for q in queue if not q.is_done]
    for query in left:
        assert query.deadline_s >= max(q.deadline_s for q in batch.queries)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 12)),
        st.tuples(st.sampled_from(["reply", "fail", "attach", "detach"]), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.tuples(st.just("turn")),
    ),
    max_size=60,
)


async def play(world, steps):
    """Play a history, checking what must hold after each step; then let all replicas answer."""
    world.attach(0)
    for name, *arguments in steps:
        sent = [len(carrier.sent) for carrier in world.carriers]
        if name == "turn":
            await asyncio.sleep(0)
            fresh = [
                batch
                for carrier, before in zip(world.carriers, sent, strict=True)
                for batch in carrier.sent[before:]
            ]
            if len(fresh) == 1 and not world.dispatcher._again:
                check_urgency(world, fresh[0])
        else:
            getattr(world, name)(*arguments)
        queued = sum(map(len, world.dispatcher._queues.values()))
        assert world.dispatcher.queued == queued
        assert all(len(b.queries) <= world.limit for c in world.carriers for b in c.sent)
    world.attach(0)
    for _ in range(200):
        await asyncio.sleep(0)
        for which in range(len(world.carriers)):
            world.reply(which)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.integers(1, 5), st.lists(st.integers(100_000, 3_000_000), min_size=1, max_size=3))
def test_every_query_is_answered_exactly_once(steps, limit, slos):
    """Whatever happens to replicas, each query hears one outcome, in batches within the limit."""
    world = World(limit, slos)
    asyncio.run(play(world, steps))
    assert set(world.heard) == set(range(len(world.queries)))
    assert not world.dispatcher.queued
    assert not world.dispatcher.cache.pending


async def play_deadly(world, deadly, count):
    """Ask for rows of which some end the replica that computes them; return how many ended."""
    deaths = 0
    for number in range(count):
        world.ask(0, number)
    while len(world.heard) < len(world.queries):
        await asyncio.sleep(0)
        for carrier in [c for c in world.carriers if c.in_flight]:
            batch = carrier.in_flight[next(iter(carrier.in_flight))]
            if deadly.isdisjoint(query.row for query in batch.queries):
                world.reply(world.carriers.index(carrier))
            else:
                deaths += 1
                world.carriers.remove(carrier)
                world.dispatcher.detach(carrier, End("ended (exit 7)"))
                world.attach(0)
    return deaths


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60),
    st.sets(st.integers(0, 59), max_size=6),
    st.integers(1, 40),
    st.integers(1, 3),
)
def test_inputs_that_end_their_replica_fail_alone(count, deadly, limit, replicas):
    """Each costs three replicas at most; all others are answered, and wait for no further death."""
    deadly = {b"%d" % number for number in deadly if number < count}
    world = World(limit, [10**9])
    for _ in range(replicas):
        world.attach(0)
    deaths = asyncio.run(play_deadly(world, deadly, count))
    assert deaths <= 3 * len(deadly)
    for query in world.queries:
        if query.row in deadly:
            assert world.heard[query.index].value == "No output: the replica ended (exit 7)"
            assert world.heard[query.index].kind is Miss.MODEL_FAILED
        else:
            assert world.heard[query.index] == query.row


def test_silence_is_half_a_death_and_splits_nothing():
    """Replicas that fall silent may be well: their batch moves whole, and not for ever."""
    world = World(8, [10**9])

    async def main():
        world.attach(0)
        for number in range(4):
            world.ask(0, number)
        for _ in range(3):
            await asyncio.sleep(0)
            [carrier] = world.carriers
            [batch] = carrier.in_flight.values()
            assert len(batch.queries) == 4
            world.carriers.clear()
            world.dispatcher.detach(carrier, SILENT)
            world.attach(0)
        while len(world.heard) < 4:
            await asyncio.sleep(0)
            [carrier] = world.carriers
            world.carriers.clear()
            world.dispatcher.detach(carrier, SILENT)
            world.attach(0)

    asyncio.run(main())
    assert {why.value for why in world.heard.values()} == {"No output: the replica fell silent"}


def test_what_waited_at_a_dead_replica_is_not_blamed():
    """Only the oldest batch was being computed; the next one goes on as it was."""

    async def main():
        world = World(2, [10**9])
        world.attach(0)
        for number in range(4):
            world.ask(0, number)
        await asyncio.sleep(0)
        [carrier] = world.carriers
        assert [len(batch.queries) for batch in carrier.in_flight.values()] == [2, 2]
        world.dispatcher.detach(carrier)
        assert [query.lost is not None for query in world.queries] == [True, True, False, False]
        world.carriers.clear()
        world.attach(0)
        for _ in range(6):
            await asyncio.sleep(0)
            world.reply(0)
        sizes = [len(batch.queries) for batch in world.carriers[0].sent]
        assert sizes == [2, 1, 1]

    asyncio.run(main())


def test_what_a_replica_said_before_it_ended_counts():
    """An answer that is still unread when the end is heard of is taken, and not computed again."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying, ScriptedReplica() as other:
            async with serving() as served:
                dispatcher = served.deploy()
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                await until(lambda: dying.batches)
                dying.release()
                assert connection._carrier._socket.poll(5000)  # type: ignore[attr-defined]
                dispatcher.detach(connection, End("ended (exit 7)"))
                await served.attach(other, dispatcher)
                status, answer = await asked
        assert (status, answer["output"]) == (200, 1.0)
        assert not other.batches

    run(main())


def test_what_a_replica_hung_up_on_is_sent_again():
    """A replica that hangs up on a daemon that did not read goes on; its batches do too."""

    async def main():
        with tempfile.TemporaryDirectory(prefix="sv-") as folder:
            listener = StreamListener(f"{folder}/r.sock")

            async def predicts():
                while True:
                    while (message := listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
                    header = protocol.unpack_header(message[1][0])
                    if header[0] == protocol.PREDICT:
                        return message[0], header

            async with serving() as served:
                dispatcher = served.deploy()
                connection = ReplicaConnection(
                    f"unix://{folder}/r.sock", Owner(), served.engine.context, served.engine.clock
                )
                connection.open()
                dispatcher.attach(connection)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                peer, _ = await predicts()
                listener._drop(peer)
                peer, header = await predicts()
                reply = protocol.pack_header([protocol.RESULT, header[1], 1, 1])
                assert listener.send(peer, (reply, b"1.0"))
                assert (await asked)[1]["output"] == 1.0
                assert not connection.in_flight
                connection.close()
            listener.close()

    run(main())


def test_a_query_that_was_lost_says_so_at_its_deadline():
    """Where no other replica answers in time, the reason is more than the time."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=300, default=None)
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                await until(lambda: dying.batches)
                dispatcher.detach(connection, End("ended (exit 7)"))
                status, answer = await asked
        assert status == 504
        assert answer["cause"] == f"{Miss.TIMED_OUT.value}: the replica ended (exit 7)"

    run(main())


def test_a_long_tick_sends_and_reads_meanwhile():
    """Where thousands of queries are read in one go, replicas get theirs before the last is."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy(max_batch=50)
                connection = await served.attach(replica, dispatcher)
                route, sink = served.engine.by_name["app"], Collector()
                asked = 0

                def ask():
                    nonlocal asked
                    served.engine.submit(route, dispatcher, doubles(float(asked)), sink, asked)
                    asked += 1

                for _ in range(LOOK_EVERY + 2):
                    ask()
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                # Without a turn of the event loop, which alone would read replies otherwise.
                while not sink.outputs:
                    ask()
                await until(lambda: len(sink.outputs) == asked)

    run(main())


class Collector:
    """A sink that keeps outputs by their index."""

    def __init__(self):
        self.outputs = {}

    def on_output(self, query, output):
        """Keep an output."""
        self.outputs[query.index] = output
