"""Loads catboost's own files, as what their content says they are: a classifier or another."""

from __future__ import annotations

from pathlib import Path

from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.pickle import fitted_model
from model_runtime.manifest import Manifest


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model of a catboost file of the bundle; see `loaders.load`.

    One that knows classes answers them, as CatBoostClassifier does, another what CatBoostRegressor
    does.

    Raises:
        LoadError: catboost does not read the file.
    """
    import catboost  # noqa: PLC0415  (where the model runs, it is there)

    path = str(files / manifest.file)
    try:
        model = catboost.CatBoostClassifier().load_model(path)
        if not len(model.classes_):
            model = catboost.CatBoostRegressor().load_model(path)
    except catboost.CatBoostError as error:
        raise LoadError(
            f"catboost {catboost.__version__} does not load {manifest.file}: {error}"
        ) from error
    return fitted_model(model, manifest)
