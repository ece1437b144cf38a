"""Train the scikit-learn models, data and seeds fixed. Called by benchmarks/prepare.py."""

import pickle
from pathlib import Path

import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.svm import SVC, LinearSVC

SEED = 20170327


def train_all(folder: Path) -> None:
    """Write iris.pkl, boosting.pkl and linear_svm.pkl into `folder`."""
    for name, train in {"iris": iris, "boosting": boosting, "linear_svm": linear_svm}.items():
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
