"""A dispatcher's histories: whatever happens to replicas, each query hears one outcome."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from servd.datatypes import SILENT, End
from servd.engine.query import Miss
from tests.dispatching import World


def check_urgency(world, batch):
    """Assert that no query left in a queue is more urgent than one that was sent just now."""
    left = [q for queue in world.dispatcher._queues.values() for q in queue if not q.is_done]
    for query in left:
        assert query.deadline_s >= max(q.deadline_s for q in batch.queries)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.integers(0, 12)),
        st.tuples(
            st.sampled_from(["reply", "fail", "part", "attach", "detach"]), st.integers(0, 3)
        ),
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


@settings(max_examples=3 * settings.default.max_examples // 2, deadline=None)
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


@settings(deadline=None)
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
