"""What a deployment would change, worked out and checked before anything is launched.

Pure functions over the registry's state. Used by deployer.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from model_runtime.manifest import AUTO
from model_runtime.signature import Signature
from servd.clock import wall_s
from servd.datatypes import (
    NO_CONTAINER,
    Application,
    DeployRequest,
    InputType,
    ModelVersion,
    RegistryState,
    VersionId,
)
from servd.deploying.asked import check_request
from servd.errors import ConflictError, InvalidValueError, TypeMismatchError, VersionExistsError
from servd.quantities import counted, longer_objective_s, shown_duration
from servd.registry import rules
from servd.schemas.compiled import compiled
from servd.schemas.faults import Faults

DEFAULT_SLO_US = 100_000
_SAME = (
    *("bundle", "labels", "max_batch", "batch_wait_us", "batching", "runtime", "image"),
    *("memory_bytes", "cpus", "gpus", "device", "threads", "is_cached"),
)
"""What a version has of its request."""
_AGAIN = (*_SAME, "env_vars", "input_type")
"""What one that is deployed again must have as before; the bundle is told first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The version to bring up, and the application to make or change, if any.

    `is_known`: that very version exists already, so there is no new one. `is_current`: it is the
    current one, though no version was named. `replicas` is how many were asked for, if any were.
    Where the type `is_open`, what is loaded has yet to say what it takes (`settle`).
    """

    version: ModelVersion
    app: Application | None
    is_known: bool
    is_current: bool = False
    replicas: int | None = None
    is_open: bool = False


def plan_deploy(
    state: RegistryState,
    request: DeployRequest,
    declared_type: str | None,
    image_digest: str | None = None,
) -> Plan:
    """Return the plan of a deployment.

    `declared_type` is the input type that its files or its image say, `image_digest` which image
    its name stands for.

    Raises:
        ServdError: any of the registry's rules refuses it; the error says which.
    """
    check_request(request)
    is_open = (request.input_type or declared_type) == AUTO
    version = _version(state, request, declared_type, image_digest)
    names = _AGAIN[:-1] if is_open else _AGAIN
    current = _current_again(state, request, version, names)
    if current is None:
        _check_source(state, request)
    version = current or version
    app = _application(state, request, version.input_type)
    rules.check_new_names(state, version, app)
    rules.check_max_batch(version.max_batch)
    known = state.versions.get(version.id)
    if known is not None:
        _check_same(state, request, known, version, names)
        version = known
    plan = Plan(
        version,
        app,
        is_known=known is not None,
        is_current=current is not None,
        replicas=request.replicas,
        is_open=is_open and known is None,
    )
    if not plan.is_open:
        _check_types(state, plan)
    return plan


def settle(
    state: RegistryState, plan: Plan, signature: Signature | None, call_ms: float | None = None
) -> Plan:
    """Return the plan with what the loaded version says of its inputs and outputs.

    `call_ms` is how long one call of it took, where a new application's objective is to fit that.

    Raises:
        TypeMismatchError: an application that it is to answer takes something else.
        InvalidValueError: it does not say what it takes, and nobody else did.
    """
    version, app = plan.version, plan.app
    if plan.is_open and signature is None:
        raise unsaid(version.id)
    kind = version.input_type
    if signature is not None and plan.is_open:
        kind = InputType.parse(signature.input_type)
    signature = None if signature is None else _without_lies(signature)
    version = msgspec.structs.replace(version, input_type=kind, signature=signature)
    if app is not None and app.name not in state.applications:
        app = msgspec.structs.replace(app, input_type=kind, slo_us=_objective_us(app, call_ms))
    settled = replace(plan, version=version, app=app, is_open=False)
    _check_types(state, settled)
    return settled


def learnt(version: ModelVersion, signature: Signature | None) -> ModelVersion | None:
    """Return a version with what a replica of it says, where it was deployed before any did.

    None where nothing is to be learnt, or where it says that it takes inputs of another type.
    """
    if version.signature is not None or signature is None:
        return None
    if signature.input_type != version.input_type:
        return None
    return msgspec.structs.replace(version, signature=_without_lies(signature))


def as_web(plan: Plan, web: str | None) -> Plan:
    """Return the plan with what the loaded version says of the kind of web application it is."""
    return replace(plan, version=msgspec.structs.replace(plan.version, web=web))


def unsaid(version_id: VersionId) -> InvalidValueError:
    """Return the error for a loaded version of which nobody says what it takes."""
    return InvalidValueError(
        f"{version_id} does not say what its inputs are", hint="--input-type doubles, for example"
    )


def chosen_objective(plan: Plan, settled: Plan, call_ms: float | None) -> str | None:
    """Return in words that a new application's objective was chosen by the time of a call."""
    if plan.app is None or settled.app is None or plan.app.slo_us == settled.app.slo_us:
        return None
    objective = shown_duration(settled.app.slo_us / 1e6)
    return (
        f"the objective of {settled.app.name} is {objective}, as one call of the model took "
        f"{call_ms:.0f} ms when it was tested; --slo sets another"
    )


