"""Runs a builder, and ends it with all that it has started when whoever wanted it is gone.

A program of its own, which running.py starts, so that it needs nothing of servd's: its standard
input is a pipe that its starter holds open and never writes to. However the starter ends, the
kernel closes that pipe. What builders leave behind is this process' to end, as it takes it in.
"""

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LIFELINE = 0


def main() -> int:
    """Run the command in the arguments; return its exit status, or what a shell would."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = _start(sys.argv[1:])
    status = None
    while status is None:
        ready, _, _ = select.select([_LIFELINE, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
        if _LIFELINE in ready and not os.read(_LIFELINE, 1):
            break
        status = _reap(child)
    _end_all()
    return 1 if status is None else status


def _start(command: list[str]) -> int:
    """Start the builder in a group of its own, with nothing to read."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), _LIFELINE)
        os.execvp(command[0], command)  # noqa: S606 - nothing of it is for a shell
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _reap(child: int) -> int | None:
    """Collect whatever has ended; return the builder's status if it has."""
    status = None
    while True:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == child:
            code = os.waitstatus_to_exitcode(how)
            status = 128 - code if code < 0 else code


def _end_all() -> None:
    """Kill what is left below this process, until nothing is."""
    while True:
        below = [pid for child in _children(os.getpid()) for pid in (child, *_below(child))]
        if not below:
            return
        for pid in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass


def _below(pid: int) -> list[int]:
    return [each for child in _children(pid) for each in (child, *_below(child))]


def _children(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [int(each) for each in (thread / "children").read_text("ascii").split()]
    return found


if __name__ == "__main__":
    sys.exit(main())
