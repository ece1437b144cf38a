"""Trains gradient boosting on 24 clinical columns with gaps and writes it to kidney.pkl.

Usage: python train.py [kidney_disease.csv]
"""

import pickle
import sys
from pathlib import Path

from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from table import make_up, read_csv

here = Path(__file__).parent
source = Path(sys.argv[1]) if len(sys.argv) > 1 else here / "kidney_disease.csv"
if source.exists():
    print(f"reading {source.name}")
    rows, labels = read_csv(source)
elif len(sys.argv) > 1:
    sys.exit(f"error: there is no file {source}")
else:
    print("kidney_disease.csv is not here: making up a table of the same 24 columns")
    rows, labels = make_up()

seen, unseen, seen_labels, unseen_labels = train_test_split(rows, labels, random_state=0)
model = make_pipeline(
    SimpleImputer(strategy="median", keep_empty_features=True),
    GradientBoostingClassifier(random_state=0),
).fit(seen, seen_labels)
(here / "kidney.pkl").write_bytes(pickle.dumps(model))
accuracy = model.score(unseen, unseen_labels)
print(f"wrote kidney.pkl: accuracy on {len(unseen)} unseen rows {accuracy:.2f}")
