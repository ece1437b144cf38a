"""How a process that answers queries begins and ends.

Used by all that do: the daemon, its front ends, a cluster's front end, and `serve-one`.
"""

import asyncio
import ctypes
import gc
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import uvloop

from servd.carriers.long_bytes import LONG_BYTES
from servd.http.query.server import QueryServer
from servd.system.offspring import offspring

IDS_EACH: Final = 2**40
"""Query ids of one process: the next one's begin there. 2^53 / 2^40 processes stay exact JSON."""

DOOR_S: Final = 0.1
"""Between closing the door and closing idle connections: what was on its way is still answered."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_KEPT_FREE_BYTES: Final = 1 << 24


def keep_memory() -> None:
    """Have the C library keep what bodies of up to a megabyte free, a few of it, for the next ones.

    Else it gives the memory of each batch of them back, and the system clears every page again:
    a third of what a picture takes. What is longer is mapped alone, and given back when it is free.
    """
    with suppress(OSError, AttributeError):  # another C library has other ways
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LONG_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)


def run(serving: Coroutine[Any, Any, object]) -> None:
    """Make this process, which is servd's alone, the one that serves, until it has served."""
    offspring.take_in()
    keep_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


def freeze() -> None:
    """Leave what is there by now out of every collection of garbage. Called before the first query.

    Modules, routes and tables live as long as the process; looking through them takes
    milliseconds, in which queries wait.
    """
    gc.collect()
    gc.freeze()


async def close(server: QueryServer) -> None:
    """Let nobody new in, and end the connections on which nothing is asked."""
    server.close_door()
    await asyncio.sleep(DOOR_S)
    server.stop_accepting()


async def unless_forced(ending: Coroutine[Any, Any, None], force: asyncio.Event) -> None:
    """Wait for what ends in order, but no longer than until somebody forces the end."""
    async with asyncio.TaskGroup() as tasks:
        either = {tasks.create_task(ending), tasks.create_task(force.wait())}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()
