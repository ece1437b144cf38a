"""How a replica's life begins, goes on and ends: heartbeats, stops, drains, records."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.engine import Engine
from servd.errors import LoadFailedError
from servd.launchers.base import describe_exit
from servd.orphans import Orphans
from servd.rpc import ReplicaConnection
from servd.surroundings import Timings
from tests.replicas import FAST, FakeHandle, Stage, until, version_of
from tests.scripted_replica import ScriptedReplica
from tests.serving import run


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def state_of(supervisor):
    """Return the state of the only replica."""
    [status] = supervisor.statuses()
    return status.state


def test_an_idle_replica_is_kept_alive_by_heartbeats(config):
    """Longer than silence may last: each heartbeat is answered, by a real replica's protocol."""
    timings = replace(FAST, heartbeat_s=0.02, silent_s=0.1)

    async def story():
        async with Engine(0) as engine:
            with ScriptedReplica() as scripted:
                stage = Stage()
                stage.clock = engine.clock
                stage.connect = lambda _address, owner: ReplicaConnection(
                    scripted.address, owner, engine.context, engine.clock
                )
                async with stage.supervisor(config, timings) as supervisor:
                    await supervisor.ensure(version_of(), 1, fail_fast=True)
                    while scripted.heartbeats < 15:
                        await asyncio.sleep(timings.heartbeat_s)
                        assert state_of(supervisor) is ReplicaState.READY
                    assert not stage.ends

    run(story())


def test_a_heartbeat_goes_to_every_replica_although_one_fails(config):
    """A fault in one replica's tick is logged, and the others' heartbeats go on."""
    timings = replace(FAST, heartbeat_s=0.001, silent_s=1e9)
    beats = [0, 0]

    async def story():
        stage = Stage()
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 2, fail_fast=True)

            def beat(number):
                beats[number] += 1
                if number == 0:
                    raise RuntimeError("the script says so")

            for number, connection in enumerate(stage.connections):
                connection.heartbeat = lambda number=number: beat(number)
            await until(lambda: min(beats) >= 3)

    asyncio.run(story())


class Deaf(FakeHandle):
    """A process that ignores SIGTERM."""

    def terminate(self):
        """Note it and go on."""
        self.calls.append("terminate")


@pytest.fixture
def deaf_stage(monkeypatch):
    """Return a stage whose processes ignore SIGTERM."""
    monkeypatch.setattr("tests.replicas.FakeHandle", Deaf)
    return Stage


def test_a_process_that_ignores_term_is_killed_after_its_time(config, deaf_stage):
    """TERM first, then the time to end by itself, then KILL."""
    timings = replace(FAST, term_s=0.1)

    async def story():
        stage = deaf_stage()
        loop = asyncio.get_running_loop()
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            began_s = loop.time()
            stopping = asyncio.create_task(supervisor.stop_version(version_of().id))
            await until(lambda: stage.handles[0].calls == ["terminate"])
            async with asyncio.timeout(10):
                await stopping
            assert loop.time() - began_s >= timings.term_s * 0.9
            assert stage.handles[0].calls == ["terminate", "kill", "cleanup"]
            assert supervisor.statuses() == []

    asyncio.run(story())


def test_a_process_that_ends_at_term_is_not_killed(config):
    """It had its time, and needed none of it."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            await supervisor.stop_version(version_of().id)
            assert stage.handles[0].calls == ["terminate", "cleanup"]

    asyncio.run(story())


def test_a_stop_while_starting_kills_at_once(config):
    """What is not ready has nothing to drain: no TERM, no waiting, and who waits for it is told."""

    async def story():
        stage = Stage(("loading",))
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=False))
            await until(lambda: stage.handles)
            await supervisor.stop_version(version_of().id)
            assert stage.handles[0].calls == ["kill", "cleanup"]
            assert len(stage.handles) == 1
            with suppress(LoadFailedError):
                await wait
            assert supervisor.statuses() == []

    asyncio.run(story())


def test_a_stop_while_being_launched_ends_what_comes_of_it(config):
    """A process that is there only after the stop is killed; nothing is launched again."""

    async def story():
        stage = Stage()
        may_go = asyncio.Event()
        launch = stage.launch

        async def launch_slowly(spec):
            await may_go.wait()
            return await launch(spec)

        stage.launch = launch_slowly
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(supervisor.statuses)
            stopping = asyncio.create_task(supervisor.stop_all())
            await asyncio.sleep(0)
            may_go.set()
            await stopping
            [handle] = stage.handles
            assert handle.calls == ["kill", "cleanup"]
            with pytest.raises(LoadFailedError, match="stopped while loading"):
                await wait

    asyncio.run(story())


def test_a_stop_does_not_wait_for_an_image(config):
    """A container's launch may take minutes; a stop gives it up."""

    async def story():
        stage = Stage()

        async def launch_for_ever(_spec):
            await asyncio.Event().wait()

        stage.launch = launch_for_ever
        supervisor = stage.supervisor(config)
        supervisor._launchers = {"docker": stage}
        async with supervisor:
            version = version_of(runtime="docker", image="x")
            wait = asyncio.create_task(supervisor.ensure(version, 1, fail_fast=True))
            await until(supervisor.statuses)
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await supervisor.stop_all()
            with pytest.raises(LoadFailedError, match="replica 0 was stopped while loading"):
                await wait

    asyncio.run(story())


