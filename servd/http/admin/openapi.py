"""The calls of `/api/v1` and the OpenAPI 3.1 document that describes them. Used by api.py.

The router is built from the same table as the document, so neither has a call that the other has
not.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import msgspec

from servd import __version__
from servd.datatypes import DeployEvent, DeployRequest, ReplicaStatus
from servd.environments.listing import EnvironmentView
from servd.http.admin.api_models import (
    ApplicationRequest,
    ApplicationView,
    BundleView,
    DefaultRequest,
    DefaultView,
    ModelView,
    ProblemAnswer,
    ReplicasRequest,
    RollbackRequest,
    RouteRequest,
    RouteView,
    ShutdownRequest,
    StatusView,
    VersionName,
    VersionView,
)
from servd.registry.happenings import Happening
from servd.registry.snapshot import Registered

PREFIX: Final = "/api/v1"
NDJSON: Final = "application/x-ndjson"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_TAR: Final = "application/x-tar"
_REFERENCE: Final = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter with its JSON schema type."""

    name: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `answer` is a type, or a media type where it is not JSON; None is no content."""

    name: str
    method: str
    path: str
    text: str
    answer: Any = None
    status: int = 200
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    also: tuple[tuple[int, str, Any], ...] = ()


_LOG_PARAMETERS: Final = (
    Parameter("lines", "integer", "How many of the last lines; 100 if not given."),
    Parameter("follow", "boolean", "Go on with what is written later."),
)
_FORCE: Final = Parameter(
    "force", "boolean", "Also what answers an application, which then has none."
)
_ROUTE_PARAMETERS: Final = (
    Parameter("method", "string", "Its method."),
    Parameter("path", "string", "Its path."),
)
_APP, _MODEL = "/applications/{name}", "/models/{name}"
_ENVIRONMENT = "/environments/{key}"
_VERSION = f"{_MODEL}/versions/{{version}}"

CALLS: Final = (
    Call("getStatus", "GET", "/status", "The daemon's state.", StatusView),
    Call("getRegistry", "GET", "/registry", "All that is registered, for exports.", Registered),
    Call(
        "readVariables",
        "POST",
        "/variables",
        "The values of versions' variables, for exports: through the daemon's unix socket only.",
        dict[str, dict[str, str]],
    ),
    Call(
        "listApplications", "GET", "/applications", "All applications.", list[ApplicationView]
    ),
    Call(
        "createApplication",
        "POST",
        "/applications",
        "Make an application, and link a model to it.",
        ApplicationView,
        201,
        ApplicationRequest,
    ),
    Call("getApplication", "GET", _APP, "One application.", ApplicationView),
    Call("deleteApplication", "DELETE", _APP, "Remove an application and its links.", None, 204),
    Call(
        "getDefault",
        "GET",
        "/default-application",
        "The application that paths without a name answer for.",
        DefaultView,
    ),
    Call(
        "setDefault",
        "PUT",
        "/default-application",
        "Have paths without a name answer for an application; null: for none but the only one.",
        DefaultView,
        200,
        DefaultRequest,
    ),
    Call("link", "PUT", f"{_APP}/links/{{model}}", "Link a model, if it is not.", None, 204),
    Call("unlink", "DELETE", f"{_APP}/links/{{model}}", "Remove a link.", None, 204),
    Call("listRoutes", "GET", "/routes", "Further paths of applications.", list[RouteView]),
    Call(
        "addRoute",
        "POST",
        "/routes",
        "Have an application answer at a further path.",
        RouteView,
        201,
        RouteRequest,
    ),
    Call(
        "deleteRoute", "DELETE", "/routes", "Remove a route.", None, 204,
        parameters=_ROUTE_PARAMETERS,
    ),
    Call("listModels", "GET", "/models", "All models with their versions.", list[ModelView]),
    Call("getModel", "GET", _MODEL, "One model.", ModelView),
    Call(
        "deleteModel", "DELETE", _MODEL, "Remove a model, all versions and links.", None, 204,
        parameters=(_FORCE,),
    ),
    Call("getVersion", "GET", _VERSION, "One version of a model.", VersionView),
    Call(
        "deleteVersion", "DELETE", _VERSION, "Remove a version; links stay.", None, 204,
        parameters=(_FORCE,),
    ),
    Call(
        "scaleVersion",
        "PUT",
        f"{_VERSION}/replicas",
        "Have that many replicas of a version. Answers when they are ready.",
        VersionView,
        200,
        ReplicasRequest,
    ),
    Call(
        "scaleModel",
        "PUT",
        f"{_MODEL}/replicas",
        "Have that many replicas of the current version. Answers when they are ready.",
        VersionView,
        200,
        ReplicasRequest,
    ),
    Call(
        "rollback",
        "POST",
        f"{_MODEL}/rollback",
        "Make another version current, by default the one before. Answers when it serves.",
        VersionName,
        200,
        RollbackRequest,
    ),
    Call("hasBundle", "HEAD", "/bundles/{digest}", "Whether the daemon has a bundle."),
    Call(
        "getBundle", "GET", "/bundles/{digest}", "A bundle as an uncompressed tar.", _TAR
    ),
    Call(
        "putBundle",
        "PUT",
        "/bundles/{digest}",
        "Upload a bundle as an uncompressed tar. 200 where the daemon had it.",
        BundleView,
        201,
        _TAR,
        also=((200, "The daemon had it.", BundleView),),
    ),
    Call(
        "deploy",
        "POST",
        "/deployments",
        "Bring up a version and make it live. One event a line; the last is live, unchanged or "
        "error; an empty line now and then says that it goes on.",
        NDJSON,
        200,
        DeployRequest,
        (Parameter("wait", "boolean", "false: answer at once; it goes on in the background."),),
        also=((202, "With wait=false: the version; none while an image is pulled.", VersionName),),
    ),
    Call("listReplicas", "GET", "/replicas", "All replicas (servd ps).", list[ReplicaStatus]),
    Call(
        "listen",
        "GET",
        "/events",
        "What happens to applications, versions and replicas, one `Happening` a line as it comes; "
        "the first is listening, an empty line now and then says that it goes on.",
        NDJSON,
    ),
    Call(
        "getDaemonLog", "GET", "/logs/daemon", "The daemon's log.", _TEXT, 200, None,
        _LOG_PARAMETERS,
    ),
    Call(
        "getLogs",
        "GET",
        "/logs/{model}",
        "What a version's replicas print; with several, each line begins with its replica.",
        _TEXT,
        200,
        None,
        (
            *_LOG_PARAMETERS,
            Parameter("version", "string", "The current one if not given."),
            Parameter("replica", "integer", "All if not given."),
        ),
    ),
    Call(
        "listEnvironments",
        "GET",
        "/environments",
        "The environments that were built for models, and who uses them.",
        list[EnvironmentView],
    ),
    Call("getEnvironment", "GET", _ENVIRONMENT, "One environment.", EnvironmentView),
    Call(
        "deleteEnvironment",
        "DELETE",
        _ENVIRONMENT,
        "Remove an environment. The next launch of a version that uses it builds it anew.",
        EnvironmentView,
        parameters=(Parameter("force", "boolean", "Also one that versions use."),),
    ),
    Call(
        "pruneEnvironments",
        "POST",
        "/environments/prune",
        "Remove the environments that no version and no deployment uses; answers which.",
        list[EnvironmentView],
    ),
    Call("shutdown", "POST", "/shutdown", "Stop the daemon.", dict[str, str], 202, ShutdownRequest),
    Call("getOpenapi", "GET", "/openapi.json", "This document.", dict[str, Any]),
)  # fmt: skip


@cache
def document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON."""
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "servd",
                "version": __version__,
                "summary": "The admin API of a prediction server.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": PREFIX}],
            "paths": _paths(),
            "components": {
                "schemas": _components(),
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            # The empty alternative: the owner's processes need none on the unix socket, nor on
            # loopback where none is set.
            "security": [{}, {"token": []}],
        }
    )


