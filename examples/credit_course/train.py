"""Trains a logistic regression on three yes-or-no features and writes it to model.pickle.

The table is made up: repaid (1) or not (0), by whether the applicant has an income, has savings and
has repaid a loan before.
"""

import itertools
import pickle
from pathlib import Path

from sklearn.linear_model import LogisticRegression

features = [list(row) for row in itertools.product([0, 1], repeat=3)] * 20
repaid = [int(income + savings + history >= 2) for income, savings, history in features]

path = Path(__file__).with_name("model.pickle")
with path.open("wb") as file:
    pickle.dump(LogisticRegression().fit(features, repaid), file)
print(f"wrote {path.name}")
