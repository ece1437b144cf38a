"""Adaptive throttling: a client that is refused sends less. Used by queries.py.

As in "Handling Overload" of the Google SRE book (https://sre.google/sre-book/handling-overload/):
over the last two minutes a client counts what it wanted to send and what was accepted, and once
there is K times as much of the one as of the other, it refuses a query by itself with the
probability max(0, (requests - K * accepts) / (requests + 1)).
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Final

from servd.clock import Clock, monotonic

K: Final = 2.0
WINDOW_S: Final = 120.0
_STEP_S: Final = 1.0


class Throttle:
    """The counts of one application. `is_refused` before each query, `on_answer` after those sent.

    What the daemon had no room for counts as refused; any other answer, also an error, as accepted.
    A query counts once it is answered: of many that begin at once none is held against the others.
    """

    def __init__(
        self, clock: Clock = monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._steps: deque[list[float]] = deque()
        """Since when, requests and accepts, one for each second in which there were any."""
        self.requests = 0
        self.accepts = 0

    def is_refused(self) -> bool:
        """Tell whether a query is not to be sent; one that is not counts."""
        step = self._step()
        surplus = self.requests - K * self.accepts
        if surplus <= 0 or self._chance() >= surplus / (self.requests + 1):
            return False
        step[1] += 1
        self.requests += 1
        return True

    def on_answer(self, *, is_accepted: bool) -> None:
        """Count a query that was answered."""
        step = self._step()
        step[1] += 1
        self.requests += 1
        if is_accepted:
            step[2] += 1
            self.accepts += 1

    def _step(self) -> list[float]:
        now_s = self._clock()
        steps = self._steps
        while steps and steps[0][0] <= now_s - WINDOW_S:
            _, requests, accepts = steps.popleft()
            self.requests -= int(requests)
            self.accepts -= int(accepts)
        if not steps or now_s - steps[-1][0] >= _STEP_S:
            steps.append([now_s, 0, 0])
        return steps[-1]
