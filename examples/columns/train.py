"""Fits a pipeline on a table of made-up customers with named columns and writes churn.joblib."""

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 2000


def customers() -> pd.DataFrame:
    """Return a table: whole numbers, decimals of which some are missing, and texts."""
    draw = np.random.default_rng(7)
    table = pd.DataFrame(
        {
            "months": draw.integers(1, 72, ROWS),
            "bill": draw.normal(60, 20, ROWS).round(2),
            "plan": draw.choice(["basic", "family", "premium"], ROWS),
        }
    )
    table.loc[::10, "bill"] = np.nan
    return table


def main() -> None:
    """Fit and write."""
    table = customers()
    leaves = np.where(table.months + (table["plan"] == "family") * 20 < 24, "leaves", "stays")
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [("numbers", numbers, ["months", "bill"]), ("plan", OneHotEncoder(), ["plan"])]
    )
    model = make_pipeline(columns, LogisticRegression()).fit(table, leaves)
    joblib.dump(model, "churn.joblib")
    print("wrote churn.joblib")


if __name__ == "__main__":
    main()
