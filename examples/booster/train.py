"""Trains a booster of xgboost on a table, and saves it as xgboost itself does: loans.json."""

import numpy as np
import pandas as pd
import xgboost

rng = np.random.default_rng(0)
table = pd.DataFrame(
    {
        "age": rng.integers(18, 80, 400),
        "income": rng.uniform(1, 9, 400).round(2),
        "city": pd.Categorical(rng.choice(["Bergen", "Oslo"], 400)),
    }
)
late = (table["income"] < 4) & (table["age"] < 40)
data = xgboost.DMatrix(table, late, enable_categorical=True)
booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3}, data, 20)
booster.save_model("loans.json")
right = ((booster.predict(data) > 0.5) == late).mean()
print(f"wrote loans.json: accuracy on the training table {right:.2f}")
