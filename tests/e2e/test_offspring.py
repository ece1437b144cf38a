"""What models leave behind: nothing outlives its replica or the daemon, and no zombie stays."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from servd.replicas.launchers.cgroups import new_group
from tests.daemon import Daemon
from tests.e2e.steps import MODELS, deploy, fresh_daemon, ready, replicas, running_daemon, until

SETTINGS = 'cache_size = "0"\n'
WAYS = ["same_session", "own_group", "own_session", "daemon"]
OPTIONS = ("--name", "d", "--input-type", "any", "--slo", "10s", "--example", '""')


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


@contextlib.contextmanager
def _as_process_1(daemon: Daemon, *arguments: str) -> Iterator[psutil.Process]:
    """Run servd as the first process of a namespace of its own, as in a container."""
    own = ["--user", "--map-root-user"] if os.getuid() else []
    namespace = ["unshare", *own, "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*namespace, sys.executable, "-m", "servd", *arguments]
    starter = subprocess.Popen(command, env=daemon.env)
    try:
        until(lambda: bool(psutil.Process(starter.pid).children()), "process 1")
        (first,) = psutil.Process(starter.pid).children()
        yield first
        first.terminate()
        assert starter.wait(30) == 0
    finally:
        starter.kill()
        starter.wait()


def _has_no_zombie(first: psutil.Process) -> bool:
    states = [child.status() for child in first.children(recursive=True)]
    return bool(states) and psutil.STATUS_ZOMBIE not in states


def test_no_zombie_stays_below_a_daemon_as_process_1() -> None:
    """What programs of a model leave behind is reaped while calls go on; a signal ends it all."""
    with fresh_daemon(SETTINGS) as daemon, _as_process_1(daemon, "run") as first:
        until(lambda: daemon.cli("status").returncode == 0, "it answers", 60.0)
        deploy(daemon, f"{MODELS}/forks.py:predict", *OPTIONS[:-1], '"pid"')
        for _ in range(5):
            status, answer = daemon.query("/d/predict", {"input": "orphans"})
            assert (status, answer["output"]) == (200, [4, [1, 4, 9]])
        until(lambda: _has_no_zombie(first), "no zombie")


def test_no_zombie_stays_below_serve_one_as_process_1() -> None:
    """The same where one model is served without a daemon, as in a standalone image."""
    with fresh_daemon(SETTINGS) as daemon:
        daemon.start()
        deploy(daemon, f"{MODELS}/forks.py:predict", *OPTIONS[:-1], '"pid"')
        (bundle,) = (daemon.data_dir / "bundles").iterdir()
        assert daemon.cli("stop").returncode == 0
        place = ("--bind", "127.0.0.1", "--port", str(daemon.query_port), "--app", "d")
        options = ("--bundle", str(bundle), "--slo", "10s", *place)
        with _as_process_1(daemon, "serve-one", *options) as first:
            until(lambda: _answers(daemon), "it answers", 60.0)
            for _ in range(5):
                assert daemon.query("/d/predict", {"input": "orphans"})[0] == 200
            until(lambda: _has_no_zombie(first), "no zombie")


def _answers(daemon: Daemon) -> bool:
    try:
        return daemon.query("/d/predict", {"input": "pid"})[0] == 200
    except OSError:
        return False


def test_nothing_outlives_a_stopped_daemon() -> None:
    """A stop ends the replicas and what they have left behind."""
    with running_daemon(SETTINGS) as daemon:
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        left = _start(daemon, *WAYS)
        assert daemon.cli("stop").returncode == 0
        until(_gone(left), "everything is ended")


def _waits_beside(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.ZombieProcess):
        return "servd.replicas.launchers.aftermath" in process.cmdline()
    return False


def test_nothing_outlives_a_killed_daemon() -> None:
    """Whatever a model had started ends with a kill -9 of the daemon, and no start is needed."""
    with fresh_daemon(SETTINGS) as daemon:
        daemon.start()
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        left = _start(daemon, *WAYS)
        assert daemon.pid is not None
        os.kill(daemon.pid, signal.SIGKILL)
        until(_gone(left), "everything is ended")


def test_a_daemon_that_follows_a_killed_one_at_once_keeps_its_own() -> None:
    """What ends the leftovers of the one before takes nothing of its successor's."""
    with fresh_daemon(SETTINGS) as daemon:
        daemon.start()
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        for _ in range(3):
            left = _start(daemon, *WAYS)
            assert daemon.pid is not None
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.start()
            until(lambda: bool(ready(daemon, "d")), "the replica is back", 30.0)
            own = _start(daemon, *WAYS)
            until(_gone(left), "everything of the one before is ended")
            assert all(process.is_running() for process in own)
            assert [row["restarts"] for row in replicas(daemon, "d")] == [0]


def test_the_next_start_ends_what_a_killed_daemon_left() -> None:
    """Where nothing beside it was left to do so: by the records of its replicas."""
    with fresh_daemon(SETTINGS) as daemon:
        daemon.start()
        deploy(daemon, f"{MODELS}/daemonises.py:predict", *OPTIONS)
        left = _start(daemon, *WAYS)
        assert daemon.pid is not None
        [shell] = filter(_waits_beside, psutil.Process(daemon.pid).children())
        shell.kill()
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.start()
        until(_gone(left), "everything is ended")
