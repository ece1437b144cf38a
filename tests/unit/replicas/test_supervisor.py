"""The table of all replicas, with processes that tests steer."""

import asyncio

import pytest

from servd.config import Config
from servd.datatypes import RegistryState, ReplicaState
from servd.errors import InvalidValueError, LoadFailedError, ServdError
from servd.replicas.supervisor import _free_numbers
from tests.replicas import GOOD, Stage, until, version_of


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def states(supervisor):
    """Return the states of all replicas."""
    return [status.state for status in supervisor.statuses()]


def test_ready_replicas_are_attached_and_reported(config):
    """All replicas that were asked for get queries once they are ready."""

    async def story():
        stage, events = Stage(), []
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 2, report=events.append, fail_fast=True)
            assert states(supervisor) == [ReplicaState.READY] * 2
            assert len(stage.attached) == 2
            assert {event.replica for event in events} == {0, 1}
        assert stage.attached == []
        assert all(handle.calls[-1] == "cleanup" for handle in stage.handles)

    asyncio.run(story())


def test_a_reported_load_failure_is_raised_and_everything_launched_ends(config):
    """One replica that cannot load ends its ready siblings too."""

    async def story():
        stage = Stage(GOOD, ("loading", "failed"))
        async with stage.supervisor(config) as supervisor:
            with pytest.raises(LoadFailedError, match="boom") as caught:
                await supervisor.ensure(version_of(), 2, fail_fast=True)
            assert (caught.value.traceback, caught.value.hint) == ("tb", "h")
            assert supervisor.statuses() == []
            assert all(handle.poll() is not None for handle in stage.handles)

    asyncio.run(story())


def test_scaling_down_drains_the_highest_numbers(config):
    """What is surplus gets no new batch, is waited for while it has batches, then told to end."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 2, fail_fast=True)
            busy = stage.connections[1]
            busy.in_flight[1] = object()
            scaling = asyncio.create_task(supervisor.scale(version_of().id, 1))
            await until(lambda: ("drain", busy) in stage.log)
            for _ in range(200):  # turns, in which a drain of no time would be over
                await asyncio.sleep(0)
            assert stage.handles[1].calls == []
            busy.in_flight.clear()
            await scaling
            assert stage.handles[1].calls == ["terminate", "cleanup"]
            assert [s.replica for s in supervisor.statuses()] == [0]
            await supervisor.scale(version_of().id, 2)
            assert [s.replica for s in supervisor.statuses()] == [0, 1]

    asyncio.run(story())


def test_an_unknown_runtime_is_refused(config):
    """A version whose runtime this daemon lacks is not brought up."""

    async def story():
        async with Stage().supervisor(config) as supervisor:
            with pytest.raises(InvalidValueError, match="mars"):
                await supervisor.ensure(version_of(runtime="mars"), 1, fail_fast=True)

    asyncio.run(story())


def test_a_version_that_is_stopped_leaves_nothing(config):
    """All its replicas drain and end, another version's go on, and it can be brought up again."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            one, two = version_of("1"), version_of("2")
            await supervisor.ensure(one, 2, fail_fast=True)
            await supervisor.ensure(two, 1, fail_fast=True)
            await supervisor.stop_version(one.id)
            assert [handle.calls for handle in stage.handles] == [
                ["terminate", "cleanup"],
                ["terminate", "cleanup"],
                [],
            ]
            assert [status.version for status in supervisor.statuses()] == ["2"]
            assert [supervisor.ready_count(each.id) for each in (one, two)] == [0, 1]
            await supervisor.stop_version(one.id)  # has none: nothing happens
            before = stage.log.count(("prepare", "m:1"))
            await supervisor.ensure(one, 1, fail_fast=True)
            assert stage.log.count(("prepare", "m:1")) == before + 1
            assert supervisor.ready_count(one.id) == 1

    asyncio.run(story())


