"""Builds and pushes the images that an export names. Used by export_k8s.py."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from model_runtime import manifest as manifests
from model_runtime.bundle import BundleFormatError
from servd.cli.output import Output
from servd.config import Config
from servd.datatypes import RegistryState, VersionId
from servd.errors import BundleError
from servd.export.plan import Plan
from servd.export.settings import Shape
from servd.feed import Registered, unpack_state


def build_images(
    plan: Plan, registry: Mapping[str, Any], config: Config, output: Output, *, push: bool
) -> None:
    """Build every image of an export, and push it where that is wanted.

    Raises:
        ServdError: there is no engine, an image cannot be built, or the registry refuses it.
    """
    # By name: the container engine's client is an extra.
    builder = importlib.import_module("servd.imaging.builder")
    engine = importlib.import_module("servd.imaging.engine")
    state = unpack_state(msgspec.convert(registry, Registered))
    maker = builder.Builder(engine.connect())
    for reference, version_id in plan.images.items():
        output.working(f"building {reference}")
        image_id = maker.build(_spec(plan, reference, version_id, state, config))
        output.step("built", f"{reference} ({image_id.removeprefix('sha256:')[:12]})")
        if push:
            output.working(f"pushing {reference}")
            output.step("pushed", f"{reference} {maker.push(reference)}")
    output.settle()


def _spec(
    plan: Plan,
    reference: str,
    version_id: VersionId | None,
    state: RegistryState,
    config: Config,
) -> Any:
    """Return the servd.imaging.spec.ImageSpec of one image."""
    spec = importlib.import_module("servd.imaging.spec")
    given = config.base_image
    if version_id is None:
        # What runs there is this servd, so by this Python.
        python = ".".join(map(str, sys.version_info[:2]))
        base = given or spec.default_base_image(python)
        return spec.ImageSpec(kind="frontend", tag=reference, base_image=base)
    version = state.versions[version_id]
    bundle = config.bundles_dir / str(version.bundle)
    # What its files were mounted into has what they need.
    base = version.image or given or spec.default_base_image(_python_of(bundle, version_id))
    is_standalone = plan.settings.shape is Shape.STANDALONE
    answered = [app for app, models in state.links.items() if version_id.model in models]
    apps = tuple(state.applications[name] for name in plan.applications if name in answered)
    return spec.ImageSpec(
        kind="standalone" if is_standalone else "replica",
        tag=reference,
        base_image=base,
        version=version,
        applications=apps if is_standalone else (),
        bundle_dir=bundle,
    )


def _python_of(bundle: Path, version_id: VersionId) -> str:
    try:
        return manifests.read(bundle).python
    except (BundleFormatError, OSError) as error:
        raise BundleError(
            f"the files of {version_id} are not in {bundle}",
            hint="build where the daemon runs, or give its --data-dir",
        ) from error
