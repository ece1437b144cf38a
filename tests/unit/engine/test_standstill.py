"""A process that stood still forgives the others the time in which it heard nothing."""

import asyncio
import socket
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from servd.config import Config
from servd.datatypes import ReplicaState
from servd.errors import LoadFailedError
from servd.frontends import hub as frontends
from servd.frontends.hub import Frontends
from servd.system.patience import patiently
from tests.replicas import FAST, Stage, until, version_of

STOOD_S = 600.0
TIMINGS = replace(FAST, heartbeat_s=0.001, silent_s=0.1, unhealthy_s=1.0, stuck_s=1.0)


async def beats(count=5):
    """Let that many heartbeats pass."""
    for _ in range(count):
        await asyncio.sleep(TIMINGS.heartbeat_s * 2)


def test_a_replica_stays_in_rotation_and_its_call_is_not_stuck(tmp_path):
    """Neither its silence nor its oldest batch is as old as the clock says."""

    async def story():
        stage = Stage()
        async with stage.supervisor(Config(data_dir=tmp_path), TIMINGS) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.connections[0].in_flight = {7: "batch"}
            await beats()
            stage.now_s += STOOD_S
            await beats()
            assert [status.state for status in supervisor.statuses()] == [ReplicaState.READY]
            assert len(stage.handles) == 1
            assert "kill" not in stage.handles[0].calls
            assert len(stage.attached) == 1

    asyncio.run(story())


@pytest.mark.parametrize("phase", ["loading", "testing"])
def test_a_load_is_not_overdue(tmp_path, phase):
    """The time for loading and for the test call is time in which the daemon ran."""

    async def story():
        stage = Stage((phase,))
        async with stage.supervisor(Config(data_dir=tmp_path), TIMINGS) as supervisor:
            wait = asyncio.create_task(supervisor.ensure(version_of(), 1, fail_fast=True))
            await until(lambda: stage.owners)
            await beats()
            stage.now_s += STOOD_S
            await beats()
            assert not wait.done()
            wait.cancel()
            with suppress(asyncio.CancelledError, LoadFailedError):
                await wait

    asyncio.run(story())


def test_a_replica_that_is_silent_while_the_daemon_runs_is_out(tmp_path):
    """Small steps of the clock are no standstill: silence counts as ever."""

    async def story():
        stage = Stage()
        async with stage.supervisor(Config(data_dir=tmp_path), FAST) as supervisor:
            await supervisor.ensure(version_of(), 1, fail_fast=True)
            stage.now_s += FAST.silent_s + 0.1
            stage.owners[0].tick()
            assert [status.state for status in supervisor.statuses()] == [ReplicaState.UNHEALTHY]
            assert [end.how for end in stage.ends] == ["fell silent"]

    asyncio.run(story())


class Writer:
    """A feed that nobody reads."""

    def is_closing(self):
        """Whether it is."""
        return False

    def write(self, line):
        """Take a line."""


def test_a_front_end_is_not_ended_by_a_daemon_that_stood_still(tmp_path, monkeypatch):
    """Nor is one ended that had no time to apply a change; one that is silent meanwhile is."""
    now_s = 100.0
    ended = []

    async def story():
        nonlocal now_s
        daemon = Frontends(Config(data_dir=tmp_path, frontends=1), lambda: now_s)
        monkeypatch.setattr(daemon.listener, "on_hanging", ended.append)
        peer = daemon._peers[0] = frontends.Peer(0, Writer(), now_s)
        daemon._on_second()
        now_s += STOOD_S
        daemon._on_second()
        assert not ended
        for _ in range(int(frontends.SILENT_S)):
            assert not ended
            now_s += 1.0
            daemon._on_second()
        assert ended == [peer.number]
        daemon._timer.cancel()
        daemon._context.destroy(linger=0)

    asyncio.run(story())


def test_a_limit_that_passed_while_nobody_ran_has_not_passed():
    """A loop that is held up past the limit looks again, and takes what has come meanwhile."""

    async def story():
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        reader, writer = await asyncio.open_connection(sock=ours)
        loop.call_soon(lambda: hold_up(theirs))

        async def read():
            await reader.readexactly(1)
            event.set()

        assert await patiently(0.2, read)
        writer.close()

    ours, theirs = socket.socketpair()

    def hold_up(other):
        other.send(b"x")
        time.sleep(0.4)  # the loop cannot be stopped otherwise

    with theirs:
        asyncio.run(story())


def test_a_limit_without_an_event_passes():
    """It is waited for once, not ten times, and what never comes is told."""

    async def story():
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert not await patiently(0.05, asyncio.Event().wait)
        assert 0.05 <= loop.time() - began_s < 1.0

    asyncio.run(story())
