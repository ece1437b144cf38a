"""Models that are boosters in files of their own: seen as the fitted models that they are of.

Used by xgboost.py, lightgbm.py and pmml.py. Columns that have names and are numbers make an array,
without pandas; categories need a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from model_runtime import rows
from model_runtime.frames import BOOL, FLOAT, INT, NUMERIC, PANDAS, Dtype, frame_view
from model_runtime.inputs import Batch, View, viewer
from model_runtime.loaders.answers import answering
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.loaders.fitted import ROWS, Learnt, learn
from model_runtime.manifest import Manifest

_PROBA: Final = "predict_proba"
_NUMBERS: Final = frozenset({FLOAT, NUMERIC, INT, BOOL})


class Boosted:
    """A booster as scikit-learn's models are: `predict`, and what survey.py and answers.py ask."""

    is_booster = True
    """It is asked what it knows of its columns, and not tried out as its author's code is."""
    n_features_in_: int
    feature_names_in_: list[str]

    def raw(self, inputs: Any) -> Any:
        """Return what the library's booster predicts."""
        raise NotImplementedError

    def classes(self) -> list[int] | None:
        """Return the classes that its objective tells of; None of another."""
        raise NotImplementedError

    def predict(self, inputs: Any) -> Any:
        """Return what the library's booster predicts."""
        return self.raw(inputs)


class Classifier(Boosted):
    """A booster that has classes, and answers these or their probabilities."""

    def __init__(self, model: Boosted, classes: list[int]) -> None:
        import numpy as np  # noqa: PLC0415  (both libraries need it)

        self._np: Any = np
        self._model = model
        self.classes_ = classes

    def __getattr__(self, name: str) -> Any:
        """Return what the model itself has, as its booster."""
        return getattr(self._model, name)

    def raw(self, inputs: Any) -> Any:
        """See Boosted."""
        return self._model.raw(inputs)

    def predict_proba(self, inputs: Any) -> Any:
        """Return the probability of each class, a row for each input.

        What says only which class it is has no other probabilities than one and zeros.
        """
        np = self._np
        told = self.raw(inputs)
        if told.ndim == 2:
            return told
        if len(self.classes_) == 2:
            return np.stack([1.0 - told, told], 1)
        return np.eye(len(self.classes_), dtype=told.dtype)[told.astype(int)]

    def predict(self, inputs: Any) -> Any:
        """Return the class of each input."""
        told = self.raw(inputs)
        if told.ndim == 2:
            return told.argmax(1)
        return (told > 0.5).astype(int) if len(self.classes_) == 2 else told.astype(int)


def model_of(model: Boosted, manifest: Manifest) -> LoadedModel:
    """Return the model that a booster is.

    Raises:
        LoadError: it takes other inputs than its deployer says, or has no such method or output.
    """
    seen = model
    if manifest.output is not None or manifest.method == _PROBA:
        classes = model.classes()
        seen = model if classes is None else Classifier(model, classes)
    return loaded(seen, manifest, type(model).__name__)


def loaded(seen: Any, manifest: Manifest, kind: str = "") -> LoadedModel:
    """Return the model that is seen as a fitted one; `kind` is the name of what it is.

    Raises:
        LoadError: as `model_of` does.
    """
    call = getattr(seen, manifest.method, None)
    if manifest.method not in ("predict", _PROBA) or call is None:
        has = "predict, predict_proba" if hasattr(seen, _PROBA) else "predict"
        raise LoadError(
            f"{manifest.file} has no '{manifest.method}'", hint=f"it has: {has} (--method NAME)"
        )
    learnt = learn(seen, manifest)
    call, output = answering(seen, call, manifest)
    signature = replace(learnt.signature, output=output)
    return LoadedModel(
        CallPredictor(call, _view(learnt, manifest)),
        signature.input_type,
        learnt.row_items,
        {"object": kind or type(seen).__name__},
        signature=signature,
    )


def _view(learnt: Learnt, manifest: Manifest) -> View:
    signature = learnt.signature
    if signature.input_type != ROWS:
        kind = signature.input_type
        return viewer(kind, as_lists=manifest.as_lists, row_items=learnt.row_items)
    if all(dtype.kind in _NUMBERS for dtype in learnt.dtypes.values()):
        return _matrix_view(list(signature.fields or {}), learnt.dtypes)
    try:
        return frame_view(signature, PANDAS, learnt.dtypes)
    except ModuleNotFoundError as error:
        raise LoadError(
            f"{manifest.file} has columns of categories: it takes a table, and {error.name} is "
            "not installed",
            hint="pip install pandas",
        ) from error


def _matrix_view(fields: list[str], dtypes: Mapping[str, Dtype]) -> View:
    """Return the view of rows as an array with the columns of a model in its own order.

    What is missing is NaN, and so is a column that is no field.
    """
    import numpy as np  # noqa: PLC0415  (as above)

    place = {name: at for at, name in enumerate(fields)}
    order = [place.get(name, -1) for name in dtypes]
    is_same = order == list(range(len(fields)))

    def view(batch: Batch) -> Any:
        values = rows.parsed(batch.lengths, batch.data, batch.count)
        made = np.array(values, np.float64).reshape(batch.count, -1)
        if is_same:
            return made
        filled = np.hstack([made, np.full((batch.count, 1), np.nan)])
        return filled[:, order]

    return view
