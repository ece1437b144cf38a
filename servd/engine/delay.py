"""Delayed batching (NSDI'17 §4.3.2): a short batch waits a moment to fill. Used by dispatcher.py.

Only versions deployed with a batch wait are delayed.
"""

import asyncio
from collections.abc import Callable


class BatchDelay:
    """Says whether to wait, and calls `on_waited` when the wait is over."""

    __slots__ = ("_on_waited", "_timer", "wait_s")

    def __init__(self, wait_s: float, on_waited: Callable[[], None]) -> None:
        self.wait_s = wait_s
        self._on_waited = on_waited
        self._timer: asyncio.TimerHandle | None = None

    def is_on(self, oldest_s: float, now_s: float) -> bool:
        """Whether a batch that is not full waits on, its oldest query being of `oldest_s`."""
        remaining_s = oldest_s + self.wait_s - now_s
        if remaining_s <= 0:
            return False
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(remaining_s, self._on_time)
        return True

    def _on_time(self) -> None:
        self._timer = None
        self._on_waited()
