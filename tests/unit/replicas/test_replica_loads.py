"""How a replica's load ends: ready, failed, of another model, or for what the machine lacks."""

import asyncio
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.errors import EngineError, LoadFailedError
from servd.logs.log import log
from tests.replicas import FAST, GOOD, WAIT_S, Stage, until, version_of


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def states(supervisor):
    """Return the states of all replicas."""
    return [status.state for status in supervisor.statuses()]


def test_a_replica_of_another_model_is_no_candidate(config, caplog):
    """What has loaded is not what is deployed: an image of that name may hold other files."""

    async def story():
        stage = Stage()
        stage.said = {"bundle": "old"}
        async with stage.supervisor(config) as supervisor:
            with pytest.raises(LoadFailedError, match="holds the bundle old") as refused:
                await supervisor.ensure(version_of(), 1, fail_fast=True)
            assert "registered with b" in str(refused.value)
            assert str(refused.value).startswith("m:1: its replica holds")
            assert refused.value.hint.endswith("deploy it again")
            assert stage.attached == []
            assert "kill" in stage.handles[0].calls

    asyncio.run(story())
    (said,) = (r.getMessage() for r in caplog.records if r.levelname == "ERROR")
    assert said.endswith("registered with b: it gets no queries")


def test_a_replica_that_becomes_another_model_gets_nothing_more(config):
    """What answers at its address may be another container than the one that was launched."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.owners[0].on_replica_state("ready", {"bundle": "old"})
            assert stage.attached == []
            await until(lambda: len(stage.handles) == 2)
            stage.said = {"bundle": "b"}
            await until(lambda: stage.attached)
            (status,) = supervisor.statuses()
            assert status.state is ReplicaState.READY
            assert "kill" in stage.handles[0].calls

    asyncio.run(story())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, r"ended \(exit 1\) while loading"),
        (-9, r"ended \(killed by signal 9: out of memory\?\) while loading"),
        (-99, r"killed by signal 99\)"),
    ],
)
def test_a_death_while_loading_is_named_in_words(config, code, words):
    """A replica that dies without a report is described by its exit and its last lines."""

    async def story():
        stage = Stage(("loading",))
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.connections)
            path = supervisor.log_path(version_of().id, 0)
            path.parent.mkdir(parents=True)
            path.write_text("last words\n")
            stage.handles[0].end(code)
            with pytest.raises(LoadFailedError, match=words) as caught:
                await wait
            assert "last words" in caught.value.traceback

    asyncio.run(story())


@pytest.mark.parametrize(
    ("phase", "words"), [("loading", "loading took"), ("testing", "test call")]
)
def test_a_hanging_load_is_ended(config, phase, words):
    """A load or a test call beyond its time is killed, and the error says which it was."""

    async def story():
        stage = Stage((phase,))
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.owners)
            await asyncio.sleep(0)
            stage.owners[0].tick()
            assert stage.handles[0].poll() is None
            stage.now_s += 121
            stage.owners[0].tick()
            with pytest.raises(LoadFailedError, match=f"hangs: .*{words}"):
                await wait

    asyncio.run(story())


def test_a_launch_error_is_a_load_failure(config):
    """A process that cannot even be made is an error of the deployment."""

    async def story():
        stage = Stage()

        async def refuse(_spec):
            raise OSError(11, "no more processes")

        stage.launch = refuse
        async with stage.supervisor(config) as supervisor:
            with pytest.raises(LoadFailedError, match="no more processes"):
                await supervisor.ensure(version_of(), 1, fail_fast=True)

    asyncio.run(story())


@pytest.mark.parametrize(
    "error",
    [OSError(24, "Too many open files"), OSError(11, "no more processes"), EngineError("x")],
)
def test_what_the_machine_lacks_is_tried_again_for_ever(config, error):
    """Without a process to blame no number of tries is the last, and with room it is ready."""

    async def story():
        stage = Stage()
        launch, refused = stage.launch, []

        async def refuse(_spec):
            refused.append(1)
            raise error

        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.launch = refuse
            stage.handles[0].end(-9)
            await until(lambda: len(refused) > 3 * FAST.max_deaths)
            assert states(supervisor) in ([ReplicaState.BACKOFF], [ReplicaState.STARTING])
            assert str(error) in supervisor.statuses()[0].last_error
            stage.launch = launch
            await until(lambda: states(supervisor) == [ReplicaState.READY])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("said", "is_final"),
    [
        ("OSError: [Errno 24] Too many open files: 'weights.bin'", False),
        ("Traceback\n  x\nMemoryError", False),
        ("RuntimeError: can't start new thread", False),
        ("OSError: [Errno 28] No space left on device", False),
        ("OSError: [Errno 2] No such file or directory: 'weights.bin'", True),
        ("ValueError: no MemoryError here", True),
    ],
)
def test_a_load_that_fails_for_the_machines_fault_is_not_the_models(config, said, is_final):
    """What the replica reports, or its last lines, tells the one from the other."""

    async def story():
        stage = Stage(GOOD, ("failed",))
        stage.fault = {"message": "it failed", "traceback": said, "hint": ""}
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.handles[0].end(1)
            for number in range(1, FAST.max_deaths + 3):
                await until(
                    lambda n=number: (
                        len(stage.handles) > n or states(supervisor) == [ReplicaState.FAILED]
                    )
                )
                if states(supervisor) == [ReplicaState.FAILED]:
                    break
                stage.handles[number].end(3)
            assert (states(supervisor) == [ReplicaState.FAILED]) is is_final

    asyncio.run(story())


def test_what_a_replica_says_of_its_test_call_is_kept(config):
    """The deployment tells it, and the replica's row has the time."""

    async def story():
        stage, events = Stage(), []
        stage.said = {"test": {"state": "passed", "call_ms": 3.5}}
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, report=events.append, fail_fast=True)
            assert [event.test for event in events] == [stage.said["test"]]
            assert [row.test_ms for row in supervisor.statuses()] == [3.5]

    asyncio.run(story())


