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
