"""A dispatcher by itself, with stand-ins for its replicas: what it counts, admits and chooses."""

import asyncio
import json

import pytest

from servd.datatypes import End
from servd.engine.failure import Failure
from servd.engine.query import Miss, Query
from servd.engine.slot import SLACK, UNLIMITED
from tests.dispatching import Carrier, World

SECOND_US = 1_000_000


def played(story, limit=1, slos=(SECOND_US,), replicas=1):
    """Play a story with a world that has some replicas; return the world."""
    world = World(limit, list(slos))

    async def main():
        for _ in range(replicas):
            world.attach(0)
        world.dispatcher.set_slo(min(route.slo_s for route in world.routes))
        await story(world)

    asyncio.run(main())
    return world


async def turn():
    """Let the event loop turn, which dispatches what was asked."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def in_flight(world, which=0):
    """Return the numbers of the queries in each batch that a replica was sent."""
    return [[query.index for query in batch.queries] for batch in world.carriers[which].sent]


def test_batches_and_hits_are_counted():
    """What was only noted until then is counted once, when it is folded in."""

    def counters(world):
        world.dispatcher.fold()
        return world.dispatcher.counters

    async def story(world):
        for number in range(3):
            world.ask(0, number)
        await turn()
        assert counters(world).batch_size.count == 0
        world.reply(0)
        assert counters(world).batch_size.count == 1
        assert world.carriers[0].counters.batch_size.count == 1
        world.fail(0)
        assert counters(world).batch_size.count == 2
        assert counters(world).failures == 1
        world.dispatcher.body_hits = 3
        assert counters(world).cache_hits == 3
        assert counters(world).cache_hits == 3
        world.detach(0)
        world.attach(0)
        assert counters(world).batch_size.count == 2

    played(story)


def test_misfits_are_counted_by_replica():
    """One that says so twice is one; one that is replaced is none."""

    async def story(world):
        dispatcher = world.dispatcher
        for link in ("a", "a", "b"):
            dispatcher.mark_misfit(link, is_misfit=True)
        assert dispatcher.misfits == 2
        for link in ("a", "a", "c"):
            dispatcher.mark_misfit(link, is_misfit=False)
        assert dispatcher.misfits == 1

    played(story)


def test_what_is_due_before_a_query_fills_its_room():
    """As many may wait as the replicas can answer in the query's own objective, and no more."""

    async def story(world):
        slot = world.dispatcher.slots[0]
        slot.full_s = 0.095
        room = slot.room(1.0)  # nine batches fit into 0.9 s, of which two are in flight
        assert room == 7 + SLACK
        slow = world.routes[1]
        for number in range(2):
            world.ask(0, number)
        await turn()
        world.ask(1, 1000)  # due later: it takes no place
        for number in range(2, 2 + room):
            query = Query(world.routes[0], b"other", world, 0, world.now_s)
            assert not world.dispatcher.is_full_for(query)
            world.ask(0, number)
        assert world.dispatcher.is_full_for(query)
        assert not world.dispatcher.is_full_for(Query(slow, b"other", world, 0, world.now_s))
        followed = Query(world.routes[0], b"5", world, 0, world.now_s)
        assert not world.dispatcher.is_full_for(followed)  # it is computed anyway

    played(story, slos=(SECOND_US, 100 * SECOND_US))


def test_a_sole_application_is_full_at_the_limit():
    """Where all that waits is one application's, being over the limit says it all."""

    async def story(world):
        for number in range(3):
            world.ask(0, number)
        query = Query(world.routes[0], b"other", world, 0, world.now_s)
        assert world.dispatcher.is_full_for(query)

    played(story)


@pytest.mark.parametrize("others", [0, 1])
def test_what_cannot_be_back_in_time_is_refused(others):
    """A query whose objective passes while a batch is away hears that there are too many."""

    async def story(world):
        world.dispatcher.slots[0].away_s = 2.0
        world.ask(0, 0)
        world.now_s = 2.0
        world.ask(0, 1)
        for number in range(others):
            world.ask(1, 2 + number)
        await turn()
        assert world.heard == {0: Miss.OVERLOADED}
        assert [route.counters.refused for route in world.routes] == [1, 0]
        assert in_flight(world) == [[1]] + [[2]] * others
        assert b"0" not in world.dispatcher.cache.pending
        assert world.dispatcher.queued == 0

    played(story, slos=(3 * SECOND_US, 100 * SECOND_US))


