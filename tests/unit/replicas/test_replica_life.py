"""How a replica's life goes on: heartbeats, launches, records, what its row tells."""

import asyncio
import signal
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import GONE, ReplicaState
from servd.errors import EngineError, LoadFailedError
from servd.replicas.launchers.base import describe_exit
from servd.replicas.launchers.orphans import Orphans
from tests.replicas import FAST, GOOD, WAIT_S, Stage, until, version_of


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def state_of(supervisor):
    """Return the state of the only replica."""
    [status] = supervisor.statuses()
    return status.state


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


@pytest.mark.parametrize("is_ready", [False, True])
def test_what_fails_between_them_leaves_nothing_of_a_process(config, is_ready):
    """Where nobody can wait for its end, it is killed, hung up on and launched again."""
    timings = replace(FAST, max_deaths=9)

    async def story():
        stage = Stage(GOOD if is_ready else ("loading",))
        breaks, closed = asyncio.Event(), []
        launch, connect = stage.launch, stage.connect

        async def launch_breaking(spec):
            handle = await launch(spec)

            async def wait():
                await breaks.wait()
                raise EngineError("nobody is there")

            handle.wait = wait if len(stage.handles) == 1 else handle.wait
            return handle

        def connect_counting(address, owner):
            connection = connect(address, owner)
            connection.close = lambda: closed.append(connection)
            return connection

        stage.launch, stage.connect = launch_breaking, connect_counting
        async with stage.supervisor(config, timings) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=False))
            await until(lambda: stage.attached if is_ready else stage.owners)
            breaks.set()
            await until(lambda: len(stage.connections) == 2)
            assert stage.handles[0].calls == ["kill", "cleanup"]
            assert closed == [stage.connections[0]]
            assert stage.connections[0] not in stage.attached
            assert stage.ends == ([GONE] if is_ready else [])
            await wait

    asyncio.run(story())
