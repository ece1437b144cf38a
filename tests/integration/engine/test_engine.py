"""The story of a query, with real replicas (scripted ones) behind real sockets."""

import asyncio
from itertools import pairwise

import pytest

from servd.datatypes import RegistryState, VersionId
from servd.engine.engine import MAX_WAITING, MISSES_A_TURN, Engine, default_json
from servd.engine.query import Miss
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import run, serving, until

TIMED_OUT = "Failed to retrieve a prediction response within the specified latency SLO"


class Caller:
    """A sink that remembers; each query must be heard of exactly once."""

    def __init__(self):
        self.outputs = {}
        self.misses = {}

    def on_output(self, query, output):
        """Remember an output."""
        assert query.index not in self.outputs
        assert query.index not in self.misses
        self.outputs[query.index] = output

    def on_miss(self, query, miss):
        """Remember a miss."""
        assert query.index not in self.outputs
        assert query.index not in self.misses
        self.misses[query.index] = miss


def test_a_query_is_answered_by_a_replica():
    """An output of the replica reaches the caller as it is."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy())
                answer = await served.predict({"input": [1, 2.5]})
        assert answer == (200, {"query_id": 0, "output": 3.5, "default": False})

    run(main())


def test_identical_queries_in_flight_cost_one_computation():
    """Queries for a row that is being computed wait for that one output."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                for index in range(5):
                    served.engine.submit(route, dispatcher, doubles(1.0), caller, index)
                await until(lambda: replica.batches)
                replica.release()
                await until(lambda: len(caller.outputs) == 5)
        assert replica.batches == [[doubles(1.0)]]

    run(main())


def test_followers_of_a_cancelled_query_are_answered():
    """A caller that hangs up does not take those with it who wait for the same row."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                first = served.engine.submit(route, dispatcher, doubles(1.0), caller, 0)
                served.engine.submit(route, dispatcher, doubles(1.0), caller, 1)
                served.engine.cancel(first)
                await until(lambda: caller.outputs)
        assert caller.outputs == {1: b"1.0"}
        assert not route.waiting

    run(main())


def test_a_query_that_nobody_waits_for_is_not_sent():
    """A cancelled query's place is free: the replica never hears of it."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                gone = served.engine.submit(route, dispatcher, doubles(1.0), caller, 0)
                served.engine.cancel(gone)
                served.engine.submit(route, dispatcher, doubles(2.0), caller, 1)
                await until(lambda: caller.outputs)
                assert not dispatcher.cache.pending
        assert replica.batches == [[doubles(2.0)]]

    run(main())


def test_the_cache_is_not_used_without_a_live_replica():
    """No live replica means the default, even where the cache knows the output."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                connection = await served.attach(replica, dispatcher)
                for _ in range(3):
                    assert (await served.predict({"input": [1]}))[1]["output"] == 1.0
                dispatcher.detach(connection)
                status, answer = await served.predict({"input": [1]})
        assert status == 200
        assert answer["default"]
        assert answer["default_explanation"] == "No connected models found for query"

    run(main())


def test_the_cache_goes_with_its_version():
    """A version that is removed and deployed again starts without outputs."""

    async def main():
        with ScriptedReplica() as old, ScriptedReplica(answer=lambda _row: b'"new"') as new:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(old, dispatcher)
                for _ in range(3):
                    await served.predict({"input": [1]})
                served.engine.apply(RegistryState(served.state.applications, {}, {}, {}))
                served.engine.forget(dispatcher.id)
                assert served.engine.cache.used_bytes == 0
                await served.attach(new, served.deploy())
                status, answer = await served.predict({"input": [1]})
        assert (status, answer["output"]) == (200, "new")

    run(main())


def test_a_late_output_is_a_default_now_and_a_hit_later():
    """At the SLO the caller gets the default; the output that comes after it fills the cache."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=30, default="0.5")
                await served.attach(replica, dispatcher)
                status, answer = await served.predict({"input": [1, 2]})
                assert status == 200
                assert answer == {
                    "query_id": 0,
                    "output": 0.5,
                    "default": True,
                    "default_explanation": TIMED_OUT,
                }
                replica.release()
                await until(lambda: dispatcher.cache.rows.get(doubles(1.0, 2.0)))
                status, answer = await served.predict({"input": [1, 2]})
        assert (answer["output"], answer["default"]) == (3.0, False)
        assert len(replica.batches) == 1

    run(main())


