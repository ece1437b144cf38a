"""`servd.AsyncClient`: what `servd.Client` can do, for an event loop.

The calls, the values, what a query sends and what an answer means are the same objects; here is
only how they are waited for. What blocks (bundling, starting) is done in a thread.
"""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from servd.client import calls, wanted
from servd.client.admin import find_daemon, query_base
from servd.client.async_connections import AsyncAdmin, AsyncConnections
from servd.client.calls import Call, LogsWanted
from servd.client.client import CHANGE_TIMEOUT_S, SILENCE_S, Client
from servd.client.exchange import Answer, LostError, Request
from servd.client.items import Items
from servd.client.queries import Queries, Send, Steps, Wait, stream_request
from servd.client.querying import named
from servd.client.report import OnEvent, Report, with_notes
from servd.client.values import (
    Application,
    Deployment,
    Model,
    Prediction,
    Replica,
    Route,
    Status,
    Version,
    VersionName,
    value_of,
)
from servd.client.wanted import DeployOptions
from servd.config import Config
from servd.datatypes import DeployEvent
from servd.errors import NotFoundError, ServdError
from servd.registry.happenings import Happening

T = TypeVar("T")

_SIGNATURE: Final = inspect.signature(Client.deploy)


class AsyncClient:
    """A servd daemon and what it serves, as `servd.Client` has it; of one event loop.

    Args and errors are those of `Client`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        data_dir: str | Path | None = None,
        token: str | None = None,
        timeout_s: float = 30.0,
        start: bool = False,
        retries: int = 2,
    ) -> None:
        self._blocking = Client(url, data_dir=data_dir, token=token, timeout_s=timeout_s)
        self.timeout_s = timeout_s
        self._start = start
        self._queries = Queries(retries)
        self._connections: AsyncConnections | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is connected; the daemon goes on."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    # --- the daemon ---

    @property
    def config(self) -> Config:
        """The settings that are found here, of which a daemon would be started."""
        return self._blocking.config

    async def _admin(self) -> AsyncAdmin:
        if self._start:
            self._start = False
            await self.start()
        return AsyncAdmin(find_daemon(self.config, self._blocking.admin_url))

    async def _ask(self, call: Call, kind: type[T], timeout_s: float | None = None) -> T:
        with with_notes():
            admin = await self._admin()
            return value_of(await admin.ask(call, timeout_s or self.timeout_s), kind)

    async def _do(self, call: Call, timeout_s: float | None = None) -> None:
        with with_notes():
            admin = await self._admin()
            await admin.ask(call, timeout_s or self.timeout_s)

    async def status(self) -> Status:
        """Return what the daemon is, and where it answers."""
        return await self._ask(calls.status(), Status)

    async def start(self, **settings: Any) -> Status:
        """Start the daemon where none runs, with these settings (docs/operations.md)."""
        return await asyncio.to_thread(self._blocking.start, **settings)

    async def stop(self, *, drain_s: float | None = None) -> None:
        """Stop the daemon and its replicas; running queries get `drain_s`, None: its own time."""
        await asyncio.to_thread(self._blocking.stop, drain_s=drain_s)
        await self.close()

    # --- deploying ---

    async def deploy(self, target: Any = None, **options: Unpack[DeployOptions]) -> Deployment:
        """Deploy a model and return when it is live; the options are those of `Client.deploy`.

        Where this is cancelled once the bundle was sent, the daemon goes on.
        """
        bound = _SIGNATURE.bind(None, target, **options)
        bound.apply_defaults()
        given = {name: value for name, value in bound.arguments.items() if name != "self"}
        report = Report(_in_loop(given["on_event"]))
        if self._start:
            await self._admin()
        with with_notes():
            known, request = await asyncio.to_thread(self._blocking.begin, given, report)
            call = calls.deploy(request, is_waiting=given["wait"])
            if not given["wait"]:
                report.on_accepted(await AsyncAdmin(known).ask(call, self.timeout_s))
                return report.result()
            # The daemon gives a sign of life every few seconds.
            async for line in AsyncAdmin(known).lines(call, self.timeout_s):
                if line.strip():
                    report.on_event(json.loads(line))
            return report.result()

    # --- applications ---

    async def apps(self) -> list[Application]:
        """Return the applications."""
        return await self._ask(calls.applications(), list[Application])

    async def app(self, name: str) -> Application:
        """Return one application."""
        return await self._ask(calls.application(name), Application)

    async def create_app(
        self, name: str, *, input_type: str, default: Any = None, slo_ms: float | None = None
    ) -> Application:
        """Create an application: a name that answers queries, once a model is linked to it."""
        call = wanted.new_application(name, input_type, default, slo_ms)
        return await self._ask(call, Application)

    async def delete_app(self, name: str) -> None:
        """Remove an application; its models stay."""
        await self._do(calls.delete_application(name))

    async def link(self, app: str, model: str) -> None:
        """Have a model answer an application's queries."""
        await self._do(calls.link(app, model))

    async def unlink(self, app: str, model: str) -> None:
        """Take a model away from an application."""
        await self._do(calls.unlink(app, model))

    async def set_default_app(self, name: str | None) -> None:
        """Have paths without a name answer for an application; None: for none but the only one."""
        await self._do(calls.set_default_application(name))

    async def routes(self) -> list[Route]:
        """Return the further paths of applications."""
        return await self._ask(calls.routes(), list[Route])

    async def add_route(
        self,
        route: str,
        app: str,
        *,
        takes: str | None = None,
        gives: str | None = None,
        batch: bool = False,
    ) -> Route:
        """Have an application answer at a further path, as in "POST /score"."""
        return await self._ask(wanted.new_route(route, app, takes, gives, is_batch=batch), Route)

    async def delete_route(self, route: str) -> None:
        """Remove a further path, as in "POST /score"."""
        await self._do(calls.delete_route(*wanted.method_and_path(route)))

    # --- models ---

    async def models(self) -> list[Model]:
        """Return the models with their versions."""
        return await self._ask(calls.models(), list[Model])

    async def model(self, name: str) -> Model:
        """Return one model with its versions."""
        return await self._ask(calls.model(name), Model)

    async def versions(self, name: str) -> list[Version]:
        """Return the versions of a model, oldest first."""
        return list((await self.model(name)).versions)

    async def set_version(self, name: str, version: str | int) -> VersionName:
        """Make a version of a model the current one."""
        return await self._ask(calls.rollback(name, str(version)), VersionName, CHANGE_TIMEOUT_S)

    async def rollback(self, name: str) -> VersionName:
        """Make the version before the current one of a model current."""
        return await self._ask(calls.rollback(name), VersionName, CHANGE_TIMEOUT_S)

    async def scale(self, name: str, replicas: int, version: str | int | None = None) -> Version:
        """Set how many replicas a version of a model has; None: the current one."""
        return await self._ask(
            calls.scale(name, replicas, named(version)), Version, CHANGE_TIMEOUT_S
        )

    async def delete_model(
        self, name: str, version: str | int | None = None, *, force: bool = False
    ) -> None:
        """Remove a model or one version of it; `force`: also what answers queries."""
        await self._do(calls.delete_model(name, named(version), is_forced=force), 60.0)

    async def replicas(self) -> list[Replica]:
        """Return the replicas: states, rates, latencies, memory."""
        return await self._ask(calls.replicas(), list[Replica])

    async def events(self) -> AsyncIterator[Happening]:
        """Yield what happens to applications, versions and replicas; see `Client.events`."""
        admin = await self._admin()
        async for line in admin.lines(calls.events(), SILENCE_S):
            if line:
                yield value_of(json.loads(line), Happening)

    async def logs(
        self,
        name: str = "daemon",
        *,
        version: str | int | None = None,
        replica: int | None = None,
        lines: int = 100,
        follow: bool = False,
    ) -> AsyncIterator[str]:
        """Yield what a model's replicas have logged, an application's, or the "daemon" itself."""
        which = LogsWanted(
            lines=lines, version=named(version), replica=replica, is_following=follow
        )
        admin = await self._admin()
        # Nothing may be logged for hours.
        silence_s = None if follow else self.timeout_s
        try:
            async for line in admin.lines(calls.logs(name, which), silence_s):
                yield line
        except NotFoundError:
            linked = () if version else await self._linked_models(name)
            if not linked:
                raise
            for one in linked:
                call = calls.logs(one, replace(which, version=None))
                async for line in admin.lines(call, silence_s):
                    yield line

    async def _linked_models(self, name: str) -> tuple[str, ...]:
        try:
            return (await self.app(name)).linked_models
        except NotFoundError:
            return ()

    # --- queries ---

    async def query_address(self) -> str:
        """Return where queries are answered, as "host:port"."""
        return (await self._connected()).address

    async def _connected(self) -> AsyncConnections:
        async with self._connecting:
            if self._connections is None:
                status = await self.status()
                parts = urlsplit(query_base(status.query_url, self._blocking.admin_url))
                host, port = parts.hostname or "localhost", parts.port or 80
                address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                self._connections = AsyncConnections(
                    address, lambda: asyncio.open_connection(host, port), self.config.token
                )
            return self._connections

    async def predict(
        self,
        app: str,
        input: Any,  # noqa: A002 - the query API's own word
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Return an application's prediction for one input."""
        return await self._run(self._queries.predict(app, input, named(version)), timeout_s)

    async def predict_batch(
        self,
        app: str,
        inputs: Any,
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> list[Prediction]:
        """Return the predictions for several inputs, in their order."""
        return await self._run(self._queries.predict_batch(app, inputs, named(version)), timeout_s)

    async def stream(
        self,
        app: str,
        input: Any,  # noqa: A002 - as above
        *,
        version: str | int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Any]:
        """Yield what a model yields for one input, as it comes; of any other model its one output.

        Close the iterator to stop the model (`contextlib.aclosing`).
        """
        request = stream_request(app, input, named(version))
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        throttle = self._queries.admit(app)
        connections = await self._connected()
        async with connections.sending(request, silence_s=limit_s) as (reading, pieces):
            items = Items(app, reading.answer, self._queries, throttle)
            async for piece in pieces:
                for item in items.feed(piece):
                    yield item
            for item in items.finish():
                yield item

    async def metrics(self) -> dict[str, Any]:
        """Return the daemon's counters and latencies."""
        answer = await self._run(self._queries.sending(Request("GET", "/metrics")), None)
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def _run(self, steps: Steps[T], timeout_s: float | None) -> T:
        """Do what a query's steps say, and return what it comes to."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        deadline_s = asyncio.get_running_loop().time() + limit_s
        try:
            step = next(steps)
            while True:
                try:
                    came = await self._step(step, deadline_s)
                except ServdError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(came)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _step(self, step: Send | Wait, deadline_s: float) -> Answer | None:
        left_s = max(deadline_s - asyncio.get_running_loop().time(), 1e-3)
        if isinstance(step, Wait):
            await asyncio.sleep(min(step.seconds, left_s))
            return None
        try:
            return await (await self._connected()).exchange(step.request, left_s)
        except LostError as error:
            if not error.is_sent:
                # A daemon that was started anew may answer at another port.
                await self.close()
            raise


def _in_loop(on_event: OnEvent | None) -> OnEvent | None:
    """Return what calls a function in the event loop, from whichever thread."""
    if on_event is None:
        return None
    loop = asyncio.get_running_loop()

    def tell(event: DeployEvent) -> None:
        loop.call_soon_threadsafe(on_event, event)

    return tell
