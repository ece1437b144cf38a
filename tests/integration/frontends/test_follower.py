"""An engine that follows snapshots, with replicas that tests script."""

# ruff: noqa: D102 - the methods are those of a sink

from contextlib import ExitStack, asynccontextmanager

import msgspec
import pytest

from model_runtime import protocol
from servd.datatypes import Application, End, InputType, RegistryState
from servd.engine.engine import Engine
from servd.engine.raw import WantsRaw
from servd.frontends.feed import ReplicaSeat, Snapshot
from servd.frontends.follower import Follower
from servd.registry.snapshot import pack_state
from servd.replicas.link import SILENT_S
from tests.replicas import version_of
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import run, until

ONE, TWO = version_of("1", max_batch=1), version_of("2", max_batch=1)


class Sink:
    """Remembers what a query got."""

    def __init__(self):
        self.outputs = []
        self.misses = []

    def on_output(self, _query, output):
        self.outputs.append(output)

    def on_miss(self, _query, miss):
        self.misses.append(miss)


def _seat(replica, version="1", **fields):
    return ReplicaSeat(model="m", version=version, address=replica.address, **fields)


def _snapshot(*seats, current="1", versions=(ONE,), prepared=()):
    app = Application(name="a", input_type=InputType.DOUBLES, slo_us=20_000_000)
    state = RegistryState(
        applications={"a": app},
        versions={version.id: version for version in versions},
        current={"m": current},
        links={"a": ("m",)},
    )
    return Snapshot(1, pack_state(state), list(prepared), list(seats))


class Stage:
    """A follower, with a clock that can be put forward."""

    def __init__(self, engine):
        self.engine = engine
        self.follower = Follower(engine, 3)

    def ask(self, *numbers):
        """Send a query to the application; return who hears its output."""
        sink, route = Sink(), self.engine.by_name["a"]
        self.engine.submit(route, route.dispatcher, doubles(*numbers), sink)
        return sink


@asynccontextmanager
async def _stage():
    async with Engine(0) as engine:
        stage = Stage(engine)
        try:
            yield stage
        finally:
            stage.follower.close()


def test_a_snapshot_is_in_force_when_it_has_been_applied():
    """The first query after it is answered: the replica needs no further greeting."""

    async def story():
        with ScriptedReplica() as replica:
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(replica, row_items=2)))
                sink = stage.ask(1, 2)
                assert stage.ask(1).misses  # the wrong size is known too
                await until(lambda: sink.outputs)
                assert sink.outputs == [b"3.0"]

    run(story())


@pytest.mark.parametrize("spoken", [1, 2])
def test_the_first_batch_is_of_the_version_that_the_seat_says(spoken):
    """It may leave before the replica has said itself which it speaks."""

    async def story():
        with ScriptedReplica() as replica:
            replica.version = spoken
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(replica, spoken=spoken)))
                sink, route = Sink(), stage.engine.by_name["a"]
                stage.engine.ask(route, WantsRaw(doubles(1, 2)), sink)
                await until(lambda: sink.outputs)
                assert sink.outputs == [b"3.0"]
        (header,) = [each for each in replica.headers if each[0] == protocol.PREDICT]
        assert header[4:] == ([b"\1"] if spoken == 2 else [])

    run(story())


def test_a_version_that_is_only_prepared_is_ready_for_the_switch():
    """Its replicas are connected before it is registered; after the switch it answers."""

    async def story():
        with ExitStack() as stack:
            old = stack.enter_context(ScriptedReplica())
            new = stack.enter_context(ScriptedReplica(answer=lambda _row: b'"new"'))
            async with _stage() as stage:
                seats = (_seat(old), _seat(new, "2"))
                stage.follower.apply(_snapshot(*seats, prepared=[TWO]))
                first = stage.ask(1)
                stage.follower.apply(_snapshot(*seats, versions=(ONE, TWO), current="2"))
                second = stage.ask(1)
                await until(lambda: first.outputs and second.outputs)
                assert (first.outputs, second.outputs) == ([b"1.0"], [b'"new"'])
                stage.follower.apply(_snapshot(_seat(new, "2"), prepared=[TWO]))
                stage.follower.apply(_snapshot())
                assert TWO.id not in stage.engine.dispatchers

    run(story())


