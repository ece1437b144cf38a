"""Models that misbehave when queried: only the query at fault feels it, and not for long."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, ready, replicas, running_daemon, until
from tests.load import Load

BAD = [-1.0, 0.0]
GOOD = [2.0, 3.0]
RAISED = "The model raised "
SAID = {
    "unserialisable_on_negative": "No output: the model returned a value of type object, which",
    "drops_on_negative": "No output: the model returned 0 outputs for 1 input",
}
"""What is told of models that raise nothing."""
TIMED_OUT = "Failed to retrieve a prediction response within the specified latency SLO"
PREDICT_TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here; what one model does must not trouble the others."""
    with running_daemon(f'predict_timeout = "{PREDICT_TIMEOUT_S}s"\n') as running:
        yield running


def _deploy(daemon: Daemon, model: str, *args: str, slo: str = "2s") -> str:
    """Deploy tests/models/MODEL.py with a default of -1 and return its application's path."""
    deploy(daemon, f"{model}.py", "--name", model, "--default", "-1", "--slo", slo, *args)
    return f"/{model}/predict"


def _ask(daemon: Daemon, path: str, row: list[float]) -> dict[str, Any]:
    status, answer = daemon.query(path, {"input": row})
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def _is_served(daemon: Daemon, path: str, row: list[float]) -> bool:
    answer = _ask(daemon, path, row)
    return answer["default"] is False and answer["output"] == sum(row)


@pytest.mark.parametrize(
    "model",
    [
        "poison",
        "drops_on_negative",
        "unserialisable_on_negative",
        "exits_politely_on_negative",
        "exhausts_memory_on_negative",
    ],
)
def test_one_bad_input_of_a_batch_fails_alone(daemon: Daemon, model: str) -> None:
    """Its query gets the default and hears that the model failed; all others get outputs."""
    path = _deploy(daemon, model, "--max-batch", "8")
    rows = [[float(number), 1.0] for number in range(7)] + [BAD]
    status, answer = daemon.query(path, {"input_batch": rows})
    assert status == 200
    *good, bad = answer["batch_predictions"]
    assert [part["output"] for part in good] == [sum(row) for row in rows[:-1]]
    assert not any(part["default"] for part in good)
    assert (bad["output"], bad["default"]) == (-1, True)
    assert bad["default_explanation"].startswith(SAID.get(model, RAISED))
    log = daemon.cli("logs", model, "-n", "50").stdout
    assert ("Traceback" in log) == (model not in SAID)
    assert [row["restarts"] for row in replicas(daemon, model)] == [0]


def test_failure_without_a_default_is_an_error(daemon: Daemon) -> None:
    """Where the application has no default output the caller gets a 500 that says why.

    The daemon's log has the version and the reason under the query's id.
    """
    deploy(daemon, "poison.py", "--name", "no-default", "--slo", "2s")
    status, answer = daemon.query("/no-default/predict", {"input": BAD})
    reason = "ValueError: negative number -1.0"
    told = f"The model raised {reason}; its log has the traceback"
    assert (status, answer["cause"]) == (500, told)
    line = f"no-default: no output for query {answer['query_id']}: no-default:1 raised {reason}"
    until(lambda: line in daemon.cli("logs", "daemon", "-n", "50").stdout, line)


def test_what_a_model_raised_is_not_for_every_caller() -> None:
    """With --no-show-errors callers read that the model raised, and not what."""
    with running_daemon("show_errors = false\n") as daemon:
        deploy(daemon, "poison.py", "--name", "hidden", "--slo", "2s")
        _, answer = daemon.query("/hidden/predict", {"input": BAD})
        assert answer["cause"] == (
            "The model raised an error on this input; its log has the traceback"
        )
        line = f"no output for query {answer['query_id']}: hidden:1 raised ValueError"
        until(lambda: line in daemon.cli("logs", "daemon", "-n", "50").stdout, line)


def test_default_outputs_are_seen_in_ps(daemon: Daemon) -> None:
    """One of two queries got the default output, and the table says 50 %."""
    path = _deploy(daemon, "poison", "--name", "half", "--app", "half").replace("poison", "half")
    assert _ask(daemon, path, BAD)["default"] is True
    assert _is_served(daemon, path, GOOD)
    assert [row["default_ratio"] for row in replicas(daemon, "half")] == [0.5]


def test_slow_answer_is_told_from_a_failure(daemon: Daemon) -> None:
    """A model that takes longer than the objective is explained in other words."""
    path = _deploy(daemon, "sleeps_as_told", slo="100ms")
    started_s = time.monotonic()
    answer = _ask(daemon, path, [400.0])
    assert time.monotonic() - started_s >= 0.1
    assert (answer["output"], answer["default_explanation"]) == (-1, TIMED_OUT)


