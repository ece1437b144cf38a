"""When a replica is killed for being stuck, and which deaths count against it."""

import asyncio
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from tests.replicas import FAST, WAIT_S, Stage, until, version_of

TIMINGS = replace(FAST, stuck_s=5.0, silent_s=1e9)


def _run(story, tmp_path, timings=TIMINGS):
    async def with_supervisor():
        stage = Stage()
        async with stage.supervisor(Config(data_dir=tmp_path), timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            await asyncio.wait_for(story(stage, supervisor), WAIT_S)

    asyncio.run(with_supervisor())


async def _let_ticks_pass(stage):
    """Have the timer go off; FAST's own never does."""
    for owner in set(stage.owners):
        owner.tick()
    await asyncio.sleep(0)


def test_a_batch_without_an_end_gets_the_replica_killed(tmp_path):
    """The same batch in flight for longer than the limit ends the process; it is launched again."""

    async def story(stage, supervisor):
        stage.connections[0].in_flight = {7: "batch"}
        await _let_ticks_pass(stage)
        stage.now_s += TIMINGS.stuck_s
        await _let_ticks_pass(stage)
        assert "kill" not in stage.handles[0].calls
        stage.now_s += 0.1
        await _let_ticks_pass(stage)
        await until(lambda: len(stage.handles) == 2)
        await until(lambda: supervisor.statuses()[0].state is ReplicaState.READY)
        assert "kill" in stage.handles[0].calls
        # The next life is not judged by the last one's batch, though numbers begin anew.
        stage.connections[1].in_flight = {7: "batch"}
        await _let_ticks_pass(stage)
        assert "kill" not in stage.handles[1].calls

    _run(story, tmp_path)


def test_batches_that_follow_each_other_are_not_one_long_one(tmp_path):
    """A replica that is never idle but answers is left alone, however long that goes on."""

    async def story(stage, _supervisor):
        for number in range(5):
            stage.connections[0].in_flight = {number: "batch", number + 1: "waits"}
            await _let_ticks_pass(stage)
            stage.now_s += TIMINGS.stuck_s - 1
            await _let_ticks_pass(stage)
        assert len(stage.handles) == 1

    _run(story, tmp_path)


@pytest.mark.parametrize(("answered", "state"), [(0, ReplicaState.FAILED), (1, ReplicaState.READY)])
def test_only_deaths_without_an_answer_are_final(tmp_path, answered, state):
    """A replica that answers between its deaths is started again for ever, another is not."""

    async def story(stage, supervisor):
        for number in range(FAST.max_deaths):
            await until(lambda: supervisor.statuses()[0].state is ReplicaState.READY)
            await until(lambda lives=number + 1: len(stage.handles) == lives)
            stage.connections[-1].counters.queries = answered
            stage.handles[-1].end(-6)
            await until(lambda: stage.handles[-1].calls[-1:] == ["cleanup"])
        await until(lambda: supervisor.statuses()[0].state is state)

    _run(story, tmp_path, FAST)


def test_the_backoff_stays_at_its_limit_for_ever():
    """Any number of deaths has a delay."""
    assert FAST.backoff_s(100_000) == 0.0
    assert replace(FAST, backoff_first_s=0.2).backoff_s(100_000) == FAST.backoff_max_s


def test_one_that_is_heard_again_gets_queries_again(tmp_path, caplog):
    """It is out of rotation once nothing was heard for longer than silence may last."""
    timings = replace(FAST, silent_s=1.5)  # exact, as the clock is
    caplog.set_level("WARNING", "servd")  # whatever a test before has left

    async def story(stage, supervisor):
        def told():
            return supervisor.statuses()[0].state, list(stage.attached)

        [connection] = stage.connections
        stage.now_s += timings.silent_s
        await _let_ticks_pass(stage)
        assert told() == (ReplicaState.READY, [connection])
        assert not caplog.records
        stage.now_s += 0.25
        for _ in range(2):
            await _let_ticks_pass(stage)
            assert told() == (ReplicaState.UNHEALTHY, [])
        assert [record.getMessage() for record in caplog.records] == [
            "m:1 replica 0 is silent for 1.8 s: out of rotation"
        ]
        connection.last_heard_s += 0.25
        for _ in range(2):
            await _let_ticks_pass(stage)
            assert told() == (ReplicaState.READY, [connection])
        assert len(stage.handles) == 1

    _run(story, tmp_path, timings)


def test_a_time_in_which_nobody_listened_is_no_silence_and_no_call(tmp_path):
    """What is excused counts neither as silence nor for the oldest batch."""
    timings = replace(TIMINGS, silent_s=1.0)

    async def story(stage, supervisor):
        stage.connections[0].in_flight = {7: "batch"}
        await _let_ticks_pass(stage)
        stage.now_s += 600.0
        stage.owners[0].excuse(600.0)
        await _let_ticks_pass(stage)
        assert supervisor.statuses()[0].state is ReplicaState.READY
        assert not stage.handles[0].calls
        stage.connections[0].last_heard_s = stage.now_s + timings.stuck_s + 0.1
        stage.now_s += timings.stuck_s + 0.1
        await _let_ticks_pass(stage)
        assert stage.handles[0].calls == ["kill"]

    _run(story, tmp_path, timings)


@pytest.mark.parametrize("excused_s", [0.0, 600.0])
def test_a_time_in_which_nobody_listened_is_no_load(tmp_path, excused_s):
    """A load is overdue by the time in which the daemon ran."""

    async def story():
        stage = Stage(("loading",))
        async with stage.supervisor(Config(data_dir=tmp_path), TIMINGS) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=False))
            await until(lambda: stage.owners)
            stage.now_s += 600.0
            stage.owners[0].excuse(excused_s)
            stage.owners[0].tick()
            assert stage.handles[0].calls == ([] if excused_s else ["kill"])
            stage.handles[0].end(1)
            await wait

    asyncio.run(story())