def test_where_all_would_be_late_all_leave():
    """Only a batch can show that the replica is faster again, so nothing is refused then."""

    async def story(world):
        world.dispatcher.slots[0].away_s = 2.0
        for number in range(2):
            world.ask(0, number)
        await turn()
        assert world.heard == {}
        assert in_flight(world) == [[0, 1]]

    played(story, limit=2)


def test_a_batch_that_cannot_be_sent_is_answered_and_forgotten(caplog):
    """A fault of ours on the way out costs its own queries alone; the replica goes on."""
    forgotten = []

    class Faulty(Carrier):
        """A connection that raises on one row."""

        def send_batch(self, batch, type_code):
            """Raise where it is told to."""
            if batch.queries[0].row == b"1":
                raise ZeroDivisionError("the script says so")
            super().send_batch(batch, type_code)

        def forget(self, batch):
            """Note it."""
            forgotten.append([query.row for query in batch.queries])

    async def story(world):
        carrier = Faulty(lambda: world.now_s)
        world.carriers.append(carrier)
        world.dispatcher.attach(carrier)
        for number in range(4):
            world.ask(0, number)
        await turn()
        assert world.heard == {1: Miss.FAULT}
        assert forgotten == [[b"1"]]
        assert len(world.carriers[0].sent) == 2

    played(story, replicas=0)
    assert "ZeroDivisionError" in caplog.text


def test_the_most_urgent_leave_first_whatever_application_they_are_of():
    """Of several queues the queries that are due first are taken, up to the limit."""

    async def story(world):
        for number in range(3):
            world.ask(0, number)
        for number in range(3, 5):
            world.ask(1, number)
        await turn()
        assert in_flight(world) == [[3, 4, 0], [1, 2]]

    played(story, limit=3, slos=(100 * SECOND_US, SECOND_US))


def test_of_one_queue_the_limit_leaves_in_order():
    """A sole application's queries leave as they came, and the rest stays queued."""

    async def story(world):
        for number in range(5):
            world.ask(0, number)
        await turn()
        assert in_flight(world) == [[0, 1], [2, 3]]
        assert world.dispatcher.queued == 1
        world.reply(0)
        assert in_flight(world) == [[0, 1], [2, 3], [4]]
        assert world.dispatcher.queued == 0

    played(story, limit=2)


def test_what_was_given_up_does_not_leave():
    """A query whose caller has gone is left out; the queue is looked through until it is empty."""

    async def story(world):
        for number in range(8):
            world.ask(0, number)
        for index in (1, 5, 6):
            world.queries[index].is_done = True
            world.routes[0].lost += 1
        await turn()
        assert in_flight(world) == [[0, 2], [3, 4]]
        assert world.routes[0].lost
        world.reply(0)
        assert in_flight(world)[2:] == [[7]]
        assert not world.routes[0].lost

    played(story, limit=3)


@pytest.mark.parametrize(("waiting", "is_bounded"), [(5, True), (4, False)])
def test_the_bound_is_that_of_a_backlog(waiting, is_bounded):
    """Only while the next batch would be at least half full does capacity bound what may wait."""

    async def story(world):
        dispatcher = world.dispatcher
        dispatcher.slots[0].full_s = 0.1
        for number in range(20 + waiting):
            world.ask(0, number)
        await turn()
        assert dispatcher.queued == waiting
        dispatcher.admit_limit = 1
        world.now_s += 0.1
        world.reply(0)
        assert (dispatcher.admit_limit == UNLIMITED) is not is_bounded

    played(story, limit=10, slos=(SECOND_US,))


