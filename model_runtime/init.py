"""Process 1 of a replica's container: starts the replica, passes signals on, reaps.

The kernel gives process 1 the children of processes that have ended, and there they stay as zombies
until it waits for them. The replica cannot do that: to wait for any child would take exit
statuses from the model, which waits for its own. Called by __main__.py.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Final

_SIGNALLED: Final = 128
"""Added to a signal's number it is the exit status of what that signal ended, as in shells."""

_OURS: Final = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE})
"""Signals that cannot be passed on, or are meant for process 1."""


def stand_in() -> int | None:
    """Go on as a child of process 1 where this is process 1; return its exit status there.

    None in the child, and where this is not process 1: it is to be the replica. Called before
    anything else has been started: a fork copies no thread.
    """
    if os.getpid() != 1:
        return None
    signals = {number for number in signal.valid_signals() - _OURS if _is_free(number)}
    # None may come before it can be passed on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child:
        for number in signals:
            signal.signal(number, lambda told, _frame: _pass_on(child, told))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return _reap_until(child) if child else None


def _is_free(number: int) -> bool:
    """Whether a signal is for programs to handle, and not how the processor tells of a fault."""
    faults = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP)
    return number not in faults


def _pass_on(child: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended: `_reap_until` says so next
        os.kill(child, number)


def _reap_until(child: int) -> int:
    """Wait for all children until that one has ended; return its status as shells have it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _SIGNALLED - code
