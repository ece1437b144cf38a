"""Trains a classifier, packs it into the service and saves that below ./bentoml."""

import os
from pathlib import Path

from iris_classifier import IrisClassifier
from sklearn.datasets import load_iris
from sklearn.svm import SVC

os.environ.setdefault("BENTOML_HOME", "bentoml")
table = load_iris()
service = IrisClassifier()
service.pack("model", SVC().fit(table.data, table.target))
print("an API is a method:", service.predict_clipper([table.data[0]]))
path = Path(service.save(version="first"))
print("saved", path.relative_to(Path.cwd()))