def _without_lies(signature: Signature) -> Signature:
    """Return a signature whose example, if it has one, is an input that queries may have.

    The model has answered it; how it would come is known here only.
    """
    faults = Faults()
    if signature.has_example:
        compiled(signature).check(signature.example, ("example",), faults)
    return replace(signature, has_example=False, example=None) if faults else signature


def _objective_us(app: Application, call_ms: float | None) -> int:
    """Return the objective of a new application: its own, unless no call would be in time."""
    if call_ms is None or 3000 * call_ms <= app.slo_us:
        return app.slo_us
    return round(longer_objective_s(call_ms) * 1e6)


def _check_types(state: RegistryState, plan: Plan) -> None:
    """Raise TypeMismatchError where an application that is to be answered takes something else."""
    rules.check_linked_type(state, plan.version)
    if plan.app is not None:
        _check_link(state, plan.app, plan.version)


def to_retire(state: RegistryState, model: str, before: str | None, warm: int) -> list[str]:
    """Return the versions of a model whose replicas are to end now that a new one is current.

    `warm` versions keep theirs: the current one, the one that was current `before` it, then the
    newest.
    """
    first = [state.current.get(model), before]
    newest = [*reversed(rules.versions_of(state, model))]
    order = dict.fromkeys(name for name in (*first, *newest) if name is not None)
    running = [name for name in order if state.versions[VersionId(model, name)].replicas]
    return sorted(running[warm:], key=newest.index, reverse=True)


def changes_beside(state: RegistryState, plan: Plan) -> list[str]:
    """Return in words what the deployment of a known version changes all the same, if anything."""
    app, version = plan.app, plan.version
    words = []
    if plan.is_current and plan.replicas not in (None, version.replicas):
        words.append(f"it has {counted(plan.replicas or 0, 'replica')} now")
    known = None if app is None else state.applications.get(app.name)
    if app is None or known is None:
        return [*words, f"the application {app.name} is new"] if app is not None else words
    if version.model not in state.links.get(app.name, ()):
        words.append(f"the application {app.name} is answered by it now")
    if app.default_output != known.default_output:
        before = "there was none" if known.default_output is None else f"was {known.default_output}"
        words.append(f"the default output of {app.name} is {app.default_output} now ({before})")
    if app.slo_us != known.slo_us:
        objectives = f"{app.slo_us / 1000:g} ms now (was {known.slo_us / 1000:g} ms)"
        words.append(f"the objective of {app.name} is {objectives}")
    return words


def next_version(state: RegistryState, model: str) -> str:
    """Return the whole number after the largest that a version of the model has; else 1."""
    numbers = [int(v) for v in rules.versions_of(state, model) if v.isascii() and v.isdigit()]
    return str(max(numbers, default=0) + 1)


def previous_version(state: RegistryState, model: str) -> str:
    """Return the newest version that is older than the current one.

    Raises:
        ConflictError: there is none.
    """
    known = rules.versions_of(state, model)
    current = state.current.get(model)
    older = known[: known.index(current)] if current in known else known
    if not older:
        raise ConflictError(
            f"{model} has no version before {current}", hint=f"servd model show {model}"
        )
    return older[-1]


def _version(
    state: RegistryState,
    request: DeployRequest,
    declared_type: str | None,
    image_digest: str | None,
) -> ModelVersion:
    input_type = request.input_type or declared_type
    if input_type is None:
        raise InvalidValueError(
            f"the image {request.image} does not say what its inputs are",
            hint="--input-type doubles, for example",
        )
    # Until what is loaded says what it takes, any type will do.
    input_type = InputType.DOUBLES if input_type == AUTO else input_type
    return ModelVersion(
        model=request.model,
        version=request.version or next_version(state, request.model),
        input_type=InputType.parse(str(input_type)),
        replicas=1 if request.replicas is None else request.replicas,
        created_s=wall_s(),
        container_name=request.container_name or NO_CONTAINER,
        image_digest=image_digest,
        env_vars=tuple(sorted(request.env_vars)),
        **{name: getattr(request, name) for name in _SAME},
    )