def test_a_fault_of_servd_ends_one_life_and_is_logged(config, caplog):
    """Who waits for the replica is told, and the daemon goes on."""

    async def story():
        stage = Stage()

        def connect(_address, _owner):
            raise RuntimeError("a fault")

        stage.connect = connect
        async with stage.supervisor(config) as supervisor:
            with pytest.raises(LoadFailedError, match="replica 0 was stopped while loading"):
                await supervisor.ensure(version_of(), 1, fail_fast=True)

    asyncio.run(story())
    assert "the life of m:1 replica 0 ended by a fault of servd" in caplog.text
    assert "a fault" in caplog.text


def test_a_stop_waits_for_what_is_in_flight_and_no_longer_than_it_may(config):
    """TERM comes when the last batch is back, or when the time to drain has passed."""
    drained = replace(config, drain_s=5.0)

    async def story(config, *, is_answered):
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            connection = stage.connections[0]
            connection.in_flight = {1: "batch"}
            stopping = asyncio.create_task(supervisor.stop_version(version_of().id))
            await until(lambda: state_of(supervisor) is ReplicaState.DRAINING)
            assert ("drain", connection) in stage.log
            if is_answered:
                assert not stage.handles[0].calls
                connection.in_flight = {}
            await stopping
            assert stage.handles[0].calls == ["terminate", "cleanup"]

    asyncio.run(story(drained, is_answered=True))
    asyncio.run(story(replace(config, drain_s=0.05), is_answered=False))


def test_a_replica_that_says_it_drains_gets_nothing_new_and_comes_back(config):
    """Somebody else told it to end: it answers what it has, ends, and is launched again."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            replica, connection = stage.owners[0], stage.connections[0]
            replica.on_replica_state("draining", {})
            assert state_of(supervisor) is ReplicaState.DRAINING
            assert stage.log[-1] == ("drain", connection)
            assert stage.attached == [connection]  # what is in flight stays there
            replica.on_replica_state("ready", {})
            assert state_of(supervisor) is ReplicaState.DRAINING
            connection.last_heard_s -= 1000
            replica.tick()
            assert state_of(supervisor) is ReplicaState.DRAINING
            assert "kill" not in stage.handles[0].calls
            stage.handles[0].end(0)
            await until(lambda: len(stage.handles) == 2)
            await until(lambda: state_of(supervisor) is ReplicaState.READY)
            assert stage.attached == [stage.connections[1]]

    asyncio.run(story())


@pytest.mark.parametrize("is_contained", [False, True])
def test_a_process_is_on_record_while_it_runs(config, is_contained):
    """So that the next daemon can end it; containers are found by their labels."""

    async def story():
        stage = Stage()
        sleeper = await asyncio.create_subprocess_exec("sleep", "60")
        changes = {"runtime": "docker", "image": "x"} if is_contained else {}
        launch = stage.launch

        async def launch_real(spec):
            handle = await launch(spec)
            handle.pid = sleeper.pid
            return handle

        stage.launch = launch_real
        supervisor = stage.supervisor(config)
        supervisor._launchers = {"process": stage, "docker": stage}
        async with supervisor:
            await supervisor.ensure(version_of(**changes), 1, fail_fast=True)
            records = list((config.run_dir / "replicas").glob("*.json"))
            assert [path.stem for path in records] == ([] if is_contained else [str(sleeper.pid)])
            stage.handles[0].end(-9)
            await until(lambda: stage.handles[0].calls[-1:] == ["cleanup"])
        assert not list((config.run_dir / "replicas").glob("*.json"))
        assert sleeper.returncode is None
        Orphans(config.run_dir).record(sleeper.pid)
        assert await asyncio.to_thread(Orphans(config.run_dir).end_all) == 1
        await sleeper.wait()

    asyncio.run(story())


def test_a_record_of_a_process_that_is_gone_is_none(config):
    """A process may end before it is noted; its number is then another's."""
    orphans = Orphans(config.run_dir)
    orphans.record(2**22 + 1)
    orphans.record(None)
    assert not (config.run_dir / "replicas").exists()
    orphans.forget(None)
    orphans.forget(2**22 + 1)


