"""An engine that follows a published registry, with names and replicas that tests script."""

# ruff: noqa: D102 - the methods are those of a sink

import asyncio
from contextlib import ExitStack, asynccontextmanager

import msgspec

from servd.datatypes import Application, InputType, RegistryState
from servd.engine.engine import Engine
from servd.frontends.cluster import Cluster
from servd.frontends.remote import Keys
from servd.registry.published import Published, VersionAddress
from servd.registry.snapshot import pack_state
from tests.daemon import free_port
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


class Stage:
    """A cluster of scripted replicas at loopback addresses, all at one port."""

    def __init__(self, engine, stack):
        self.names = {}
        self.engine = engine
        self.cluster = Cluster(engine, Keys(), self._resolve)
        self.cluster.discovery._interval_s = 0.01
        self._port = free_port()
        self._stack = stack

    async def _resolve(self, host):
        return frozenset(self.names.get(host, ()))

    def replica(self, number, **script):
        """Start a replica at 127.0.0.NUMBER."""
        address = f"tcp://127.0.0.{number}:{self._port}"
        return self._stack.enter_context(ScriptedReplica(address=address, **script))

    def publish(self, *versions, current="1"):
        """Publish a registry with an application on model m; hosts are called v1, v2 and so on."""
        state = RegistryState(
            {"a": Application(name="a", input_type=InputType.DOUBLES, slo_us=20_000_000)},
            {version.id: version for version in versions},
            {"m": current} if versions else {},
            {"a": ("m",)} if versions else {},
        )
        endpoints = {str(v.id): VersionAddress(f"v{v.version}", self._port) for v in versions}
        self.cluster.publish(Published(pack_state(state), endpoints))

    def ask(self, number):
        """Send a query to the application; return who hears its output."""
        sink, route = Sink(), self.engine.by_name["a"]
        self.engine.submit(route, route.dispatcher, doubles(number), sink)
        return sink

    async def answer(self, number):
        """Return the output of a query."""
        sink = self.ask(number)
        await until(lambda: sink.outputs or sink.misses)
        assert not sink.misses
        return sink.outputs[0]

    async def until(self, is_true):
        """Wait for something while the cluster is looked after."""

        def tick():
            self.cluster.tick()
            return is_true()

        await until(tick)

    def slots(self, version):
        """Return how many replicas of a version are in rotation."""
        dispatcher = self.engine.dispatchers.get(version.id)
        return len(dispatcher.slots) if dispatcher else 0


def on_stage(story):
    """Run a story on a stage."""

    @asynccontextmanager
    async def stage():
        with ExitStack() as stack:
            async with Engine(0) as engine:
                made = Stage(engine, stack)
                running = asyncio.ensure_future(made.cluster.discovery.run())
                try:
                    yield made
                finally:
                    running.cancel()
                    await asyncio.wait({running})
                    made.cluster.close()

    async def main():
        async with stage() as made:
            await story(made)

    run(main())


def test_replicas_join_and_leave_by_their_name():
    """One that left gives nothing up: it answers what it has, and is disconnected then."""

    async def story(stage):
        first, second = stage.replica(2, is_holding=True), stage.replica(3)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(ONE)
        assert not stage.cluster.is_settled
        await stage.until(lambda: stage.cluster.is_settled)
        held = stage.ask(7)
        await until(lambda: first.batches)
        stage.names["v1"] = ["127.0.0.3"]
        await stage.until(lambda: second.address in stage.cluster._links)
        await stage.until(
            lambda: (
                [s.connection.address for s in stage.engine.dispatchers[ONE.id].slots]
                == [second.address]
            )
        )
        assert await stage.answer(8) == b"8.0"
        assert not held.outputs
        first.release()
        await stage.until(lambda: first.address not in stage.cluster._links)
        assert held.outputs == [b"7.0"]
        stage.names["v1"] = ["127.0.0.2", "127.0.0.3"]
        await stage.until(lambda: stage.slots(ONE) == 2)

    on_stage(story)


def test_one_that_comes_back_while_it_drains_joins_again_after():
    """A name that flickers costs nobody an answer."""

    async def story(stage):
        replica = stage.replica(2, is_holding=True)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(ONE)
        await stage.until(lambda: stage.slots(ONE))
        held = stage.ask(7)
        await until(lambda: replica.batches)
        stage.names["v1"] = []
        await stage.until(lambda: not stage.slots(ONE))
        stage.names["v1"] = ["127.0.0.2"]
        await stage.until(lambda: stage.cluster.discovery.found["v1"])
        assert not stage.slots(ONE)
        replica.release()
        await stage.until(lambda: stage.slots(ONE))
        assert held.outputs == [b"7.0"]
        assert await stage.answer(8) == b"8.0"

    on_stage(story)


