"""A replica's life with a process and with a connection."""

import asyncio
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.engine.engine import Engine
from servd.engine.rpc import connector
from servd.replicas.launchers.orphans import Orphans
from tests.replicas import FAST, Stage, until, version_of
from tests.scripted_replica import ScriptedReplica
from tests.serving import run


@pytest.fixture
def config(tmp_path):
    """Return a configuration in a new folder."""
    return Config(data_dir=tmp_path)


def test_an_idle_replica_is_kept_alive_by_heartbeats(config):
    """Longer than silence may last: each heartbeat is answered, by a real replica's protocol."""
    timings = replace(FAST, heartbeat_s=0.02, silent_s=0.1)

    async def story():
        async with Engine(0) as engine:
            with ScriptedReplica() as scripted:
                stage = Stage()
                stage.clock = engine.clock
                stage.connect = lambda _address, owner: connector(engine.context, engine.clock)(
                    scripted.address, owner
                )
                async with stage.supervisor(config, timings) as supervisor:
                    await supervisor.ensure(version_of(), 1, fail_fast=True)
                    while scripted.heartbeats < 15:
                        await asyncio.sleep(timings.heartbeat_s)
                        [status] = supervisor.statuses()
                        assert status.state is ReplicaState.READY
                    assert not stage.ends

    run(story())


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
