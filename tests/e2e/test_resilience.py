"""The life of replicas under load, over each carrier: killed, frozen, drained; long messages.

Every query is answered rightly, and the replicas come back.
"""

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, fresh_daemon, ready, replicas, until, write_model
from tests.load import Load

RATE = 200
KILLS = 2


SCHEMES = {"unix": "unix://", "zmq": "ipc://"}


@pytest.fixture(scope="module", params=SCHEMES)
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Yield one daemon for all tests over a carrier, each of which uses a name of its own."""
    with fresh_daemon() as running:
        running.carrier = request.param
        running.start()
        yield running


def _sums(port: int, app: str) -> Load:
    # No two queries are alike, so that none is answered by the cache.
    return Load(
        port,
        f"/{app}/predict",
        lambda number: [number, 0.5],
        lambda number, output: output == number + 0.5,
        rate=RATE,
    )


def _kill(row: dict[str, object]) -> float:
    pid = row["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def _wait_for_others(daemon: Daemon, model: str, gone: list[dict[str, object]]) -> float:
    """Return when two replicas are ready that are none of these processes."""
    pids = {row["pid"] for row in gone}

    def are_back() -> bool:
        rows = ready(daemon, model)
        return len(rows) == 2 and pids.isdisjoint(row["pid"] for row in rows)

    until(are_back, "two ready replicas again")
    return time.monotonic()


def test_killed_replicas_cost_no_query_and_come_back(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two replicas is killed again and again under load: each answer is right."""
    deploy(daemon, "good.py", "--name", "one", "--replicas", "2", "--slo", "2s")
    back_s = []
    with _sums(daemon.query_port, "one") as load:
        for turn in range(KILLS):
            load.wait_for(RATE // 4)
            victim = ready(daemon, "one")[turn % 2]
            killed_s = _kill(victim)
            back_s.append(_wait_for_others(daemon, "one", [victim]) - killed_s)
        load.wait_for(RATE // 4)
    assert load.not_right() == []
    assert sum(row["restarts"] for row in replicas(daemon, "one")) == KILLS
    with capsys.disabled():
        times = ", ".join(f"{seconds:.2f}" for seconds in back_s)
        print(f"\n{len(load.outcomes)} right answers over {KILLS} kills; back after {times} s")


def test_loss_of_all_replicas_is_answered_with_defaults_until_they_are_back(
    daemon: Daemon,
) -> None:
    """With both replicas killed at once queries get the default, not an error, then outputs."""
    deploy(daemon, "good.py", "--name", "all", "--replicas", "2", "--default", "-1.0")
    with _sums(daemon.query_port, "all") as load:
        load.wait_for(RATE // 4)
        victims = ready(daemon, "all")
        killed_s = min([_kill(victim) for victim in victims])
        back_s = _wait_for_others(daemon, "all", victims)
        load.wait_for(RATE // 2)
    assert load.counts.keys() <= {"right", "default"}
    assert load.counts["default"] > 0
    assert all(killed_s - 1 <= outcome.sent_s <= back_s for outcome in load.not_right())


def test_stopped_replica_is_left_out_and_taken_back(daemon: Daemon) -> None:
    """A replica that is frozen gets no queries after some seconds; it serves again when thawed."""
    deploy(daemon, "good.py", "--name", "frozen", "--replicas", "2", "--default", "-1.0")
    victim = ready(daemon, "frozen")[0]
    os.kill(victim["pid"], signal.SIGSTOP)
    with _sums(daemon.query_port, "frozen") as load:
        until(lambda: len(ready(daemon, "frozen")) == 1, "the frozen replica is not ready")
        load.wait_for(RATE // 2)  # what it had been sent has reached its objective by then
        calm_s = time.monotonic()
        load.wait_for(RATE // 2)
        thawed_s = time.monotonic()
        os.kill(victim["pid"], signal.SIGCONT)
        until(lambda: len(ready(daemon, "frozen")) == 2, "the thawed replica is ready")
        load.wait_for(RATE // 4)
    assert load.counts.keys() <= {"right", "default"}
    assert [o for o in load.sent_between(calm_s, thawed_s) if o.kind != "right"] == []
    same = [row for row in replicas(daemon, "frozen") if row["pid"] == victim["pid"]]
    assert [row["restarts"] for row in same] == [0]


def test_replicas_that_are_told_to_end_are_drained(daemon: Daemon) -> None:
    """Fewer replicas of a version cost no query under load."""
    deploy(daemon, "good.py", "--name", "drained", "--replicas", "2", "--slo", "2s")
    with _sums(daemon.query_port, "drained") as load:
        load.wait_for(RATE // 4)
        assert daemon.cli("scale", "drained", "1").returncode == 0
        load.wait_for(RATE // 4)
    assert load.not_right() == []
    assert len(ready(daemon, "drained")) == 1


LOCKED = """
def predict(inputs):
    return [sum(range(int(x[0]))) for x in inputs]
"""


def test_a_replica_that_computes_is_not_called_silent(daemon: Daemon) -> None:
    """One call in C that keeps Python's lock, so that no heartbeat is answered for seconds."""
    model = write_model(daemon, "locked.py", LOCKED)
    deploy(daemon, model, "--name", "locked", "--input-type", "doubles", "--slo", "60s")
    count, took_s = 100_000_000, 0.0
    while took_s < 2.5:  # a faster machine needs more of it for silence to be noticed
        count *= 2
        began_s = time.monotonic()
        status, answer = daemon.query("/locked/predict", {"input": [count]})
        took_s = time.monotonic() - began_s
        assert (status, answer["output"]) == (200, count * (count - 1) // 2)
    assert "locked:1 replica 0 is silent" not in (daemon.data_dir / "logs/daemon.log").read_text()


LONG = """
def predict(inputs):
    return [[sum(x), "y" * int(x[0])] for x in inputs]
"""


def test_long_messages_go_both_ways(daemon: Daemon) -> None:
    """An input and an output of megabytes are whole, and short ones in between are answered."""
    model = write_model(daemon, "long.py", LONG)
    deploy(daemon, model, "--name", "long", "--input-type", "doubles", "--slo", "20s")
    told = psutil.Process(ready(daemon, "long")[0]["pid"]).cmdline()
    assert any(word.startswith(f"--listen={SCHEMES[daemon.carrier]}") for word in told), told
    count, letters = 400_000, 6_000_000
    short = Load(
        daemon.query_port,
        "/long/predict",
        lambda number: [number % 7, 0.25],
        lambda number, output: output == [number % 7 + 0.25, "y" * (number % 7)],
        rate=20,
    )
    with short:
        status, answer = daemon.query("/long/predict", {"input": [letters] + [0.5] * count})
        short.wait_for(10)
    assert status == 200
    assert answer["output"][0] == letters + count * 0.5
    assert len(answer["output"][1]) == letters
    assert short.not_right() == []
