"""The admin server: `/api/v1`, Clipper's `/admin/*` and Prometheus metrics. Made by daemon.py.

It listens on a unix socket that only the daemon's user can open, and on a TCP port.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from servd.environments.listing import Listing
from servd.environments.store import Environments
from servd.http.admin.api import Api
from servd.http.admin.api_environments import EnvironmentsApi
from servd.http.admin.api_events import EventsApi
from servd.http.admin.api_logs import LogsApi
from servd.http.admin.clipper import ClipperApi
from servd.http.admin.connection import AdminConnection, check_head
from servd.http.admin.deployments import Deployments
from servd.http.admin.guard import Guard, actor_of
from servd.http.admin.problems import QUERY_URL, Handler, RequestRefusedError, answer_errors
from servd.http.admin.services import Services
from servd.logs.audit import actor
from servd.metrics.exposition import prometheus_metrics
from servd.metrics.page import MetricsPage
from servd.system.descriptors import MIN_RESERVE, max_connections
from servd.system.kept_socket import KeptSocket
from servd.system.ports import base_url

MAX_JSON_BYTES: Final = 1024 * 1024
_FIRST_REQUEST_S: Final = 30.0
"""How long a new connection may take to send the head of its first request."""
_END_S: Final = 1.0
_PROBES: Final = frozenset({"/healthz", "/readyz"})
"""What anybody may ask, as on the query port: whether the daemon lives, and is ready."""

_SHARE: Final = 8
"""One in so many of the connections that this process may have is the admin API's."""


@dataclass(frozen=True)
class AdminServer(Services):
    """The server, as an async context manager: it answers as long as it is entered.

    Raises:
        OSError: at entry, where the socket or the port cannot be had.
    """

    _stack: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)
    _silent: dict[object, asyncio.TimerHandle] = field(init=False, default_factory=dict)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            deployments = await stack.enter_async_context(Deployments(self.deployer))
            logs = LogsApi(self.config, self.supervisor, self.registry)
            events = EventsApi(self.registry, self.supervisor)
            runner = web.AppRunner(
                self._make_app(deployments, logs, events),
                shutdown_timeout=_END_S,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(logs.stop)
            stack.callback(events.stop)
            stack.callback(deployments.stop)
            await self._listen(runner, stack)
            self._stack.push_async_callback(stack.pop_all().aclose)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    def _make_app(
        self, deployments: Deployments, logs: LogsApi, events: EventsApi
    ) -> web.Application:
        guard = Guard(self.config)

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            timer = self._silent.pop(request.protocol, None)
            if timer is not None:
                timer.cancel()
            check_head(request)
            if request.path in _PROBES:
                return await handler(request)
            actor.set(actor_of(request))
            coding = ", ".join(request.headers.getall("Content-Encoding", ["identity"]))
            if coding.lower() != "identity":
                raise RequestRefusedError(415, "a packed body is not taken here: send it unpacked")
            return await guard.check(request, handler)

        app = web.Application(middlewares=[answer_errors, check], client_max_size=MAX_JSON_BYTES)
        app[QUERY_URL] = base_url(self.config.bind, self.config.query_port)
        app.router.add_get("/", _root)
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/readyz", self._readiness)
        app.router.add_get(
            "/metrics", _metrics_handler(MetricsPage(prometheus_metrics, self.engine))
        )
        ClipperApi(self).add_to(app.router)
        listing = Listing(Environments(self.config.environments_dir), self.config.bundles_dir)
        environments = EnvironmentsApi(self.registry, listing)
        Api(self, deployments, logs, events, environments).add_to(app.router)
        return app

    async def _readiness(self, _request: web.Request) -> web.Response:
        if self.is_ready():
            return web.Response(text="ok\n")
        return web.Response(text="not ready\n", status=503)

    async def _listen(self, runner: web.AppRunner, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        make = runner.server
        if make is None:
            raise RuntimeError("the runner is not set up")

        limit = max(MIN_RESERVE, max_connections() // _SHARE)

        def protocol() -> asyncio.BaseProtocol:
            # Anybody of this machine may connect, and be told that it may nothing.
            if len(make.connections) >= limit:
                return _TurnedAway()
            # It would unpack a few megabytes to gigabytes before anybody is asked.
            handler = AdminConnection(make, loop=loop, lingering_time=_END_S, auto_decompress=False)
            self._silent[handler] = loop.call_later(_FIRST_REQUEST_S, self._on_silent, handler)
            return handler

        await stack.enter_async_context(KeptSocket(self.config.admin_socket, protocol))
        tcp = await loop.create_server(protocol, self.config.bind, self.config.admin_port)
        stack.callback(tcp.close)

    def _on_silent(self, handler: RequestHandler) -> None:
        del self._silent[handler]
        handler.force_close()


class _TurnedAway(asyncio.Protocol):
    """A connection for which no descriptor is to spare."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _metrics_handler(page: MetricsPage) -> Handler:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(
            body=await page.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    return handle


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _root(_request: web.Request) -> web.Response:
    return web.Response(text="servd is running\n")
