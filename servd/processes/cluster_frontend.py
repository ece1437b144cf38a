"""`servd frontend`: a front end without a daemon, for clusters. Called by cli/frontend_body.py.

The composition root of a process that answers queries by a published registry and the replicas
that it finds by name. It keeps nothing, so that any number of them may come and go.
"""

import asyncio
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servd import __version__
from servd.carriers.certificates import read_identity
from servd.carriers.curve import read_keys
from servd.clock import monotonic
from servd.config import Config
from servd.engine.engine import Engine
from servd.frontends.cluster import Cluster
from servd.frontends.discovery import Resolve, resolve
from servd.frontends.remote import TICK_S, Keys
from servd.http.query.server import QueryServer
from servd.logs import log
from servd.processes import lifecycle
from servd.registry.published import PublishedError, PublishedFile
from servd.system.offspring import offspring
from servd.system.ports import base_url, free_port

POLL_S: Final = 0.25
"""How often the registry's file is looked at: it adds to what is between
the switches of two front ends."""

READY_PATIENCE_S: Final = 30.0
"""How long probers hear that it is not ready while an application waits for its first replica: on a
cluster, front ends and replicas are started together. One that never comes must not keep the others
from their clients."""

PATIENCE_S: Final = 5.0
"""How long the first queries wait outside for replicas that were found but do not answer yet."""

SETTLE_CHECK_S: Final = 0.02

_ID_RANGES: Final = 2**53 // lifecycle.IDS_EACH
"""Query ids begin at a random range's start, so that those of two front ends seldom meet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFrontendSettings:
    """What a front end needs to know besides the daemon's settings.

    For `drain_delay_s` after SIGTERM it goes on accepting, as who sends queries hears of its end
    a moment later.
    """

    registry: Path
    curve: Path | None = None
    tls: Path | None = None
    drain_delay_s: float = 5.0


async def serve(
    config: Config, settings: ClusterFrontendSettings, resolve: Resolve = resolve
) -> None:
    """Answer queries until a signal ends it.

    Raises:
        ServdError: it cannot start: the registry, a key or the port is wrong.
    """
    await ClusterFrontend(config, settings, resolve).run()


class ClusterFrontend:
    """One front end: `run` is its life."""

    def __init__(self, config: Config, settings: ClusterFrontendSettings, resolve: Resolve) -> None:
        self._config = config
        self._settings = settings
        self._resolve = resolve
        self._file = PublishedFile(settings.registry)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._force = asyncio.Event()

    async def run(self) -> None:
        """Follow the registry, open the door, answer until told to end, drain."""
        published = self._file.read()
        curve, tls = self._settings.curve, self._settings.tls
        keys = Keys(read_keys(curve) if curve else None, read_identity(tls) if tls else None)
        config = free_port(self._config, "--port")
        async with AsyncExitStack() as stack:
            stack.callback(log.release, log.to_stderr(config.log_level))
            stack.callback(log.log.info, "stopped")
            engine = await stack.enter_async_context(
                Engine(config.cache_bytes, monotonic, config.predict_timeout_s)
            )
            cluster = Cluster(engine, keys, self._resolve)
            stack.callback(cluster.close)
            cluster.publish(published)
            self._on_signals()
            async with asyncio.TaskGroup() as tasks:
                following = [
                    tasks.create_task(work)
                    for work in (
                        cluster.discovery.run(),
                        _every(TICK_S, cluster.tick),
                        _every(POLL_S, lambda: self._look(cluster)),
                        offspring.keep_reaping(),
                    )
                ]
                await self._settle(cluster)
                async with QueryServer(engine, config) as server:
                    server.is_ready = False
                    following.append(tasks.create_task(self._get_ready(cluster, server)))
                    await self._serve(server)
                for task in following:
                    task.cancel()

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)

    def _end(self, number: int) -> None:
        """Begin to end; without the delay for a person at a terminal; at once the second time."""
        if self._stop.is_set():
            self._force.set()
        if number == signal.SIGINT or self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _look(self, cluster: Cluster) -> None:
        try:
            published = self._file.changed()
        except PublishedError as error:
            log.log.error("%s: the registry of before stays in force", error.message)
            return
        if published is not None:
            cluster.publish(published)
            log.log.info("the registry has changed and is in force")

    async def _settle(self, cluster: Cluster) -> None:
        """Wait for replicas, so that no early query is told that there is no model."""
        deadline_s = monotonic() + PATIENCE_S
        while not (cluster.is_settled or self._stop.is_set()):
            if monotonic() > deadline_s:
                log.log.warning("not every application has a replica that answers: going on")
                return
            await asyncio.sleep(SETTLE_CHECK_S)

    async def _get_ready(self, cluster: Cluster, server: QueryServer) -> None:
        """Let clients come once every application can answer; who comes before is answered too."""
        deadline_s = monotonic() + READY_PATIENCE_S
        while missing := "; ".join(cluster.missing()):
            if monotonic() > deadline_s:
                log.log.warning(
                    "ready for clients all the same after %g s: %s", READY_PATIENCE_S, missing
                )
                break
            server.why_unready = missing
            await asyncio.sleep(SETTLE_CHECK_S)
        server.is_ready = not self._stop.is_set()

    async def _serve(self, server: QueryServer) -> None:
        server.next_id = secrets.randbelow(_ID_RANGES) * lifecycle.IDS_EACH
        lifecycle.freeze()
        url = base_url(self._config.bind, server.port)
        log.log.info("servd %s front end answers at %s", __version__, url)
        await self._stop.wait()
        delay_s, drain_s = self._settings.drain_delay_s, self._config.drain_s
        log.log.info(
            "ending: the door closes in %g s, then %g s for what is open", delay_s, drain_s
        )
        server.is_ready = False
        server.end_connections()  # clients go elsewhere
        await _wait(self._hurry, delay_s)
        await lifecycle.close(server)
        await lifecycle.unless_forced(server.drain(drain_s), self._force)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


async def _every(period_s: float, do: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(period_s)
        try:
            do()
        except Exception:  # noqa: BLE001 - a task boundary: what answers goes on answering
            log.log.exception("looking after the replicas failed")
