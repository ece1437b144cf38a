"""The JSON of `/api/v1`: what calls take and answer. Used by api.py and described by openapi.py."""

from collections.abc import Callable
from typing import Any

import msgspec

from servd.config import Config
from servd.datatypes import (
    Application,
    Batching,
    InputType,
    ModelVersion,
    RegistryState,
    ReplicaState,
    ReplicaStatus,
    RouteRule,
    VersionId,
)
from servd.deploying.plan import DEFAULT_SLO_US
from servd.registry.rules import versions_of
from servd.system.ports import base_url


class Problem(msgspec.Struct, frozen=True):
    """Why a call failed. `code` is stable and for programs, `hint` is what to do next."""

    code: str
    message: str
    hint: str
    traceback: str


class ProblemAnswer(msgspec.Struct, frozen=True):
    """The body of every answer whose status is 400 or above."""

    error: Problem


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon. The counts are of what is registered, and of replicas that exist.

    `loading` are the current versions that its start is still bringing up, `building` versions
    whose environments are being built. `python` is the version that it runs in, `prefix` the folder
    of its environment.

    `settings` are those that it runs with, by the names that flags and servd.toml have; durations
    in seconds, sizes in bytes. The token is not among them, only whether there is one.
    """

    version: str
    pid: int
    uptime_s: float
    query_url: str
    admin_url: str
    admin_socket: str
    data_dir: str
    applications: int
    models: int
    replicas: int
    memory_bytes: int
    has_token: bool
    loading: list[str]
    building: list[str]
    python: str
    prefix: str
    settings: dict[str, str | int | float | bool | list[str] | None]


class ApplicationView(msgspec.Struct, frozen=True, kw_only=True):
    """An application with its links and where it answers; also at paths without a name where it
    `is_default`.
    """

    name: str
    input_type: InputType
    default_output: str | None
    slo_us: int
    policy: str
    linked_models: tuple[str, ...]
    query_url: str
    is_default: bool


class ApplicationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An application to make, and the model to link to it. Input types may be given by alias."""

    name: str
    input_type: str = "doubles"
    default_output: str | None = None
    slo_us: int = DEFAULT_SLO_US
    policy: str = "default"
    linked_models: tuple[str, ...] = ()


class DefaultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The application that paths without a name are to answer for; null: none is chosen."""

    name: str | None


class DefaultView(msgspec.Struct, frozen=True):
    """The application that paths without a name answer for: the one that `is_chosen`, or the only
    one; null: there is none.
    """

    name: str | None
    is_chosen: bool


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """A further path at which an application answers; see `RouteRule`."""

    method: str
    path: str
    app: str
    takes: str | None
    gives: str | None
    is_batch: bool
    query_url: str


class RouteRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route to make: `takes` and `gives` are keys of bodies, null: a body is the value itself."""

    method: str
    path: str
    app: str
    takes: str | None = None
    gives: str | None = None
    is_batch: bool = False


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model. `replicas` are wanted, `ready` are there. `source` is the file that it
    was deployed from, where that is known, `signature` what it says of its inputs and outputs.
    `env_vars` are the names of its variables; their values are never told. `limits` says what its
    replicas may use and by what they are kept to it, where one runs. `environment` is what it runs
    in, null: servd's own environment.
    """

    model: str
    version: str
    input_type: InputType
    labels: tuple[str, ...]
    container_name: str
    max_batch: int
    batch_wait_us: int
    batching: Batching
    bundle: str | None
    runtime: str
    image: str | None
    image_digest: str | None
    memory_bytes: int | None
    cpus: float | None
    gpus: str | None
    replicas: int
    ready: int
    is_current: bool
    created_s: float
    source: str | None
    signature: dict[str, Any] | None
    is_cached: bool
    device: str | None
    threads: int | None
    env_vars: tuple[str, ...]
    limits: tuple[str, ...]
    environment: str | None


class ModelView(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its versions, oldest first."""

    name: str
    current_version: str | None
    versions: list[VersionView]


class ReplicasRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many replicas are wanted."""

    replicas: int


class RollbackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to go to; null is the one before the current."""

    version: str | None = None


class VersionName(msgspec.Struct, frozen=True):
    """A model and a version of it."""

    model: str
    version: str


class ShutdownRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long queries may take to end; null is the daemon's own setting."""

    drain_s: float | None = None


class BundleView(msgspec.Struct, frozen=True):
    """A stored bundle."""

    digest: str


def application_view(app: Application, state: RegistryState, config: Config) -> ApplicationView:
    """Return an application as the API shows it."""
    return ApplicationView(
        name=app.name,
        input_type=app.input_type,
        default_output=app.default_output,
        slo_us=app.slo_us,
        policy=app.policy,
        linked_models=state.links.get(app.name, ()),
        query_url=f"{base_url(config.bind, config.query_port)}/{app.name}/{_path(app, state)}",
        is_default=state.root_app == app.name,
    )


def _path(app: Application, state: RegistryState) -> str:
    """Return where an application is asked, below its name: a web application has its own paths."""
    models = state.links.get(app.name, ())
    ids = [VersionId(model, state.current[model]) for model in models if model in state.current]
    is_web = any(state.versions[version_id].web for version_id in ids)
    return "" if is_web else "predict"


def route_view(rule: RouteRule, config: Config) -> RouteView:
    """Return a route as the API shows it."""
    url = f"{base_url(config.bind, config.query_port)}{rule.path}"
    return RouteView(**msgspec.structs.asdict(rule), query_url=url)


def version_view(
    version: ModelVersion,
    state: RegistryState,
    statuses: list[ReplicaStatus],
    environment: Callable[[ModelVersion], str | None],
) -> VersionView:
    """Return a version as the API shows it; `environment` says what it runs in."""
    row: dict[str, Any] = {
        name: getattr(version, name)
        for name in VersionView.__struct_fields__
        if hasattr(version, name)
    }
    row["signature"] = None if version.signature is None else version.signature.as_json()
    return VersionView(
        **row,
        ready=sum(
            _is_of(status, version) and status.state is ReplicaState.READY for status in statuses
        ),
        limits=next((row.limits for row in statuses if _is_of(row, version) and row.limits), ()),
        is_current=state.current.get(version.model) == version.version,
        source=state.sources.get(version.id),
        environment=environment(version),
    )


def _is_of(status: ReplicaStatus, version: ModelVersion) -> bool:
    return (status.model, status.version) == version.id


def model_view(
    name: str,
    state: RegistryState,
    statuses: list[ReplicaStatus],
    environment: Callable[[ModelVersion], str | None],
) -> ModelView:
    """Return a model as the API shows it."""
    versions = (state.versions[VersionId(name, version)] for version in versions_of(state, name))
    return ModelView(
        name=name,
        current_version=state.current.get(name),
        versions=[version_view(version, state, statuses, environment) for version in versions],
    )
