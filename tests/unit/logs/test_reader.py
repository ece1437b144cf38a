"""Log files are read from their end: bounded, whatever is in them."""

import time

import pytest

from servd.logs import reader as log_reader
from servd.logs.model_log import ModelLog
from servd.logs.reader import MAX_LINE_BYTES, LogReader


@pytest.fixture
def path(tmp_path):
    """Return where the log is."""
    return tmp_path / "1.0.log"


def tail(path, lines):
    """Return the last lines of a log."""
    return LogReader(path, "m:1/0").tail(lines)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"", []),
        (b"a", [b"a\n"]),
        (b"a\n", [b"a\n"]),
        (b"\n", [b"\n"]),
        (b"\na\n\nb", [b"a\n", b"\n", b"b\n"]),
        (b"x\r\ny\r\n", [b"x\n", b"y\n"]),
        (b"\r 1%\r 2%\r 3%", [b" 3%\n"]),
        (b" 1%\r 2%\r\nnext\n", [b" 2%\n", b"next\n"]),
    ],
)
def test_the_last_lines_are_found(path, text, wanted):
    """Each with its end; of one that was written over the last state."""
    path.write_bytes(text)
    assert tail(path, 3) == wanted
    assert tail(path, 0) == []


@pytest.mark.parametrize("size", [1, 60, 1000, 70_000])
def test_lines_are_whole_across_blocks(path, size):
    """Whatever their length."""
    lines = [b"%d %b\n" % (number, b"x" * size) for number in range(200_000 // size + 3)]
    path.write_bytes(b"".join(lines))
    wanted = [line if size <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] for line in lines]
    found = tail(path, len(lines))
    assert len(found) == len(lines)
    for line, expected in zip(found, wanted, strict=True):
        assert line.startswith(expected.rstrip())


@pytest.mark.parametrize(
    ("piece", "wanted"),
    [
        (b"\r%7d%%|" + b"#" * 50, b"|" + b"#" * 50 + b"\n"),
        (b"%7d" + b"x" * 50, b" [... the rest of this line is left out]\n"),
    ],
    ids=["bar", "line"],
)
def test_200_megabytes_without_an_end_of_line_are_read_at_once(path, piece, wanted):
    """In blocks, each once, and not all of them: the time does not grow with the square."""
    text = b"".join(piece % number for number in range(100_000))
    with path.open("wb") as file:
        for _ in range(35):
            file.write(text)
    began_s = time.process_time()
    lines = tail(path, 5)
    assert time.process_time() - began_s < 1.0
    assert len(lines) == 1
    assert lines[0].endswith(wanted)
    assert len(lines[0]) < MAX_LINE_BYTES + 100


def test_no_more_is_read_than_is_bounded(path, monkeypatch):
    """A line that begins before the bound is shown from there."""
    monkeypatch.setattr(log_reader, "MAX_TAIL_BYTES", 200_000)
    path.write_bytes(b"start" + b"x" * 500_000 + b"\nlast\n")
    first, last = tail(path, 9)
    assert last == b"last\n"
    assert first.startswith(b"xxx")


@pytest.mark.parametrize("max_bytes", [300, 350], ids=["renamed twice", "renamed once"])
def test_what_follows_comes_through_a_rotation(path, max_bytes):
    """Nothing between the last look and the renaming is lost."""
    log = ModelLog(path, max_bytes=max_bytes)
    log.feed(b"one\n")
    reader = LogReader(path, "m:1/0")
    assert [line[25:] for line in reader.tail(5)] == [b"one\n"]
    log.feed(b"two\n")
    log.feed(b"x" * 280 + b"\n")
    log.feed(b"three\n")
    log.close()
    assert path.with_name("1.0.log.1").exists()
    seen = []
    while lines := reader.more():
        seen += [line[25:] for line in lines]
    assert seen == [b"two\n", b"x" * 280 + b"\n", b"three\n"]


def test_a_line_without_an_end_does_not_grow_in_memory(path):
    """It is followed for hours, maybe."""
    path.write_bytes(b"")
    reader = LogReader(path, "m:1/0")
    reader.tail(1)
    with path.open("ab") as file:
        for _ in range(30):
            file.write(b"x" * 1_000_000)
            file.flush()
            assert reader.more() == []
            assert len(reader.partial) <= MAX_LINE_BYTES + 1
        file.write(b"\nnext\n")
    lines = []
    while len(lines) < 2:
        lines += reader.more()
    assert lines[0].endswith(b"left out]\n")
    assert lines[1] == b"next\n"
