"""Loads lightgbm's text files: what is answered is what the library's Booster.predict gives.

With --output a classifier's labels, which are numbers, and probabilities are answered instead.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from model_runtime.loaders import boosted
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.boosted import Boosted
from model_runtime.manifest import Manifest

_OBJECTIVE: Final = re.compile(r"^objective=(\w+)(?: num_class:(\d+))?", re.MULTILINE)


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of a lightgbm file of the bundle; see `loaders.load`.

    Raises:
        LoadError: lightgbm does not read the file.
    """
    import lightgbm  # noqa: PLC0415  (where the model runs, it is there)

    try:
        booster = lightgbm.Booster(model_file=str(files / manifest.file))
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise LoadError(
            f"lightgbm {lightgbm.__version__} does not load {manifest.file}: {error}"
        ) from error
    return model_of(booster, manifest)


def model_of(booster: Any, manifest: Manifest) -> LoadedModel:
    """Return the model that a booster is; pickle.py has some, too."""
    return boosted.model_of(LightgbmModel(booster), manifest)


class LightgbmModel(Boosted):
    """A booster of lightgbm, seen as a fitted model."""

    def __init__(self, booster: Any) -> None:
        self.booster_ = booster
        self.n_features_in_ = booster.num_feature()
        self.feature_names_in_ = booster.feature_name()

    def raw(self, inputs: Any) -> Any:
        """See Boosted."""
        return self.booster_.predict(inputs)

    def classes(self) -> list[int] | None:
        """See Boosted."""
        told = _OBJECTIVE.search(self.booster_.model_to_string(num_iteration=1))
        if told is None or told[1] not in ("binary", "multiclass", "multiclassova"):
            return None
        return list(range(int(told[2] or 2)))
