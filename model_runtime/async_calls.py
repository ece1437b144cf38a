"""The event loop in which a model's coroutines run: one, as what they make in it belongs to it.

Imported where a model has coroutines: asyncio takes its time to load.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache
from typing import Any

from model_runtime import forks
from model_runtime.annotations.arguments import Made
from model_runtime.failure import MODEL_ERRORS
from model_runtime.refusals import Failed


class AsyncCalls:
    """The event loop in which a model's coroutines run, whenever it is called, or all the time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_beside = False
        asyncio.set_event_loop(self._loop)

    def beside(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs in a thread of its own from now on: streams go on in it."""
        if not self._is_beside:
            self._is_beside = True
            forever = self._loop.run_forever
            threading.Thread(target=forever, name="servd-async", daemon=True).start()
        return self._loop

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._is_beside:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        return self._loop.run_until_complete(coroutine)

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Return what one comes to."""
        return self._run(_awaited(awaitable))

    def wait_for_each(self, call: Callable[..., Any], made: Sequence[Made]) -> list[Any]:
        """Call with each of these arguments and return what comes of it; the calls run at once."""
        outcomes: list[Any] = self._run(_gathered(call, made))
        return outcomes


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _gathered(call: Callable[..., Any], made: Sequence[Made]) -> list[Any]:
    return await asyncio.gather(*(_one(call, arguments) for arguments in made))


async def _one(call: Callable[..., Any], arguments: Made) -> Any:
    positional, named = arguments
    try:
        outcome = await call(*positional, **named)
    except MODEL_ERRORS as error:  # the boundary of an input: its batch's others go on
        forks.leave_if_child()
        return Failed(error)
    forks.leave_if_child()
    return outcome


@cache
def the_loop() -> AsyncCalls:
    """Return the one of this process, which is made when it is needed."""
    return AsyncCalls()