def _types() -> list[Any]:
    """Return the types whose schemas the document has, once each, in the order of the calls."""
    found: list[Any] = [ProblemAnswer, DeployEvent, Happening]
    for call in CALLS:
        found += [call.answer, call.body, *(answer for _, _, answer in call.also)]
    return [kind for kind in found if kind is not None and not isinstance(kind, str)]


@cache
def _components() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(_types(), ref_template=_REFERENCE)
    return components


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    return schema


def _paths() -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return paths


def _operation(call: Call) -> dict[str, Any]:
    answers = [(call.status, call.text, call.answer), *call.also]
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.text,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", call.path)
        ]
        + [
            {
                "name": parameter.name,
                "in": "query",
                "description": parameter.text,
                "schema": {"type": parameter.kind},
            }
            for parameter in call.parameters
        ],
        "responses": {str(status): _answer(text, kind) for status, text, kind in answers},
    }
    operation["responses"]["default"] = _answer("Why it was refused.", ProblemAnswer)
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(call.body)}
    return operation


def _answer(text: str, kind: Any) -> dict[str, Any]:
    return {"description": text} | ({} if kind is None else {"content": _content(kind)})


def _content(kind: Any) -> dict[str, Any]:
    if kind == NDJSON:
        return {NDJSON: {"schema": _schema(DeployEvent)}}
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string"}}}
    return {_JSON: {"schema": _schema(kind)}}
