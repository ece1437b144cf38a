"""Clipper's management REST API, `/admin/*`, which `clipper_admin` calls. Used by admin.py.

Paths, bodies, statuses and wordings are Clipper's (develop, 2020). Two things differ on purpose:
every request is answered, and what was acknowledged is in force. The input type `any` is accepted
besides Clipper's five.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from servd.datatypes import (
    NO_CONTAINER,
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    ReplicaState,
    ReplicaStatus,
    VersionId,
)
from servd.errors import (
    ApplicationNotFoundError,
    InvalidValueError,
    LinkError,
    NotFoundError,
    UnknownInputTypeError,
)
from servd.http.admin.clipper_json import Body, body
from servd.http.admin.problems import json_answer, read_body
from servd.http.admin.services import Services
from servd.registry import rules

_Call = Callable[[dict[str, Any]], Awaitable[Any]]
_CONNECTED: Final = {ReplicaState.READY, ReplicaState.UNHEALTHY, ReplicaState.DRAINING}

_VERBOSE = body(verbose="bool")
_NAME = body(name="string")
_APP = body(app_name="string")
_MODEL = body(model_name="string", model_version="string")
_LINKS = body(app_name="string", model_names="strings")
_CONTAINER = body(model_name="string", model_version="string", replica_id="int")
_STATE = body(app_name="string", uid="int")
_ADD_APP = body(
    name="string", input_type="input_type", default_output="string", latency_slo_micros="int"
)
_ADD_MODEL = Body(
    {
        "model_name": "string",
        "model_version": "string",
        "labels": "[string]",
        "input_type": "input_type",
        "container_name": "string",
        "model_data_path": "string",
        "batch_size": "int",
    },
    # Clients older than 0.4 send no batch_size.
    {"batch_size": -1},
)


class ClipperApi:
    """The handlers. `add_to` puts them on the admin server's router."""

    def __init__(self, services: Services) -> None:
        self._registry = services.registry
        self._deployer = services.deployer
        self._supervisor = services.supervisor

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all routes; admin.py calls it once."""
        calls: dict[str, tuple[Body, _Call]] = {
            "add_app": (_ADD_APP, self._add_app),
            "delete_app": (_NAME, self._delete_app),
            "add_model": (_ADD_MODEL, self._add_model),
            "set_model_version": (_MODEL, self._set_model_version),
            "delete_versioned_model": (_MODEL, self._delete_versioned_model),
            "add_model_links": (_LINKS, self._add_model_links),
            "delete_model_links": (_LINKS, self._delete_model_links),
            "get_all_applications": (_VERBOSE, self._get_all_applications),
            "get_application": (_NAME, self._get_application),
            "get_linked_models": (_APP, self._get_linked_models),
            "get_all_models": (_VERBOSE, self._get_all_models),
            "get_model": (_MODEL, self._get_model),
            "get_all_containers": (_VERBOSE, self._get_all_containers),
            "get_container": (_CONTAINER, self._get_container),
            "get_state": (_STATE, self._get_state),
        }
        router.add_get("/admin/ping", _ping)
        for name, (shape, call) in calls.items():
            router.add_post(f"/admin/{name}", _handler(shape, call))

    @property
    def _state(self) -> RegistryState:
        return self._registry.state

    async def _add_app(self, given: dict[str, Any]) -> str:
        app = Application(
            name=given["name"],
            input_type=_input_type(given["input_type"]),
            slo_us=given["latency_slo_micros"],
            default_output=given["default_output"],
        )
        await self._deployer.register_application(app)
        return f"Successfully added application with name '{app.name}'"

    async def _delete_app(self, given: dict[str, Any]) -> str:
        await self._deployer.remove_application(given["name"])
        return f"Successfully deleted application with name '{given['name']}'"

    async def _add_model(self, given: dict[str, Any]) -> str:
        version = ModelVersion(
            model=given["model_name"],
            version=given["model_version"],
            input_type=_input_type(given["input_type"]),
            labels=tuple(given["labels"]),
            container_name=given["container_name"],
            model_data_path=given["model_data_path"],
            max_batch=given["batch_size"],
        )
        rules.check_max_batch(version.max_batch)
        await self._deployer.register_version(version)
        return (
            f"Successfully added model with name '{version.model}' "
            f"and input type '{version.input_type}'"
        )

    async def _set_model_version(self, given: dict[str, Any]) -> str:
        model, version = given["model_name"], given["model_version"]
        await self._deployer.set_current(model, version)
        return f"Successfully set model with name '{model}' to version '{version}'"

    async def _delete_versioned_model(self, given: dict[str, Any]) -> str:
        model, version = given["model_name"], given["model_version"]
        await self._deployer.remove_version(model, version, is_forced=True)
        return f"Successfully deleted model with name '{model}' and version '{version}'"

    async def _add_model_links(self, given: dict[str, Any]) -> str:
        app, models = given["app_name"], given["model_names"]
        rules.application_to_link(self._state, app)
        for model in models:
            rules.check_linkable(self._state, app, model)
        if not models:
            raise LinkError(
                "Please provide the name of the model that you want to link to the "
                f"application '{app}'"
            )
        if len(models) > 1:
            raise LinkError(
                "Applications must be linked with at most one model. "
                f"Attempted to add links to {len(models)} models."
            )
        await self._deployer.link(app, models[0])
        return f"Successfully linked model with name '{models[0]}' to application '{app}'"

    async def _delete_model_links(self, given: dict[str, Any]) -> str:
        app, models = given["app_name"], dict.fromkeys(given["model_names"])
        if app not in self._state.applications:
            raise NotFoundError(f"No app with name {app} exists.")
        for model in models:
            rules.check_linked(self._state, app, model)
        for model in models:
            await self._deployer.unlink(app, model)
        return "Success!"

    async def _get_all_applications(self, given: dict[str, Any]) -> list[Any]:
        apps = self._state.applications
        return [self._application(app) for app in apps.values()] if given["verbose"] else [*apps]

    async def _get_application(self, given: dict[str, Any]) -> dict[str, Any]:
        app = self._state.applications.get(given["name"])
        return {} if app is None else self._application(app)

    async def _get_linked_models(self, given: dict[str, Any]) -> list[str]:
        name = given["app_name"]
        if name not in self._state.applications:
            message = f"No application with name '{name}' exists."
            raise ApplicationNotFoundError(name, message=message)
        return list(self._state.links.get(name, ()))

    async def _get_all_models(self, given: dict[str, Any]) -> list[Any]:
        versions = self._state.versions
        if not given["verbose"]:
            return [str(version_id) for version_id in versions]
        return [self._model(version) for version in versions.values()]

    async def _get_model(self, given: dict[str, Any]) -> dict[str, Any]:
        version_id = VersionId(given["model_name"], given["model_version"])
        version = self._state.versions.get(version_id)
        return {} if version is None else self._model(version)

    async def _get_all_containers(self, given: dict[str, Any]) -> list[Any]:
        replicas = self._replicas()
        if given["verbose"]:
            return [self._container(replica) for replica in replicas]
        return [f"{replica.model}:{replica.version}:{replica.replica}" for replica in replicas]

    async def _get_container(self, given: dict[str, Any]) -> dict[str, Any]:
        wanted = (given["model_name"], given["model_version"], given["replica_id"])
        for replica in self._replicas():
            if (replica.model, replica.version, replica.replica) == wanted:
                return self._container(replica)
        return {}

    async def _get_state(self, given: dict[str, Any]) -> str:
        """Clipper's one policy has no state but its default output, whoever the user is."""
        app = self._state.applications.get(given["app_name"])
        if app is None:
            message = f"No application with name '{given['app_name']}' exists."
            raise ApplicationNotFoundError(given["app_name"], message=message)
        return app.default_output or ""

    def _replicas(self) -> list[ReplicaStatus]:
        connected = [status for status in self._supervisor.statuses() if status.state in _CONNECTED]
        return sorted(connected, key=lambda status: (status.model, status.version, status.replica))

    def _application(self, app: Application) -> dict[str, Any]:
        return {
            "input_type": app.input_type,
            "default_output": app.default_output or "",
            "latency_slo_micros": app.slo_us,
            "name": app.name,
            "linked_models": self._state.links.get(app.name, ()),
        }

    def _model(self, version: ModelVersion) -> dict[str, Any]:
        return {
            "model_name": version.model,
            "model_version": version.version,
            "input_type": version.input_type,
            "labels": version.labels,
            "container_name": _container_name(version),
            "model_data_path": version.model_data_path,
            "is_current_version": self._state.current.get(version.model) == version.version,
        }

    def _container(self, replica: ReplicaStatus) -> dict[str, Any]:
        version = self._state.versions.get(VersionId(replica.model, replica.version))
        return {
            "model_id": f"{replica.model}:{replica.version}",
            "model_name": replica.model,
            "model_version": replica.version,
            "model_replica_id": replica.replica,
            "input_type": "" if version is None else version.input_type,
        }


def _container_name(version: ModelVersion) -> str:
    """Return what stands for a version's image: Clipper's clients change the number of replicas
    only of one that has any.
    """
    if version.container_name != NO_CONTAINER or not version.is_runnable:
        return version.container_name
    return version.image or str(version.id)


def _handler(shape: Body, call: _Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        answer = await call(shape.parse(await read_body(request)))
        return _text(answer) if isinstance(answer, str) else json_answer(answer)

    return handle


async def _ping(_request: web.Request) -> web.Response:
    return _text("PONG")


def _text(text: str) -> web.Response:
    # Clipper labels every answer as JSON, and its clients look at the status only.
    return web.Response(text=text, content_type="application/json")


def _input_type(word: str) -> InputType:
    try:
        return InputType.parse(word)
    except UnknownInputTypeError as error:
        # The text of the answer is all that a Clipper client shows, so the hint is in it.
        raise InvalidValueError(f"{error.message}; {error.hint}") from error
