"""Two front-end processes: changes under load, kills, stops, by the CLI and real sockets."""

import contextlib
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from servd.processes.lifecycle import IDS_EACH
from tests.daemon import Daemon
from tests.e2e.steps import admin, deploy, ready, replicas, running_daemon, until
from tests.load import Kind, Load

RATE = 200
SETTINGS = "frontends = 2"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here that leave it running."""
    with running_daemon(SETTINGS) as running:
        yield running


def _frontends(daemon: Daemon) -> list[psutil.Process]:
    """Return the living front-end processes of a daemon, whoever their parent is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            is_ours = (
                f"--data-dir={daemon.data_dir}" in words and "servd.processes.frontend" in words
            )
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _pids(daemon: Daemon) -> set[int]:
    return {process.pid for process in _frontends(daemon)}


def _sums(daemon: Daemon, app: str) -> Load:
    # No two queries are alike, so that none is answered by the cache.
    return Load(
        daemon.query_port,
        f"/{app}/predict",
        lambda number: [number, 0.5],
        lambda number, output: output == number + 0.5,
        rate=RATE,
        is_fresh=True,
    )


def _versions(daemon: Daemon, name: str, *allowed: int) -> Load:
    return Load(
        daemon.query_port,
        f"/{name}/predict",
        lambda number: [number],
        lambda _number, output: output in allowed,
        rate=RATE,
        is_fresh=True,
    )


def _count(metrics: Any, name: str) -> int:
    found = [group[name]["count"] for group in metrics["counters"] if name in group]
    return int(found[0]) if found else 0


def _metrics(daemon: Daemon) -> Any:
    with urllib.request.urlopen(f"{daemon.query_url}/metrics", timeout=10) as response:
        return json.load(response)


