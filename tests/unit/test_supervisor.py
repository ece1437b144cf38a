"""The supervisor and the life of a replica, with processes that tests steer."""

import asyncio
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import RegistryState, ReplicaState
from servd.errors import EngineError, InvalidValueError, LoadFailedError, ServdError
from servd.supervisor import _free_numbers
from tests.replicas import FAST, GOOD, Stage, until, version_of


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


def test_a_replica_of_another_model_is_no_candidate(config, caplog):
    """What has loaded is not what is deployed: an image of that name may hold other files."""

    async def story():
        stage = Stage()
        stage.said = {"bundle": "old"}
        async with stage.supervisor(config) as supervisor:
            with pytest.raises(LoadFailedError, match="holds the bundle old") as refused:
                await supervisor.ensure(version_of(), 1, fail_fast=True)
            assert "registered with b" in str(refused.value)
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
