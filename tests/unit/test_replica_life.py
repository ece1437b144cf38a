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
from servd.log import log
from servd.orphans import Orphans
from servd.rpc import ReplicaConnection
from tests.replicas import FAST, WAIT_S, FakeHandle, Stage, until, version_of
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
            await supervisor.ensure(version_of(), 1, fail_fast=False)
            assert state_of(supervisor) is ReplicaState.FAILED

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


def test_how_long_it_took_to_load_is_told(config, caplog):
    """From the launch to the first READY, by the clock; the launch may have built an image."""
    caplog.set_level("INFO", log.name)

    async def story():
        stage = Stage(())
        launch = stage.launch

        async def launch_slowly(spec):
            stage.now_s += 1000
            return await launch(spec)

        stage.launch = launch_slowly
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.owners)
            await asyncio.sleep(0)
            stage.now_s += 2.5
            stage.owners[0].on_replica_state("ready", {})
            await wait
            assert stage.owners[0].load_s == 2.5

    asyncio.run(story())
    assert "m:1 replica 0 is ready after 2.50 s" in caplog.text


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


def test_queries_are_told_that_it_loads_exactly_while_it_does(config):
    """From each launch until it is ready, and not after a load that failed."""

    async def story():
        stage = Stage((), (), ())
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            for number in range(2):
                await until(lambda lives=number + 1: len(stage.owners) == lives)
                replica = stage.owners[number]
                assert stage.loading == {replica}
                replica.on_replica_state("ready", {})
                assert stage.loading == set()
                await wait
                stage.handles[number].end(1)
                await until(lambda number=number: stage.handles[number].calls == ["cleanup"])
            await until(lambda: len(stage.owners) == 3)
            assert stage.loading == {stage.owners[2]}
            stage.handles[2].end(1)
            await until(lambda: state_of(supervisor) is ReplicaState.FAILED)
            assert stage.loading == set()

    asyncio.run(story())


def test_one_that_was_forced_to_end_is_stopped_and_not_launched_again(config):
    """Its row says so, and no death or restart is counted."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            supervisor.kill()
            await until(lambda: stage.handles[0].calls == ["kill", "cleanup"])
            await until(lambda: state_of(supervisor) is not ReplicaState.READY)
            [row] = supervisor.statuses()
            assert (row.state, row.restarts, row.last_error) == (ReplicaState.STOPPED, 0, None)
            assert len(stage.handles) == 1
            assert stage.attached == []

    asyncio.run(story())


def test_its_row_tells_its_process_while_it_has_one(config):
    """The process id, and a container's memory as its launcher tells it."""

    async def story():
        stage = Stage()
        supervisor = stage.supervisor(config, replace(FAST, backoff_first_s=WAIT_S))
        supervisor._launchers = {"docker": stage}
        async with supervisor:
            version = version_of(runtime="docker", image="x")
            await supervisor.ensure(version, 1, fail_fast=True)
            [handle] = stage.handles
            handle.memory_bytes = 12345
            [row] = supervisor.statuses()
            assert (row.pid, row.memory_bytes) == (handle.pid, 12345)
            handle.end(1)
            await until(lambda: state_of(supervisor) is ReplicaState.BACKOFF)
            [row] = supervisor.statuses()
            assert (row.pid, row.memory_bytes) == (None, None)

    asyncio.run(story())
