"""Exceptions that nobody foresaw, in the log: with where they came from, and not without end.

Called where such an exception is stopped so that it costs one request only: by the query path and
by the admin API. One fault is one entry; what comes faster than can be read is counted.
"""

import logging
from typing import Final

from servd.clock import Clock, monotonic
from servd.quantities import counted

logger = logging.getLogger("servd.logs.faults")

EVERY_S: Final = 10.0
"""A span in which so many faults are written."""
MAX_WRITTEN: Final = 10


class FaultLog:
    """Writes faults, `MAX_WRITTEN` in `EVERY_S`; the next one after that says how many were not."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._since_s = clock()
        self._written = 0
        self._dropped = 0

    def report(self, what: str, error: BaseException) -> None:
        """Write what was going on, the exception and its traceback."""
        now_s = self._clock()
        if now_s - self._since_s >= EVERY_S:
            self._since_s, self._written = now_s, 0
        if self._written >= MAX_WRITTEN:
            self._dropped += 1
            return
        self._written += 1
        more, self._dropped = self._dropped, 0
        also = f" (and {counted(more, 'fault')} before it, not written)" if more else ""
        logger.error("%s: %s%s", what, type(error).__name__, also, exc_info=error)


report = FaultLog().report
"""This process' log of faults."""
