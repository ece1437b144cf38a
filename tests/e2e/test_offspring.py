"""What models leave behind: nothing outlives its replica or the daemon, and no zombie stays."""

import os
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from servd.launchers.cgroups import new_group
from tests.daemon import Daemon
from tests.e2e.steps import MODELS, deploy, fresh_daemon, ready, replicas, running_daemon, until

SETTINGS = 'cache_size = "0"\n'
WAYS = ["same_session", "own_group", "own_session", "daemon"]
OPTIONS = ("--name", "d", "--input-type", "any", "--example", '""', "--slo", "10s")


def _can_group() -> bool:
    group = new_group("test")
    return group is not None and group.remove()


if _can_group():
    WAYS.append("hidden_daemon")


def _start(daemon: Daemon, *ways: str) -> list[psutil.Process]:
    """Have the model start processes, and return them."""
    status, answer = daemon.query("/d/predict", {"input_batch": list(ways)})
    assert status == 200, answer
    parts = answer.get("batch_predictions", [answer])
    found = [psutil.Process(part["output"]) for part in parts]
    until(lambda: {process.name() for process in found} == {"sleep"}, "all have begun")
    return found


def _gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    # A process id that is not even a zombie's any more.
    return lambda: not any(process.is_running() for process in processes)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield a daemon with a model that starts what an input says."""
    with running_daemon(SETTINGS) as running:
        deploy(running, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        yield running


def test_nothing_outlives_its_replica_and_all_is_reaped(daemon: Daemon) -> None:
    """However a program was started, it ends with the replica whose model started it."""
    left = _start(daemon, *WAYS, *WAYS)
    (row,) = ready(daemon, "d")
    os.kill(row["pid"], signal.SIGKILL)
    until(_gone(left), "everything the replica left behind is ended and reaped")
    until(lambda: bool(ready(daemon, "d")), "the replica is back")


def test_what_another_replica_started_lives_on(daemon: Daemon) -> None:
    """Only what the dead one has left behind is ended."""
    assert daemon.cli("scale", "d", "2").returncode == 0
    groups: dict[int, list[psutil.Process]] = {}
    pids = {row["pid"] for row in ready(daemon, "d")}
    while groups.keys() != pids:
        [one] = _start(daemon, "own_session")
        groups.setdefault(one.ppid(), []).append(one)
    first, second = groups
    os.kill(first, signal.SIGKILL)
    until(_gone(groups[first]), "what the dead one left behind is ended")
    assert all(process.is_running() for process in groups[second])
    assert daemon.cli("scale", "d", "1").returncode == 0


def test_children_that_end_are_reaped_while_the_replica_lives(daemon: Daemon) -> None:
    """The daemon is given orphans of programs that have ended; they stay zombies nowhere."""
    left = _start(daemon, *["daemon"] * 5)
    for process in left:
        assert process.ppid() == daemon.pid
        process.kill()
    until(_gone(left), "no zombie")
    assert [row["restarts"] for row in replicas(daemon, "d")][:1] != []


def test_nothing_outlives_a_stopped_daemon() -> None:
    """A stop ends the replicas and what they have left behind."""
    with running_daemon(SETTINGS) as daemon:
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        left = _start(daemon, *WAYS)
        assert daemon.cli("stop").returncode == 0
        until(_gone(left), "everything is ended")


def test_the_next_start_ends_what_a_killed_daemon_left() -> None:
    """Replicas end by themselves; what they had started is found by their records."""
    with fresh_daemon(SETTINGS) as daemon:
        daemon.start()
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        left = _start(daemon, *WAYS)
        assert daemon.pid is not None
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.start()
        until(_gone(left), "everything is ended")
