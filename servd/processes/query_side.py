"""Who answers queries: the daemon itself, or front-end processes (`--frontends N`).

Called by daemon.py, which is the same for both.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from servd.clock import monotonic
from servd.config import Config
from servd.deploying.deployer import QueryEngine, at_once
from servd.engine.engine import Engine
from servd.engine.rpc import connector
from servd.http.query.server import QueryServer
from servd.metrics.source import MetricsSource
from servd.replicas.collaborators import Connect


class Door(Protocol):
    """Where queries come in; an async context manager that is open inside."""

    def set_ready(self) -> None:
        """Tell probers from now on that queries are welcome; before, that models still load."""

    def stop_accepting(self) -> None:
        """Take nothing new."""

    async def drain(self, timeout_s: float) -> None:
        """Wait until what came in is answered, `timeout_s` at most."""


@dataclass(frozen=True, slots=True)
class Answering:
    """What the rest of the daemon needs of it.

    `settled` returns when all that the engine was shown is in force. `open_door` comes last: it
    needs the engine to have been shown the registry.
    """

    engine: QueryEngine
    figures: MetricsSource
    connect: Connect
    settled: Callable[[], Awaitable[None]]
    open_door: Callable[[], AbstractAsyncContextManager[Door]]


async def begin_answering(config: Config, stack: AsyncExitStack) -> Answering:
    """Return who answers by the configuration; what it holds ends with the stack."""
    if config.frontends > 1:
        from servd.frontends.hub import Frontends  # noqa: PLC0415 - as above
        from servd.frontends.pool import FrontendProcesses  # noqa: PLC0415 - one does without

        frontends = await stack.enter_async_context(Frontends(config, monotonic))
        return Answering(
            engine=frontends,
            figures=frontends.totals,
            connect=frontends.connect,
            settled=frontends.settled,
            open_door=lambda: FrontendProcesses(frontends, config),
        )
    engine = await stack.enter_async_context(
        Engine(config.cache_bytes, monotonic, config.predict_timeout_s)
    )
    return Answering(
        engine=engine,
        figures=engine,
        connect=connector(engine.context, monotonic, config.curve_dir),
        settled=at_once,
        open_door=lambda: QueryServer(engine, config, is_ready=False),
    )
