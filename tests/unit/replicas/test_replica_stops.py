"""How a replica is stopped: drained, told to end, killed, and not waited for in vain."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.errors import LoadFailedError
from tests.replicas import FAST, FakeHandle, Stage, until, version_of


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def state_of(supervisor):
    """Return the state of the only replica."""
    [status] = supervisor.statuses()
    return status.state


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


class Lingering(FakeHandle):
    """A process that has not ended when it is killed: the kernel still has work with it."""

    def kill(self):
        """Note it."""
        self.calls.append("kill")


def test_a_stop_is_over_when_the_process_has_ended(config, monkeypatch):
    """Not when it was told to: its files and its address are then free."""
    monkeypatch.setattr("tests.replicas.FakeHandle", Lingering)

    async def story():
        stage = Stage(("loading",))
        async with stage.supervisor(config) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=False))
            await until(lambda: stage.handles)
            stopping = asyncio.create_task(supervisor.stop_version(version_of().id))
            await until(lambda: stage.handles[0].calls == ["kill"])
            for _ in range(10):
                await asyncio.sleep(0)
            assert not stopping.done()
            stage.handles[0].end(-9)
            await stopping
            assert stage.handles[0].calls == ["kill", "cleanup"]
            await asyncio.wait([wait])

    asyncio.run(story())


def test_one_that_is_out_of_rotation_is_told_to_end_at_once(config):
    """Nothing of it is waited for: what it had was given to others."""

    async def story():
        stage = Stage()
        async with stage.supervisor(replace(config, drain_s=1e9)) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.connections[0].in_flight = {1: "batch"}
            stage.now_s += FAST.silent_s + 0.1
            stage.owners[0].tick()
            assert state_of(supervisor) is ReplicaState.UNHEALTHY
            await supervisor.stop_version(version_of().id)
            assert stage.handles[0].calls == ["terminate", "cleanup"]
            assert ("drain", stage.connections[0]) not in stage.log

    asyncio.run(story())
