"""What stands in the logs: who changed what, which query failed, what models print."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, fresh_daemon, running_daemon, until, write_model

TALKS = """
import sys

def talks(inputs):
    print("asked for", inputs[0][0])
    if inputs[0][0] > 10:
        raise ValueError("too large")
    return [1 for _ in inputs]
"""
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here."""
    with running_daemon() as running:
        yield running


def test_changes_and_failures_are_told_with_who_asked(daemon: Daemon) -> None:
    """Each is one line, with its time; a refusal says why."""
    deploy(daemon, write_model(daemon, "talks.py", TALKS), "--slo", "5s")
    broken = write_model(daemon, "broken.py", "def talks(xs): raise ValueError('not today')\n")
    assert daemon.cli("deploy", broken + ":talks", "--name", "talks").returncode == 1
    for words in (("rollback", "talks"), ("scale", "talks", "0"), ("scale", "talks", "1")):
        daemon.cli(*words)
    who = rf"asked by uid {os.geteuid()} \(pid \d+\)"
    log = daemon.cli("logs", "daemon").stdout
    for line in (
        rf"INFO    servd: deploy talks:1, {who}$",
        rf"WARNING servd: deploy talks:2, {who}: failed: test call: ValueError: not today$",
        rf"WARNING servd: roll talks back, {who}: failed: talks has no version before 1$",
        rf"INFO    servd: scale talks:1 to 0, {who}$",
    ):
        assert re.search(rf"^{STAMP} {line}", log, re.MULTILINE), log


def test_a_failed_query_is_found_by_its_id(daemon: Daemon) -> None:
    """The answer's id leads to a line of the daemon's log, and that to the model's own."""
    deploy(daemon, write_model(daemon, "talks.py", TALKS), "--slo", "5s")
    status, answer = daemon.query("/talks/predict", {"input": [77.0]})
    assert status == 500
    line = (
        rf"^{STAMP} WARNING .*talks: no output for query {answer['query_id']}: .*servd logs talks"
    )

    def told() -> object:
        return re.search(line, daemon.cli("logs", "daemon").stdout, re.MULTILINE)

    until(told, "the line")
    printed = daemon.cli("logs", "talks").stdout
    assert re.search(rf"^{STAMP} asked for 77\.0$", printed, re.MULTILINE)
    assert re.search(rf"^{STAMP} ValueError: too large$", printed, re.MULTILINE)


def test_run_shows_what_models_print() -> None:
    """In the foreground each line comes with its replica; the daemon's own lines on stderr."""
    with (
        fresh_daemon() as daemon,
        subprocess.Popen(
            [sys.executable, "-m", "servd", "run"],
            env=daemon.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        until(lambda: daemon.cli("status").returncode == 0, "it answers")
        deploy(daemon, write_model(daemon, "talks.py", TALKS), "--slo", "5s")
        assert daemon.query("/talks/predict", {"input": [5.0]})[0] == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert re.search(rf"^talks:1/0 \| {STAMP} asked for 5\.0$", out, re.MULTILINE), out
        assert "asked for" not in err
        assert re.search(rf"^{STAMP} INFO    servd: deploy talks:1, asked by", err, re.MULTILINE)
