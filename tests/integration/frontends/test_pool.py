"""Front-end processes that are started, killed and cannot be started; and one in this process."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress

import pytest

from servd.clock import monotonic
from servd.config import Config
from servd.errors import StartError
from servd.frontends import pool as frontend_processes
from servd.frontends.feed import CountReport
from servd.frontends.hub import Frontends
from servd.frontends.pool import FrontendProcesses
from servd.processes.frontend import FeedLostError, Frontend
from servd.processes.lifecycle import IDS_EACH
from servd.system.ports import resolve_ports
from tests.serving import Client, post, run, until


@asynccontextmanager
async def _frontends(tmp_path, count):
    config = resolve_ports(Config(data_dir=tmp_path, query_port=0, admin_port=0, frontends=count))
    config.run_dir.mkdir(mode=0o700)
    async with Frontends(config, monotonic) as daemon:
        yield daemon, config


async def _ask(config):
    """Send a request on a connection of its own; return the status."""
    client = Client(*await asyncio.open_connection(config.bind, config.query_port))
    try:
        client.send(post("/nothing/predict", {}))
        return (await client.answer()).status
    finally:
        await client.close()


def test_a_killed_process_is_followed_by_another(tmp_path):
    """Connections are answered all the time; at the end no process is left."""

    async def story():
        async with _frontends(tmp_path, 2) as (daemon, config):
            async with FrontendProcesses(daemon, config) as processes:
                assert daemon.numbers() == {0, 1}
                assert {await _ask(config) for _ in range(20)} == {404}
                members = [member.process for member in processes._living.values()]
                os.kill(members[0].pid, signal.SIGKILL)
                await until(lambda: daemon.numbers() == {1, 2})
                assert {await _ask(config) for _ in range(20)} == {404}
                processes.on_hanging(99)
                processes.stop_accepting()
                await processes.drain(10)
                assert not processes._living
            assert all(member.returncode is not None for member in members)

    run(story())


def test_one_that_cannot_be_started_is_an_error_of_the_start(tmp_path, monkeypatch):
    """The daemon says so instead of running without a door."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def story():
        async with _frontends(tmp_path, 2) as (daemon, config):
            with pytest.raises(StartError, match="ended before it answered"):
                await FrontendProcesses(daemon, config).__aenter__()
            monkeypatch.setattr(sys, "executable", "/nowhere/python")
            with pytest.raises(StartError, match="cannot be started"):
                await FrontendProcesses(daemon, config).__aenter__()

    run(story())


def test_while_one_cannot_be_started_the_others_get_its_connections(tmp_path, monkeypatch):
    """The port stays answered in full, and the frontend comes back when it can."""
    monkeypatch.setattr(frontend_processes, "BACKOFF_MAX_S", 0.05)

    async def story():
        async with (
            _frontends(tmp_path, 2) as (daemon, config),
            FrontendProcesses(daemon, config) as processes,
        ):
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", "/bin/false")
                os.kill(processes._living[0].process.pid, signal.SIGKILL)
                await until(lambda: None in processes._sockets)
                patch.setattr(sys, "executable", "/nowhere/python")
                await until(lambda: not processes._living.keys() - {1})
                assert {await _ask(config) for _ in range(20)} == {404}
            await until(lambda: len(daemon.numbers()) == 2)

    run(story())


@asynccontextmanager
async def _inside(config):
    """Run a frontend in this process; yield it with its task."""
    sock = socket.create_server((config.bind, config.query_port))
    frontend = Frontend(5, 0, config.data_dir, sock)
    task = asyncio.ensure_future(frontend.run(config.feed_socket))
    try:
        yield frontend, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def test_a_frontend_follows_answers_reports_and_drains(tmp_path):
    """It applies changes, answers on its socket, counts, and ends when it is told to."""

    async def story():
        async with (
            _frontends(tmp_path, 2) as (daemon, config),
            _inside(config) as (frontend, task),
        ):
            await until(daemon.numbers)
            await daemon.settled()
            await until(lambda: frontend._beats >= 2)
            assert await _ask(config) == 404
            daemon.tell_ending(0.0)
            reader, writer = await asyncio.open_connection(config.bind, config.query_port)
            writer.write(b"POST /half")
            os.kill(os.getpid(), signal.SIGTERM)
            assert await task == 0
            assert await reader.read() == b""
            writer.close()
            assert IDS_EACH * 5 < 2**53

    run(story())


def test_a_frontend_ends_when_the_daemon_hangs_up(tmp_path):
    """There is nobody to follow any more."""

    async def story():
        async with (
            _frontends(tmp_path, 2) as (daemon, config),
            _inside(config) as (_frontend, task),
        ):
            await until(daemon.numbers)
            daemon._peers[5]._writer.close()
            with pytest.raises(ExceptionGroup) as caught:
                await task
            assert caught.group_contains(FeedLostError)
            await until(lambda: not daemon.numbers())
            assert daemon.totals.history() == CountReport(frontend=-1)

    run(story())