def test_one_timer_serves_an_application():
    """Misses that start the next query of a connection do not leave more timers behind."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=5)
                await served.attach(replica, dispatcher)
                engine = served.engine
                armed = []
                arm = engine._arm
                engine._arm = lambda *given: (armed.append(given[0].timer), arm(*given))
                client = await served.client()
                for index in range(8):
                    body = b'{"input":[%d]}' % index
                    client.send(
                        b"POST /app/predict HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
                        % (len(body), body)
                    )
                for _ in range(8):
                    assert (await client.answer()).json["default"]
        assert armed
        assert all(timer is None for timer in armed)

    run(main())


@pytest.mark.parametrize("slo_ms", [0, -5])
def test_an_objective_of_nothing_is_a_default(slo_ms):
    """An SLO of zero or less, which Clipper accepts, is over; that of others is not touched."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                served.deploy("other", slo_ms=1000)
                dispatcher = served.deploy(slo_ms=slo_ms)
                served.deploy("third", slo_ms=500)
                await served.attach(replica, dispatcher)
                status, answer = await served.predict({"input": [1]})
                route = served.engine.by_name["app"]
                assert (route.counters.refused, route.shed) == (0, 0)
                assert route.counters.latency.total == 0
                assert dispatcher._slo_s == 0.5
        assert status == 200
        assert answer["default"]
        assert answer["default_explanation"] == TIMED_OUT

    run(main())


def test_too_many_waiting_queries_are_refused():
    """The query after 65,536 unanswered ones is refused at once; a freed place is found again."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=1, default=None)
                await served.attach(replica, dispatcher)
                engine, route, caller = served.engine, served.engine.by_name["app"], Caller()
                queries = [
                    engine.submit(route, dispatcher, doubles(float(n)), caller, n)
                    for n in range(MAX_WAITING)
                ]
                status, answer = await served.predict({"input": [1, 2, 3]})
                assert status == 503
                assert answer["cause"] == Miss.OVERLOADED.value
                engine.submit(route, dispatcher, doubles(-1.0), caller, -1)
                assert caller.misses == {-1: Miss.OVERLOADED}
                for query in queries[1:]:
                    query.is_done = True
                route.full_until_s = 0.0
                engine.submit(route, dispatcher, doubles(-2.0), caller, -2)
                assert -2 not in caller.misses
                assert len(route.waiting) == 2
                assert route.counters.refused == 2

    run(main())


def test_two_applications_share_a_version():
    """Links of two applications to one model share its replicas, and each has its objective."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy("slow", slo_ms=20_000, max_batch=4)
                served.deploy("fast", slo_ms=10_000, max_batch=4)
                await served.attach(replica, dispatcher)
                engine, caller = served.engine, Caller()
                slow, fast = engine.by_name["slow"], engine.by_name["fast"]
                for index, route in enumerate((slow, slow, slow, fast, fast)):
                    engine.submit(route, dispatcher, doubles(float(index)), caller, index)
                await until(lambda: len(replica.batches) == 2)
                replica.release()
                await until(lambda: len(caller.outputs) == 5)
        assert replica.batches[0] == [doubles(float(n)) for n in (3, 4, 0, 1)]

    run(main())


def test_removing_an_application_removes_its_path():
    """A removed application is unknown at once."""

    async def main():
        async with serving() as served:
            served.deploy()
            assert (await served.predict({"input": [1]}))[0] == 200
            served.engine.apply(RegistryState())
            assert (await served.predict({"input": [1]}))[0] == 404

    run(main())


def test_a_changed_application_answers_by_its_new_settings():
    """Applying a changed application changes its default and keeps its counters."""

    async def main():
        async with serving() as served:
            served.deploy(default="1")
            assert (await served.predict({"input": [1]}))[1]["output"] == 1
            served.deploy(default="2")
            assert (await served.predict({"input": [1]}))[1]["output"] == 2
            assert served.engine.by_name["app"].counters.queries == 2

    run(main())


