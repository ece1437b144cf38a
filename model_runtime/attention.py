"""How long a process did not look at what the others said. Used wherever silence is judged.

A process that was stopped, or held up by one long turn of its loop, has heard nothing in that time;
but that says nothing of the others. So silence is counted only over time in which one's own
loop ran: whoever judges it asks here, at each look, what is to be forgiven.
"""

from __future__ import annotations

from collections.abc import Callable


class Attention:
    """Notices that looks which should be `period_s` apart were much further apart."""

    def __init__(self, clock: Callable[[], float], period_s: float) -> None:
        self._clock = clock
        self._period_s = period_s
        self._looked_s = clock()

    def missed_s(self) -> float:
        """Return for how long nobody looked; 0 where the last look was about a period ago.

        Called at each look.
        """
        before_s, self._looked_s = self._looked_s, self._clock()
        late_s = self._looked_s - before_s - self._period_s
        return late_s if late_s > self._period_s else 0.0
