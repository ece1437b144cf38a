"""How many descriptors this process may have, and how many of them are for connections.

Whoever accepts until there are none left can open no log, write no change and start no replica: a
share is kept back for that. Called by the composition roots and the servers.
"""

import resource
from pathlib import Path
from typing import Final

MIN_RESERVE: Final = 64
_RESERVED_SHARE: Final = 4
"""One in so many is not for clients: replicas, their logs, SQLite, pipes."""


def raise_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def max_connections() -> int:
    """Return how many clients may be connected at the same time, at least one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, soft - _open_now() - max(MIN_RESERVE, soft // _RESERVED_SHARE))


def _open_now() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return MIN_RESERVE
