"""servd's own admin API, `/api/v1`: what the CLI calls. Used by admin.py.

Every change is in force when it is answered.
"""

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Final

import msgspec
import psutil
from aiohttp import web

from servd import __version__, names
from servd.clock import Clock, monotonic
from servd.config import settings_of
from servd.datatypes import (
    Application,
    DeployEvent,
    DeployRequest,
    InputType,
    ReplicaStatus,
    RouteRule,
    VersionId,
)
from servd.deploying.bundles import BundleStore
from servd.environments.store import Environments
from servd.errors import (
    ApplicationNotFoundError,
    InvalidValueError,
    ModelNotFoundError,
    ServdError,
    VersionNotFoundError,
)
from servd.http.admin import api_models as models
from servd.http.admin.api_environments import EnvironmentsApi
from servd.http.admin.api_events import EventsApi
from servd.http.admin.api_logs import LogsApi
from servd.http.admin.deployments import Deployments, Events, error_event
from servd.http.admin.environment_names import EnvironmentNames
from servd.http.admin.guard import is_unix
from servd.http.admin.openapi import CALLS, NDJSON, PREFIX, document
from servd.http.admin.problems import (
    BODY_TIMEOUT_S,
    Handler,
    RequestRefusedError,
    is_asked,
    json_answer,
    read_struct,
)
from servd.http.admin.services import Services
from servd.logs.audit import actor
from servd.logs.log import log
from servd.registry import rules
from servd.registry.snapshot import pack_state
from servd.system.ports import base_url

_SIGN_OF_LIFE_S: Final = 5.0
_CHUNK_BYTES: Final = 256 * 1024


