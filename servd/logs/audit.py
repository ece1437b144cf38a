"""A line in the daemon's log for each change that is asked for: what, by whom, how it ended.

`change` is used by deployer.py around each of its changes, `actor` is set by http/admin for each
request.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from servd.errors import ServdError
from servd.logs.log import log

actor: ContextVar[str] = ContextVar("actor", default="servd")
"""Who asked for what goes on in this context."""


@dataclass(slots=True)
class Described:
    """What is being changed, in words; whoever changes it may come to know more of it."""

    text: str


@contextmanager
def change(text: str) -> Iterator[Described]:
    """Log a change when the block has ended; one that fails is told with its reason."""
    described = Described(text)
    try:
        yield described
    except ServdError as error:
        log.warning("%s, asked by %s: failed: %s", described.text, actor.get(), error.message)
        raise
    except asyncio.CancelledError:
        log.warning("%s, asked by %s: broken off", described.text, actor.get())
        raise
    log.info("%s, asked by %s", described.text, actor.get())