def test_forgetting_a_version_answers_what_waits():
    """Queries queued for and in flight at a version that goes are answered that there is none."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=1)
                await served.attach(replica, dispatcher)
                route, caller = served.engine.by_name["app"], Caller()
                for n in range(4):
                    served.engine.submit(route, dispatcher, doubles(float(n)), caller, n)
                await until(lambda: len(replica.batches) == 2)
                served.engine.forget(VersionId("model", "1"))
                served.engine.forget(VersionId("model", "1"))
                assert set(caller.misses.values()) == {Miss.NO_MODEL}
                assert len(caller.misses) == 4
                with pytest.raises(KeyError, match="version='1'"):
                    served.engine.dispatcher(VersionId("model", "1"))

    run(main())


def test_without_a_cache_each_query_is_computed():
    """A cache of no bytes keeps nothing, and no query follows another."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving(cache_bytes=0) as served:
                await served.attach(replica, served.deploy())
                for _ in range(3):
                    assert (await served.predict({"input": [1]}))[1]["output"] == 1.0
        assert len(replica.batches) == 3

    run(main())


def test_the_ticker_keeps_snapshots():
    """Once a second every counter keeps a snapshot, from which rates are made."""

    async def main():
        now = [100.0]
        with ScriptedReplica() as replica:
            async with serving() as served:
                served.engine.clock = lambda: now[0]
                dispatcher = served.deploy()
                connection = await served.attach(replica, dispatcher)
                served.engine._on_second()
                await served.predict({"input": [1]})
                now[0] += 2.0
                for counters in (
                    served.engine.by_name["app"].counters,
                    dispatcher.counters,
                    connection.counters,
                ):
                    assert counters.window(now[0]).queries_per_s == 0.5

    run(main())


@pytest.mark.parametrize(
    ("text", "json_text"),
    [
        (None, None),
        ("-1.0", b"-1.0"),
        ('{"a": [1]}', b'{"a": [1]}'),
        ("plain text", b'"plain text"'),
        ("NaN", b'"NaN"'),
        ("Infinity", b'"Infinity"'),
        ("[-1e999]", b'"[-1e999]"'),
        (r'"\ud800"', rb'"\"\\ud800\""'),
        ('"x\n"', rb'"\"x\n\""'),
        ("[" * 100_000, None),
    ],
)
def test_a_default_output_is_nested_where_it_is_json(text, json_text):
    """Clipper's default output is a text; what parses as strict JSON is pasted as such."""
    found = default_json(text)
    if text is not None and json_text is None:
        assert found == b'"%b"' % text.encode()
    else:
        assert found == json_text


def test_an_engine_ticks_from_its_start_to_its_end():
    """Seconds are counted from the start; at the end timer and sockets are closed."""

    async def main():
        engine = Engine(0)
        async with engine:
            assert not engine.cache.is_enabled
            ticker = engine._ticker
            assert ticker is not None
            assert not ticker.cancelled()
            left_s = ticker.when() - asyncio.get_running_loop().time()
            assert left_s == pytest.approx(1.0, abs=0.5)
        assert ticker.cancelled()
        assert engine.context.closed

    run(main())


def test_what_is_due_now_is_answered_now():
    """A deadline is passed when the clock shows it, not when it shows more."""

    async def main():
        now = [100.0]
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                served.engine.clock = lambda: now[0]
                dispatcher = served.deploy(slo_ms=500)
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                query = served.engine.submit(route, dispatcher, doubles(1.0), caller)
                now[0] = query.deadline_s
                served.engine._on_deadline(route)
                assert [*caller.misses] == [0]

    run(main())


def test_an_engine_that_ends_answers_what_waits():
    """What is queued at the end is answered that there is no model, once."""

    async def main():
        caller = Caller()
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=1)
                await served.attach(replica, dispatcher)
                route = served.engine.by_name["app"]
                for index in range(4):
                    served.engine.submit(route, dispatcher, doubles(float(index)), caller, index)
        assert caller.misses == dict.fromkeys(range(4), Miss.NO_MODEL)

    run(main())


class Full:
    """An application of which the line is full at four, with a clock that the test moves."""

    def __init__(self, served, monkeypatch):
        monkeypatch.setattr("servd.engine.engine.MAX_WAITING", 4)
        self.now_s = 100.0
        self.engine = served.engine
        self.engine.clock = lambda: self.now_s
        self.dispatcher = served.deploy(max_batch=1, default=None)
        self.route = self.engine.by_name["app"]
        self.caller = Caller()
        self._count = 0

    async def passes(self, seconds):
        """Let a time pass, and the tick of the event loop end, which has one time only."""
        self.now_s += seconds
        await until(lambda: not self.dispatcher.turn.is_on)

    def submit(self):
        """Ask with another row each time."""
        self._count += 1
        row = doubles(float(self._count))
        return self.engine.submit(self.route, self.dispatcher, row, self.caller, self._count)


