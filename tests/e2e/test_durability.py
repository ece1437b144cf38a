"""The daemon is killed at random moments of a stream of changes; what it acknowledged is kept."""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, fresh_daemon, ready, replicas, runtime_processes, until
from tests.e2e.world import DEPLOYED, FIRST, MAX_DEPLOYED, Change, Changes, World, observe

ROUNDS = 50
SEEDS = (20200730, 20170327)
"""One daemon a seed; they are killed beside each other, so that the rounds take half the time."""

LONGEST_LIFE_S = 0.5


@contextmanager
def _running(daemon: Daemon) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon without the command line around it, from when it is ready; kill it at the end.

    The pipe is how `servd start` learns that a daemon is ready.
    """
    ready, said = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "servd", "run"],
        # A deployment that ends replicas of older versions writes twice: here it ends none.
        env=daemon.env | {"SERVD_READY_FD": str(said), "SERVD_WARM_VERSIONS": str(MAX_DEPLOYED)},
        pass_fds=(said,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(said)
    try:
        with os.fdopen(ready) as pipe:
            assert pipe.read() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def _await_replicas(daemon: Daemon, world: World) -> None:
    wanted = {key: count for key, count in world.versions.items() if count}

    def are_ready() -> bool:
        found: dict[tuple[str, str], int] = {}
        for row in replicas(daemon):
            key = row["model"], row["version"]
            found[key] = found.get(key, 0) + (row["state"] == "ready")
        return found == wanted

    until(are_ready, f"the replicas {wanted}", timeout_s=30)


def _is_acknowledged(status: int, answer: Any) -> bool:
    """Whether an answer says that the change is in force; a broken off stream does not."""
    if isinstance(answer, str) and answer.startswith('{"event"'):
        last = json.loads(answer.strip().splitlines()[-1])
        assert last["event"] != "error", answer
        return bool(last["event"] == "live")
    assert status < 300, (status, answer)
    return True


def _change_until_killed(
    daemon: Daemon, pid: int, changes: Iterator[Change], life_s: float
) -> tuple[World | None, Change, int]:
    """Make changes until the daemon is killed `life_s` from now.

    Returns the world after the last acknowledged change (None: there was none), the change that
    was not acknowledged, and how many were.
    """
    killer = threading.Timer(life_s, os.kill, (pid, signal.SIGKILL))
    killer.start()
    known = None
    count = 0
    try:
        for change in changes:
            try:
                if not _is_acknowledged(*change.make(daemon)):
                    return known, change, count
            except (OSError, http.client.HTTPException):
                return known, change, count
            known = change.after
            count += 1
    finally:
        killer.join()
    raise AssertionError("changes never end")


def _kill_again_and_again(daemon: Daemon, seed: int, rounds: int) -> int:
    """Kill a daemon so often and look at what is left; return how many changes it acknowledged."""
    daemon.start()
    deploy(daemon, "good.py", "--name", DEPLOYED, "--version", FIRST)
    bundle = next((daemon.data_dir / "bundles").iterdir()).name
    possible = [observe(daemon)]
    assert daemon.cli("stop").returncode == 0
    rng = random.Random(seed)
    changes = Changes(rng, bundle)
    acknowledged = 0
    for number in range(rounds):
        with _running(daemon) as process:
            world = observe(daemon)
            assert world in possible, f"seed {seed}, round {number}: {possible}"
            if number % 2:
                _await_replicas(daemon, world)
            life_s = rng.uniform(0.0, LONGEST_LIFE_S)
            known, open_change, count = _change_until_killed(
                daemon, process.pid, changes.stream(world), life_s
            )
            process.wait(10)
            acknowledged += count
            possible = [known or world, open_change.after]
        until(lambda: not runtime_processes(daemon.data_dir), "no replica is left")
    with _running(daemon):
        world = observe(daemon)
        assert world in possible
        _await_replicas(daemon, world)
    return acknowledged


@pytest.mark.slow
def test_killed_daemon_keeps_what_it_acknowledged(capsys: pytest.CaptureFixture[str]) -> None:
    """Over 50 kills each acknowledged change is kept, and the one in progress is whole or absent.

    The replicas come back each time, and none outlives its daemon.
    """
    started_s = time.monotonic()

    def run(seed: int) -> int:
        with fresh_daemon() as daemon:
            return _kill_again_and_again(daemon, seed, ROUNDS // len(SEEDS))

    with ThreadPoolExecutor(len(SEEDS)) as threads:
        acknowledged = sum(threads.map(run, SEEDS))
    assert acknowledged > ROUNDS
    with capsys.disabled():
        took_s = time.monotonic() - started_s
        print(f"\n{ROUNDS} kills in {took_s:.0f} s: all {acknowledged} acknowledged changes kept")


def _session(leader: int) -> set[int]:
    """Return the living processes of a replica's session: its own and what its model started."""
    return {pid for pid in psutil.pids() if _session_of(pid) == leader}


def _session_of(pid: int) -> int | None:
    with contextlib.suppress(psutil.Error, OSError):
        if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            return os.getsid(pid)
    return None


def test_processes_that_a_model_started_are_ended_by_the_next_start(idle_daemon: Daemon) -> None:
    """They outlive a killed daemon, but not the start of the next one on its data directory."""
    idle_daemon.start()
    deploy(idle_daemon, "starts_children.py", "--name", "family")
    (row,) = replicas(idle_daemon, "family")
    assert len(_session(row["pid"])) == 3
    daemon_pid = idle_daemon.pid
    assert daemon_pid is not None
    os.kill(daemon_pid, signal.SIGKILL)
    until(lambda: row["pid"] not in _session(row["pid"]), "the replica ended with the daemon")
    idle_daemon.start()
    assert _session(row["pid"]) == set()
    until(lambda: len(ready(idle_daemon, "family")) == 1, "the replica is back")


def test_processes_that_a_model_started_end_with_its_replica(daemon: Daemon) -> None:
    """A killed replica takes its children along, and so does a scaled down one."""
    deploy(daemon, "starts_children.py", "--name", "family")
    (first,) = replicas(daemon, "family")
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: not _session(first["pid"]), "the killed one's children ended")
    until(lambda: len(ready(daemon, "family")) == 1, "the replica is back")
    (second,) = replicas(daemon, "family")
    assert daemon.cli("scale", "family", "0").returncode == 0
    until(lambda: not _session(second["pid"]), "the stopped one's children ended")
