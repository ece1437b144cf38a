"""What is exported: applications, model versions with their images, the frontends' registry.

The CLI makes a `Snapshot` from the daemon's state; everything else here only reads it.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from k8s_adapter.errors import UnknownApplicationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A name that answers queries, and the models it is linked to."""

    name: str
    input_type: str
    slo_us: int
    default_output: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a model. `image` is the full reference that nodes pull; None: it has no image.

    `replicas` is the desired number; a version without an image was only registered, and its
    replicas, if any, are somebody else's.
    """

    model: str
    version: str
    input_type: str
    replicas: int = 1
    max_batch: int = -1
    batch_wait_us: int = 0
    batching: str = "aimd"
    bundle: str | None = None
    image: str | None = None
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    device: str | None = None
    threads: int | None = None
    env_vars: tuple[str, ...] = ()
    created_s: float = 0.0
    is_current: bool = False

    @property
    def key(self) -> str:
        """The "model:version" text by which frontends know it."""
        return f"{self.model}:{self.version}"

    @property
    def is_prebuilt(self) -> bool:
        """Whether it is an image by itself, of which only the replica protocol is known."""
        return self.image is not None and self.bundle is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A registry at one instant. `registry` is all of it as JSON, `Registered` of servd."""

    servd_version: str
    frontend_image: str
    applications: tuple[Application, ...] = ()
    versions: tuple[Version, ...] = ()
    registry: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deployable(self) -> tuple[Version, ...]:
        """The versions that can run on a cluster: those with an image."""
        return tuple(version for version in self.versions if version.image)

    def find_version(self, model: str, version: str) -> Version | None:
        """Return the version of that name, or None."""
        return next((v for v in self.versions if (v.model, v.version) == (model, version)), None)


def read_snapshot(
    registry: Mapping[str, Any],
    *,
    servd_version: str,
    frontend_image: str,
    images: Mapping[str, str],
) -> Snapshot:
    """Return the snapshot of a registry in JSON's terms.

    `images` maps "model:version" to the full reference of its replica image.

    Applications and versions are sorted by name, so that equal registries give equal output.
    """
    current = registry.get("current", {})
    links = registry.get("links", {})
    apps = (_application(raw, links) for raw in registry.get("applications", ()))
    versions = (_version(raw, current, images) for raw in registry.get("versions", ()))
    return Snapshot(
        servd_version=servd_version,
        frontend_image=frontend_image,
        applications=tuple(sorted(apps, key=lambda app: app.name)),
        versions=tuple(sorted(versions, key=lambda version: (version.model, version.version))),
        registry=_sorted_registry(registry),
    )


def select(snapshot: Snapshot, names: Iterable[str]) -> Snapshot:
    """Return the snapshot reduced to the applications of these names and what they are linked to.

    No names: the whole snapshot.

    Raises:
        UnknownApplicationError: a name that no application has.
    """
    wanted = set(names)
    if not wanted:
        return snapshot
    known = {app.name for app in snapshot.applications}
    for name in sorted(wanted - known):
        raise UnknownApplicationError(name, known)
    apps = tuple(app for app in snapshot.applications if app.name in wanted)
    models = {model for app in apps for model in app.models}
    return dataclasses.replace(
        snapshot,
        applications=apps,
        versions=tuple(v for v in snapshot.versions if v.model in models),
        registry=_reduced_registry(snapshot.registry, wanted, models),
    )


def warnings_of(snapshot: Snapshot) -> list[str]:
    """Return what the user should know about versions that are not exported as they are."""
    return [warning for version in snapshot.versions for warning in _warnings(version)]


def _warnings(version: Version) -> Iterator[str]:
    if not version.image:
        yield f"{version.key} is left out: it was only registered, without files or an image"
        return
    if version.gpus == "all":
        yield f"{version.key} gets one GPU: on a cluster, all GPUs are those of many machines"
    if version.device and ":" in version.device:
        yield f"{version.key} gets one GPU, which its node chooses, for {version.device}"
    if version.device == "auto":
        yield (
            f"{version.key} runs on processors: a cluster gives a GPU to what asks for one "
            "(--device cuda)"
        )
    if version.is_current and not version.replicas:
        yield f"{version.key} is current and scaled to 0: nothing answers for {version.model}"


def _application(raw: Mapping[str, Any], links: Mapping[str, Any]) -> Application:
    return Application(
        name=raw["name"],
        input_type=raw["input_type"],
        slo_us=raw["slo_us"],
        default_output=raw.get("default_output"),
        models=tuple(links.get(raw["name"], ())),
    )


def _version(
    raw: Mapping[str, Any], current: Mapping[str, str], images: Mapping[str, str]
) -> Version:
    own = {item.name for item in dataclasses.fields(Version)} - {"image", "is_current"}
    given = {name: value for name, value in raw.items() if name in own}
    given["env_vars"] = tuple(raw.get("env_vars", ()))
    return Version(
        **given,
        image=images.get(f"{raw['model']}:{raw['version']}") or raw.get("image"),
        is_current=current.get(raw["model"]) == raw["version"],
    )


def _sorted_registry(registry: Mapping[str, Any]) -> dict[str, Any]:
    """Sort what has no order of its own; an application's links keep theirs."""
    routes = registry.get("routes")
    return {
        **registry,
        "applications": sorted(registry.get("applications", ()), key=lambda app: app["name"]),
        "versions": sorted(
            registry.get("versions", ()), key=lambda raw: (raw["model"], raw["version"])
        ),
        "current": dict(sorted(registry.get("current", {}).items())),
        "links": dict(sorted(registry.get("links", {}).items())),
        **({"routes": sorted(routes, key=_place)} if routes else {}),
    }


def _place(rule: Mapping[str, Any]) -> tuple[str, str]:
    return rule["path"], rule["method"]


def _reduced_registry(
    registry: Mapping[str, Any], apps: set[str], models: set[str]
) -> dict[str, Any]:
    default = registry.get("default_app")
    routes = [rule for rule in registry.get("routes", ()) if rule["app"] in apps]
    rest = {key: value for key, value in registry.items() if key not in {"default_app", "routes"}}
    return {
        **rest,
        "applications": [app for app in registry["applications"] if app["name"] in apps],
        "versions": [raw for raw in registry["versions"] if raw["model"] in models],
        "current": {m: version for m, version in registry["current"].items() if m in models},
        "links": {app: linked for app, linked in registry["links"].items() if app in apps},
        **({"default_app": default} if default in apps else {}),
        **({"routes": routes} if routes else {}),
    }