def test_a_full_line_refuses_and_does_not_look_again_at_once(monkeypatch):
    """A line full of unanswered queries is not looked through again for 20 ms."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                full = Full(served, monkeypatch)
                await served.attach(replica, full.dispatcher)
                waiting = [full.submit() for _ in range(4)]
                assert not any(query.is_done for query in waiting)
                refused = full.submit()
                assert refused.is_done
                assert full.caller.misses == {5: Miss.OVERLOADED}
                for query in waiting[1:]:
                    query.is_done = True
                assert full.submit().is_done
                await full.passes(0.0199)
                assert full.submit().is_done
                await full.passes(0.0002)
                assert not full.submit().is_done
                assert full.route.counters.refused == 3
                assert len(full.route.waiting) == 2

    run(main())


@pytest.mark.parametrize(("answered", "is_looked_again"), [(2, True), (1, False)])
def test_a_line_that_is_half_empty_is_looked_through_whenever(
    monkeypatch, answered, is_looked_again
):
    """Where a look frees half of the line the next look is worth it at once."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                full = Full(served, monkeypatch)
                await served.attach(replica, full.dispatcher)
                waiting = [full.submit() for _ in range(4)]
                for query in waiting[4 - answered :]:
                    query.is_done = True
                made = [full.submit() for _ in range(answered)]
                assert not any(query.is_done for query in made)
                made[-1].is_done = True
                assert full.submit().is_done is not is_looked_again

    run(main())


def test_a_query_at_the_admission_limit_is_refused():
    """Of what the replicas can answer in time the last is let in, the next is not."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=1, default=None)
                await served.attach(replica, dispatcher)
                route, caller = served.engine.by_name["app"], Caller()

                def submit(number):
                    row = doubles(float(number))
                    return served.engine.submit(route, dispatcher, row, caller, number)

                for number in range(3):
                    submit(number)
                await until(lambda: len(replica.batches) == 2)
                assert dispatcher.queued == 1
                dispatcher.admit_limit = 2
                assert not submit(3).is_done
                assert submit(4).is_done
                assert caller.misses == {4: Miss.OVERLOADED}

    run(main())


def test_a_sole_input_has_the_first_place():
    """Who asks with one input hears of it at place 0."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                served.engine.submit(route, dispatcher, doubles(2.0), caller)
                await until(lambda: caller.outputs)
                assert caller.outputs == {0: b"2.0"}
                asking = Caller()
                served.engine.ask(route, doubles(2.0), asking)
                assert asking.outputs.keys() == {0}  # a hit or not

    run(main())


def test_a_removed_application_leaves_no_queue():
    """The dispatcher keeps no queue of an application that is gone: each costs time."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy("gone", "model")
                served.deploy("stays", "model")
                await served.attach(replica, dispatcher)
                for name in ("gone", "stays"):
                    assert (await served.predict({"input": [1]}, name))[0] == 200
                assert (await served.predict({"input": [2]}, "gone"))[0] == 200
                gone = served.engine.by_name["gone"]
                assert gone in dispatcher._queues
                state = served.state
                left = {name: app for name, app in state.applications.items() if name != "gone"}
                served.engine.apply(
                    RegistryState(left, state.versions, state.current, {"stays": ("model",)})
                )
                assert gone not in dispatcher._queues
                assert not gone.is_open

    run(main())


def test_what_ends_at_once_is_returned_done():
    """A hit, a wrong size and a query without a model are over when `submit` returns them."""

    async def main():
        with ScriptedReplica(row_items=1) as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                route, caller = served.engine.by_name["app"], Caller()
                submit = served.engine.submit
                first = submit(route, dispatcher, doubles(1.0), caller, 0)
                assert not first.is_done
                await until(lambda: first.is_done)
                hit = submit(route, dispatcher, doubles(1.0), caller, 1)
                wrong = submit(route, dispatcher, doubles(1.0, 2.0), caller, 2)
                alone = submit(route, None, doubles(1.0), caller, 3)
                assert [query.is_done for query in (hit, wrong, alone)] == [True] * 3
                assert [query.is_hit for query in (first, hit)] == [False, True]
                assert caller.outputs == {0: b"1.0", 1: b"1.0"}
                assert caller.misses == {2: Miss.WRONG_SIZE, 3: Miss.NO_MODEL}

    run(main())


def test_a_hit_is_counted_once_for_the_model_and_once_for_the_application():
    """Each query that the cache answers by its row counts; one that is computed does not."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                route, caller = served.engine.by_name["app"], Caller()
                served.engine.submit(route, dispatcher, doubles(1.0), caller, 0)
                await until(lambda: caller.outputs)
                for index in (1, 2):
                    served.engine.submit(route, dispatcher, doubles(1.0), caller, index)
                assert dispatcher.counters.cache_hits == 2
                assert route.counters.cache_hits == 2
                assert route.counters.queries == 3

    run(main())