class Api:
    """The handlers, one a call of openapi.CALLS. `add_to` puts them on the router."""

    def __init__(
        self,
        services: Services,
        deployments: Deployments,
        logs: LogsApi,
        events: EventsApi,
        environments: EnvironmentsApi,
        clock: Clock = monotonic,
    ) -> None:
        self._services = services
        self._deployer = services.deployer
        self._registry = services.registry
        self._deployments = deployments
        self._logs = logs
        self._events = events
        self._environments = environments
        made = Environments(services.config.environments_dir)
        self._names = EnvironmentNames(services.bundles, made)
        self._clock = clock
        self._started_s = clock()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all routes; admin.py calls it once."""
        handlers: dict[str, Handler] = {
            "getStatus": self._status,
            "getRegistry": self._get_registry,
            "readVariables": self._read_variables,
            "listApplications": self._list_applications,
            "createApplication": self._create_application,
            "getApplication": self._get_application,
            "deleteApplication": self._delete_application,
            "getDefault": self._get_default,
            "setDefault": self._set_default,
            "link": self._link,
            "unlink": self._unlink,
            "listRoutes": self._list_routes,
            "addRoute": self._add_route,
            "deleteRoute": self._delete_route,
            "listModels": self._list_models,
            "getModel": self._get_model,
            "deleteModel": self._delete_model,
            "getVersion": self._get_version,
            "deleteVersion": self._delete_version,
            "scaleVersion": self._scale,
            "scaleModel": self._scale,
            "rollback": self._rollback,
            "hasBundle": self._has_bundle,
            "getBundle": self._get_bundle,
            "putBundle": self._put_bundle,
            "deploy": self._deploy,
            "listReplicas": self._list_replicas,
            "listen": self._events.events,
            "getDaemonLog": self._logs.daemon,
            "getLogs": self._logs.model,
            "shutdown": self._shutdown,
            "getOpenapi": self._openapi,
            **self._environments.handlers(),
        }
        for call in CALLS:
            router.add_route(call.method, PREFIX + call.path, handlers[call.name])

    async def _status(self, _request: web.Request) -> web.Response:
        config, state = self._services.config, self._registry.state
        return json_answer(
            models.StatusView(
                version=__version__,
                pid=os.getpid(),
                uptime_s=self._clock() - self._started_s,
                query_url=base_url(config.bind, config.query_port),
                admin_url=base_url(config.bind, config.admin_port),
                admin_socket=str(config.admin_socket),
                data_dir=str(config.data_dir),
                applications=len(state.applications),
                models=len(rules.model_names(state)),
                replicas=len(self._services.supervisor.statuses()),
                memory_bytes=psutil.Process().memory_info().rss,
                loading=self._services.deployer.loading,
                building=sorted(map(str, self._services.supervisor.doing())),
                python=platform.python_version(),
                prefix=sys.prefix,
                has_token=config.token is not None,
                settings=settings_of(config),
            )
        )

    async def _get_registry(self, _request: web.Request) -> web.Response:
        return json_answer(pack_state(self._registry.state))

    async def _read_variables(self, request: web.Request) -> web.Response:
        """Tell what else nobody is told: no GET, and not through a port, whatever token it has."""
        if not is_unix(request):
            raise RequestRefusedError(
                403,
                "the values of variables are told through the daemon's unix socket only",
                hint="on its machine, as its user and without --admin",
            )
        known = self._registry.state.variables
        log.info("values of variables of %s read by %s", ", ".join(map(str, known)), actor.get())
        return json_answer({str(version_id): values for version_id, values in known.items()})

    async def _list_applications(self, _request: web.Request) -> web.Response:
        state, config = self._registry.state, self._services.config
        apps = state.applications.values()
        return json_answer([models.application_view(app, state, config) for app in apps])

    async def _create_application(self, request: web.Request) -> web.Response:
        given = await read_struct(request, models.ApplicationRequest)
        names.check_application_name(given.name)
        rules.check_slo(given.slo_us)
        if given.policy != "default":
            raise InvalidValueError(
                f"'{given.policy}' is not a selection policy", hint="there is one: default"
            )
        app = Application(
            name=given.name,
            input_type=InputType.parse(given.input_type),
            slo_us=given.slo_us,
            default_output=given.default_output,
        )
        await self._deployer.register_application(app, given.linked_models)
        return self._application(app.name, 201)

    async def _get_application(self, request: web.Request) -> web.Response:
        return self._application(request.match_info["name"])

    async def _delete_application(self, request: web.Request) -> web.Response:
        await self._deployer.remove_application(request.match_info["name"])
        return web.Response(status=204)

    async def _get_default(self, _request: web.Request) -> web.Response:
        return self._default()

    async def _set_default(self, request: web.Request) -> web.Response:
        given = await read_struct(request, models.DefaultRequest)
        await self._deployer.set_default(given.name)
        return self._default()

    def _default(self) -> web.Response:
        state = self._registry.state
        return json_answer(models.DefaultView(state.root_app, state.default_app is not None))

    async def _link(self, request: web.Request) -> web.Response:
        app, model = request.match_info["name"], request.match_info["model"]
        if model not in self._registry.state.links.get(app, ()):
            await self._deployer.link(app, model)
        return web.Response(status=204)

    async def _unlink(self, request: web.Request) -> web.Response:
        await self._deployer.unlink(request.match_info["name"], request.match_info["model"])
        return web.Response(status=204)

    async def _list_routes(self, _request: web.Request) -> web.Response:
        config, rules_of_paths = self._services.config, self._registry.state.routes.values()
        return json_answer([models.route_view(rule, config) for rule in rules_of_paths])

    async def _add_route(self, request: web.Request) -> web.Response:
        given = await read_struct(request, models.RouteRequest)
        path = given.path.rstrip("/") if len(given.path) > 1 else given.path
        rule = RouteRule(**msgspec.structs.asdict(given) | {"path": path})
        await self._deployer.add_route(rule)
        return json_answer(models.route_view(rule, self._services.config), 201)

    async def _delete_route(self, request: web.Request) -> web.Response:
        query = request.query
        await self._deployer.remove_route(query.get("method", ""), query.get("path", ""))
        return web.Response(status=204)

    async def _list_models(self, _request: web.Request) -> web.Response:
        state, statuses = self._registry.state, self._services.supervisor.statuses()
        known = rules.model_names(state)
        named = self._names.of
        return json_answer([models.model_view(name, state, statuses, named) for name in known])

    async def _get_model(self, request: web.Request) -> web.Response:
        name, state = request.match_info["name"], self._registry.state
        self._check_model(name)
        statuses = self._services.supervisor.statuses()
        return json_answer(models.model_view(name, state, statuses, self._names.of))

    async def _delete_model(self, request: web.Request) -> web.Response:
        self._check_model(request.match_info["name"])
        await self._deployer.remove_model(
            request.match_info["name"], is_forced=is_asked(request, "force")
        )
        return web.Response(status=204)

    async def _get_version(self, request: web.Request) -> web.Response:
        return self._version(request.match_info["name"], request.match_info["version"])

    async def _delete_version(self, request: web.Request) -> web.Response:
        await self._deployer.remove_version(
            request.match_info["name"],
            request.match_info["version"],
            is_forced=is_asked(request, "force"),
        )
        return web.Response(status=204)

    async def _scale(self, request: web.Request) -> web.Response:
        model, version = request.match_info["name"], request.match_info.get("version")
        given = await read_struct(request, models.ReplicasRequest)
        self._check_model(model)
        version = version or self._registry.state.current.get(model)
        if version is None:
            raise VersionNotFoundError(
                model,
                "",
                rules.versions_of(self._registry.state, model),
                message=f"{model} has no current version",
            )
        await self._deployer.scale(model, version, given.replicas)
        return self._version(model, version)

    async def _rollback(self, request: web.Request) -> web.Response:
        model = request.match_info["name"]
        given = await read_struct(request, models.RollbackRequest)
        self._check_model(model)
        version = await self._deployer.rollback(model, given.version)
        return json_answer(models.VersionName(model, version))

    async def _has_bundle(self, request: web.Request) -> web.Response:
        has = await self._services.bundles.is_sound(request.match_info["digest"])
        return web.Response(status=200 if has else 404)

    async def _get_bundle(self, request: web.Request) -> web.StreamResponse:
        return await _send_bundle(request, self._services.bundles)

    async def _put_bundle(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        is_new = await self._services.bundles.add(digest, _chunks_of(request))
        return json_answer(models.BundleView(digest), 201 if is_new else 200)

    async def _deploy(self, request: web.Request) -> web.StreamResponse:
        wait = request.query.get("wait", "true").lower() not in {"0", "false", "no"}
        given = await read_struct(request, DeployRequest)
        events = self._deployments.start(given)
        first = await events.get()
        # What is refused before anything begins is an ordinary error answer.
        if isinstance(first, ServdError):
            raise first
        if first is None:
            raise RequestRefusedError(503, "the daemon is stopping")
        if not wait:
            return json_answer(models.VersionName(first.model, first.version), 202)
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        with suppress(ConnectionError):
            await response.prepare(request)
            await _stream(response, first, given, events)
        return response

    async def _list_replicas(self, _request: web.Request) -> web.Response:
        self._services.engine.fold()
        rows = self._services.supervisor.statuses()
        return json_answer([self._with_environment(self._with_defaults(row)) for row in rows])

    def _with_environment(self, row: ReplicaStatus) -> ReplicaStatus:
        """Add what it runs in: its version's bundle says it."""
        version = self._registry.state.versions.get(VersionId(row.model, row.version))
        named = None if version is None else self._names.of(version)
        return row if named is None else msgspec.structs.replace(row, environment=named)

    def _with_defaults(self, row: ReplicaStatus) -> ReplicaStatus:
        """Add the objective and the share of default outputs: an application has them."""
        figures = self._services.engine
        name = row.application or ""
        application = figures.by_name.get(name)
        if application is None or self._registry.state.current.get(row.model) != row.version:
            return row
        ratio = application.counters.window(figures.clock()).default_ratio
        slo_ms = self._registry.state.applications[name].slo_us / 1000
        return msgspec.structs.replace(row, default_ratio=ratio, slo_ms=slo_ms)

    async def _shutdown(self, request: web.Request) -> web.Response:
        given = await read_struct(request, models.ShutdownRequest)
        if given.drain_s is not None and given.drain_s < 0:
            raise InvalidValueError("the time to drain must not be below 0")
        log.info("stop, asked by %s", actor.get())
        self._services.shutdown(given.drain_s)
        return json_answer({"state": "stopping"}, 202)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=document(), content_type="application/json")

    def _application(self, name: str, status: int = 200) -> web.Response:
        state = self._registry.state
        app = state.applications.get(name)
        if app is None:
            raise ApplicationNotFoundError(name, state.applications)
        return json_answer(models.application_view(app, state, self._services.config), status)

    def _version(self, model: str, version: str) -> web.Response:
        self._check_model(model)
        state = self._registry.state
        found = rules.find_version(state, VersionId(model, version))
        statuses = self._services.supervisor.statuses()
        return json_answer(models.version_view(found, state, statuses, self._names.of))

    def _check_model(self, name: str) -> None:
        known = rules.model_names(self._registry.state)
        if name not in known:
            raise ModelNotFoundError(name, known)


