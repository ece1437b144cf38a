"""More queries than a model can do: what would be late is refused, the rest is in time."""

import asyncio
from collections import Counter

import pytest

from servd.datatypes import Batching
from servd.engine.batching import HEADROOM
from servd.engine.query import Miss
from tests.overload import SLO_S, Overload
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import run, serving, until


class Caller:
    """A sink that remembers."""

    def __init__(self):
        self.outputs = {}
        self.misses = {}

    def on_output(self, query, output):
        """Remember an output."""
        self.outputs[query.index] = output

    def on_miss(self, query, why):
        """Remember a miss."""
        self.misses[query.index] = why


async def offer(served, dispatcher, caller, rate, seconds):
    """Submit queries at a constant rate, whether or not answers come; return how many."""
    engine, route = served.engine, served.engine.by_name["app"]
    began_s, asked = engine.clock(), 0
    while (now_s := engine.clock()) < began_s + seconds:
        while asked < (now_s - began_s) * rate:
            engine.submit(route, dispatcher, doubles(1.0), caller, asked)
            asked += 1
        await asyncio.sleep(0.0005)
    await until(lambda: len(caller.outputs) + len(caller.misses) == asked)
    return asked


@pytest.mark.repeats
@pytest.mark.parametrize("batching", list(Batching))
def test_a_slow_replica_does_what_it_can_at_twice_its_capacity(batching):
    """At 2x what cannot be done is refused at once, and the rest is in time.

    The simulation below asks for 85 %; here a busy machine may take a part, a collapse takes all.
    """
    slo_s = 0.2

    async def main():
        with ScriptedReplica(pace_s=lambda rows: 0.001 + rows * 0.001) as replica:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy(slo_ms=slo_s * 1000, batching=batching)
                await served.attach(replica, dispatcher)
                size = (slo_s * HEADROOM - 0.001) / 0.001
                capacity = size / (slo_s * HEADROOM)
                await offer(served, dispatcher, Caller(), 1.5 * capacity, 1.5)
                caller = Caller()
                asked = await offer(served, dispatcher, caller, 2 * capacity, 2.0)
        assert len(caller.outputs) >= 0.6 * capacity * 2.0
        whys = Counter(caller.misses.values())
        assert whys[Miss.OVERLOADED] >= 0.3 * asked
        assert whys[Miss.TIMED_OUT] <= 0.1 * asked

    run(main())


def test_a_query_with_more_time_is_let_in():
    """The room is that of the query's own objective; what is due later is not before it."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy("fast", slo_ms=100, max_batch=1)
                served.deploy("slow", slo_ms=20_000, max_batch=1)
                await served.attach(replica, dispatcher)
                dispatcher.slots[0].full_s = 0.02
                room = dispatcher.slots[0].room(0.1)
                dispatcher.admit_limit = room
                engine, caller = served.engine, Caller()
                fast, slow = engine.by_name["fast"], engine.by_name["slow"]
                for index in range(2 * room):
                    engine.submit(slow, dispatcher, doubles(1.0), caller, index)
                for index in range(room, 2 * room + 1):
                    engine.submit(fast, dispatcher, doubles(1.0), caller, -index)
                assert caller.misses == {-2 * room: Miss.OVERLOADED}

    run(main())


def test_a_row_that_is_computed_anyway_is_not_refused():
    """A query that would follow one in flight costs no capacity."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=1)
                await served.attach(replica, dispatcher)
                engine, caller = served.engine, Caller()
                route = engine.by_name["app"]
                engine.submit(route, dispatcher, doubles(1.0), caller, 1)
                dispatcher.admit_limit = 1
                engine.submit(route, dispatcher, doubles(1.0), caller, 2)
                engine.submit(route, dispatcher, doubles(2.0), caller, 3)
                replica.release()
                await until(lambda: len(caller.outputs) == 2)
                assert caller.misses == {3: Miss.OVERLOADED}

    run(main())


@pytest.mark.repeats
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("share", [1.5, 2.0, 5.0])
@pytest.mark.parametrize("batching", ["aimd", "quantile"])
def test_goodput_holds_under_overload(share, replicas, batching):
    """Offered more than it can do, a model still does 85 % of it in time; the rest is told soon."""
    world = Overload(replicas, batching)
    run(world.run(1.0, 0.5))
    run(world.run(share, 2.0))
    assert world.good >= 0.85 * world.capacity * 2.0
    assert world.late <= 0.02 * world.good
    assert world.refused_after_s <= SLO_S
    run(world.run(0.6, 0.5))
    assert world.good >= 0.99 * world.asked
