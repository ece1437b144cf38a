"""Fits a logistic regression on three features and pickles it beside the service that loads it."""

import itertools
import pickle
from pathlib import Path

from sklearn.linear_model import LogisticRegression

rows = [list(row) for row in itertools.product([0, 1], repeat=3)] * 10
labels = [int(sum(row) >= 2) for row in rows]
path = Path(__file__).with_name("model.pickle")
path.write_bytes(pickle.dumps(LogisticRegression().fit(rows, labels)))
print(f"wrote {path.name}")
