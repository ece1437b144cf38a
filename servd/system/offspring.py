"""The processes below this one that nobody waits for: they are reaped, and ended in time.

A model may start programs, and those may leave children of their own behind, in sessions of
their own. The kernel gives them to whoever takes them in: here the daemon does (`take_in`), so that
they cannot outlive it, and that no zombie stays where it is process 1. Used by the composition
roots, by launchers/process.py, which ends what a replica leaves, and by pool.py.

What this process starts itself and waits for is its own (`own`): to reap that would take its exit
status from whoever waits.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = frozenset({"SERVD_TOKEN", "SERVD_READY_FD"})
"""Variables of a daemon that nothing which it starts is told."""

LOOK_S: Final = 0.2
_PR_SET_CHILD_SUBREAPER: Final = 36
_ROUNDS: Final = 20
"""Of ending: what is ended may have started something meanwhile."""


class Offspring:
    """This process' children, own ones and others."""

    def __init__(self) -> None:
        self.has_taken_in = False
        self._own: set[int] = set()
        self._seen: set[int] = set()

    def take_in(self) -> None:
        """Have what descendants leave behind given to this process from now on.

        Called where the process is servd's alone. Signals that its starter had blocked or ignored
        (nohup, a shell's background) come through again, as they are how it is stopped.
        """
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.has_taken_in = True

    def own(self, pid: int) -> None:
        """Note a child that somebody here waits for."""
        self._own.add(pid)

    def disown(self, pid: int) -> None:
        """Note that it has ended."""
        self._own.discard(pid)

    def reap(self) -> None:
        """Collect children that have ended and that nobody waits for.

        One that was there the last time too: whoever waits for a child of his takes it at once.
        """
        ended: set[int] = set()
        if self._has_ended_child():
            ended = {pid for pid in children(os.getpid()) if is_zombie(pid)} - self._own
        for pid in ended & self._seen:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended

    async def keep_reaping(self) -> None:
        """Reap until cancelled; a look costs one system call where there is nothing."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.reap()

    def end(self, is_meant: Callable[[int], bool]) -> int:
        """Kill what was left behind here and is meant, with all below it; return how many it was.

        Does nothing where nothing was taken in: the children are somebody else's then.
        """
        if not self.has_taken_in:
            return 0
        killed: set[int] = set()
        for _ in range(_ROUNDS):
            fresh = set(self._meant(is_meant)) - killed
            if not fresh:
                break
            for pid in fresh:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            killed |= fresh
        return len(killed)

    def end_all(self) -> int:
        """Kill all that was left behind here. Called when everything of its own has ended."""
        return self.end(lambda _pid: True)

    def _meant(self, is_meant: Callable[[int], bool]) -> Iterable[int]:
        for pid in children(os.getpid()):
            if pid not in self._own and not is_zombie(pid):
                below = list(descendants(pid))
                if is_meant(pid):
                    yield from (pid, *below)
                else:
                    yield from filter(is_meant, below)

    def _has_ended_child(self) -> bool:
        try:
            return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return False


offspring = Offspring()


def children(pid: int) -> list[int]:
    """Return the children of a process; none where it has ended."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found.extend(map(int, (thread / "children").read_text().split()))
    return found


def descendants(pid: int) -> Iterable[int]:
    """Yield all that is below a process."""
    for child in children(pid):
        yield child
        yield from descendants(child)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and is still to be reaped, or is not there at all."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def has_in_environment(pid: int, entry: str) -> bool:
    """Whether a process was started with NAME=VALUE; not where that may not be read."""
    try:
        return entry.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
