"""Computes the streams of asynchronous generators, each as a task of the model's event loop.

Imported by generators.py where a model has such: asyncio takes its time to load.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from model_runtime import forks
from model_runtime.async_calls import the_loop
from model_runtime.failure import MODEL_ERRORS
from model_runtime.inputs import Batch
from model_runtime.older import anext
from model_runtime.outputs import item_text
from model_runtime.streams import Stream

TURN_ITEMS: Final = 16
"""Items that a generator may yield at a stretch, if it waits for nothing: others wait for it."""


class Ends(Protocol):
    """What makes generators, and is told how each ended."""

    def opens(self, batch: Batch) -> Any:
        """Return the generator that answers a batch of one input."""

    def end(self, stream: Stream, error: BaseException | None) -> None:
        """End a stream, by what its model has raised if it has."""


class StreamTask:
    """Computes one stream in the event loop."""

    def __init__(self, computing: Ends, stream: Stream) -> None:
        self._computing = computing
        self._stream = stream
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        loop = the_loop().beside()
        stream.on_change = lambda: loop.call_soon_threadsafe(self._wanted.set)
        stream.stop = lambda: loop.call_soon_threadsafe(self._stop)
        loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> None:
        raised: BaseException | None = None
        try:
            await self._iterate()
        except MODEL_ERRORS as error:  # the boundary of a stream: anything a model raises
            raised = error
        forks.leave_if_child()
        self._computing.end(self._stream, raised)

    async def _iterate(self) -> None:
        """Put a generator's items into the stream until either has come to its end."""
        stream = self._stream
        items: Any = self._computing.opens(stream.batch)
        count = 0
        try:
            while await self._may_go_on():
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                stream.put(item_text(item))
                count += 1
                if count % TURN_ITEMS == 1:
                    await asyncio.sleep(0)
        finally:
            if hasattr(items, "aclose"):
                await items.aclose()

    async def _may_go_on(self) -> bool:
        """Wait until another item is wanted; False where none is."""
        stream = self._stream
        while stream.is_paused:
            self._wanted.clear()
            # What changed meanwhile sets it after this, as that comes to this thread, too.
            if stream.is_paused:
                await self._wanted.wait()
        return not stream.is_cancelled
