"""Blocking calls in threads that do not keep this process from ending.

Used by launchers/docker.py and frontends/discovery.py: a call of a container engine may hang for
minutes, in a pull say, and so may one of a name service. The threads of an executor would be waited
for at the interpreter's end.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def in_thread(call: Callable[[], _Result], name: str) -> asyncio.Future[_Result]:
    """Run a call in a thread of its own, of that name; return the future of its outcome."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_Result] = loop.create_future()
    outcome.add_done_callback(_look_at)

    def tell(settle: Callable[[Any], None], value: object) -> None:
        if not outcome.done():
            settle(value)

    def work() -> None:
        settled: tuple[Callable[[Any], None], object]
        try:
            settled = outcome.set_result, call()
        except Exception as error:  # noqa: BLE001 - a task boundary: who waits is told
            settled = outcome.set_exception, error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, *settled)

    threading.Thread(target=work, name=name, daemon=True).start()
    return outcome


def _look_at(outcome: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not outcome.cancelled():
        outcome.exception()
