"""The signals of a replica's process: SIGTERM asks it to drain and end. Used by __main__.py.

What the model starts must find signals as any program does. So SIGINT, which a terminal sends to
everybody, gets a handler that does nothing and is not ignored: to be ignored is inherited by every
program that the model executes. And what it forks gets the handlers that it would have without us.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Optional, Union

from model_runtime import forks

_Handler = Union[Callable[[int, Optional[FrameType]], Any], int, None]


class StopSignal:
    """Whether the replica was told to end, whatever the model does with SIGTERM.

    A handler that the model installs is put aside, as it would keep the replica from draining. It
    is called when the replica has drained.
    """

    def __init__(self) -> None:
        self._is_told = False
        self._of_model: _Handler = signal.SIG_DFL

    def install(self) -> None:
        """Handle the signals from now on. Called once, by the main thread, before the model."""
        # What held the process back when it was started (nohup, a shell's background) is not its.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, _do_nothing)
        signal.siginterrupt(signal.SIGINT, False)
        signal.signal(signal.SIGTERM, self._on_term)
        forks.in_children(self._let_go)

    def is_told(self) -> bool:
        """Whether SIGTERM has come."""
        return self._is_told

    def take_back(self) -> None:
        """Put a handler aside that the model has installed. Called while there is no work."""
        handler = signal.getsignal(signal.SIGTERM)
        if handler != self._on_term:
            self._of_model = handler
            signal.signal(signal.SIGTERM, self._on_term)

    def tell_model(self) -> None:
        """Call the model's own handler, if it has one and the signal has come."""
        if self._is_told and callable(self._of_model):
            with suppress(SystemExit):
                self._of_model(signal.SIGTERM, None)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_told = True

    def _let_go(self) -> None:
        """Give a forked process the handlers that it would have without the runtime."""
        if signal.getsignal(signal.SIGTERM) == self._on_term:
            signal.signal(signal.SIGTERM, self._of_model)
        if signal.getsignal(signal.SIGINT) is _do_nothing:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """Leave SIGINT to whoever was asked to end everything: he sends SIGTERM."""
