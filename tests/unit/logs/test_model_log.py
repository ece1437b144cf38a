"""What a replica's log makes of what comes, in pieces of any size."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servd.logs.model_log import BAR_EVERY_S, CUT_NOTE, KEEP, MAX_LINE_BYTES, ModelLog

STAMP = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.MULTILINE)


class Clock:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.5

    def __call__(self) -> float:
        """Return its time."""
        return self.now_s


@pytest.fixture
def clock():
    """Return a clock."""
    return Clock()


@pytest.fixture
def log(tmp_path, clock):
    """Yield a log."""
    made = ModelLog(tmp_path / "0.log", clock)
    yield made
    made.close()


def shown(path: Path) -> bytes:
    """Return a log's text without its times; each line has to have one."""
    text = path.read_bytes()
    assert len(STAMP.findall(text)) == text.count(b"\n") + (
        not text.endswith(b"\n") and text != b""
    )
    return STAMP.sub(b"", text)


def test_secrets_are_replaced(tmp_path):
    """On whichever line, also on one that has no end yet; other text is as it was."""
    log = ModelLog(tmp_path / "0.log", secrets=[("hunter2", "(hidden)")])
    log.begin()
    log.feed(b"one hunter2 and hunter2\nplain\nhun")
    log.feed(b"ter2")
    log.rest()
    log.close()
    lines = [line.partition("Z ")[2] for line in (tmp_path / "0.log").read_text().splitlines()]
    assert lines == ["one (hidden) and (hidden)", "plain", "(hidden)"]


def test_each_line_has_a_time(log, tmp_path, clock):
    """In UTC with milliseconds; a traceback's lines too, which keep their blanks."""
    log.feed(b"one\n  two\n\n")
    clock.now_s += 1
    log.feed(b"three\n")
    assert (tmp_path / "0.log").read_bytes() == (
        b"2023-11-14T22:13:20.500Z one\n"
        b"2023-11-14T22:13:20.500Z   two\n"
        b"2023-11-14T22:13:20.500Z \n"
        b"2023-11-14T22:13:21.500Z three\n"
    )


@settings(max_examples=2 * settings.default.max_examples, deadline=None)
@given(
    st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\r", b"")), max_size=20),
    st.data(),
)
def test_what_is_printed_is_kept_however_it_comes(tmp_path_factory, pieces, data):
    """Cut anywhere, with pauses anywhere: the same lines as were printed."""
    path = tmp_path_factory.mktemp("log") / "0.log"
    log = ModelLog(path)
    for piece in pieces:
        log.feed(piece)
        if data.draw(st.booleans()):
            log.rest()
    log.close()
    text = b"".join(pieces)
    wanted = text if not text or text.endswith(b"\n") else text + b"\n"
    assert (shown(path) if path.exists() else b"") == wanted


def test_what_has_no_end_is_written_once_nothing_more_comes(log, tmp_path):
    """A prompt of what goes on is seen; what follows goes on in the same line."""
    log.feed(b"loading ...")
    assert not (tmp_path / "0.log").exists()
    log.rest()
    assert shown(tmp_path / "0.log") == b"loading ..."
    log.feed(b" done\nnext\n")
    assert shown(tmp_path / "0.log") == b"loading ... done\nnext\n"


@pytest.mark.parametrize("form", [b"\r%d%%", b"%d%%\r"], ids=["before", "after"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_of_a_progress_bar_the_last_state_is_kept(log, tmp_path, clock, form, size):
    """And a state a second, as somebody may wait for it; not what was written over at once."""
    bar = b"".join(form % percent for percent in range(101))
    for at in range(0, len(bar), size):
        log.feed(bar[at : at + size])
    log.rest()
    log.feed(b"\nready\n")
    assert shown(tmp_path / "0.log") == b"100%\nready\n"
    log.feed(b"\r1%\r2%")
    clock.now_s += BAR_EVERY_S
    log.feed(b"\r3%")
    clock.now_s += 0.1
    log.feed(b"\r4%")
    assert shown(tmp_path / "0.log").endswith(b"ready\n3%\n")
    clock.now_s += BAR_EVERY_S
    log.rest()
    log.feed(b"\n")
    assert shown(tmp_path / "0.log").endswith(b"ready\n3%\n4%\n")


def test_a_bar_of_40_megabytes_is_some_bytes(log, tmp_path):
    """However long it goes on without an end of line."""
    piece = b"".join(b"\r%3d%%|%b|" % (n % 100, b"#" * 60) for n in range(1000))
    for _ in range(40 * 1024 * 1024 // len(piece)):
        log.feed(piece)
    log.close()
    assert (tmp_path / "0.log").stat().st_size < 10_000
    assert shown(tmp_path / "0.log").endswith(b" 99%|" + b"#" * 60 + b"|\n")


def test_ends_of_line_of_another_system_are_ends_of_line(log, tmp_path):
    """Also where they come in two halves."""
    log.feed(b"a\r\nb\r")
    log.rest()
    log.feed(b"\nc\r\n")
    assert shown(tmp_path / "0.log") == b"a\nb\nc\n"


@pytest.mark.parametrize("size", [1000, MAX_LINE_BYTES, 10 * MAX_LINE_BYTES])
def test_an_enormous_line_is_cut_and_says_so(log, tmp_path, size):
    """What follows it is whole; of the line its beginning is kept."""
    line = b"x" * (5 * MAX_LINE_BYTES)
    for at in range(0, len(line), size):
        log.feed(line[at : at + size])
    log.feed(b"yyy\nnext\n")
    assert shown(tmp_path / "0.log") == b"x" * MAX_LINE_BYTES + CUT_NOTE + b"\nnext\n"


def test_a_burst_is_rotated_while_it_comes(tmp_path):
    """A hundred times the size of a file leaves four files of that size, with the last lines."""
    path = tmp_path / "0.log"
    log = ModelLog(path, max_bytes=200_000)
    for number in range(200):
        log.feed(b"%06d %b\n" % (number, b"x" * 90) * 1000)
        for file in tmp_path.iterdir():
            assert file.stat().st_size <= 200_000
    log.close()
    names = ["0.log", *(f"0.log.{n}" for n in range(1, KEEP + 1))]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert shown(path).endswith(b"000199 " + b"x" * 90 + b"\n")


def test_a_log_that_goes_on_is_rotated_by_what_was_there(tmp_path):
    """A replica that is launched anew writes into the file of the one before."""
    path = tmp_path / "0.log"
    path.write_bytes(b"x" * 300)
    log = ModelLog(path, max_bytes=200)
    log.feed(b"new\n")
    log.close()
    assert (tmp_path / "0.log.1").read_bytes() == b"x" * 300
    assert shown(path) == b"new\n"


def test_a_disk_that_is_full_costs_text_and_says_how_much(tmp_path, monkeypatch):
    """Nothing is raised to the model's side; the loss is noted once there is room."""
    log = ModelLog(tmp_path / "0.log")
    log.feed(b"before\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    log.feed(b"lost\n")
    monkeypatch.setattr(os, "write", write)
    log.feed(b"after\n")
    log.close()
    text = shown(tmp_path / "0.log")
    assert text.startswith(b"before\n[")
    assert b"bytes of output were lost" in text
    assert text.endswith(b"after\n")