async def _stream(
    response: web.StreamResponse, first: DeployEvent, request: DeployRequest, events: Events
) -> None:
    version = first.version
    event: DeployEvent | ServdError | None = first
    while event is not None:
        if isinstance(event, ServdError):
            event = error_event(request, version, event)
        await response.write(msgspec.json.encode(event) + b"\n")
        event = await _next(response, events)


async def _next(response: web.StreamResponse, events: Events) -> DeployEvent | ServdError | None:
    while True:
        try:
            return await asyncio.wait_for(events.get(), _SIGN_OF_LIFE_S)
        except TimeoutError:
            # A client's read times out long before a large model is loaded.
            await response.write(b"\n")


async def _send_bundle(request: web.Request, bundles: BundleStore) -> web.StreamResponse:
    """Answer a bundle as an uncompressed tar, equal bytes for equal bundles.

    Raises:
        NotFoundError: there is none of that digest.
    """
    digest = request.match_info["digest"]
    async with bundles.packed(digest) as tar:
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(tar.size)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        chunks = tar.chunks()
        while chunk := await asyncio.to_thread(_next_chunk, chunks):
            await response.write(chunk)
    return response


def _next_chunk(chunks: Iterator[bytes]) -> bytes:
    # Between two files there may be nothing to fill up.
    return next((chunk for chunk in chunks if chunk), b"")


async def _chunks_of(request: web.Request) -> AsyncIterator[bytes]:
    """Yield an upload piece by piece.

    Raises:
        RequestRefusedError: it does not come in time, or cannot be read.
    """
    while True:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                chunk = await request.content.read(_CHUNK_BYTES)
        except TimeoutError as error:
            raise RequestRefusedError(408, "the bundle did not arrive in time") from error
        except web.RequestPayloadError as error:
            raise RequestRefusedError(400, f"the bundle cannot be read: {error}") from error
        if not chunk:
            return
        yield chunk
