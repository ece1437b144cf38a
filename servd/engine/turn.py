"""One turn of the event loop: what it reads in one go, and how far behind that shows it to be.

Used by dispatcher.py. All that a turn reads joins one batch, so a batch leaves when the turn ends.
A loop that is behind finds thousands of requests ready, and its turns last longer than an
objective; so every `LOOK_EVERY` queries it looks up: at the clock, the replies and the queue.
"""

import asyncio
from collections.abc import Callable

from servd.clock import Clock

LOOK_EVERY = 128
"""Queries between two looks within a turn: about a millisecond's work."""


class Turn:
    """The present turn of one version's queries.

    While `is_on`, its queries came at `now_s`. `left` more are read before the next look.
    `looked_s` is when replies had certainly been looked for before this turn. `lag_s` is how
    long reading has taken, in this turn or the last, 0 where it read few: as long as that the
    newest request may have waited before it was read, as each connection is read in its turn.
    """

    __slots__ = (
        "_began_s",
        "_clock",
        "_ended_s",
        "_on_end",
        "_on_look",
        "is_on",
        "lag_s",
        "left",
        "looked_s",
        "now_s",
    )

    def __init__(
        self, clock: Clock, on_end: Callable[[], None], on_look: Callable[[], None]
    ) -> None:
        self.is_on = False
        self.now_s = 0.0
        self.left = 0
        self.looked_s = 0.0
        self.lag_s = 0.0
        self._clock = clock
        self._on_end = on_end
        self._on_look = on_look
        self._began_s = 0.0
        self._ended_s = 0.0

    def begin(self, now_s: float) -> None:
        """Begin with the first query that is read."""
        self.is_on = True
        self.now_s = self._began_s = now_s
        self.left = LOOK_EVERY
        asyncio.get_running_loop().call_soon(self._end)

    def count(self) -> None:
        """Count a query that is answered without a place in the queue."""
        if not self.is_on:
            self.begin(self._clock())
            return
        self.left -= 1
        if self.left < 0:
            self.look()

    def look(self) -> None:
        """Look up in the middle of a turn."""
        self.left = LOOK_EVERY
        self.now_s = self._clock()
        self.lag_s = max(self.lag_s, self.now_s - self._began_s)
        self._on_look()

    def _end(self) -> None:
        self.is_on = False
        # The loop looks for replies after each turn, so what it reads next had not come by the
        # turn before this one.
        self.looked_s, self._ended_s = self._ended_s, self._clock()
        is_long = self.now_s > self._began_s  # it has looked up
        self.lag_s = self._ended_s - self._began_s if is_long else 0.0
        self._on_end()
