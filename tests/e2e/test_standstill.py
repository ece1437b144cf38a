"""Processes that are stopped for a while and go on: nobody pays for it but who asked meanwhile."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, ready, replicas, running_daemon, until

STOPPED_S = 10.0
"""Longer than the patience with a silent replica, shorter than the daemon's with a front end."""

IDLE_S = 3.5
KEPT = 10


@pytest.fixture(scope="module", params=["", "frontends = 2"], ids=["daemon", "frontends"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Yield a daemon that answers itself, and one with front-end processes."""
    with running_daemon(request.param) as running:
        deploy(running, "good.py", "--name", "still", "--slo", "2s", "--replicas", "2")
        yield running


@contextmanager
def _kept(daemon: Daemon) -> Iterator[list[http.client.HTTPConnection]]:
    """Yield open connections that have been used."""
    made = [http.client.HTTPConnection("127.0.0.1", daemon.query_port) for _ in range(KEPT)]
    try:
        for number, connection in enumerate(made):
            assert _ask(connection, [number, 0.25]) == (200, number + 0.25)
        yield made
    finally:
        for connection in made:
            connection.close()


def _ask(connection: http.client.HTTPConnection, row: list[float]) -> tuple[int, Any]:
    before = connection.sock
    connection.request("POST", "/still/predict", json.dumps({"input": row}))
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert before is None or connection.sock is before, "the connection was made anew"
    return answer.status, told.get("output", told)


def _stop_for(pids: list[int], seconds: float) -> None:
    """Stop processes and let them go on."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)  # what is tested is that time passes
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _pids(daemon: Daemon, who: str) -> list[int]:
    assert daemon.pid is not None
    if who == "daemon":
        return [daemon.pid]
    if who == "replicas":
        return [row["pid"] for row in replicas(daemon, "still")]
    found = []
    for process in psutil.Process(daemon.pid).children():
        with suppress(psutil.Error):
            if "servd.processes.frontend" in process.cmdline():
                found.append(process.pid)
    return found


@pytest.mark.parametrize("who", ["daemon", "front ends", "all"])
def test_the_first_queries_after_a_standstill_are_answered(daemon: Daemon, who: str) -> None:
    """Of a process that was stopped all connections survive, and its replicas are in rotation."""
    pids = [pid for each in ("front ends", "replicas") for pid in _pids(daemon, each)]
    pids = [*pids, *_pids(daemon, "daemon")] if who == "all" else _pids(daemon, who)
    before = [row["pid"] for row in replicas(daemon, "still")]
    with _kept(daemon) as connections:
        _stop_for(pids, STOPPED_S)
        for number, connection in enumerate(connections):
            assert _ask(connection, [number, 0.5]) == (200, number + 0.5)
    rows = ready(daemon, "still")
    assert [row["pid"] for row in rows] == before
    assert [row["restarts"] for row in rows] == [0, 0]


def test_an_idle_replica_stays_in_rotation(daemon: Daemon) -> None:
    """Nobody asks for longer than silence may last: heartbeats show that the replica lives."""
    before = [row["pid"] for row in ready(daemon, "still")]
    time.sleep(IDLE_S)  # what is tested is that time passes
    with _kept(daemon) as connections:
        assert _ask(connections[0], [3.0, 0.125]) == (200, 3.125)
    assert [row["pid"] for row in ready(daemon, "still")] == before
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert "still:1 replica 0 is silent" not in log


def test_a_replica_that_was_stopped_is_taken_back(daemon: Daemon) -> None:
    """It is out of rotation while it stands still, and it does not end itself when it goes on."""
    before = [row["pid"] for row in ready(daemon, "still")]
    _stop_for(_pids(daemon, "replicas"), STOPPED_S)
    until(lambda: len(ready(daemon, "still")) == 2, "both are taken back")
    with _kept(daemon):
        assert [row["pid"] for row in ready(daemon, "still")] == before
