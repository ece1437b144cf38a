"""The registry's rules as pure functions over its state. Used by registry.py and http/.

A `check_` raises where a change is refused, in the words of Clipper's REST API where it has any;
a `with_` returns the changed state.
"""

from typing import TypeVar

import msgspec

from servd.clock import wall_s
from servd.datatypes import (
    ADAPTIVE_BATCH,
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    Variables,
    VersionId,
)
from servd.errors import (
    ApplicationNotFoundError,
    ConflictError,
    InvalidValueError,
    LinkError,
    ModelNotFoundError,
    NotFoundError,
    TypeMismatchError,
    VersionExistsError,
    VersionNotFoundError,
)
from servd.names import (
    check_application_name,
    check_loose_version,
    check_model_name,
    check_version_name,
)
from servd.registry import store
from servd.registry.routes import check_not_routed, check_not_web
from servd.registry.store import Change

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

MAX_SLO_US = 24 * 3600 * 1_000_000


def find_version(state: RegistryState, version_id: VersionId) -> ModelVersion:
    """Return a version.

    Raises:
        VersionNotFoundError: there is none of that identity.
    """
    found = state.versions.get(version_id)
    if found is None:
        raise VersionNotFoundError(*version_id, versions_of(state, version_id.model))
    return found


def input_type_of(state: RegistryState, model: str) -> InputType | None:
    """Return the type of a model's current (else newest) version; None where it has no version."""
    current = state.versions.get(VersionId(model, state.current.get(model, "")))
    if current is not None:
        return current.input_type
    known = versions_of(state, model)
    return state.versions[VersionId(model, known[-1])].input_type if known else None


def versions_of(state: RegistryState, model: str) -> list[str]:
    """Return the versions of a model, oldest first."""
    return [version_id.version for version_id in state.versions if version_id.model == model]


def model_names(state: RegistryState) -> dict[str, None]:
    """Return the names of all models that have a version, oldest first."""
    return dict.fromkeys(version_id.model for version_id in state.versions)


def find_for_pointer(state: RegistryState, model: str, version: str) -> ModelVersion:
    """Return the version that is to become current, or raise in Clipper's words."""
    known = versions_of(state, model)
    if not known:
        message = f"Cannot set version for nonexistent model '{model}'"
        raise ModelNotFoundError(model, model_names(state), message=message)
    if version not in known:
        message = f"Cannot set non-existent version '{version}' for model with name '{model}'"
        raise VersionNotFoundError(model, version, known, message=message)
    return state.versions[VersionId(model, version)]


def check_slo(slo_us: int) -> None:
    """Raise unless servd may give an application that objective."""
    if not 1 <= slo_us <= MAX_SLO_US:
        raise InvalidValueError(
            f"{slo_us} µs is not a latency objective",
            hint="it is more than 0 and at most a day; a number without a unit is seconds on the "
            "command line: write 100ms or 100000us",
        )


def check_new_names(state: RegistryState, version: ModelVersion, app: Application | None) -> None:
    """Raise where a deployment would make something whose name servd would not give.

    What a Clipper client has made keeps its name, so it can be deployed to.
    """
    if version.model not in model_names(state):
        check_model_name(version.model)
    check_version_name(version.version)
    check_loose_version(version.model, version.version, version.labels)
    if app is not None:
        check_slo(app.slo_us)
        if app.name not in state.applications:
            check_application_name(app.name)
            check_not_routed(state, app.name)


def check_max_batch(max_batch: int) -> None:
    """Raise unless that is a batch limit."""
    if max_batch != ADAPTIVE_BATCH and max_batch < 1:
        raise InvalidValueError(
            "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"
        )


def check_linked_type(state: RegistryState, version: ModelVersion) -> None:
    """Raise where an application that the model is linked to takes what the version does not."""
    for name, models in state.links.items():
        wanted = state.applications[name].input_type
        if version.model in models and wanted is not version.input_type:
            raise TypeMismatchError(
                f"Model with name '{version.model}' is already linked to app '{name}' using "
                f"input type '{wanted}'. The input type you provided for a new version of the "
                f"model, '{version.input_type}', is not compatible.",
                hint=f"--name another, or servd rm {version.model} first",
            )
        if version.model in models:
            check_not_web(state, name, version)


def check_link_type(state: RegistryState, app: Application, model: str) -> None:
    """Raise where the application and the model have different input types."""
    input_type = input_type_of(state, model)
    if input_type is not None and input_type is not app.input_type:
        raise TypeMismatchError(
            f"Model with name '{model}' has incompatible input_type '{input_type}'. "
            f"Requested app to link to has input_type '{app.input_type}'."
        )


def application_to_link(state: RegistryState, app_name: str) -> Application:
    """Return the application that a model is to be linked to, or raise in Clipper's words."""
    app = state.applications.get(app_name)
    if app is None:
        message = f"No app with name '{app_name}' exists."
        raise ApplicationNotFoundError(app_name, state.applications, message=message)
    return app


def check_linkable(state: RegistryState, app_name: str, model: str) -> None:
    """Raise unless application and model exist and have the same input type."""
    app = application_to_link(state, app_name)
    if input_type_of(state, model) is None:
        raise ModelNotFoundError(model, model_names(state))
    check_link_type(state, app, model)