def test_both_answer_and_any_of_them_counts_for_all(daemon: Daemon) -> None:
    """Connections are spread, query ids are unique, and all metrics add up to what was sent."""
    deploy(daemon, "good.py", "--name", "spread", "--slo", "2s")
    answers = [daemon.query("/spread/predict", {"input": [n, 1]}) for n in range(60)]
    assert [(status, answer["output"]) for status, answer in answers] == [
        (200, n + 1.0) for n in range(60)
    ]
    ids = [answer["query_id"] for _, answer in answers]
    assert len(set(ids)) == 60
    assert len({number // IDS_EACH for number in ids}) == 2

    def are_counted() -> bool:
        texts = [_metrics(daemon) for _ in range(8)]  # of either frontend, most likely
        return all(_count(text, "app:spread:num_predictions") == 60 for text in texts)

    until(are_counted, "60 predictions in the metrics of any frontend")
    _, text = admin(daemon, "GET", "/metrics")
    assert 'servd_application_queries_total{application="spread"} 60.0' in text
    assert 'servd_application_latency_seconds_count{application="spread"} 60.0' in text
    assert 'servd_version_predictions_total{model="spread",version="1"} 60.0' in text
    assert 'servd_version_ready_replicas{model="spread",version="1"} 1.0' in text


def test_ps_shows_what_all_frontends_send(daemon: Daemon) -> None:
    """The rate of a replica is about that of the load, whichever frontend it comes through."""
    deploy(daemon, "good.py", "--name", "rated", "--slo", "2s")
    with _sums(daemon, "rated") as load:
        load.wait_for(4 * RATE)
        [row] = replicas(daemon, "rated")
    assert RATE / 2 < row["requests_per_s"] < 2 * RATE
    assert row["p50_ms"] is not None


def test_deploy_rollback_and_scaling_lose_no_query(daemon: Daemon) -> None:
    """Each answer under load is right; after a switch no frontend answers with the old version."""
    deploy(daemon, "version_of.py", "--name", "switched", "--slo", "2s")
    with _versions(daemon, "switched", 1, 2) as load:
        load.wait_for(RATE // 4)
        deploy(daemon, "version_of.py", "--name", "switched", "--slo", "2s", "--version", "2")
        live_s = time.monotonic()
        load.wait_for(RATE // 4)
        assert daemon.cli("scale", "switched", "3").returncode == 0
        load.wait_for(RATE // 4)
        assert daemon.cli("scale", "switched", "1").returncode == 0
        load.wait_for(RATE // 4)
        rolling_s = time.monotonic()
        assert daemon.cli("rollback", "switched").returncode == 0
        back_s = time.monotonic()
        load.wait_for(RATE // 4)
    assert load.not_right() == []
    middle = load.sent_between(live_s, rolling_s - 0.1)
    assert {outcome.answer["output"] for outcome in middle} == {2}
    assert {o.answer["output"] for o in load.outcomes if o.sent_s > back_s} == {1}


def test_killed_replica_costs_no_query(daemon: Daemon) -> None:
    """What either frontend had in flight at it goes to the other replica."""
    deploy(daemon, "good.py", "--name", "hit", "--replicas", "2", "--slo", "2s")
    with _sums(daemon, "hit") as load:
        for _ in range(2):
            load.wait_for(RATE // 4)
            victim = ready(daemon, "hit")[0]["pid"]
            os.kill(victim, signal.SIGKILL)
            until(
                lambda victim=victim: (
                    len(rows := ready(daemon, "hit")) == 2
                    and victim not in [row["pid"] for row in rows]
                ),
                "two ready replicas again",
            )
        load.wait_for(RATE // 4)
    assert load.not_right() == []


def test_silent_replica_is_left_out_by_every_frontend(daemon: Daemon) -> None:
    """Two seconds after a replica froze no query is given to it; it is used again when thawed."""
    deploy(daemon, "good.py", "--name", "frozen", "--replicas", "2", "--default", "-1.0")
    victim = ready(daemon, "frozen")[0]["pid"]
    os.kill(victim, signal.SIGSTOP)
    frozen_s = time.monotonic()
    with _sums(daemon, "frozen") as load:
        until(lambda: time.monotonic() > frozen_s + 2.0 + 0.1, "two seconds and the objective")
        load.wait_for(RATE)
        thawed_s = time.monotonic()
        os.kill(victim, signal.SIGCONT)
        until(lambda: len(ready(daemon, "frozen")) == 2, "the thawed replica is ready")
        load.wait_for(RATE // 4)
    assert load.counts.keys() <= {"right", "default"}
    calm = load.sent_between(frozen_s + 2.0, thawed_s)
    assert [outcome for outcome in calm if outcome.kind is not Kind.RIGHT] == []


def test_changes_are_in_force_when_the_command_returns(daemon: Daemon) -> None:
    """An application that was made, or removed, is so on each of 100 fresh connections."""
    deploy(daemon, "good.py", "--name", "seen", "--slo", "2s")
    body = {"name": "extra", "slo_us": 2_000_000, "linked_models": ["seen"]}
    for _ in range(3):
        assert admin(daemon, "POST", "/api/v1/applications", body)[0] == 201
        made = [daemon.query("/extra/predict", {"input": [n, 1]})[0] for n in range(100)]
        assert set(made) == {200}
        assert admin(daemon, "DELETE", "/api/v1/applications/extra")[0] in (200, 204)
        gone = [daemon.query("/extra/predict", {"input": [n, 1]})[0] for n in range(100)]
        assert set(gone) == {404}


def test_killed_frontend_costs_its_own_queries_only_and_is_replaced(daemon: Daemon) -> None:
    """The other goes on; what waited for the killed one is answered by the one that follows it."""
    deploy(daemon, "good.py", "--name", "fronted", "--slo", "2s")
    before = _pids(daemon)
    victim = min(before)
    with _sums(daemon, "fronted") as load:
        load.wait_for(RATE // 2)
        killed_s = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(_pids(daemon) - {victim}) == 2, "two frontends again")
        load.wait_for(2 * RATE)
    assert before - {victim} < _pids(daemon)
    assert load.counts.keys() <= {"right", "none"}
    lost = load.not_right()
    assert len(lost) <= RATE // 10
    assert all(killed_s - 0.5 <= outcome.sent_s <= killed_s + 0.1 for outcome in lost)


def test_frontend_that_is_told_to_end_loses_no_query(daemon: Daemon) -> None:
    """SIGTERM drains it while its successor takes over the connections that wait."""
    deploy(daemon, "good.py", "--name", "drained", "--slo", "2s")
    with _sums(daemon, "drained") as load:
        for _ in range(2):
            load.wait_for(RATE // 4)
            victim = min(_pids(daemon))
            os.kill(victim, signal.SIGTERM)
            until(
                lambda victim=victim: len(p := _pids(daemon)) == 2 and victim not in p,
                "two frontends again",
            )
        load.wait_for(RATE)
    assert load.not_right() == []


def test_frozen_frontend_does_not_hold_up_a_change(daemon: Daemon) -> None:
    """A frontend that does not acknowledge a change is killed and replaced."""
    daemon.expected_errors.append("has not applied a change")
    deploy(daemon, "good.py", "--name", "held", "--slo", "2s")
    victim = min(_pids(daemon))
    os.kill(victim, signal.SIGSTOP)
    began_s = time.monotonic()
    body = {"name": "late", "slo_us": 2_000_000, "linked_models": ["held"]}
    assert admin(daemon, "POST", "/api/v1/applications", body)[0] == 201
    assert time.monotonic() - began_s < 3
    until(lambda: len(p := _pids(daemon)) == 2 and victim not in p, "two frontends again")
    answers = [daemon.query("/late/predict", {"input": [n, 1]})[0] for n in range(50)]
    assert set(answers) == {200}


def test_stop_answers_what_is_open_and_leaves_no_process() -> None:
    """Slow queries at both frontends are answered while the daemon stops."""
    with running_daemon(SETTINGS) as daemon:
        deploy(daemon, "sleeps_as_told.py", "--name", "slow", "--slo", "20s")
        family = psutil.Process(daemon.pid).children()
        assert len(family) == 4  # with the replica, and what waits for a kill of the daemon
        answers: list[int] = []

        def ask(number: int) -> None:
            answers.append(daemon.query("/slow/predict", {"input": [400 + number]})[0])

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        until(lambda: len(_open_queries(daemon)) == 12, "all queries are on their way")
        assert daemon.cli("stop").returncode == 0
        for thread in threads:
            thread.join()
        assert answers == [200] * 12
        assert psutil.wait_procs(family, timeout=5)[1] == []
        assert daemon.pid is None


def _open_queries(daemon: Daemon) -> list[Any]:
    return [
        connection
        for process in _frontends(daemon)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED
        and connection.laddr.port == daemon.query_port
    ]


def test_killed_daemon_leaves_no_frontend_and_starts_again() -> None:
    """Frontends end with a daemon that is killed; the next one has all back."""
    with running_daemon(SETTINGS) as daemon:
        deploy(daemon, "good.py", "--name", "kept", "--slo", "2s")
        old = _pids(daemon)
        assert daemon.pid is not None
        os.kill(daemon.pid, signal.SIGKILL)
        until(lambda: not _pids(daemon), "no frontend is left")
        daemon.start()
        until(lambda: len(ready(daemon, "kept")) == 1, "the replica is back")
        assert _pids(daemon).isdisjoint(old)
        answers = [daemon.query("/kept/predict", {"input": [n, 1]}) for n in range(20)]
        assert [answer["output"] for _, answer in answers] == [n + 1.0 for n in range(20)]


def test_one_frontend_is_the_daemon_itself() -> None:
    """With one, which is the default, nothing else answers.

    Beside it are what reads long bodies and what waits for a kill of the daemon.
    """
    with running_daemon("frontends = 1") as daemon:
        assert daemon.pid is not None
        others = [child.cmdline() for child in psutil.Process(daemon.pid).children()]
        assert sum("servd.http.query.body_reader" in words for words in others) == 1
        assert sum("servd.replicas.launchers.aftermath" in words for words in others) == 1
        assert len(others) == 2
