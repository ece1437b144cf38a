"""One loader per model format. `load` is called once, by the replica's loading thread."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from model_runtime import manifest as manifests
from model_runtime.bundle import FILES_NAME
from model_runtime.loaders.base import LoadedModel, LoadedWeb
from model_runtime.manifest import SELDON, Manifest


def load(bundle_dir: Path) -> LoadedModel | LoadedWeb:
    """Return the model of a bundle, or its web application, its folders put first on `sys.path`.

    From here on the process runs in the bundle's folder: what the model opens by a relative name
    lies there as it did where it was deployed from.

    Raises:
        BundleFormatError: the bundle's manifest is missing or wrong.
        LoadError: the bundle's object cannot serve as a model.
        Exception: whatever the model's own code raises; `failure.describe` tells it.
    """
    manifest = manifests.read(bundle_dir)
    files = (bundle_dir / FILES_NAME).resolve()
    _make_folders(files, manifest)
    sys.path[:0] = [str(files / folder) for folder in manifest.sys_path]
    os.chdir(files / manifest.cwd)
    model = _loader(manifest)(manifest, files)
    return replace(model, bundle_dir=bundle_dir)


def _loader(manifest: Manifest) -> Callable[[Manifest, Path], LoadedModel | LoadedWeb]:
    """Return what loads a kind of models; the others are not imported: they take their time."""
    name = manifest.kind if manifest.kind == SELDON else manifest.loader
    # The manifest is checked: it names none but those that there are.
    module = importlib.import_module(f"{__name__}.{name}")
    load_it: Callable[[Manifest, Path], LoadedModel | LoadedWeb] = module.load
    return load_it


def _make_folders(files: Path, manifest: Manifest) -> None:
    """Make the folders that the model expects; where nothing can be made, it finds none."""
    with suppress(OSError):
        for folder in (manifest.cwd, *manifest.folders):
            (files / folder).mkdir(parents=True, exist_ok=True)
