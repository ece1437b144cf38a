"""Waiting for others with a limit that holds while this process runs. Used where limits are short.

A timer that was due while the process was stopped goes off before anything is read, so that
who had answered in time would be taken not to have. The limit is waited for in steps, and
each step looks again: a stop of any length costs one of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

_STEPS: Final = 10


async def patiently(limit_s: float, wait: Callable[[], Awaitable[object]]) -> bool:
    """Wait for what `wait` returns, which may be asked again; whether it came in time."""
    for _ in range(_STEPS):
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s / _STEPS):
                await wait()
                return True
    return False