def test_a_replica_is_attached_once_and_leaves_once():
    """A replica that is announced twice has one place; one that is unknown changes nothing."""

    async def story(world):
        dispatcher, carrier = world.dispatcher, world.carriers[0]
        slots = [*dispatcher.slots]
        dispatcher.attach(carrier)
        assert dispatcher.slots == slots
        assert dispatcher.is_live
        dispatcher.drain(carrier)
        dispatcher.drain(carrier)
        assert not dispatcher.is_live
        assert dispatcher.limits() == []
        dispatcher.detach(carrier)
        dispatcher.detach(carrier)
        dispatcher.drain(Carrier(lambda: 0.0))
        assert not dispatcher.is_live
        world.carriers.clear()
        world.attach(0)
        assert dispatcher.is_live
        assert dispatcher.limits() == [1]

    played(story)


def test_a_new_replica_lifts_the_bound():
    """How much fits is not known before its pace is."""

    async def story(world):
        world.dispatcher.admit_limit = 1
        world.attach(0)
        assert world.dispatcher.admit_limit == UNLIMITED

    played(story)


@pytest.mark.parametrize(("items", "row_bytes"), [(3, 24), (1, 8), (0, None), (None, None)])
def test_how_long_a_row_must_be_is_what_the_replica_says(items, row_bytes):
    """In bytes of the version's type; unknown where it does not say."""

    async def story(world):
        carrier = Carrier(lambda: 0.0)
        carrier.row_items = items
        world.dispatcher.attach(carrier)
        assert world.dispatcher.row_bytes == row_bytes

    played(story, replicas=0)


def test_a_new_objective_starts_the_sizes_anew_and_the_same_one_does_not():
    """What was learned for an objective is kept as long as it holds."""

    async def story(world):
        dispatcher = world.dispatcher
        learned = dispatcher.slots[0].controller
        dispatcher.set_slo(1.0)
        assert dispatcher.slots[0].controller is learned
        dispatcher.set_slo(0.5)
        assert dispatcher.slots[0].controller is not learned

    played(story)


def test_an_application_that_goes_keeps_its_queue_while_it_is_not_empty():
    """Its queries are answered; an empty queue is dropped, and an unknown one is no fault."""

    async def story(world):
        dispatcher, route = world.dispatcher, world.routes[0]
        for number in range(3):
            world.ask(0, number)
        await turn()
        dispatcher.forget_lane(route)
        assert route in dispatcher._queues
        world.reply(0)
        dispatcher.forget_lane(route)
        dispatcher.forget_lane(route)
        assert route not in dispatcher._queues

    played(story)


def test_what_waits_at_the_end_hears_of_it_once():
    """Queued, sent, to be tried again: each is answered that there is no model."""

    async def story(world):
        for number in range(6):
            world.ask(0, number)
        await turn()
        world.attach(0)
        world.dispatcher.drain(world.carriers[1])
        world.dispatcher._again.append([world.queries[5]])
        world.dispatcher._queues[world.routes[0]].remove(world.queries[5])
        world.dispatcher.close()
        assert world.heard == dict.fromkeys(range(6), Miss.NO_MODEL)
        assert world.dispatcher.queued == 0
        assert not world.dispatcher._again
        assert not world.dispatcher.cache.pending
        world.dispatcher.close()

    played(story)


def test_followers_hear_of_a_failure_too():
    """Who waits for the same row hears the same; who has been answered hears nothing more."""

    async def story(world):
        for _ in range(3):
            world.ask(0, 7)
        world.queries[1].is_done = True
        await turn()
        world.fail(0)
        kinds = {index: why.kind for index, why in world.heard.items()}
        assert kinds == {0: Miss.MODEL_FAILED, 2: Miss.MODEL_FAILED}
        assert not world.dispatcher.cache.pending

    played(story)


def test_a_wrong_output_is_told_and_not_called_an_exception():
    """Its reason reaches the caller, once the batch has been taken apart to the input at fault."""

    async def story(world):
        world.ask(0, 7)
        await turn()
        carrier, batch = world.oldest(0)
        world.dispatcher.on_failure(carrier, batch, Failure("the model returned a set", "output"))
        why = world.heard[0]
        assert why.kind is Miss.BAD_OUTPUT
        assert why.value == "No output: the model returned a set"
        assert json.loads(why.json) == why.value

    played(story)


