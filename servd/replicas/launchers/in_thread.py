"""Blocking calls in threads that do not keep the daemon from ending. Used by launchers/docker.py.

A call of a container engine may hang for minutes, in a pull say. The threads of an executor would
be waited for at the interpreter's end.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def in_thread(call: Callable[[], Any]) -> asyncio.Future[Any]:
    """Run a call in a thread of its own; return the future of its outcome."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Any] = loop.create_future()
    outcome.add_done_callback(_look_at)

    def tell(settle: Callable[[Any], None], value: object) -> None:
        if not outcome.done():
            settle(value)

    def work() -> None:
        try:
            settled = outcome.set_result, call()
        except Exception as error:  # noqa: BLE001 - a task boundary: who waits is told
            settled = outcome.set_exception, error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, *settled)

    threading.Thread(target=work, name="servd-docker", daemon=True).start()
    return outcome


def _look_at(outcome: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not outcome.cancelled():
        outcome.exception()
