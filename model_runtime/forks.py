"""What a model forks is a process like any other: nothing of the runtime goes on in it.

A fork copies the runtime's sockets, its handlers of signals and half of what its threads were
doing. Whatever must not live on in the copy says so here (`in_children`): signals.py, connection.py
and health.py do. Pools, `os.fork` and everything else that forks inside Python pass by here;
programs that are executed keep neither descriptors nor handlers anyway.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

_HELD: Final = frozenset({signal.SIGTERM, signal.SIGINT})
"""Signals that the runtime handles. They wait while the child changes its handlers: one that came
in between would be taken by a handler that nobody listens to."""


class _Forks:
    """The process' fork hooks; what they do changes, as hooks cannot be taken away."""

    def __init__(self) -> None:
        self.is_child = False
        self._letting_go: list[Callable[[], None]] = []
        self._kept = threading.local()
        self._is_hooked = False

    def in_children(self, let_go: Callable[[], None]) -> None:
        if not self._is_hooked:
            self._is_hooked = True
            os.register_at_fork(
                before=self._hold,
                after_in_parent=self._release,
                after_in_child=self._become_child,
            )
        self._letting_go.append(let_go)

    def not_any_more(self, let_go: Callable[[], None]) -> None:
        if let_go in self._letting_go:
            self._letting_go.remove(let_go)

    def _hold(self) -> None:
        if self._letting_go:
            self._kept.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)

    def _release(self) -> None:
        mask = self._kept.__dict__.pop("mask", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _become_child(self) -> None:
        letting_go, self._letting_go = self._letting_go, []
        self.is_child = self.is_child or bool(letting_go)
        for let_go in letting_go:
            # One that fails must not keep the others: the child is the model's, not ours.
            with suppress(Exception):
                let_go()
        self._release()


_forks = _Forks()


def in_children(let_go: Callable[[], None]) -> None:
    """Have `let_go` called in every process that this one forks, before anything else there."""
    _forks.in_children(let_go)


def not_any_more(let_go: Callable[[], None]) -> None:
    """End what `in_children` began."""
    _forks.not_any_more(let_go)


def leave_if_child() -> None:
    """End this process if the model forked it and then came back from the call that was asked.

    The runtime calls this wherever a call of the model ends, with what the call raised as the
    exception that is being handled. The exit status is the one that a program of its own would
    have had: the code of `sys.exit`, 1 after an exception, or 0.
    """
    if _forks.is_child:
        leave()


def leave() -> NoReturn:
    """End a forked process as the end of its program would, but without the runtime's clean-up."""
    error = sys.exc_info()[1]
    code: object = 0
    if isinstance(error, SystemExit):
        code = error.code
    elif error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201  # as Python does with sys.exit("text")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit((code or 0) & 0xFF)
