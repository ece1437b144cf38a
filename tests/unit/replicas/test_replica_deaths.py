"""What a replica's deaths and its silence lead to: restarts, waits, an end of them."""

import asyncio
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.replicas.collaborators import Timings
from tests.replicas import FAST, GOOD, Stage, until, version_of


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def states(supervisor):
    """Return the states of all replicas."""
    return [status.state for status in supervisor.statuses()]


def test_a_dead_replica_leaves_at_once_and_comes_back(config):
    """The exit of a ready replica takes it out of rotation; it is launched again."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            first = stage.attached[0]
            stage.handles[0].end(-11)
            await until(lambda: stage.attached and stage.attached[0] is not first)
            [status] = supervisor.statuses()
            assert (status.state, status.restarts) == (ReplicaState.READY, 1)

    asyncio.run(story())


def test_too_many_deaths_in_a_row_are_final_until_asked_for(config):
    """After the limit it is failed and keeps its last error; asking for it launches it again."""

    async def story():
        stage = Stage(GOOD, ("failed",))
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.handles[0].end(1)
            await until(lambda: len(stage.handles) == 2)
            stage.handles[1].end(3)
            await until(lambda: len(stage.handles) == 3)
            stage.handles[2].end(3)
            await until(lambda: states(supervisor) == [ReplicaState.FAILED])
            assert supervisor.statuses()[0].last_error == "boom"
            stage.script = [GOOD]
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            assert states(supervisor) == [ReplicaState.READY]

    asyncio.run(story())


def test_a_stable_time_resets_the_count_of_deaths(config):
    """Deaths that are far apart never add up to the limit."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            for number in range(FAST.max_deaths + 2):
                await until(lambda: states(supervisor) == [ReplicaState.READY])
                stage.now_s += FAST.stable_s
                stage.handles[number].end(1)
                await until(lambda n=number: len(stage.handles) == n + 2)

    asyncio.run(story())


def test_the_backoff_doubles_up_to_its_limit():
    """The first restart comes after 0.2 s, then each delay doubles up to 30 s."""
    times = replace(FAST, backoff_first_s=0.2)
    assert [times.backoff_s(n) for n in (1, 2, 3, 20)] == [0.2, 0.4, 0.8, 30.0]


def test_a_silent_replica_leaves_within_two_seconds_and_returns_when_heard(config):
    """Silence takes a ready replica out of rotation, a sign brings it back, 30 s kill it."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            [owner] = stage.owners
            stage.now_s += 1.5
            owner.tick()
            assert (owner.state, stage.attached) == (ReplicaState.UNHEALTHY, [])
            owner.on_replica_state("ready", {})
            assert (owner.state, len(stage.attached)) == (ReplicaState.READY, 1)
            owner.tick()
            assert owner.state is ReplicaState.UNHEALTHY
            stage.now_s += 31
            owner.tick()
            assert "kill" in stage.handles[0].calls
            await until(lambda: states(supervisor) == [ReplicaState.READY])

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
                await until(lambda: states(supervisor) == [ReplicaState.READY])
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
                await until(lambda: states(supervisor) == [ReplicaState.READY])
                stage.connections[-1].counters.queries = answered
                stage.now_s += served_s
                stage.handles[-1].end(1)
            await until(lambda: len(delays_s) == 5)
            assert [delay_s * 1000 for delay_s in delays_s] == expected

    asyncio.run(story())


def test_one_that_is_silent_for_too_long_is_killed(config):
    """It is out of rotation first, and the kill says for how long nothing was heard."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.now_s += FAST.silent_s + 0.1
            stage.owners[0].tick()
            assert states(supervisor) == [ReplicaState.UNHEALTHY]
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


def test_a_life_was_worth_it_if_it_answered_for_as_long_as_it_was_away(config, monkeypatch):
    """Away is the wait before it, and its load."""
    asked, load_s = [], 2.0
    first_s = 2.0**-10  # exact, as the clock is
    monkeypatch.setattr(Timings, "backoff_s", lambda _self, deaths: asked.append(deaths) or first_s)
    timings = replace(FAST, max_deaths=100)

    async def story():
        stage = Stage()
        connect = stage.connect

        def connect_slowly(address, owner):
            stage.now_s += load_s
            return connect(address, owner)

        stage.connect = connect_slowly
        async with stage.supervisor(config, timings) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            away_s = first_s + load_s
            for number, served_s in enumerate((away_s, away_s, away_s - 2.0**-11, away_s)):
                await until(lambda lives=number + 1: len(stage.handles) == lives)
                await until(lambda: states(supervisor) == [ReplicaState.READY])
                stage.connections[-1].counters.queries = 1
                stage.now_s += served_s
                stage.handles[-1].end(1)
            await until(lambda: len(asked) == 4)
            assert asked == [1, 1, 2, 1]

    asyncio.run(story())


def test_one_that_answers_may_die_as_often_as_it_likes(config):
    """Also where one death without an answer would be the last."""

    async def story():
        stage = Stage()
        async with stage.supervisor(config, replace(FAST, max_deaths=1)) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            for number in range(3):
                stage.connections[number].counters.queries = 1
                stage.handles[number].end(1)
                await until(lambda lives=number + 2: len(stage.handles) == lives)
                await until(lambda: states(supervisor) == [ReplicaState.READY])

    asyncio.run(story())
