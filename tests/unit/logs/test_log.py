"""What a record of the daemon's own log looks like, whatever is in it."""

import logging
import re

import pytest

from servd.errors import NotFoundError
from servd.logs import log
from servd.logs.audit import actor, change

FORGED = "x\n2026-01-01T00:00:00.000Z INFO    servd: stopped\r\x1b[2J\0\x9b\u2028"
RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) +\S+: \S")
STEERING = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@pytest.fixture
def written(tmp_path):
    """Return a function that gives the lines written so far."""
    path = tmp_path / "daemon.log"
    handlers = log.configure(path, "info", to_stderr=False)
    yield lambda: path.read_text("utf-8").split("\n")[:-1]
    log.release(handlers)


def test_a_record_is_one_line_whatever_a_message_holds(written):
    """A name cannot end it and begin another, nor steer a terminal; it is written out."""
    token = actor.set(FORGED)
    with pytest.raises(NotFoundError, match="no x"), change(f"remove the application {FORGED}"):
        raise NotFoundError(f"no {FORGED}")
    actor.reset(token)
    log.log.info("plain")
    first, second = written()
    assert RECORD.match(first)
    assert STEERING.search(first) is None
    assert r"x\n2026-01-01T00:00:00.000Z INFO    servd: stopped\r\x1b[2J\x00" in first
    assert second.endswith("INFO    servd: plain")


def test_lines_of_a_traceback_cannot_be_taken_for_records(written):
    """They are indented, the exception's own text too."""
    try:
        int(FORGED)
    except ValueError as error:
        error.args = (FORGED,)
        log.log.exception("it broke")
    logging.getLogger("servd").warning("with a stack", stack_info=True)
    first, *rest, _ = written()
    assert RECORD.match(first)
    assert any("Traceback" in line for line in rest)
    assert any("2026-01-01T00:00:00.000Z INFO    servd: stopped" in line for line in rest)
    records = [line for line in rest if not line.startswith("    ")]
    assert [line.partition(" servd: ")[2] for line in records] == ["with a stack"]
    assert all(STEERING.search(line) is None for line in rest)


def test_half_a_character_does_not_keep_an_entry_out_of_the_file(tmp_path):
    """No file takes it; it is written out. Not logged for all to hear: pytest could not tell it."""
    handlers = log.configure(tmp_path / "daemon.log", "info", to_stderr=False)
    try:
        handlers[0].handle(logging.LogRecord("servd", 20, "", 0, "half \ud83d", (), None))
    finally:
        log.release(handlers)
    assert (tmp_path / "daemon.log").read_text("utf-8").endswith("INFO    servd: half \\ud83d\n")


def test_a_message_without_end_is_cut(written):
    """What one request names does not fill the log."""
    log.log.info("remove %s", "\n" * 100_000)
    (line,) = written()
    assert len(line) < 10_000
    assert line.endswith("more characters]")


def test_a_note_in_a_replicas_log_is_one_line(tmp_path):
    """How it ended may be in words of somebody else's."""
    path = tmp_path / "1.0.log"
    log.note(path, f"servd: m:1 replica 0 {FORGED}")
    (line,) = path.read_text("utf-8").splitlines()
    assert log.unstamped(line).startswith("servd: m:1 replica 0 x\\n2026")
