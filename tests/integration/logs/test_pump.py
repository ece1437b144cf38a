"""What real processes print, through real pipes, into logs."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from servd.logs.log import unstamped
from servd.logs.model_log import MAX_BYTES
from servd.logs.pump import PIPE_BYTES, LogPump

WAIT_S = 60


@pytest.fixture
def pump():
    """Return a pump; its thread ends with the tests."""
    return LogPump()


def start(pump: LogPump, path: Path, script: str):
    """Start a Python process that prints into a log; return it and its output."""
    output = pump.open(path)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=output.write_end, stderr=output.write_end
        )
    finally:
        os.close(output.write_end)
    return process, output


def lines_of(path: Path) -> list[str]:
    """Return a log's lines without their times."""
    return [unstamped(line) for line in path.read_text().splitlines()]


def open_count() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def until(check) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_what_a_process_prints_is_in_its_log_while_it_runs(pump, tmp_path):
    """Both outputs; also what has no end of line yet."""
    script = (
        "import sys; print('out'); print('err', file=sys.stderr, end=' .. ', flush=True); input()"
    )
    path = tmp_path / "0.log"
    output = pump.open(path)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", script],
        stdin=subprocess.PIPE,
        stdout=output.write_end,
        stderr=output.write_end,
    ) as process:
        os.close(output.write_end)
        until(lambda: lines_of(path) == ["out", "err .. "])
        process.communicate(b"\n", timeout=WAIT_S)
    pump.close(output)


def test_the_last_words_of_a_process_are_there_once_it_is_drained(pump, tmp_path):
    """Without waiting for the thread: a death is told with them."""
    for number in range(20):
        path = tmp_path / f"{number}.log"
        process, output = start(pump, path, "import os; os.write(2, b'first\\nlast words')")
        process.wait(WAIT_S)
        output.drain()
        assert lines_of(path) == ["first", "last words"]
        pump.close(output)


def test_a_burst_leaves_files_of_bounded_size_and_blocks_nobody_for_long(pump, tmp_path):
    """100 MB at once: rotated while they come, the end is kept, the process ends well."""
    script = (
        "import os\n"
        "piece = b''.join(b'%07d %b\\n' % (n, b'x' * 91) for n in range(10_000))\n"
        "for _ in range(100):\n"
        "    view = memoryview(piece)\n"
        "    while view: view = view[os.write(1, view):]\n"
        "os.write(1, b'the end\\n')\n"
    )
    path = tmp_path / "0.log"
    process, output = start(pump, path, script)
    largest = 0
    while process.poll() is None:
        for file in tmp_path.glob("*"):
            with suppress(FileNotFoundError):  # it is renamed at this moment
                largest = max(largest, file.stat().st_size)
    assert process.wait(WAIT_S) == 0
    output.drain()
    assert largest <= MAX_BYTES
    assert lines_of(path)[-1] == "the end"
    assert len(list(tmp_path.iterdir())) == 4
    pump.close(output)


def test_a_closed_output_is_let_go_of(pump, tmp_path):
    """Its descriptor is free again, though a child of the process still has the other end."""
    output = pump.open(tmp_path / "0.log")
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=output.write_end
    ) as child:
        os.close(output.write_end)
        descriptors = open_count()
        pump.close(output)
        until(lambda: open_count() == descriptors - 2)  # the pipe and the log
        child.communicate(b"\n", timeout=WAIT_S)


def test_nobody_at_the_other_end_costs_nothing(pump, tmp_path):
    """The thread does not turn in circles over a pipe that will say nothing more."""
    outputs = []
    for number in range(20):
        process, output = start(pump, tmp_path / f"{number}.log", "print('x')")
        process.wait(WAIT_S)
        outputs.append(output)
    until(lambda: all(lines_of(tmp_path / f"{n}.log") == ["x"] for n in range(20)))
    before_s = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - before_s < 0.2
    for output in outputs:
        pump.close(output)


def test_a_log_that_cannot_be_written_does_not_stop_its_process(pump, tmp_path):
    """It prints more than the pipe holds, and ends."""
    script = f"import sys; sys.stdout.write('x\\n' * {PIPE_BYTES})"
    process, output = start(pump, tmp_path / "none" / "0.log", script)
    assert process.wait(WAIT_S) == 0
    pump.close(output)
