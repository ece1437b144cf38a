"""What `servd build` does. Loaded when it is run: what images are made with comes along.

Which version and which applications go into an image, pure functions say over the registry's state;
`BuildProgress` tells how a build goes, in lines for people or in one JSON document.
"""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from servd.cli.additions import take_additions, tell_packages
from servd.cli.bundle_source import BundleSource, frontend_base, model_base
from servd.cli.output import Output
from servd.cli.session import Session
from servd.client.registry_reader import read_registry, with_values
from servd.datatypes import Application, ModelVersion, RegistryState, RouteRule, VersionId
from servd.deploying.plan import find_bundled
from servd.errors import ConflictError, ModelNotFoundError, NotFoundError, did_you_mean
from servd.imaging.answers import applications_of, routes_of
from servd.imaging.build_log import Report, Step
from servd.imaging.context import clear, content_of, packages_of, write_context
from servd.imaging.naming import Kind, checked_registry, checked_tag, image_name
from servd.imaging.spec import ImageSpec
from servd.registry import rules
from servd.registry.limits import threads_of
from servd.system.docker_client import connect


def build(session: Session, /, target: str | None, context: Path | None, **flags: Any) -> None:
    """Build what the flags say, or write what it would be built from."""
    if context is not None and flags["push"]:
        raise click.UsageError("--push and --context-only contradict each other")
    flags["is_tried"] = context is None
    with _specification(session, target, flags) as spec:
        if flags["push"] and "/" not in spec.tag:
            raise click.UsageError(
                f"--push needs a registry, and {spec.tag} names none: --registry"
            )
        if context is not None:
            _write_context(session, spec, context, is_forced=flags["force"])
        else:
            _build(session, spec, is_pushed=flags["push"])


def _build(session: Session, spec: ImageSpec, *, is_pushed: bool) -> None:
    client = connect()
    from servd.imaging.builder import Builder  # noqa: PLC0415 - needs the extra that connect wants

    progress = BuildProgress(session.output, spec)
    progress.on_packages(tell_packages(session.output, [packages_of(spec)]))
    limit_s = session.config.load_timeout_s + session.config.test_timeout_s
    builder = Builder(client, trial_s=limit_s)
    try:
        builder.build(spec, progress)
        for name in (*spec.also, spec.tag) if is_pushed else ():
            progress.on_pushed(name, builder.push(name, progress))
    finally:
        session.output.settle()
        client.close()
    progress.finish(spec.example())


def _write_context(session: Session, spec: ImageSpec, folder: Path, *, is_forced: bool) -> None:
    clear(folder, is_forced=is_forced)
    write_context(spec, folder)
    progress = BuildProgress(session.output, spec)
    progress.on_packages(tell_packages(session.output, [packages_of(spec)]))
    progress.on_context(str(folder))
    progress.finish(None)


@contextmanager
def _specification(
    session: Session, target: str | None, flags: dict[str, Any]
) -> Iterator[ImageSpec]:
    """Yield what to build, with its bundle at hand."""
    kind: Kind | None = flags["kind"]
    base = flags["base_image"] or session.config.base_image
    common = {
        "platform": flags["platform"],
        "threads": flags["threads"] or 1,
        "additions": take_additions(flags, session.config),
    }
    if kind == "frontend":
        if target is not None:
            raise click.UsageError("a front end is of no model: leave TARGET out")
        yield _named(ImageSpec(kind=kind, tag="", base_image=frontend_base(base), **common), flags)
        return
    if target is None:
        raise click.UsageError("name a MODEL[:VERSION] or an APP, or say --kind frontend")
    state = read_registry(session.config, session.admin_url)
    chosen = choose(state, target, kind)
    bundles = BundleSource(session.config.bundles_dir, session.client())
    with bundles.bundle(chosen.version) as bundle:
        spec = ImageSpec(
            kind=chosen.kind,
            tag="",
            base_image=flags["base_image"] or model_base(chosen.version, bundle, base),
            version=chosen.version,
            applications=chosen.applications if chosen.kind == "standalone" else (),
            routes=chosen.routes if chosen.kind == "standalone" else (),
            bundle_dir=bundle,
            environments=session.config.environments_dir,
            **common | {"threads": flags["threads"] or threads_of(chosen.version)},
        )
        if chosen.version.env_vars and flags["is_tried"]:
            spec = _with_variables(session, spec, state)
        yield _named(spec, flags)


def _with_variables(session: Session, spec: ImageSpec, state: RegistryState) -> ImageSpec:
    """Return the specification with the variables that its image is tried with; say what of it."""
    version = spec.version
    if version is None:
        return spec
    known = with_values(state, session.config, session.admin_url).variables
    names = ", ".join(version.env_vars)
    session.output.warning(
        f"the image has no values of {names}: give them to whoever runs it (docker run -e "
        f"{version.env_vars[0]})"
    )
    return replace(spec, variables=known.get(version.id, {}))


