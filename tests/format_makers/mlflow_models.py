"""Makes MLflow's folders in a folder: `python mlflow_models.py FOLDER`, in an environment with it.

Prints a JSON object of each model's inputs and what MLflow itself answers to them, one at a time.
"""

import json
import sys
from pathlib import Path

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from sklearn.linear_model import LogisticRegression

ROWS = [{"age": 33, "income": 1.5}, {"age": 51, "income": 70.25}]
TYPED = [
    {"count": 3, "share": 0.1, "city": "Oslo", "new": True, "since": "2024-01-31T08:15:00"},
    {"count": -4, "share": 2.5, "city": "Ås", "new": False, "since": "2020-02-29T12:30:00"},
]
ARRAYS = [[1.0, 2.0, 3.0], [0.25, 0.5, 8.0]]


class Sums(mlflow.pyfunc.PythonModel):
    """Adds up each row of an array."""

    def predict(self, context, model_input):
        """Return a list."""
        del context
        return [float(np.sum(row)) for row in model_input]


class Kinds(mlflow.pyfunc.PythonModel):
    """Says what its columns are."""

    def predict(self, context, model_input):
        """Return a table."""
        del context
        return pd.DataFrame({name: model_input[name].astype(str) for name in model_input})


def main():
    """Make all of them."""
    folder = Path(sys.argv[1])
    frame = pd.DataFrame([{"age": age, "income": age / 7} for age in range(20, 60, 2)])
    model = LogisticRegression().fit(frame, [0, 1] * 10)
    signature = infer_signature(frame, model.predict(frame))
    pins = ["mlflow", "scikit-learn==1.2.0", "not-there==3.0"]
    mlflow.sklearn.save_model(
        model,
        folder / "income",
        signature=signature,
        pip_requirements=pins,
        input_example=frame[:1],
    )
    columns = Schema(
        [
            ColSpec("integer", "count"),
            ColSpec("float", "share"),
            ColSpec("string", "city"),
            ColSpec("boolean", "new"),
            ColSpec("datetime", "since"),
        ]
    )
    arrays = Schema([TensorSpec(np.dtype("float32"), (-1, 3))])
    for name, made, inputs in (("kinds", Kinds(), columns), ("sums", Sums(), arrays)):
        mlflow.pyfunc.save_model(
            folder / name,
            python_model=made,
            signature=ModelSignature(inputs=inputs),
            pip_requirements=["mlflow"],
        )
    income = mlflow.pyfunc.load_model(str(folder / "income"))
    kinds = mlflow.pyfunc.load_model(str(folder / "kinds"))
    sums = mlflow.pyfunc.load_model(str(folder / "sums"))
    asked = {
        "income": [ROWS, [income.predict(pd.DataFrame([row])).tolist()[0] for row in ROWS]],
        "kinds": [TYPED, [kinds.predict(typed(row)).to_dict("records")[0] for row in TYPED]],
        "sums": [ARRAYS, [sums.predict(np.array([row], "float32"))[0] for row in ARRAYS]],
    }
    print(json.dumps(asked))


def typed(row):
    """Return a table of one row, with the types that MLflow takes."""
    frame = pd.DataFrame([row])
    frame["since"] = pd.to_datetime(frame["since"]).astype("datetime64[ns]")
    return frame.astype({"count": "int32", "share": "float32"})


main()
