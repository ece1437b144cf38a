"""Loads xgboost's own files: what is answered is what the library's Booster.predict gives.

With --output a classifier's labels, which are numbers, and probabilities are answered instead, as
its objective says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from model_runtime.loaders import boosted
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.boosted import Boosted
from model_runtime.manifest import Manifest

_BINARY: Final = "binary:logistic"
_MULTI: Final = ("multi:softprob", "multi:softmax")


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of an xgboost file of the bundle; see `loaders.load`.

    Raises:
        LoadError: xgboost does not read the file.
    """
    import xgboost  # noqa: PLC0415  (where the model runs, it is there)

    booster = xgboost.Booster()
    path = files / manifest.file
    try:
        # Its ending says nothing: of a file that is read whole the content does.
        is_text = path.read_bytes()[:1] == b"{"
        booster.load_model(bytearray(path.read_bytes()) if is_text else str(path))
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise LoadError(
            f"xgboost {xgboost.__version__} does not load {manifest.file}: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error
    return model_of(booster, manifest)


def model_of(booster: Any, manifest: Manifest) -> LoadedModel:
    """Return the model that a booster is; pickle.py has some, too."""
    import xgboost  # noqa: PLC0415  (as above)

    return boosted.model_of(XgboostModel(booster, xgboost.DMatrix), manifest)


class XgboostModel(Boosted):
    """A booster of xgboost, seen as a fitted model."""

    def __init__(self, booster: Any, matrix: Any) -> None:
        self._booster = booster
        self._matrix = matrix
        self.n_features_in_ = booster.num_features()
        self.feature_names_in_ = list(booster.feature_names or ())

    def get_booster(self) -> Any:
        """Return it: survey.py asks it for its columns."""
        return self._booster

    def raw(self, inputs: Any) -> Any:
        """See Boosted."""
        if hasattr(inputs, "columns"):
            return self._booster.predict(self._matrix(inputs, enable_categorical=True))
        booster = self._booster
        matrix = self._matrix(
            inputs,
            feature_names=booster.feature_names,
            feature_types=booster.feature_types,
            enable_categorical=True,
        )
        return booster.predict(matrix)

    def classes(self) -> list[int] | None:
        """See Boosted."""
        learner = json.loads(self._booster.save_config())["learner"]
        objective = learner["objective"]["name"]
        if objective == _BINARY:
            return [0, 1]
        if objective in _MULTI:
            return list(range(int(learner["learner_model_param"]["num_class"])))
        return None
