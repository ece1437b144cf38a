"""FastAPI with pydantic on inputs of named columns: W7's baseline.

What fastapi_app.py is for lists of numbers. The model takes a DataFrame, here of one row, as
whoever writes this would make it.
"""

from typing import Any, Literal

import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.baselines.model import NAME, TARGET, answer, load


class Row(BaseModel):
    """One input, by its columns' names."""

    age: float
    income: float
    debt: float
    years: float
    children: float
    city: Literal["Oslo", "Rome", "Lima", "Bonn"]
    plan: Literal["basic", "premium"]
    job: Literal["none", "office", "field"]


class Query(BaseModel):
    """A request body."""

    input: Row


app = FastAPI()
predict: Any = load(TARGET)


@app.post(f"/{NAME}/predict")
async def on_query(query: Query) -> Any:
    """Answer one query in servd's form."""
    return answer(predict(pd.DataFrame([query.input.model_dump()]))[0])
