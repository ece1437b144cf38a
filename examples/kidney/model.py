"""The kidney model as a class: takes rows that may hold null, answers with an object."""

import pickle
from pathlib import Path


class KidneyModel:
    """Made once per replica; `predict` is called with a list of inputs."""

    def __init__(self):
        path = Path(__file__).with_name("kidney.pkl")
        self.pipeline = pickle.loads(path.read_bytes())  # noqa: S301 - our own file

    def predict(self, rows):
        """Return one object a row; a row is the 24 columns of the table, null where missing."""
        table = [[float("nan") if value is None else value for value in row] for row in rows]
        return [
            {"ckd": bool(probability >= 0.5), "probability": round(float(probability), 3)}
            for probability in self.pipeline.predict_proba(table)[:, 1]
        ]
