"""The baseline most people would write: FastAPI calling the model in its own process.

Run by uvicorn (uvloop, httptools) from benchmarks/servers.py. An `async def` handler is faster than
a thread pool for models this short. BENCH_NAME is the application, BENCH_TARGET the model.
"""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.baselines.model import NAME, TARGET, answer, load


class Query(BaseModel):
    """A request body."""

    input: list[float]


app = FastAPI()
predict = load(TARGET)


@app.post(f"/{NAME}/predict")
async def on_query(query: Query) -> Any:
    """Answer one query in servd's form."""
    return answer(predict([query.input])[0])