def test_how_it_ended_is_told_everywhere(config, caplog):
    """To the routes, the daemon's log, its own log, and in its row when the next one is ready."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            path = supervisor.log_path(version_of().id, 0)
            path.parent.mkdir(parents=True)
            path.write_text("half a line")
            stage.handles[0].end(7)
            await until(lambda: len(stage.handles) == 2)
            await until(lambda: state_of(supervisor) is ReplicaState.READY)
            first, last = path.read_text().splitlines()
            assert first == "half a line"
            assert last.endswith("Z servd: m:1 replica 0 ended (exit 7)")
            assert [end.how for end in stage.ends] == ["ended (exit 7)"]
            [row] = supervisor.statuses()
            assert row.last_error == "m:1 ended (exit 7) while serving"
            assert row.restarts == 1

    asyncio.run(story())
    assert "m:1 replica 0: m:1 ended (exit 7) while serving" in caplog.text


def test_a_replica_that_was_killed_says_why(config):
    """What servd killed it for is told in place of the signal."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config, replace(FAST, stuck_s=5.0, silent_s=1e9)) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.connections[0].in_flight = {7: "batch"}
            stage.owners[0].tick()
            stage.now_s += 5.1
            stage.owners[0].tick()
            await until(lambda: stage.ends)
            assert stage.ends[0].how == "was killed: one call of the model took over 5 s"

    asyncio.run(story())


def test_deaths_in_a_row_are_counted_for_the_backoff(config, monkeypatch):
    """Each waits longer than the one before; one that was stable begins anew."""
    asked = []
    monkeypatch.setattr(Timings, "backoff_s", lambda _self, deaths: asked.append(deaths) or 0.0)
    timings = replace(FAST, max_deaths=10)

    async def story():
        stage = Stage()
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            for number, stood_s in enumerate((0, 0, timings.stable_s - 0.1, timings.stable_s, 0)):
                await until(lambda lives=number + 1: len(stage.handles) == lives)
                await until(lambda: state_of(supervisor) is ReplicaState.READY)
                stage.now_s += stood_s
                stage.handles[-1].end(1)
            await until(lambda: len(asked) == 5)
            assert asked == [1, 2, 3, 1, 2]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("served_s", "answered", "expected"),
    [
        (1.0, 5, [1, 1, 1, 1, 1]),  # each life answers for longer than it was away
        (0.0005, 5, [1, 2, 4, 8, 16]),  # away for longer than it answers
        (1.0, 0, [1, 2, 4, 8, 16]),  # nobody knows what it is good for
    ],
)
def test_the_backoff_begins_anew_after_a_life_that_was_worth_it(
    config, monkeypatch, served_s, answered, expected
):
    """Deaths that are far apart do not keep one that answers out of use for half of the time."""
    delays_s = []
    real = Timings.backoff_s

    def noted(timings, deaths):
        delays_s.append(real(timings, deaths))
        return delays_s[-1]

    monkeypatch.setattr(Timings, "backoff_s", noted)
    timings = replace(FAST, max_deaths=100, backoff_first_s=0.001)

    async def story():
        stage = Stage()
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            for number in range(5):
                await until(lambda lives=number + 1: len(stage.handles) == lives)
                await until(lambda: state_of(supervisor) is ReplicaState.READY)
                stage.connections[-1].counters.queries = answered
                stage.now_s += served_s
                stage.handles[-1].end(1)
            await until(lambda: len(delays_s) == 5)
            assert [delay_s * 1000 for delay_s in delays_s] == expected

    asyncio.run(story())


def test_how_long_it_took_to_load_is_kept(config):
    """From the launch to the first READY, by the clock."""

    async def story():
        stage = Stage(())
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.owners)
            await asyncio.sleep(0)
            stage.now_s += 2.5
            stage.owners[0].on_replica_state("ready", {})
            await wait
            assert stage.owners[0].load_s == 2.5

    asyncio.run(story())


def test_one_that_is_silent_for_too_long_is_killed(config):
    """It is out of rotation first, and the kill says for how long nothing was heard."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.now_s += FAST.silent_s + 0.1
            stage.owners[0].tick()
            assert state_of(supervisor) is ReplicaState.UNHEALTHY
            assert stage.attached == []
            stage.now_s = stage.connections[0].last_heard_s + FAST.unhealthy_s
            stage.owners[0].tick()
            assert not stage.handles[0].calls
            stage.now_s += 0.1
            stage.owners[0].tick()
            assert stage.handles[0].calls == ["kill"]
            await until(lambda: len(stage.handles) == 2)
            assert "was killed: it was silent for 30 s" in supervisor.statuses()[0].last_error

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended (exit 0)"),
        (255, "ended (exit 255)"),
        (-signal.SIGKILL, "ended (killed by signal 9: out of memory?)"),
        (-signal.SIGTERM, "ended (killed by signal 15)"),
        (-64, "ended (killed by signal 64)"),
        (-99, "ended (killed by signal 99)"),
    ],
)
def test_every_exit_status_has_words(code, words):
    """Exits, signals with a usual cause, signals without, and numbers that are none."""
    assert describe_exit(code) == words
