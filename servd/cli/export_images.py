"""The images that an export names: what is in them, building and pushing them.

Used by the bodies of `export-k8s` and `diff-k8s`.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from servd.cli.additions import tell_packages
from servd.cli.bundle_source import BundleSource, frontend_base, model_base
from servd.cli.output import Output
from servd.cli.session import Session
from servd.datatypes import ModelVersion, RegistryState
from servd.export.plan import FRONTEND_CONTENT, Plan
from servd.export.settings import ExportSettings, Shape
from servd.imaging.additions import Additions
from servd.imaging.answers import applications_of, routes_of
from servd.imaging.context import content_of, packages_of
from servd.imaging.packages import Packages
from servd.imaging.spec import ImageSpec


class ExportImages:
    """The images of one export of a registry."""

    def __init__(
        self,
        session: Session,
        registry: RegistryState,
        settings: ExportSettings,
        additions: Additions | None = None,
    ) -> None:
        self._settings = settings
        # What is remembered of an export has no passwords; the images are called the same.
        self._additions = additions or _additions_of(settings)
        self._state = registry
        config = session.config
        self._base = settings.base_image or config.base_image
        self._environments = config.environments_dir
        self._bundles = BundleSource(config.bundles_dir, session.client())

    def contents(self) -> dict[str, str]:
        """Return what is in each image, by "model:version" or `FRONTEND_CONTENT`.

        Raises:
            BundleError: a version's files cannot be had.
        """
        found = {}
        if self._settings.shape is Shape.CLUSTER:
            found[FRONTEND_CONTENT] = content_of(self._frontend())
        for version in self._wanted():
            with self._spec(version) as spec:
                found[str(version.id)] = content_of(spec)
        return found

    def build(self, plan: Plan, output: Output, *, push: bool) -> None:
        """Build every image of an export, and push it where that is wanted.

        Raises:
            ServdError: there is no engine, an image cannot be built, or the registry refuses it.
        """
        # By name, and the engine first: its client is an extra, and what lacks it says so.
        client = importlib.import_module("servd.system.docker_client").connect()
        maker = importlib.import_module("servd.imaging.builder").Builder(client)
        tell_packages(output, self._planned())
        for reference, version_id in plan.images.items():
            output.working(f"building {reference}")
            if version_id is None:
                image_id = maker.build(replace(self._frontend(), tag=reference))
            else:
                with self._spec(self._state.versions[version_id]) as spec:
                    image_id = maker.build(replace(spec, tag=reference))
            output.step("built", f"{reference} ({image_id.removeprefix('sha256:')[:12]})")
            if push:
                output.working(f"pushing {reference}")
                output.step("pushed", f"{reference} {maker.push(reference)}")
        output.settle()

    def _planned(self) -> Iterator[Packages]:
        for version in self._wanted():
            with self._spec(version) as spec:
                yield packages_of(spec)

    def _wanted(self) -> Iterator[ModelVersion]:
        """Yield the versions with files of the applications that are exported."""
        models = {
            model
            for name, linked in self._state.links.items()
            for model in linked
            if name in self._settings.apps
        }
        for version in self._state.versions.values():
            is_wanted = not self._settings.apps or version.model in models
            if version.bundle is not None and is_wanted:
                is_current = self._state.current.get(version.model) == version.version
                if is_current or self._settings.shape is Shape.CLUSTER:
                    yield version

    def _frontend(self) -> ImageSpec:
        base = frontend_base(self._base)
        return ImageSpec(kind="frontend", tag="", base_image=base, additions=self._additions)

    @contextmanager
    def _spec(self, version: ModelVersion) -> Iterator[ImageSpec]:
        """Yield the specification of a version's image, without its name."""
        is_standalone = self._settings.shape is Shape.STANDALONE
        apps = applications_of(self._state, version, self._settings.apps) if is_standalone else ()
        with self._bundles.bundle(version) as bundle:
            yield ImageSpec(
                kind="standalone" if is_standalone else "replica",
                tag="",
                base_image=model_base(version, bundle, self._base),
                version=version,
                applications=apps,
                routes=routes_of(self._state, apps),
                bundle_dir=bundle,
                additions=self._additions,
                environments=self._environments,
                variables=self._state.variables.get(version.id, {}),
            )


def _additions_of(settings: ExportSettings) -> Additions:
    return Additions(
        requirements=Path(settings.requirements) if settings.requirements else None,
        extra_index=settings.extra_index,
        wheel=tuple(map(Path, settings.wheel)),
        apt=settings.apt,
    )
