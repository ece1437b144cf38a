"""Models that were fitted on tables, as data scientists save them. Used by tests.

Made when they are asked for: the libraries take seconds to import, and some may not be installed.
"""

import json
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

COUNT = 40
LABELS = np.array(["no", "yes", "yes", "no"] * (COUNT // 4))


def table() -> Any:
    """Return a table with a column of each kind."""
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(
        {
            "age": [33.0, 51.5, None, 20.25] * (COUNT // 4),
            "income": [3.5, 1.25, 7.0, 4.125, 5.5] * (COUNT // 5),
            "city": ["Oslo", "Bergen", None, "Bergen"] * (COUNT // 4),
            "rooms": [1, 2, 3, 4] * (COUNT // 4),
            "plan": pd.Categorical(["a", "c", "b", "a"] * (COUNT // 4), categories=["c", "b", "a"]),
            "is_new": [True, False] * (COUNT // 2),
            "since": pd.date_range("2020-01-01", periods=COUNT, freq="25D"),
            "note": ["good film", "bad film", "a good one", "it was bad"] * (COUNT // 4),
            "id": range(COUNT),
        }
    )


def as_inputs(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a table as clients send them: null is missing, dates are ISO texts."""
    inputs: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return inputs


def _months(dates):
    return np.asarray(dates.apply(lambda column: column.dt.month))


def mixed() -> tuple[Any, Any]:
    """Return a pipeline on columns of all kinds, and its table."""
    frame = table()
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("names", OneHotEncoder(), ["city", "rooms"]),
            ("plans", OrdinalEncoder(), ["plan"]),
            ("dates", FunctionTransformer(_months), ["since"]),
            ("texts", TfidfVectorizer(), "note"),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(frame, LABELS), frame


def searched() -> tuple[Any, Any]:
    """Return a grid search around the same."""
    model, frame = mixed()
    search = GridSearchCV(model, {"logisticregression__C": [0.5, 1.0]}, cv=2)
    return search.fit(frame, LABELS), frame


def calibrated() -> tuple[Any, Any]:
    """Return a calibrated classifier around the same."""
    model, frame = mixed()
    return CalibratedClassifierCV(model, cv=2).fit(frame, LABELS), frame


def numbers() -> tuple[Any, Any]:
    """Return a pipeline on a table of numbers alone."""
    frame = table()[["income", "rooms", "id"]].astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(frame, LABELS), frame


def regression() -> tuple[Any, Any]:
    """Return a regression on a table of numbers alone."""
    frame = table()[["income", "rooms", "id"]].astype(float)
    return LinearRegression().fit(frame, frame["income"] * 1.1 + frame["rooms"] / 3), frame


def forest() -> tuple[Any, Any]:
    """Return a forest on a table of numbers alone."""
    frame = table()[["income", "rooms", "id"]].astype(float)
    return RandomForestClassifier(n_estimators=5, random_state=1).fit(frame, LABELS), frame


def gradient() -> tuple[Any, Any]:
    """Return scikit-learn's gradient boosting, which takes missing values and categories."""
    frame = table()[["age", "income", "plan"]]
    return HistGradientBoostingClassifier(max_iter=5).fit(frame, LABELS), frame


def xgboost() -> tuple[Any, Any]:
    """Return xgboost's classifier on a table with categories."""
    library = pytest.importorskip("xgboost")
    frame = table()[["age", "rooms", "is_new", "plan"]]
    model = library.XGBClassifier(n_estimators=4, enable_categorical=True, n_jobs=1)
    return model.fit(frame, (LABELS == "yes").astype(int)), frame


def boosting(name: str) -> Any:
    """Return a library of boosted trees, where it can be loaded."""
    try:
        return pytest.importorskip(name)
    except OSError as error:
        pytest.skip(f"{name} cannot be loaded: {error}")


def lightgbm() -> tuple[Any, Any]:
    """Return lightgbm's classifier on a table with categories."""
    library = boosting("lightgbm")
    frame = table()[["age", "rooms", "plan"]]
    model = library.LGBMClassifier(n_estimators=4, verbose=-1, min_child_samples=2, n_jobs=1)
    return model.fit(frame, LABELS), frame


def catboost() -> tuple[Any, Any]:
    """Return catboost's classifier of three classes on a table with categories of each kind."""
    library = pytest.importorskip("catboost", reason="catboost is not installed: it is large")
    frame = table()[["age", "rooms", "is_new", "plan", "note"]].astype({"plan": str})
    kinds = ["rooms", "plan", "note"]
    model = library.CatBoostClassifier(
        iterations=4, verbose=0, cat_features=kinds, thread_count=1, allow_writing_files=False
    )
    return model.fit(frame, ["no", "yes", "maybe", "no"] * (COUNT // 4)), frame


def catboost_regression() -> tuple[Any, Any]:
    """Return catboost's regressor on numbers alone."""
    library = pytest.importorskip("catboost", reason="catboost is not installed: it is large")
    frame = table()[["age", "rooms"]]
    model = library.CatBoostRegressor(
        iterations=4, verbose=0, thread_count=1, allow_writing_files=False
    )
    return model.fit(frame, frame["rooms"] * 1.5), frame


def text() -> tuple[Any, Any]:
    """Return a pipeline on texts."""
    notes = table()["note"]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(notes, LABELS), notes


def counted_text() -> tuple[Any, Any]:
    """Return a grid search of another pipeline on texts."""
    notes = table()["note"]
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression())
    return GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2).fit(notes, LABELS), notes


def dump(model: Any, path: Path) -> Path:
    """Write a model as its author would: functions of this module are not there to be imported."""
    import tests.fitted as here  # the name by which it is pickled

    cloudpickle.register_pickle_by_value(here)
    try:
        path.write_bytes(cloudpickle.dumps(model))
    finally:
        cloudpickle.unregister_pickle_by_value(here)
    return path