@pytest.mark.parametrize("how", ["stop_all", "kill"])
def test_an_end_is_final(config, how):
    """After it nothing is launched any more, and a forced end kills without asking."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 2, fail_fast=True)
            if how == "kill":
                supervisor.kill()
                assert [handle.calls[0] for handle in stage.handles] == ["kill", "kill"]
            else:
                await supervisor.stop_all()
                assert [handle.calls[0] for handle in stage.handles] == ["terminate"] * 2
            with pytest.raises(ServdError, match="the daemon is stopping"):
                await supervisor.ensure(version_of("2"), 1, fail_fast=True)
            assert len(stage.handles) == 2

    asyncio.run(story())


def test_nothing_runs_on_after_it(config):
    """Leaving it ends the heartbeats and waits for every life."""

    async def story():
        before = asyncio.all_tasks()
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            assert len(asyncio.all_tasks() - before) == 1  # the heartbeats
            await supervisor.ensure(version_of(), 2, fail_fast=True)
        assert asyncio.all_tasks() == before

    asyncio.run(story())


def test_only_ready_replicas_count(config):
    """A replica that is silent is not one that could answer; an unknown version has none."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 2, fail_fast=True)
            assert supervisor.ready_count(version_of().id) == 2
            stage.now_s += 1.5
            stage.owners[0].tick()
            assert supervisor.ready_count(version_of().id) == 1
            assert supervisor.ready_count(version_of("2").id) == 0

    asyncio.run(story())


def test_statuses_are_in_order_and_name_the_application(config):
    """By model, version and number, whatever came up first; and who is linked, if anybody."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            for version in (version_of("2"), version_of("1", model="n"), version_of("1")):
                await supervisor.ensure(version, 2, fail_fast=True)
            supervisor.apply(RegistryState(links={"app": ("m",)}))
            assert [(row.model, row.version, row.replica) for row in supervisor.statuses()] == [
                *(("m", version, number) for version in ("1", "2") for number in (0, 1)),
                *(("n", "1", number) for number in (0, 1)),
            ]
            assert [row.application for row in supervisor.statuses()] == ["app"] * 4 + [None] * 2

    asyncio.run(story())


def test_scaling_keeps_the_number_where_it_cannot(config):
    """None stays none; and a new replica that does not load leaves those that there were."""

    async def story():
        stage = Stage(GOOD, GOOD, ("loading", "failed"))
        async with stage.supervisor(config) as supervisor:
            await supervisor.scale(version_of().id, 3)
            assert stage.handles == []
            await supervisor.ensure(version_of(), 2, fail_fast=True)
            with pytest.raises(LoadFailedError, match="boom"):
                await supervisor.scale(version_of().id, 3)
            assert [row.replica for row in supervisor.statuses()] == [0, 1]
            assert [handle.calls for handle in stage.handles[:2]] == [[], []]
            await supervisor.scale(version_of().id, 2)
            assert [handle.calls for handle in stage.handles[:2]] == [[], []]

    asyncio.run(story())


def test_a_freed_number_is_taken_again(config):
    """New replicas take the lowest numbers that are free, whose logs they go on with."""
    assert _free_numbers({}, 2) == [0, 1]
    assert _free_numbers({0: 1, 2: 1}, 2) == [1, 3]
    assert _free_numbers({0: 1}, 0) == []
    assert _free_numbers({0: 1}, -1) == []

    async def story():
        async with Stage().supervisor(config) as supervisor:
            path = supervisor.log_path(version_of("7").id, 3)
            assert path == config.logs_dir / "models" / "m" / "7.3.log"

    asyncio.run(story())


def test_a_failed_deployment_leaves_what_ran_before_it(config):
    """Only what the call itself launched ends; a version that had nothing before is forgotten."""

    async def story():
        stage = Stage(GOOD, ("loading", "failed"))
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            for _ in range(2):
                with pytest.raises(LoadFailedError, match="boom"):
                    await supervisor.ensure(version_of(), 2, fail_fast=True)
                assert states(supervisor) == [ReplicaState.READY]
            assert stage.log.count(("prepare", "m:1")) == 1
            for _ in range(2):
                with pytest.raises(LoadFailedError, match="boom"):
                    await supervisor.ensure(version_of("2"), 1, fail_fast=True)
            assert stage.log.count(("prepare", "m:2")) == 2

    asyncio.run(story())