def test_inputs_that_fail_by_themselves_leave_the_others_their_outputs():
    """Nothing of the batch is sent again; what is wrong with an input is told by its place."""

    async def story(world):
        for number in range(4):
            world.ask(0, number)
        await turn()
        carrier, batch = world.oldest(0)
        faults = [{"loc": ["rooms", 1], "msg": "wanted a number", "type": "float_type"}]
        failed = {
            0: Failure("rooms[1]: wanted a number", "input", faults),
            1: Failure("ValueError: no"),
            3: Failure("a set", "output"),
        }
        world.dispatcher.on_partial(carrier, batch, [b"2"], failed)
        assert world.heard.pop(2) == b"2"
        kinds = {index: why.kind for index, why in world.heard.items()}
        assert kinds == {0: Miss.BAD_INPUT, 1: Miss.MODEL_FAILED, 3: Miss.BAD_OUTPUT}
        assert world.heard[0].faults == faults
        await turn()
        assert len(carrier.sent) == 1
        assert world.dispatcher.counters.failures == 3
        assert world.dispatcher.cache.rows.get(b"2") == b"2"
        assert not world.dispatcher.cache.pending
        # Whose input is wrong is told so whatever default there is.
        counters = world.routes[0].counters
        assert (counters.failures, counters.defaults) == (1, 2)

    played(story, limit=4)


def test_a_batch_whose_inputs_all_failed_is_over():
    """The replica gets the next one."""

    async def story(world):
        world.ask(0, 1)
        await turn()
        carrier, batch = world.oldest(0)
        world.ask(0, 2)
        world.dispatcher.on_partial(carrier, batch, [], {0: Failure("no")})
        await turn()
        assert len(carrier.sent) == 2

    played(story)


def test_a_known_body_needs_a_known_row():
    """A body is remembered where its row's output is; it is forgotten with the last replica."""

    async def story(world):
        dispatcher = world.dispatcher

        def known():
            return dispatcher.bodies and dispatcher.bodies["form"].get(b"body")

        dispatcher.remember("form", b"body", b"7")
        assert known() is None
        world.ask(0, 7)
        await turn()
        world.reply(0)
        dispatcher.remember("form", b"body", b"7")
        assert known() == b"7"
        world.detach(0)
        assert known() is None
        world.attach(0)
        assert known() == b"7"
        dispatcher.remember("another", b"body", b"8")
        dispatcher.remember(None, b"other", b"7")
        assert list(dispatcher.bodies) == ["form"]

    played(story)


def test_what_a_dead_replica_had_is_tried_oldest_first_in_halves():
    """The batch that it was computing is halved; the one that waited there moves whole."""

    async def story(world):
        for number in range(8):
            world.ask(0, number)
        await turn()
        assert in_flight(world) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        dead = world.carriers.pop(0)
        world.dispatcher.detach(dead, End("ended (exit 7)"))
        world.attach(0)
        world.attach(0)
        assert sorted(in_flight(world, 0) + in_flight(world, 1)) == [[0, 1], [2, 3], [4, 5, 6, 7]]

    played(story, limit=4)


def test_what_a_dead_replica_had_goes_on_at_once_where_another_is_free():
    """No later event is needed for it."""

    async def story(world):
        world.attach(0)
        for number in range(2):
            world.ask(0, number)
        await turn()
        busy = next(carrier for carrier in world.carriers if carrier.in_flight)
        world.carriers.remove(busy)
        world.dispatcher.detach(busy, End("ended (exit 7)"))
        assert in_flight(world) == [[0], [1]]

    played(story, limit=4)


def test_an_input_that_ends_its_replicas_is_one_failure():
    """However many replicas it cost; it is counted when it is given up."""

    async def story(world):
        world.ask(0, 1)
        await turn()
        for _ in range(2):
            assert world.dispatcher.counters.failures == 0
            world.dispatcher.detach(world.carriers.pop(0), End("ended (exit 7)"))
            world.attach(0)
            await turn()
        assert world.heard[0].kind is Miss.MODEL_FAILED
        assert world.dispatcher.counters.failures == 1

    played(story)
