"""From a registry and settings to the files of an export. Pure; used by both verbs.

Which image a version has is decided here; everything else is k8s_adapter's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from k8s_adapter.cluster import cluster_objects
from k8s_adapter.helm import cluster_chart, standalone_chart
from k8s_adapter.helm_schema import SERVICE_SUFFIX
from k8s_adapter.identity import Object
from k8s_adapter.names import check_service_name
from k8s_adapter.options import Options
from k8s_adapter.render import render_directory, render_kustomize, render_single_file
from k8s_adapter.snapshot import Snapshot, read_snapshot, select, warnings_of
from k8s_adapter.standalone import StandaloneApp, standalone_apps, standalone_objects
from servd import __version__
from servd.datatypes import ModelVersion, RegistryState, VersionId
from servd.errors import InvalidValueError
from servd.export.errors import NotExportableError, refusals
from servd.export.secrets import Secrets
from servd.export.settings import ExportSettings, Form, Shape, options_of
from servd.imaging.naming import image_name
from servd.registry.snapshot import pack_state

BUNDLE_LETTERS: Final = 12
FRONTEND_CONTENT: Final = ""
"""The key of the front end's image among those of versions."""

SINGLE: Final = ""
"""The name of the only file of an export that is one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An export that has not been written: files by path, the objects they hold, what to tell.

    `images` maps each reference that the export names to the version inside; None: a frontend's.
    """

    settings: ExportSettings
    options: Options
    files: Mapping[str, str]
    objects: Sequence[Object]
    images: Mapping[str, VersionId | None]
    applications: tuple[str, ...]
    service: str
    warnings: Sequence[str] = field(default_factory=list)


def plan_export(
    registry: RegistryState,
    settings: ExportSettings,
    secrets: Secrets,
    contents: Mapping[str, str] | None = None,
) -> Plan:
    """Return the export of a registry.

    `contents` says by "model:version" what is in a version's image (servd.imaging.context's
    `content_of`), and by `FRONTEND_CONTENT` what is in the front end's.

    Raises:
        ServdError: there is nothing to export, an application is unknown, or an option is wrong.
    """
    with refusals():
        options = options_of(settings, secrets)
        contents = contents or {}
        snapshot = select(_snapshot(registry, settings, contents), settings.apps)
        if settings.shape is Shape.STANDALONE:
            return _plan_standalone(snapshot, settings, options, contents)
        _refuse_web(registry, snapshot)
        return _plan_cluster(snapshot, settings, options)


def _refuse_web(registry: RegistryState, snapshot: Snapshot) -> None:
    """Refuse web applications where front ends and replicas are apart, on several machines.

    Raises:
        NotExportableError: there is one; requests would travel unencrypted.
    """
    for version in snapshot.versions:
        found = registry.versions.get(VersionId(version.model, version.version))
        if found is not None and found.web is not None:
            raise NotExportableError(
                f"{found.id} is a web application, which runs in one image with what serves it",
                hint="servd export-k8s APPLICATION --standalone exports it so; others are exported "
                "by their names",
            )


def _snapshot(
    registry: RegistryState, settings: ExportSettings, contents: Mapping[str, str]
) -> Snapshot:
    where = settings.image_registry
    return read_snapshot(
        msgspec.to_builtins(pack_state(registry)),
        servd_version=__version__,
        frontend_image=image_name(
            "frontend", registry=where, content=contents.get(FRONTEND_CONTENT, "")
        ),
        images={
            str(version.id): image_name("replica", version.id, where, _content(version, contents))
            if version.bundle
            else _pinned(version)
            for version in registry.versions.values()
            if version.bundle or version.image
        },
    )


def _content(version: ModelVersion, contents: Mapping[str, str]) -> str:
    """Return what tells a version's image from others of its name; at least its bundle does."""
    return contents.get(str(version.id)) or str(version.bundle)[:BUNDLE_LETTERS]


def _pinned(version: ModelVersion) -> str:
    """Return the reference of an image that is a replica by itself: by digest, where one is known.

    Files that were mounted into an image get an image of their own instead.
    """
    digest = version.image_digest or ""
    return str(digest if "@" in digest else version.image)


def _plan_cluster(snapshot: Snapshot, settings: ExportSettings, options: Options) -> Plan:
    objects = cluster_objects(snapshot, options)
    files = (
        cluster_chart(objects, options, snapshot.servd_version)
        if settings.form is Form.HELM
        else _files(objects, settings)
    )
    images: dict[str, VersionId | None] = {snapshot.frontend_image: None}
    for version in snapshot.deployable:
        if version.bundle and version.image:
            images[version.image] = VersionId(version.model, version.version)
    return Plan(
        settings=settings,
        options=options,
        files=files,
        objects=objects,
        images=images,
        applications=tuple(app.name for app in snapshot.applications),
        service="query-frontend",
        warnings=[*warnings_of(snapshot), *_movable(snapshot)],
    )


def _movable(snapshot: Snapshot) -> Iterator[str]:
    """Yield that an image which is not servd's goes by a name that others may get."""
    for version in snapshot.deployable:
        if version.is_prebuilt and version.image and "@" not in version.image:
            yield (
                f"{version.key} runs {version.image}, a name that may be given to another image: "
                "push it and deploy it by digest (REPOSITORY@sha256:…)"
            )


def _plan_standalone(
    snapshot: Snapshot, settings: ExportSettings, options: Options, contents: Mapping[str, str]
) -> Plan:
    is_chart = settings.form is Form.HELM
    suffix = SERVICE_SUFFIX if is_chart else ""
    images = _standalone_images(snapshot, settings, contents)
    apps = standalone_apps(snapshot, images, service_suffix=suffix)
    _check_one(apps, settings)
    for app in apps:
        check_service_name("Service", app.service)
    objects = standalone_objects(apps, options)
    answered = {app.application for app in apps}
    return Plan(
        settings=settings,
        options=options,
        files=standalone_chart(apps[0], options) if is_chart else _files(objects, settings),
        objects=objects,
        images={app.image: VersionId(app.version.model, app.version.version) for app in apps},
        applications=tuple(app.application for app in apps),
        service=apps[0].service,
        warnings=[
            f"{app.name} is left out: it has no model with files"
            for app in snapshot.applications
            if app.name not in answered
        ]
        + [
            f"the application {app.application} is called {app.name} on the cluster"
            for app in apps
            if app.name != app.application
        ],
    )


def _standalone_images(
    snapshot: Snapshot, settings: ExportSettings, contents: Mapping[str, str]
) -> dict[str, str]:
    return {
        version.key: settings.image
        or image_name(
            "standalone",
            VersionId(version.model, version.version),
            settings.image_registry,
            contents.get(version.key) or version.bundle[:BUNDLE_LETTERS],
        )
        for version in snapshot.versions
        if version.bundle
    }


def _check_one(apps: Sequence[StandaloneApp], settings: ExportSettings) -> None:
    """Refuse several applications where there can be one only."""
    is_chart = settings.form is Form.HELM
    if len(apps) > 1 and (is_chart or settings.image):
        what = "a standalone chart" if is_chart else "--image"
        names = ", ".join(app.application for app in apps)
        raise InvalidValueError(
            f"{what} is for one application, and there are {len(apps)}: {names}",
            hint=f"servd export-k8s {apps[0].application} --standalone ...",
        )


def _files(objects: Sequence[Object], settings: ExportSettings) -> dict[str, str]:
    if settings.form is Form.SINGLE_FILE:
        return {SINGLE: render_single_file(objects)}
    if settings.form is Form.KUSTOMIZE:
        return render_kustomize(objects, settings.namespace)
    return render_directory(objects)
