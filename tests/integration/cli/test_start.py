"""`servd start`, `servd stop` and `servd run` where no daemon has to be made for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from servd.client import spawn
from servd.client.admin import Address, AdminClient
from servd.client.ending import wait_for_silence
from servd.client.spawn import as_arguments
from servd.config import Config, settings_of
from servd.errors import StartError
from tests.fake_admin import STATUS, FakeAdmin

REFUSES = (
    "import json, os; said = json.dumps({'error': 'no room'}).encode(); "
    "os.write(int(os.environ['SERVD_READY_FD']), said)"
)


def test_start_finds_a_daemon_that_runs(run, admin):
    """Twice is not an error."""
    done = run("start")
    assert done.exit_code == 0
    assert "is already running  query http://127.0.0.1:1337" in done.stdout
    assert json.loads(run("start", "--json").stdout) == STATUS | {"started": False}
    assert len(admin.requests) == 2


@pytest.mark.parametrize(
    ("args", "variables", "said"),
    [
        (("--query-port", "8000"), {}, "--query-port is 8000 here and 1337 there"),
        (("--cache-size", "1MiB"), {}, "--cache-size is 1MiB here and 33554432 there"),
        (("--public-queries",), {}, "--public-queries is True here and False there"),
        ((), {"SERVD_QUERY_PORT": "8001"}, "SERVD_QUERY_PORT is 8001 here and 1337 there"),
    ],
)
def test_start_beside_a_daemon_with_other_settings_is_refused(
    run, admin, monkeypatch, args, variables, said
):
    """What was asked for is not what runs: exit code 1, with both values."""
    running = settings_of(Config(data_dir=Path("any")))
    admin.answers["GET /status"] = (200, STATUS | {"settings": running})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run("start", *args)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "servd stop first" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args", [(), ("--query-port", "1337"), ("--query-port", "0"), ("--cache-size", "32MiB")]
)
def test_start_beside_a_daemon_with_the_same_settings_is_no_error(run, admin, args):
    """The same value, however it is written, or any port, is what runs."""
    admin.answers["GET /status"] = (
        200,
        STATUS | {"settings": settings_of(Config(data_dir=Path("any")))},
    )
    assert run("start", *args).exit_code == 0


def test_start_beside_a_daemon_shows_no_password_of_an_index(run, admin, monkeypatch):
    """The variable holds one; the difference is told without."""
    running = settings_of(Config(data_dir=Path("any")))
    admin.answers["GET /status"] = (200, STATUS | {"settings": running})
    monkeypatch.setenv("SERVD_EXTRA_INDEX", "https://me:pass@packages.example/simple")
    done = run("start")
    assert done.exit_code == 1
    assert "https://packages.example/simple" in done.stderr
    assert "pass@" not in done.stderr


def test_start_says_what_does_not_come_up(data_dir, run, admin, monkeypatch):
    """It waits for a while, then names what still loads, and what could not."""
    row = {"model": "m", "version": "2", "replica": 1, "state": "backoff", "last_error": "boom"}
    loading = STATUS | {"loading": ["slow:1"]}
    admin.answers |= {
        "GET /status": (200, loading),
        "GET /replicas": (200, [row, row | {"replica": 0, "state": "ready"}]),
    }
    monkeypatch.setattr("servd.client.spawn._LOADED_WITHIN_S", 0.1)
    monkeypatch.setattr("servd.cli.start.start_daemon", lambda *_, **__: (loading, True))
    done = run("start")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "warning: slow:1 is still loading: servd ps    shows when it is ready",
        "warning: m:2 replica 1 is not up: boom; servd logs m    shows more",
    ]
    assert len([each for each in admin.requests if each[1] == "/status"]) >= 2
    monkeypatch.undo()
    monkeypatch.setenv("SERVD_DATA_DIR", str(data_dir))
    assert "slow:1 is still loading" in run("start").stderr


def test_start_below_a_file_says_what_cannot_be_written(run, tmp_path):
    """Exit code 1 and another folder as the hint."""
    (tmp_path / "file").write_text("")
    done = run("start", "--data-dir", str(tmp_path / "file" / "x"))
    assert done.exit_code == 1
    assert "the data directory cannot be written" in done.stderr
    assert "--data-dir DIR" in done.stderr


@pytest.mark.parametrize("name", ["start.lock", "logs/daemon.out"])
def test_start_names_a_file_that_it_cannot_write(run, data_dir, name):
    """Something else lies in its place."""
    (data_dir / name).mkdir(parents=True)
    done = run("start")
    assert done.exit_code == 1
    assert f"{data_dir}/{name}: Is a directory" in done.stderr


def test_stop_waits_until_the_process_is_gone(run, admin):
    """It returns when nothing of the daemon is left."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        admin.answers["GET /status"] = (200, STATUS | {"pid": process.pid})
        admin.answers["POST /shutdown"] = (202, {})
        process.stdin.close()
        done = run("stop", "--drain", "1s", "--json")
    assert json.loads(done.stdout)["stopped"] is True
    assert admin.requests[-1][2] == {"drain_s": 1.0}


def test_stop_over_tcp_waits_for_silence():
    """The process is another machine's."""
    fake = FakeAdmin()
    client = AdminClient(Address(host="127.0.0.1", port=fake.port))
    assert not wait_for_silence(client, 0.0)
    fake.answers["GET /status"] = (503, "going down")
    fake.close()
    assert wait_for_silence(client, 5.0)


def test_settings_become_arguments_of_run():
    """What is not given is left out."""
    given = {"query_port": 1, "bind": None, "public_queries": True, "log_level": "debug"}
    expected = ["--query-port", "1", "--public-queries", "--log-level", "debug"]
    assert as_arguments(given) == expected
    assert as_arguments({"public_queries": False}) == ["--no-public-queries"]
    assert as_arguments({"cors": ("a://b", "*")}) == ["--cors", "a://b", "--cors", "*"]


def test_run_tells_the_waiting_start_why_there_is_no_daemon(run, data_dir, monkeypatch):
    """A wrong setting comes by the pipe, in the words of the error."""
    assert data_dir
    reading, writing = os.pipe()
    monkeypatch.setenv("SERVD_READY_FD", str(writing))
    done = run("run", "--log-level", "loud")
    assert done.exit_code == 2
    with os.fdopen(reading) as pipe:
        assert "not a log level" in json.load(pipe)["error"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; time.sleep(60)", "was not ready within 0.2 s"),
        ("print('last words'); raise SystemExit(3)", "ended with code 3 before it was ready"),
        (
            REFUSES,
            "no room",
        ),
        (
            "import os; os.write(int(os.environ['SERVD_READY_FD']), b'ready')",
            "ended right after it was ready",
        ),
    ],
)
def test_a_daemon_that_does_not_come_up_says_why(data_dir, tmp_path, monkeypatch, script, message):
    """It hangs, dies, refuses, or dies later; `servd start` tells which."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}"\n')
    program.chmod(0o755)
    monkeypatch.setattr(spawn.sys, "executable", str(program))
    monkeypatch.setattr(spawn, "_START_TIMEOUT_S", 0.2 if "sleep" in script else 20.0)
    with pytest.raises(StartError, match=message):
        spawn.start_daemon(Config(data_dir=data_dir), {})
