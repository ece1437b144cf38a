"""How a process that answers queries begins and ends.

Used by all that do: the daemon, its front ends, a cluster's front end, and `serve-one`.
"""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, Final

import uvloop

from servd.http.query.server import QueryServer
from servd.system.offspring import offspring

IDS_EACH: Final = 2**40
"""Query ids of one process: the next one's begin there. 2^53 / 2^40 processes stay exact JSON."""

DOOR_S: Final = 0.1
"""Between closing the door and closing idle connections: what was on its way is still answered."""


def run(serving: Coroutine[Any, Any, object]) -> None:
    """Make this process, which is servd's alone, the one that serves, until it has served."""
    offspring.take_in()
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
