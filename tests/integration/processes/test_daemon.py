"""The composition root: lock, ports, handshake, folders; and one real daemon in this process."""

import asyncio
import json
import os
import socket

import pytest

from servd.config import Config
from servd.errors import StartError, StoreError
from servd.logs.log import tail
from servd.logs.model_log import ModelLog
from servd.processes import daemon
from servd.processes.instance import locked, make_folders
from servd.system.ports import base_url, resolve_ports
from tests.replicas import WAIT_S


@pytest.fixture
def config(tmp_path):
    """Return a configuration with free ports."""
    return Config(data_dir=tmp_path / "d", query_port=0, admin_port=0)


def test_a_second_daemon_is_refused_with_the_pid_of_the_first(config):
    """The lock names who holds it, and is free again afterwards."""
    make_folders(config)
    with locked(config), pytest.raises(StartError, match=rf"pid {os.getpid()}\)"), locked(config):
        pass
    with locked(config):
        pass


def test_a_taken_port_names_its_holder(config):
    """The error says which process listens and which flag helps."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = Config(data_dir=config.data_dir, query_port=port, admin_port=0)
        with pytest.raises(StartError, match=rf"{port} is taken by .*\(pid {os.getpid()}\)") as e:
            resolve_ports(taken)
        assert "--query-port" in e.value.hint


def test_ports_of_zero_become_free_ports(config):
    """Both are real and differ."""
    found = resolve_ports(config)
    assert 0 < found.query_port != found.admin_port > 0


def test_urls_are_reachable_from_here():
    """The any-address is shown as loopback, IPv6 in brackets."""
    assert base_url("0.0.0.0", 1) == "http://127.0.0.1:1"
    assert base_url("::1", 1) == "http://[::1]:1"


def test_a_data_directory_that_is_a_file_is_refused(tmp_path):
    """The error names the folder and the reason."""
    (tmp_path / "d").write_text("")
    with pytest.raises(StartError, match="cannot be written"):
        make_folders(Config(data_dir=tmp_path / "d"))


def test_it_answers_when_it_says_ready_and_removes_its_traces(config, monkeypatch):
    """The handshake comes when both ports answer; a stop ends with daemon.json gone."""

    async def story():
        read_end, write_end = os.pipe()
        monkeypatch.setenv(daemon.READY_VARIABLE, str(write_end))
        life = daemon.Daemon(config, daemon.Handshake(str(write_end)))
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(life.run())
            with os.fdopen(read_end) as pipe:
                assert await asyncio.to_thread(pipe.read) == "ready\n"
            info = json.loads(config.info_file.read_text())
            for url in (info["query_url"], info["admin_url"]):
                port = int(url.rpartition(":")[2])
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
            life.shut_down(0.0)
            life.shut_down(None)
            assert await running == 0
        assert not config.info_file.exists()

    asyncio.run(story())


def test_a_start_that_fails_tells_who_waits(config, monkeypatch):
    """A corrupt database is refused, kept, and the reason goes through the pipe."""
    make_folders(config)
    config.database.write_bytes(b"this is not a database, but long enough to be read as one" * 20)
    before = config.database.read_bytes()
    read_end, write_end = os.pipe()
    monkeypatch.setenv(daemon.READY_VARIABLE, str(write_end))
    with pytest.raises(StoreError, match="file is not a database"):
        asyncio.run(daemon.serve(config))
    with os.fdopen(read_end) as pipe:
        assert "servd.db" in json.load(pipe)["error"]
    assert config.database.read_bytes() == before


def test_the_end_of_a_log_is_told_as_the_model_printed_it(tmp_path):
    """Without the times, from a byte on; none where there is no file."""
    path = tmp_path / "0.log"
    model_log = ModelLog(path)
    model_log.feed(b"of a life before\n")
    start = path.stat().st_size
    model_log.feed(b"Traceback:\n  a line\n")
    assert tail(path, 5, start=start) == ["Traceback:", "  a line"]
    assert tail(path, 1) == ["  a line"]
    model_log.close()
    assert tail(tmp_path / "none", 3) == []
