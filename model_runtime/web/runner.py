"""Runs coroutines on an event loop of its own: asyncio's Runner, which Python 3.11 brought."""

from __future__ import annotations

import asyncio
import sys

if sys.version_info >= (3, 11):
    from asyncio import Runner as Runner
else:

    class Runner:
        """Has a loop from its beginning to its end, and ends with it what is left on it."""

        def __init__(self, *, loop_factory=None):
            self._factory = loop_factory or asyncio.new_event_loop

        def __enter__(self):
            self._loop = self._factory()
            asyncio.set_event_loop(self._loop)
            return self

        def __exit__(self, *error):
            loop = self._loop
            try:
                left = asyncio.all_tasks(loop)
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                asyncio.set_event_loop(None)
                loop.close()

        def get_loop(self):
            """Return the loop."""
            return self._loop

        def run(self, coroutine):
            """Return what a coroutine returns."""
            return self._loop.run_until_complete(coroutine)