def _named(spec: ImageSpec, flags: dict[str, Any]) -> ImageSpec:
    """Return the specification with its name; by default also with the one that exports want."""
    registry, tag = flags["registry"], flags["tag"]
    if tag is None:
        version = spec.version.id if spec.version else None
        lasting = image_name(spec.kind, version, registry, content_of(spec))
        return replace(spec, tag=image_name(spec.kind, version, registry), also=(lasting,))
    prefix = f"{checked_registry(registry)}/" if registry else ""
    return replace(spec, tag=checked_tag(f"{prefix}{tag.removeprefix(prefix)}"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an image is of. `kind` is what was asked for, or what the target is best for."""

    kind: Kind
    version: ModelVersion
    applications: tuple[Application, ...]
    routes: tuple[RouteRule, ...] = ()


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
    return replace(found, applications=(app, *others))


def _of_version(state: RegistryState, version_id: VersionId, kind: Kind) -> Chosen:
    version = find_bundled(state, version_id)
    apps = applications_of(state, version)
    return Chosen(kind, version, apps, routes_of(state, apps))


def _current(state: RegistryState, model: str) -> VersionId:
    current = state.current.get(model)
    if current is None:
        known = ", ".join(f"{model}:{version}" for version in rules.versions_of(state, model))
        raise NotFoundError(f"{model} has no current version", hint=known and f"name one: {known}")
    return VersionId(model, current)


_SHOWN: Final = 60
_SHORT_ID: Final = 12
_LAYERS: Final = ("FROM", "RUN", "COPY")
"""The instructions that take time; the others only describe."""


class BuildProgress(Report):
    """Hears of each step in order and writes it."""

    def __init__(self, output: Output, spec: ImageSpec) -> None:
        self._output = output
        self._spec = spec
        self._document: dict[str, Any] = {"image": spec.tag, "kind": spec.kind}
        if spec.also:
            self._document["images"] = [spec.tag, *spec.also]
        if spec.version is not None:
            self._document |= {"model": spec.version.model, "version": spec.version.version}

    def on_packages(self, said: list[str]) -> None:
        """Keep for programs what was said of packages that no index has."""
        if said:
            self._document["warnings"] = said

    def on_begin(self, step: Step) -> None:
        """Show which step goes on."""
        self._output.working(f"{step.number}/{step.total} {step.summary[:_SHOWN]}")

    def on_step(self, step: Step) -> None:
        """Say that a step is done."""
        if step.instruction.startswith(_LAYERS):
            cached = "  (cached)" if step.is_cached else ""
            shown = f"{step.number}/{step.total} {step.summary[:_SHOWN]}"
            self._output.step("step", f"{shown}{cached}")
        if step.number == step.total:
            self._output.working("running the image and its test call")

    def on_built(self, image_id: str, *, is_cached: bool) -> None:
        """Say that there is an image."""
        self._document |= {"id": image_id, "cached": is_cached}
        known = "  (nothing had changed)" if is_cached else ""
        self._output.step("built", f"{short(image_id)}{known}")
        self._output.working("running the image and its test call")

    def on_tried(self, detail: str, duration_s: float) -> None:
        """Say that it has answered, and so what it is called."""
        self._document["tested"] = detail
        self._output.step("tested", detail, duration_s * 1000)
        for name in (self._spec.tag, *self._spec.also):
            self._output.step("tagged", name)

    def on_pushing(self, reference: str, attempt: int, error: str) -> None:
        """Show that a push goes on, and why it is another attempt."""
        if attempt > 1:
            self._output.warning(f"the push failed ({error}); attempt {attempt}")
        self._output.working(f"pushing {reference}")

    def on_pushed(self, reference: str, digest: str) -> None:
        """Say that the registry has it."""
        self._document["digest"] = digest
        self._output.step("pushed", f"{reference} {digest}".rstrip())

    def on_context(self, folder: str) -> None:
        """Say that only the context was written."""
        self._document["context"] = folder
        self._output.step("written", folder)
        if self._spec.additions.has_secrets:
            self._output.warning(f"{folder}/pip.conf holds the password of an index; images do not")
        self._output.line(f"  docker build -t {self._spec.tag} {folder}")

    def finish(self, example: Any) -> None:
        """Write the document in JSON mode, else what to do next."""
        self._output.settle()
        if self._output.is_json:
            self._output.document(self._document)
        elif self._spec.kind == "standalone" and "id" in self._document:
            port = self._spec.port
            ready = f"http://127.0.0.1:{port}/readyz"
            self._output.line(f"  docker run --rm -d -p {port}:{port} {self._spec.tag}")
            self._output.line(f"  curl -fsS --retry 60 --retry-delay 1 --retry-all-errors {ready}")
            if self._spec.version is not None and self._spec.version.web is not None:
                self._output.line(f"  curl http://127.0.0.1:{port}/")
            elif example is not None:  # the image has just answered it
                body = json.dumps({"input": example}, separators=(",", ":"))
                self._output.line(f"  curl -d {shlex.quote(body)} http://127.0.0.1:{port}/predict")


def short(image_id: str) -> str:
    """Return an image's id as Docker shows it."""
    return image_id.removeprefix("sha256:")[:_SHORT_ID]
