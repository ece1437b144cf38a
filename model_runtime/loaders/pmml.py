"""Loads PMML with sklearn-pmml-model, which makes a model of scikit-learn of the common ones.

Inputs are the document's fields by their names, as numbers. It has no way to hand over texts.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from model_runtime.failure import MODEL_ERRORS
from model_runtime.loaders import boosted
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.manifest import Manifest


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of a PMML document of the bundle; see `loaders.load`.

    Raises:
        LoadError: the library does not know such a model, or a field of it is no number.
    """
    from sklearn_pmml_model.auto_detect import auto_detect_estimator  # noqa: PLC0415 - it is there

    try:
        model = auto_detect_estimator(pmml=str(files / manifest.file))
        names = _names(model, manifest.file)
    except MODEL_ERRORS as error:
        if isinstance(error, LoadError):
            raise
        raise LoadError(
            f"sklearn-pmml-model does not load {manifest.file}: {type(error).__name__}: {error}",
            hint="deploy a Python file with a function that loads it, as with pypmml",
        ) from error
    return boosted.loaded(PmmlModel(model, names), manifest)


def _names(model: Any, file: str) -> list[str]:
    """Return the names of a model's inputs, in their order.

    Raises:
        LoadError: one is of texts.
    """
    placed: dict[int, str] = {}
    for name, (at, kind) in model.field_mapping.items():
        if at is None:
            continue
        if kind not in (float, int):
            raise LoadError(
                f"the field {name} of {file} is no number, and sklearn-pmml-model takes numbers",
                hint="deploy a Python file with a function that loads it, as with pypmml",
            )
        placed.setdefault(at, name)
    return [placed[at] for at in sorted(placed)]


class PmmlModel:
    """A model of a document, which takes an array of its fields in their order."""

    is_booster = True  # survey.py asks it nothing, and does not try it out

    def __init__(self, model: Any, names: list[str]) -> None:
        self._model = model
        self.feature_names_in_ = names
        self.n_features_in_ = len(names)
        classes = getattr(model, "classes_", None)
        if classes is not None:
            self.classes_ = list(classes.tolist())
            self.predict_proba = model.predict_proba

    def predict(self, inputs: Any) -> Any:
        """Return what the library predicts."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._model.predict(inputs)