def check_link(state: RegistryState, app_name: str, model: str) -> None:
    """Raise unless the model may be linked to the application."""
    check_linkable(state, app_name, model)
    linked = state.links.get(app_name, ())
    if model in linked:
        raise LinkError(f"The model with name '{model}' is already linked to '{app_name}'")
    if linked:
        raise LinkError(
            f"A model with name {linked[0]} is already linked to '{app_name}'",
            hint=f"servd app unlink {app_name} {linked[0]}",
        )


def check_linked(state: RegistryState, app: str, model: str) -> None:
    """Raise unless the model is linked to the application."""
    if model not in state.links.get(app, ()):
        raise NotFoundError(f"Cannot remove nonexistent link between app {app} and model {model}")


def answered_by(state: RegistryState, model: str) -> list[str]:
    """Return the applications that a model is linked to."""
    return [app for app, linked in state.links.items() if model in linked]


def check_version_unused(state: RegistryState, version_id: VersionId) -> None:
    """Raise where removing a version would leave its model without a current one.

    Raises:
        ConflictError: it is the current version; names the applications that it answers.
    """
    model, version = version_id
    if state.current.get(model) != version:
        return
    apps = answered_by(state, model)
    known = versions_of(state, model)
    others = [other for other in known if other != version]
    older = known[: known.index(version)] if version in known else []
    step = f"servd rollback {model} {(older or others)[-1]} first, or " if others else ""
    answers = f" and answers {', '.join(apps)}" if apps else ""
    raise ConflictError(
        f"{version_id} is the current version{answers}", hint=f"{step}--force removes it"
    )


def check_model_unused(state: RegistryState, model: str) -> None:
    """Raise where removing a model would leave an application without one.

    Raises:
        ConflictError: it is linked to applications; names them.
    """
    apps = answered_by(state, model)
    if apps:
        raise ConflictError(
            f"{model} answers {', '.join(apps)}",
            hint=f"servd app unlink {apps[0]} {model} first, or --force removes it",
        )


def version_added(
    state: RegistryState, version: ModelVersion
) -> tuple[list[Change], RegistryState]:
    """Return the changes and the state that add a new version and make it current."""
    check_max_batch(version.max_batch)
    if version.id in state.versions:
        raise VersionExistsError(version.model, version.version)
    check_linked_type(state, version)
    if not version.created_s:
        version = msgspec.structs.replace(version, created_s=wall_s())
    changes = [store.put_version(version), store.put_current(version.id)]
    return changes, with_current(with_version(state, version), version)


def application_linked(
    state: RegistryState, app: Application, model: str
) -> tuple[list[Change], RegistryState]:
    """Return the changes and the state that add or replace an application and link it."""
    changes = [store.put_application(app)]
    new = with_application(state, app)
    check_link_type(new, app, model)
    if model not in new.links.get(app.name, ()):
        check_link(new, app.name, model)
        changes.append(store.put_link(app.name, model))
        new = with_link(new, app.name, model)
    return changes, new


def with_application(state: RegistryState, app: Application) -> RegistryState:
    """Return the state with the application added or replaced."""
    return msgspec.structs.replace(state, applications={**state.applications, app.name: app})


def with_version(state: RegistryState, version: ModelVersion) -> RegistryState:
    """Return the state with the version added or replaced."""
    return msgspec.structs.replace(state, versions={**state.versions, version.id: version})


def with_source(state: RegistryState, version_id: VersionId, source: str) -> RegistryState:
    """Return the state that knows which file a version came from."""
    return msgspec.structs.replace(state, sources={**state.sources, version_id: source})


def with_variables(
    state: RegistryState, version_id: VersionId, variables: Variables
) -> RegistryState:
    """Return the state that has the values of a version's variables."""
    return msgspec.structs.replace(state, variables={**state.variables, version_id: variables})


def without_version(state: RegistryState, version_id: VersionId) -> RegistryState:
    """Return the state less a version and all that is known of it; its model's links stay."""
    is_current = state.current.get(version_id.model) == version_id.version
    return msgspec.structs.replace(
        state,
        versions=without(state.versions, version_id),
        sources=without(state.sources, version_id),
        variables=without(state.variables, version_id),
        current=without(state.current, version_id.model) if is_current else state.current,
    )


def with_current(state: RegistryState, version: ModelVersion) -> RegistryState:
    """Return the state in which that version is its model's current one."""
    return msgspec.structs.replace(state, current={**state.current, version.model: version.version})


def with_link(state: RegistryState, app: str, model: str) -> RegistryState:
    """Return the state with the link added."""
    links = {**state.links, app: (*state.links.get(app, ()), model)}
    return msgspec.structs.replace(state, links=links)


def without_links(links: dict[str, tuple[str, ...]], model: str) -> dict[str, tuple[str, ...]]:
    """Return the links less those to a model; an application without any is not in them."""
    kept = {app: tuple(name for name in linked if name != model) for app, linked in links.items()}
    return {app: linked for app, linked in kept.items() if linked}


def without(mapping: dict[_Key, _Value], key: _Key) -> dict[_Key, _Value]:
    """Return the mapping less one key."""
    return {kept: value for kept, value in mapping.items() if kept != key}
