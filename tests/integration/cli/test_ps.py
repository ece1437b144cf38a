"""`servd ps`, `servd status` and `servd logs`."""

import json

from tests.fake_admin import STATUS

REPLICA = {
    "application": None,
    "model": "m",
    "version": "1",
    "replica": 0,
    "state": "ready",
    "pid": 4121,
    "restarts": 1,
    "requests_per_s": 812.0,
    "p50_ms": 1.2,
    "p99_ms": 4.0,
    "mean_batch": 6.3,
    "default_ratio": 0.0,
    "memory_bytes": 41_000_000,
    "last_error": "it died once",
}


def test_ps_is_a_table_or_the_list(run, admin):
    """A replica whose process has ended says how, also when another is ready by now."""
    dead = REPLICA | {"state": "failed", "pid": None}
    admin.answers["GET /replicas"] = (200, [REPLICA, dead])
    lines = run("ps").stdout.splitlines()
    row = "- m:1 0 ready 4121 812 1.2ms 4.0ms 6.3 0.0% 41 MB 1"
    assert " ".join(lines[1].split()) == row
    assert lines[3:] == ["m:1 replica 0: it died once"] * 2
    assert json.loads(run("ps", "--json").stdout) == [REPLICA, dead]


def test_ps_says_which_model_is_slower_than_its_objective(run, admin):
    """With what its test call took; one in time, or of no application, is not named."""
    slow = REPLICA | {"last_error": None, "application": "a", "test_ms": 305.2, "slo_ms": 100.0}
    others = [slow | {"test_ms": 99.0}, slow | {"slo_ms": None}, slow | {"test_ms": None}]
    admin.answers["GET /replicas"] = (200, [slow, *others])
    lines = run("ps").stdout.splitlines()
    assert len(lines) == 6
    assert "one call took 305 ms when it was tested, the objective of a is 100 ms" in lines[5]


def test_ps_without_replicas_tells_the_next_command(run, admin):
    """There is nothing to show yet."""
    admin.answers["GET /replicas"] = (200, [])
    assert "servd deploy" in run("ps").stdout
    assert json.loads(run("ps", "--json").stdout) == []


def test_status_says_where_it_answers(run, admin):
    """For people in lines, for programs as the daemon says it."""
    shown = run("status").stdout
    assert "query    http://127.0.0.1:1337" in shown
    assert "1 application, 1 model, 2 replicas" in shown
    assert json.loads(run("status", "--json").stdout) == STATUS
    assert len(admin.requests) == 2


def test_logs_of_a_model(run, admin):
    """Lines as they are; in JSON mode one document, or records while following."""
    admin.answers |= {
        "GET /logs/m?lines=2": (200, "one\ntwo\n"),
        "GET /logs/m?version=3&lines=100&replica=0&follow=true": (200, "one\n"),
    }
    assert run("logs", "m", "-n", "2").stdout == "one\ntwo\n"
    document = json.loads(run("logs", "m", "-n", "2", "--json").stdout)
    assert document == {"name": "m", "lines": ["one", "two"]}
    followed = run("logs", "m:3", "-f", "--replica", "0", "--json").stdout
    assert json.loads(followed) == {"line": "one"}


def test_logs_of_an_application_are_those_of_its_models(run, admin):
    """A name that is no model may be an application."""
    admin.answers |= {
        "GET /applications/sums": (200, {"linked_models": ["m"]}),
        "GET /logs/m?lines=100": (200, "one\n"),
    }
    assert run("logs", "sums").stdout == "one\n"
    assert run("logs", "nope").exit_code == 4
