"""A text of metrics: rendered a slice at a time and not for each who asks. Used by both servers.

With thousands of applications the text takes a tenth of a second, in which nobody else would be
answered; so the event loop turns between slices. Who asks again within `FRESH_S`, or so soon that
most of the time would go into rendering, gets the last text. Renderings are that far apart, and not
so many in a second whenever they are: else who asks all the time would use a second's up at once
and see nothing new in the rest of it.
"""

import asyncio
from typing import Final, Protocol

from servd.logs import faults
from servd.metrics.exposition import Render, Rendering
from servd.metrics.source import MetricsSource

SLICE_S: Final = 0.001
MAX_RENDERED: Final = 10
"""Texts in a second."""
FRESH_S: Final = 1 / MAX_RENDERED
REST: Final = 4
"""For so many times as long as the last text took no other is begun."""


class Waiter(Protocol):
    """Who asked for a text."""

    def on_page(self, text: bytes) -> None:
        """Take the text."""

    def on_fault(self, error: Exception) -> None:
        """Take an exception in rendering it."""


class MetricsPage:
    """One text. Who asks while it is rendered gets that one; a small one is there at once."""

    def __init__(self, render: Render, figures: MetricsSource) -> None:
        self._render = render
        self._figures = figures
        self._clock = figures.clock
        self._text = b""
        self._began_s = self._fresh_until_s = 0.0
        self._waiters: list[Waiter] = []
        self._rendering: Rendering | None = None

    def ask(self, waiter: Waiter) -> None:
        """Have a waiter told the text, now or in a later turn of the loop."""
        now_s = self._clock()
        if self._rendering is None and self._text and now_s < self._fresh_until_s:
            waiter.on_page(self._text)
            return
        self._waiters.append(waiter)
        if self._rendering is None:
            self._began_s = now_s
            self._rendering = self._render(self._figures)
            self._go_on()

    async def text(self) -> bytes:
        """Return the text."""
        waiter = _Future()
        self.ask(waiter)
        return await waiter.future

    def _go_on(self) -> None:
        rendering = self._rendering
        if rendering is None:
            return
        until_s = self._clock() + SLICE_S
        try:
            while self._clock() < until_s:
                next(rendering)
        except StopIteration as end:
            self._text = end.value
            now_s = self._clock()
            rested_s = now_s + REST * (now_s - self._began_s)
            self._fresh_until_s = max(self._began_s + FRESH_S, rested_s)
            self._tell(None)
        except Exception as error:  # noqa: BLE001 - those who wait are told
            self._tell(error)
        else:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _tell(self, error: Exception | None) -> None:
        self._rendering = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            try:
                if error is None:
                    waiter.on_page(self._text)
                else:
                    waiter.on_fault(error)
            except Exception as again:  # noqa: BLE001 - the others wait as well
                faults.report("metrics could not be answered", again)


class _Future:
    """A waiter that a task awaits."""

    def __init__(self) -> None:
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on_page(self, text: bytes) -> None:
        """Take the text."""
        if not self.future.done():
            self.future.set_result(text)

    def on_fault(self, error: Exception) -> None:
        """Take an exception."""
        if not self.future.done():
            self.future.set_exception(error)