def test_an_old_entry_is_a_hit_and_others_are_asked():
    """What the cache holds from before its last turn is found, and only that."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                route, caller = served.engine.by_name["app"], Caller()
                dispatcher.cache.rows.put(doubles(1.0), b"11")
                served.engine.cache._turn()
                assert served.engine.submit(route, dispatcher, doubles(1.0), caller, 0).is_hit
                dispatcher.cache.rows.put(doubles(5.0), b"55")
                served.engine.cache._turn()
                served.engine.submit(route, dispatcher, doubles(2.0), caller, 1)
                await until(lambda: len(caller.outputs) == 2)
                assert caller.outputs == {0: b"11", 1: b"2.0"}

    run(main())


def test_what_is_due_at_once_is_given_up_in_turns():
    """Thousands of defaults in one turn of the loop would hold up everybody else's answers."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=20)
                await served.attach(replica, dispatcher)
                caller = Caller()
                route = served.engine.by_name["app"]
                count = 5 * MISSES_A_TURN
                for index in range(count):
                    last = served.engine.submit(route, dispatcher, doubles(index), caller, index)
                while served.engine.clock() < last.deadline_s:
                    pass  # the loop is held up until all are due
                seen = [0]

                def look():
                    if len(caller.misses) > seen[-1]:
                        seen.append(len(caller.misses))
                    if len(caller.misses) < count:
                        asyncio.get_running_loop().call_soon(look)

                look()
                await until(lambda: len(caller.misses) == count)
        assert max(after - before for before, after in pairwise(seen)) == MISSES_A_TURN

    run(main())


class Part:
    """A place in the answer of a request with several inputs."""

    def __init__(self, owner):
        self.owner = owner
        self.heard = []

    def on_output(self, _query, output):
        """Hear an output."""
        self.heard.append(output)

    def on_miss(self, _query, why):
        """Hear a miss."""
        self.heard.append(why)


def test_a_disowned_caller_hears_nothing_and_is_joined_by_nobody():
    """Its queries are taken back, and a query for the same row is computed for itself."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy()
                await served.attach(replica, dispatcher)
                engine, route = served.engine, served.engine.by_name["app"]
                gone, other = Part(None), Part(None)
                part = Part(gone)
                for number, sink in enumerate((gone, part, other)):
                    engine.submit(route, dispatcher, doubles(float(number)), sink)
                await until(lambda: replica.batches)
                engine.disown(gone)
                assert dispatcher.cache.pending.keys() == {doubles(2.0)}
                later = Part(None)
                engine.submit(route, dispatcher, doubles(0.0), later)
                replica.release()
                await until(lambda: later.heard)
                assert [sink.heard for sink in (gone, part, other)] == [[], [], [b"2.0"]]
                assert later.heard == [b"0.0"]

    run(main())


def test_a_number_that_is_another_model_begins_anew(caplog):
    """What waits for the model of before is given up, which is said."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                before = served.deploy(bundle="a" * 32)
                await served.attach(replica, before)
                part = Part(None)
                served.engine.submit(served.engine.by_name["app"], before, doubles(1.0), part)
                assert served.deploy(bundle="a" * 32) is before
                assert "another model" not in caplog.text
                after = served.deploy(bundle="b" * 32)
                assert after is not before
                assert part.heard == [Miss.NO_MODEL]
                assert "model:1 is another model now" in caplog.text
                assert not after.is_live

    run(main())


@pytest.mark.parametrize("order", [("fast", "slow"), ("slow", "fast")])
def test_batches_aim_at_the_tightest_objective(order):
    """Of the applications that a version serves, whichever was there first; alone, at its own."""

    async def main():
        async with serving() as served:
            for name in order:
                dispatcher = served.deploy(name, slo_ms={"fast": 10, "slow": 1000}[name])
            assert dispatcher._slo_s == 0.01
            state = served.state
            served.engine.apply(
                RegistryState(
                    {"slow": state.applications["slow"]},
                    state.versions,
                    state.current,
                    {"slow": ("model",)},
                )
            )
            assert dispatcher._slo_s == 1.0

    run(main())