def test_a_new_version_answers_when_its_replicas_can():
    """Until then the old one does, though the registry has dropped it; then it is let go of."""

    async def story(stage):
        old, new = stage.replica(2), stage.replica(3, answer=lambda _row: b'"new"')
        new.state = "loading"
        stage.names |= {"v1": ["127.0.0.2"], "v2": ["127.0.0.3"]}
        stage.publish(ONE)
        await stage.until(lambda: stage.cluster.is_settled)
        stage.publish(TWO, current="2")
        await stage.until(lambda: new._frontends)
        assert await stage.answer(1) == b"1.0"
        assert {ONE.id, TWO.id} == stage.engine.dispatchers.keys()
        new.announce("ready")
        await stage.until(lambda: stage.engine.by_name["a"].dispatcher.id == TWO.id)
        assert await stage.answer(1) == b'"new"'
        await stage.until(lambda: ONE.id not in stage.engine.dispatchers)
        assert old.address not in stage.cluster._links
        assert "v1" not in stage.cluster.discovery.found
        stage.publish(ONE, TWO, current="1")
        await stage.until(lambda: stage.engine.by_name["a"].dispatcher.id == ONE.id)
        assert await stage.answer(2) == b"2.0"

    on_stage(story)


def test_what_waits_for_a_version_that_goes_is_answered():
    """Its replicas stay until the queue is empty."""

    async def story(stage):
        old = stage.replica(2, is_holding=True)
        stage.replica(3)
        stage.names |= {"v1": ["127.0.0.2"], "v2": ["127.0.0.3"]}
        stage.publish(ONE, TWO)
        await stage.until(lambda: stage.slots(ONE) and stage.slots(TWO))
        sinks = [stage.ask(number) for number in range(5)]  # two are sent, three wait
        await until(lambda: len(old.batches) == 2)
        stage.publish(TWO, current="2")
        assert stage.engine.by_name["a"].dispatcher.id == TWO.id
        stage.cluster.tick()
        old.release()
        await stage.until(lambda: ONE.id not in stage.engine.dispatchers)
        assert [sink.outputs for sink in sinks] == [[b"%d.0" % number] for number in range(5)]

    on_stage(story)


def test_a_version_name_that_means_another_model_now():
    """What waits is given up, as the new model may take something else; the rest goes on."""

    async def story(stage):
        replica = stage.replica(2, is_holding=True)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(ONE)
        await stage.until(lambda: stage.slots(ONE))
        held = stage.ask(7)
        await until(lambda: replica.batches)
        stage.publish(msgspec.structs.replace(ONE, replicas=3))
        assert not held.misses
        stage.publish(msgspec.structs.replace(ONE, bundle="other"))
        assert held.misses
        replica.release()
        await stage.until(lambda: stage.slots(ONE))
        assert await stage.answer(8) == b"8.0"

    on_stage(story)


def test_a_time_in_which_nobody_listened_is_no_silence():
    """After a standstill of the process every replica is still in rotation."""

    async def story(stage):
        stage.replica(2)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(ONE)
        await stage.until(lambda: stage.slots(ONE))
        cluster = stage.cluster
        (link,) = cluster._links.values()
        cluster._attention._looked_s -= 10
        link.connection.last_heard_s -= 10
        cluster.tick()
        assert stage.slots(ONE) == 1
        link.connection.last_heard_s -= 10
        cluster.tick()
        assert stage.slots(ONE) == 0

    on_stage(story)


def test_an_empty_registry_is_one_too():
    """Nothing is left of what was followed."""

    async def story(stage):
        stage.replica(2)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(ONE)
        await stage.until(lambda: stage.slots(ONE))
        stage.publish()
        await stage.until(lambda: not stage.engine.dispatchers)
        assert not stage.cluster._links
        assert stage.cluster.is_settled

    on_stage(story)


def test_a_start_without_a_pod_of_the_current_version_begins_with_the_one_before(caplog):
    """No query gets the default output while an older version can answer; then the new one does."""
    old = msgspec.structs.replace(ONE, created_s=1.0)
    new = msgspec.structs.replace(TWO, created_s=2.0)

    async def story(stage):
        stage.replica(2)
        stage.names["v1"] = ["127.0.0.2"]
        stage.publish(old, new, current="2")
        await stage.until(lambda: stage.cluster.is_settled)
        await stage.until(lambda: not stage.cluster.missing())
        assert await stage.answer(5) == b"5.0"
        assert "m:2 has no replica that is ready: m:1 answers until it has" in caplog.text
        stage.replica(3, answer=lambda _row: b"2")
        stage.names["v2"] = ["127.0.0.3"]
        await stage.until(lambda: stage.engine.by_name["a"].dispatcher.id == new.id)
        assert await stage.answer(6) == b"2"

    on_stage(story)


def test_without_any_version_that_can_answer_it_says_what_is_missing():
    """Also that what is there has the files of another model."""

    async def story(stage):
        other = stage.replica(2)
        other.info = {"bundle": "another"}
        stage.publish(ONE)
        await until(lambda: stage.cluster.discovery.is_complete)
        assert stage.cluster.missing() == ["m:1 has no replica that is ready"]
        stage.names["v1"] = ["127.0.0.2"]
        await stage.until(lambda: "another model" in stage.cluster.missing()[0])
        assert stage.cluster.missing() == [
            "m:1 has no replica that is ready (1 with the files of another model)"
        ]

    on_stage(story)