def test_a_replica_that_drains_is_reported_once_it_has_nothing_in_flight():
    """It gets nothing new, answers what it has, and is told of once; one never known at once."""

    async def story():
        with ScriptedReplica(is_holding=True) as replica, ScriptedReplica() as stranger:
            async with _stage() as stage:
                follower = stage.follower
                follower.apply(_snapshot(_seat(replica)))
                sink = stage.ask(5)
                await until(lambda: replica.batches)
                follower.apply(
                    _snapshot(_seat(replica, is_draining=True), _seat(stranger, is_draining=True))
                )
                assert follower.drained() == [stranger.address]
                assert follower.is_draining
                assert stage.ask(6).misses
                replica.release()
                await until(lambda: sink.outputs)
                assert follower.drained() == [replica.address]
                assert follower.drained() == []
                assert not follower.is_draining

    run(story())


def test_what_a_dead_replica_had_goes_to_another():
    """A replica that has left the snapshot gives back what was in flight."""

    async def story():
        with ScriptedReplica(is_holding=True) as dead, ScriptedReplica() as other:
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(dead)))
                sink = stage.ask(5)
                await until(lambda: dead.batches)
                stage.follower.apply(_snapshot(_seat(other)))
                await until(lambda: sink.outputs)
                assert sink.outputs == [b"5.0"]

    run(story())


def test_how_a_replica_ended_reaches_the_query_that_ended_it():
    """The snapshot that shows it no more says how; the second one's end is the answer."""

    async def story():
        with ScriptedReplica(is_holding=True) as one, ScriptedReplica(is_holding=True) as two:
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(one)))
                sink = stage.ask(1)
                for dying, following in ((one, [_seat(two)]), (two, [])):
                    await until(lambda seen=dying: seen.batches)
                    snapshot = _snapshot(*following)
                    ends = {dying.address: End("ended (exit 7)")}
                    stage.follower.apply(msgspec.structs.replace(snapshot, ends=ends))
                assert [why.value for why in sink.misses] == [
                    "No output: the replica ended (exit 7)"
                ]

    run(story())


def test_a_silent_replica_is_left_out_until_it_is_heard():
    """Silence is noticed here, without the daemon's help."""

    async def story():
        with ScriptedReplica() as replica:
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(replica)))
                dispatcher = stage.engine.dispatchers[ONE.id]
                [link] = stage.follower._links.values()
                link.connection.last_heard_s -= SILENT_S + 1
                stage.follower.tick()
                assert dispatcher.slots == []
                heard_s = link.connection.last_heard_s
                await until(lambda: link.connection.last_heard_s > heard_s)
                stage.follower.tick()
                assert len(dispatcher.slots) == 1
                replica.announce("draining")
                await until(lambda: not dispatcher.slots)
                stage.follower.tick()
                assert dispatcher.slots == []

    run(story())


def test_reports_hold_the_growth_since_the_last():
    """Counts per application, version and replica; what is in flight; nothing twice."""

    async def story():
        with ScriptedReplica() as replica:
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(replica)))
                sink = stage.ask(5)
                await until(lambda: sink.outputs)
                first = stage.follower.report()
                assert first.frontend == 3
                assert first.applications["a"].queries == 1
                assert first.versions["m:1"].queries == 1
                assert first.replicas[replica.address].latency.buckets
                assert first.oldest == {}
                assert first.gauges.limits == {"m:1": [1]}
                replica.is_holding = True
                stage.ask(6)
                await until(lambda: len(replica.batches) == 2)
                second = stage.follower.report()
                assert (second.applications, second.versions) == ({}, {})
                assert second.oldest == {replica.address: 2}
                replica.release()

    run(story())


def test_a_version_that_comes_again_as_another_model_has_none_of_its_answers():
    """Numbers begin again after a removal, which a snapshot that was left out may have told."""

    async def story():
        other = version_of("1", max_batch=1, bundle="other")
        with ScriptedReplica() as old, ScriptedReplica(answer=lambda _row: b"1") as new:
            async with Engine(1 << 20) as engine:
                stage = Stage(engine)
                stage.follower.apply(_snapshot(_seat(old)))
                first = stage.ask(1, 2)
                await until(lambda: first.outputs)
                stage.follower.apply(_snapshot(_seat(new), versions=(other,)))
                second = stage.ask(1, 2)
                await until(lambda: second.outputs)
                stage.follower.close()
                assert (first.outputs, second.outputs) == ([b"3.0"], [b"1"])

    run(story())


def test_another_model_at_a_replicas_address_gets_nothing(caplog):
    """Addresses of containers are given to others; what is there says what it has loaded."""

    async def story():
        with ScriptedReplica() as replica:
            replica.info = {"bundle": "another"}
            async with _stage() as stage:
                stage.follower.apply(_snapshot(_seat(replica)))
                await until(lambda: not stage.engine.dispatchers[ONE.id].is_live)
                stage.follower.tick()
                assert not stage.engine.dispatchers[ONE.id].is_live

    run(story())
    assert f"holds the bundle another, but m:1 is registered with {ONE.bundle}" in caplog.text
