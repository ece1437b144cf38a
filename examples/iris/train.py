"""Trains a support vector classifier on the iris table and writes it to iris.pkl."""

import pickle
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.svm import SVC

table = load_iris()
model = SVC().fit(table.data, table.target)
path = Path(__file__).with_name("iris.pkl")
path.write_bytes(pickle.dumps(model))
print(
    f"wrote {path.name}: accuracy on the training table {model.score(table.data, table.target):.2f}"
)