def test_replica_whose_model_hangs_is_killed_and_started_again(daemon: Daemon) -> None:
    """The caller gets the default at the objective; later there is a new replica."""
    path = _deploy(daemon, "hangs_on_negative", slo="200ms")
    (before,) = ready(daemon, "hangs_on_negative")
    started_s = time.monotonic()
    answer = _ask(daemon, path, BAD)
    assert 0.2 <= time.monotonic() - started_s < PREDICT_TIMEOUT_S
    assert (answer["output"], answer["default_explanation"]) == (-1, TIMED_OUT)

    def is_replaced() -> bool:
        rows = ready(daemon, "hangs_on_negative")
        return [row["restarts"] for row in rows] == [1] and rows[0]["pid"] != before["pid"]

    until(is_replaced, "another process")
    assert time.monotonic() - started_s >= PREDICT_TIMEOUT_S
    assert _is_served(daemon, path, GOOD)
    log = daemon.cli("logs", "daemon", "-n", "200").stdout
    assert "hangs_on_negative:1 was killed: one call of the model took over 2 s" in log


def test_long_queue_is_not_taken_for_a_hanging_model(daemon: Daemon) -> None:
    """A replica that is busy for longer than the limit with many short calls is left alone."""
    path = _deploy(daemon, "sleeps_as_told", "--max-batch", "1", slo="30s")
    rows = [[300.0 + number] for number in range(9)]
    assert sum(row[0] for row in rows) / 1000 > PREDICT_TIMEOUT_S
    status, answer = daemon.query(path, {"input_batch": rows})
    assert status == 200
    assert [[part["output"]] for part in answer["batch_predictions"]] == rows
    assert not any(row["restarts"] for row in replicas(daemon, "sleeps_as_told"))


ENDS = {
    "aborts_on_negative": "ended (killed by signal 6: native code gave up)",
    "exits_on_negative": "ended (exit 9)",
}


@pytest.mark.parametrize("model", ENDS)
def test_query_that_kills_replicas_does_not_kill_the_model(daemon: Daemon, model: str) -> None:
    """It ends two replicas at most, hears how they ended, and both are started again."""
    path = _deploy(daemon, model, "--replicas", "2")
    answer = _ask(daemon, path, BAD)
    assert (answer["output"], answer["default"]) == (-1, True)
    assert answer["default_explanation"] == f"No output: the replica {ENDS[model]}"

    def are_back() -> bool:
        rows = ready(daemon, model)
        return [row["restarts"] for row in rows] == [1, 1]

    until(are_back, "two ready replicas, each started again once")
    assert _is_served(daemon, path, GOOD)
    told = f"{model}:1 {ENDS[model]} while serving"
    assert [row["last_error"] for row in replicas(daemon, model)] == [told] * 2
    assert told in daemon.cli("logs", "daemon", "-n", "200").stdout
    own = daemon.cli("logs", model, "-n", "200").stdout.splitlines()
    for number in (0, 1):
        line = f"servd: {model}:1 replica {number} {ENDS[model]}"
        assert any(each.endswith(line) for each in own)


def test_one_input_that_ends_its_replica_fails_alone(daemon: Daemon) -> None:
    """Of a batch that ended its only replica all others are answered, within their objective."""
    path = _deploy(daemon, "exits_on_negative", "--name", "mates", slo="20s")
    path = path.replace("exits_on_negative", "mates")
    rows = [[float(number), 0.5] for number in range(50)]
    rows[31] = BAD
    status, answer = daemon.query(path, {"input_batch": rows})
    assert status == 200
    parts = answer["batch_predictions"]
    told = f"No output: the replica {ENDS['exits_on_negative']}"
    assert parts.pop(31)["default_explanation"] == told
    del rows[31]
    assert [part["output"] for part in parts] == [sum(row) for row in rows]
    assert 2 <= sum(row["restarts"] for row in replicas(daemon, "mates")) <= 3


def test_other_queries_survive_one_that_kills_its_replica(daemon: Daemon) -> None:
    """Among steady queries a killer costs at most the few that shared its batches."""
    model = "aborts_on_negative"
    path = _deploy(daemon, model, "--replicas", "2", "--name", "killed", "--app", "killed")
    path = path.replace(model, "killed")
    load = Load(
        daemon.query_port,
        path,
        lambda number: [number, 0.25],
        lambda number, output: output == number + 0.25,
        rate=100,
    )
    with load:
        load.wait_for(20)
        assert _ask(daemon, path, BAD)["default"] is True
        load.wait_for(20)
        until(lambda: len(ready(daemon, "killed")) == 2, "two ready replicas")
        load.wait_for(20)
    assert load.counts.keys() <= {"right", "default"}
    assert {o.kind for o in load.outcomes[-10:]} == {"right"}


def test_model_that_prints_a_megabyte_a_call_answers(daemon: Daemon) -> None:
    """What a model prints goes to its log and delays nothing; the log can still be read."""
    path = _deploy(daemon, "prints_megabyte")
    for number in range(12):
        answer = _ask(daemon, path, [float(number)])
        assert (answer["output"], answer["default"]) == (1.0, False)
    done = daemon.cli("logs", "prints_megabyte", "-n", "1")
    assert done.returncode == 0
    assert done.stdout.strip().endswith("z" * 1000)


def test_daemon_has_none_of_it_in_its_own_life(daemon: Daemon) -> None:
    """After all of the above the daemon is the same process and good models are served."""
    assert daemon.cli("status").returncode == 0
    deploy(daemon, "poison.py", "--name", "after-all", "--slo", "2s")
    assert _is_served(daemon, "/after-all/predict", GOOD)
