"""Which version and which applications go into an image: the words of `servd build`, resolved.

Pure functions over the registry's state. Used by build_body.py.
"""

from dataclasses import dataclass

from servd import names
from servd.datatypes import Application, ModelVersion, RegistryState, VersionId
from servd.deploying.plan import DEFAULT_SLO_US, find_bundled
from servd.errors import ConflictError, ModelNotFoundError, NotFoundError, did_you_mean
from servd.imaging.naming import Kind
from servd.registry import rules


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an image is of. `kind` is what was asked for, or what the target is best for."""

    kind: Kind
    version: ModelVersion
    applications: tuple[Application, ...]


def choose(state: RegistryState, target: str, kind: Kind | None) -> Chosen:
    """Return what `MODEL:VERSION`, `APP` or `MODEL` stands for.

    A version becomes a replica image, an application a standalone one, unless `kind` says.

    Raises:
        NotFoundError: there is nothing of that name.
        ConflictError: it has no version to build.
    """
    model, colon, version = target.partition(":")
    if colon:
        if model not in rules.model_names(state):
            raise ModelNotFoundError(model, rules.model_names(state))
        return _of_version(state, VersionId(model, version), kind or "replica")
    if target in state.applications:
        return _of_application(state, state.applications[target], kind or "standalone")
    if target in rules.model_names(state):
        return _of_version(state, _current(state, target), kind or "replica")
    known = [*state.applications, *rules.model_names(state)]
    raise NotFoundError(
        f"there is no application or model '{target}'",
        hint=did_you_mean(target, known) or "servd app ls and servd model ls list what there is",
    )


def _of_application(state: RegistryState, app: Application, kind: Kind) -> Chosen:
    linked = state.links.get(app.name, ())
    if not linked:
        raise ConflictError(
            f"application '{app.name}' has no model", hint=f"servd app link {app.name} MODEL"
        )
    found = _of_version(state, _current(state, linked[0]), kind)
    others = (other for other in found.applications if other.name != app.name)
    return Chosen(kind, found.version, (app, *others))


def _of_version(state: RegistryState, version_id: VersionId, kind: Kind) -> Chosen:
    version = find_bundled(state, version_id)
    linked = (name for name, models in state.links.items() if version.model in models)
    apps = [state.applications[name] for name in sorted(linked)]
    # The one that is called like the model comes first.
    apps.sort(key=lambda app: app.name != version.model)
    fitting = tuple(app for app in apps if app.input_type is version.input_type)
    return Chosen(kind, version, fitting or (_application_of(version),))


def _application_of(version: ModelVersion) -> Application:
    """Return the application of a model that has none: called like it, where that may be."""
    is_reserved = version.model in names.RESERVED_APPLICATIONS
    name = f"{version.model}-app" if is_reserved else version.model
    return Application(name=name, input_type=version.input_type, slo_us=DEFAULT_SLO_US)


def _current(state: RegistryState, model: str) -> VersionId:
    current = state.current.get(model)
    if current is None:
        known = ", ".join(f"{model}:{version}" for version in rules.versions_of(state, model))
        raise NotFoundError(f"{model} has no current version", hint=known and f"name one: {known}")
    return VersionId(model, current)
