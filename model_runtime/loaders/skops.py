"""Loads skops' files: scikit-learn models, none of whose types is loaded that is not trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.pickle import fitted_model
from model_runtime.manifest import Manifest

ALL: Final = "all"


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a skops file of the bundle holds; see `loaders.load`.

    Raises:
        LoadError: it is damaged, or has types that neither skops nor the deployer trusts.
    """
    path = files / manifest.file
    return fitted_model(_read(path, manifest), manifest)


def _read(path: Path, manifest: Manifest) -> Any:
    import skops.io  # noqa: PLC0415  (where the model runs, it is there)

    try:
        unknown = skops.io.get_untrusted_types(file=path)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise LoadError(
            f"skops cannot read {path.name} ({told})",
            hint="it is damaged, or of a later skops: write it again with skops.io.dump",
        ) from error
    wanted = [each for each in unknown if each not in manifest.trust]
    if wanted and ALL not in manifest.trust:
        what = "types" if len(wanted) > 1 else "a type"
        raise LoadError(
            f"{path.name} has {what} that skops does not trust: {', '.join(wanted)}",
            hint=" ".join(f"--trust {each}" for each in wanted)
            + "    trusts them; look at what they are before",
        )
    return skops.io.load(path, trusted=unknown)