def test_each_load_is_judged_by_itself(config):
    """What an earlier one reported, or was killed for, is not said of a later one."""

    async def story():
        stage = Stage(GOOD, ("loading", "failed"), ("loading",))
        async with stage.supervisor(config, replace(FAST, max_deaths=5)) as supervisor:

            async def ended(number, words):
                await until(lambda: stage.handles[number].calls[-1:] == ["cleanup"])
                await until(lambda: words in (supervisor.statuses()[0].last_error or ""))

            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.now_s += FAST.unhealthy_s + 1
            stage.owners[0].tick()  # out of rotation
            stage.owners[0].tick()
            await ended(0, "was killed: it was silent")
            await until(lambda: supervisor.statuses()[0].last_error == "boom")
            stage.handles[1].end(3)
            for number in (2, 3):
                await until(lambda number=number: len(stage.handles) == number + 1)
                stage.handles[number].end(number)
                await ended(number, f"ended (exit {number}) while loading")

    asyncio.run(story())


def test_one_that_is_ready_after_all_has_not_failed(config):
    """A replica may report that its load failed, and then load what it has by another way."""

    async def story():
        stage = Stage(("loading", "failed", "ready"))
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            [row] = supervisor.statuses()
            assert (row.state, row.last_error) == (ReplicaState.READY, None)

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


def test_a_report_that_comes_after_the_exit_is_waited_for(config):
    """The exit and the socket race; only the report says what was wrong."""
    timings = replace(FAST, report_s=WAIT_S)

    async def story():
        stage = Stage(("loading",))
        async with stage.supervisor(config, timings) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.owners)
            stage.handles[0].end(3)
            for _ in range(10):
                await asyncio.sleep(0)
            assert not wait.done()
            stage.owners[0].on_replica_state("failed", {"error": stage.fault})
            with pytest.raises(LoadFailedError, match=r"^boom$"):
                await wait

    asyncio.run(story())


def test_a_failure_is_told_when_it_is_reported(config):
    """Who waits need not wait for the end of the process, nor for the next try."""
    timings = replace(FAST, backoff_first_s=WAIT_S)

    async def story():
        stage = Stage(("loading", "failed"), ("loading",))
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=False)
            [row] = supervisor.statuses()
            assert (row.state, row.last_error) == (ReplicaState.STARTING, "boom")
            assert not stage.handles[0].calls
            await supervisor.stop_version(version_of().id)
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=False))
            await until(lambda: len(stage.owners) == 2)
            stage.handles[1].end(1)
            await wait
            assert states(supervisor) == [ReplicaState.BACKOFF]

    asyncio.run(story())