def _application(
    state: RegistryState, request: DeployRequest, input_type: InputType
) -> Application | None:
    if request.app is None:
        return None
    changes: dict[str, Any] = {}
    if request.default_output is not None:
        changes["default_output"] = request.default_output
    if request.slo_us is not None:
        changes["slo_us"] = request.slo_us
    known = state.applications.get(request.app)
    if known is not None:
        return msgspec.structs.replace(known, **changes)
    settings = {"slo_us": DEFAULT_SLO_US, **changes}
    return Application(name=request.app, input_type=input_type, **settings)


def _current_again(
    state: RegistryState, request: DeployRequest, wanted: ModelVersion, names: Sequence[str]
) -> ModelVersion | None:
    """Return the current version where it is the very thing that is deployed, under no name.

    What an image's name stands for may have changed, so it is the image's digest that counts.
    """
    current = state.versions.get(VersionId(wanted.model, state.current.get(wanted.model, "")))
    if current is None or request.version is not None:
        return None
    if request.image is not None and wanted.image_digest is None:
        return None
    names = (*names, "image_digest")
    is_same = all(getattr(current, name) == getattr(wanted, name) for name in names)
    return current if is_same and not _has_other_values(state, request, current) else None


def _has_other_values(state: RegistryState, request: DeployRequest, known: ModelVersion) -> bool:
    """Return whether a version's variables have other values than are asked for."""
    return state.variables.get(known.id, {}) != request.env_vars


def _check_source(state: RegistryState, request: DeployRequest) -> None:
    """Refuse to replace a model of another file whose name this one merely happens to have.

    Raises:
        ConflictError: it names both files, and how to mean either.
    """
    model = request.model
    source = state.sources.get(VersionId(model, state.current.get(model, "")))
    if request.is_name_given or request.source in {None, source} or source is None:
        return
    raise ConflictError(
        f"{model} was deployed from {source}, and this is {request.source}",
        hint=f"--name OTHER makes another model, --name {model} the next version of that one",
    )


def _check_same(
    state: RegistryState,
    request: DeployRequest,
    known: ModelVersion,
    wanted: ModelVersion,
    names: Sequence[str],
) -> None:
    """Refuse another thing under a version's name: in `names`, or in its variables' values."""
    differs = [name for name in names if getattr(known, name) != getattr(wanted, name)]
    differs = ["variables" if name == "env_vars" else name for name in differs]
    if _has_other_values(state, request, known):
        differs.append("variables")
    # Versions of an older servd do not say which image it was.
    if known.image_digest is not None and known.image_digest != wanted.image_digest:
        differs.append("image")
    if differs:
        what = (
            "files"
            if differs[0] == "bundle"
            else differs[0].removesuffix("_bytes").removeprefix("is_").replace("_", "-")
        )
        free = next_version(state, known.model)
        raise VersionExistsError(
            known.model,
            known.version,
            hint=f"its {what} differ from what you deploy now; "
            f"leave --version out or give a new one: --version {free}",
        )


def _check_link(state: RegistryState, app: Application, version: ModelVersion) -> None:
    if app.input_type is not version.input_type:
        raise TypeMismatchError(
            f"application '{app.name}' takes {app.input_type}, "
            f"{version.id} takes {version.input_type}",
            hint=f"--input-type {app.input_type}, or another application: --app NAME",
        )
    if version.model not in state.links.get(app.name, ()):
        # As it will be: the version is there and current, the application exists.
        future = rules.with_current(rules.with_version(state, version), version)
        rules.check_link(rules.with_application(future, app), app.name, version.model)


def find_runnable(state: RegistryState, version_id: VersionId) -> ModelVersion:
    """Return a version that servd can run replicas of.

    Raises:
        VersionNotFoundError: there is no such version.
        ConflictError: it was only registered.
    """
    found = rules.find_version(state, version_id)
    if not found.is_runnable:
        raise ConflictError(
            f"{version_id} is a containerless model: it was registered, not deployed, "
            "so servd has nothing to run"
        )
    return found


def find_bundled(state: RegistryState, version_id: VersionId) -> ModelVersion:
    """Return a version whose files servd has.

    Raises:
        VersionNotFoundError: there is no such version.
        ConflictError: it was only registered, or is an image without files.
    """
    found = find_runnable(state, version_id)
    if found.bundle is None:
        raise ConflictError(
            f"{version_id} is the image {found.image}: servd does not have its files",
            hint="use that image as it is",
        )
    return found
