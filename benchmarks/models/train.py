"""Train the scikit-learn models, data and seeds fixed. Called by benchmarks/prepare.py."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC

SEED = 20170327


def train_all(folder: Path) -> None:
    """Write iris.pkl, boosting.pkl, linear_svm.pkl and credit.pkl into `folder`."""
    for train in (iris, boosting, linear_svm, credit):
        name = train.__name__
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(train()))


def iris() -> SVC:
    """W2: a kernel SVM on the iris flowers, which scikit-learn ships."""
    x, y = load_iris(return_X_y=True)
    return SVC().fit(x, y)


def boosting() -> GradientBoostingClassifier:
    """W3: gradient boosting of 24 columns (the size of a table of patients)."""
    generator = np.random.default_rng(SEED)
    x = generator.normal(size=(400, 24))
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
    return GradientBoostingClassifier(random_state=SEED).fit(x, y)


def linear_svm() -> LinearSVC:
    """W5: a linear SVM of 784 numbers and ten classes (the paper's, on synthetic digits)."""
    generator = np.random.default_rng(SEED)
    centres = generator.normal(size=(10, 784))
    y = generator.integers(0, 10, size=2000)
    x = centres[y] + generator.normal(scale=4.0, size=(2000, 784))
    return LinearSVC(random_state=SEED, max_iter=200, tol=1e-2).fit(x, y)


NUMBERS = ("age", "income", "debt", "years", "children")
TEXTS = {
    "city": ("Oslo", "Rome", "Lima", "Bonn"),
    "plan": ("basic", "premium"),
    "job": ("none", "office", "field"),
}


def table(count: int, seed: int) -> list[dict[str, Any]]:
    """Return inputs of W7: five numbers and three texts by name."""
    generator = np.random.default_rng(seed)
    numbers = generator.normal(loc=3.0, scale=2.0, size=(count, len(NUMBERS))).round(6).tolist()
    texts = [generator.choice(values, size=count).tolist() for values in TEXTS.values()]
    names = (*NUMBERS, *TEXTS)
    return [
        dict(zip(names, (*row, *words), strict=True))
        for row, *words in zip(numbers, *texts, strict=True)
    ]


def credit() -> Pipeline:
    """W7: what data scientists save, a pipeline on a DataFrame's named columns."""
    x = pd.DataFrame(table(2000, SEED))
    y = (x["income"] > x["debt"]) ^ (x["plan"] == "premium")
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), list(NUMBERS)),
            ("texts", OneHotEncoder(handle_unknown="ignore"), list(TEXTS)),
        ]
    )
    model = Pipeline([("columns", columns), ("model", LogisticRegression(random_state=SEED))])
    return model.fit(x, y.astype(int))
