"""Processes that a model starts: they are as in any program, whatever the replica does itself."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import MODELS, deploy, replicas, running_daemon

SQUARES = [1, 4, 9]
OPTIONS = (
    *("--name", "forks", "--input-type", "any", "--example", json.dumps("pid")),
    *("--slo", "30s"),
)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield a daemon with a model that starts processes as an input says."""
    with running_daemon('cache_size = "0"\n') as running:
        deploy(running, f"{MODELS}/forks.py:predict", *OPTIONS)
        yield running


def _ask(daemon: Daemon, what: str) -> Any:
    status, answer = daemon.query("/forks/predict", {"input": what})
    assert status == 200, answer
    assert answer["default"] is False
    return answer["output"]


@pytest.mark.parametrize(
    "way",
    [
        "pool",
        "pool_made_once",
        "pool_in_a_thread",
        "executor",
        "spawned",
        "from_a_server",
        "joblib",
    ],
)
def test_a_pool_works_and_ends(daemon: Daemon, way: str) -> None:
    """However a pool is made, it computes, and `with` comes back from its end."""
    assert _ask(daemon, way) == SQUARES
    assert _ask(daemon, way) == SQUARES


def test_a_forked_child_ends_by_the_signals_it_is_sent(daemon: Daemon) -> None:
    """SIGTERM ends it, the first moment on; SIGINT interrupts it as any Python program."""
    assert _ask(daemon, "terminated") == [-signal.SIGTERM] * 4
    assert _ask(daemon, "interrupted") == 1  # the exit status of a KeyboardInterrupt in a child


def test_a_program_finds_signals_as_at_a_shell(daemon: Daemon) -> None:
    """What the model executes ignores nothing that its parent was only deaf to."""
    assert _ask(daemon, "program") == -signal.SIGINT
    assert _ask(daemon, "raw_spawned") == -signal.SIGINT
    assert _ask(daemon, "program_in_a_fork") == 4


def test_a_forked_child_has_nothing_of_the_runtime(daemon: Daemon) -> None:
    """Default handlers, no blocked signal, no socket to the daemon, no thread."""
    assert _ask(daemon, "what_a_child_has") == {
        "term": True,
        "int": True,
        "blocked": [],
        "sockets": 0,
        "threads": [],
    }


def test_a_forked_child_that_comes_back_ends_there(daemon: Daemon) -> None:
    """It does not go on as a second replica on the same connection; its status is a program's."""
    before = _ask(daemon, "pid")
    assert _ask(daemon, "back_from_a_fork") == [6, 1, 1, 0]
    assert _ask(daemon, "back_from_a_fork") == [6, 1, 1, 0]
    assert _ask(daemon, "pid") == before
    assert [row["restarts"] for row in replicas(daemon, "forks")] == [0]


def test_a_handler_of_the_model_is_its_childrens_too_and_the_replica_still_drains(
    daemon: Daemon,
) -> None:
    """A model that handles SIGTERM itself does not keep its replica from ending in time."""
    codes = _ask(daemon, "own_handler")
    assert set(codes) <= {9}, codes
    done = daemon.cli("stop")
    assert done.returncode == 0, done.stderr
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert "ended:" not in log, json.dumps(log)
