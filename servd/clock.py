"""The monotonic clock that everything with a deadline is given; tests give a fake one."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds that only ever go forward; the origin is arbitrary."""

monotonic: Clock = time.monotonic
"""The clock of production. It is the clock of the event loop too, so `call_at` takes its times."""


def wall_s() -> float:
    """Return Unix time in seconds, for timestamps that people read; never for deadlines."""
    return time.time()
