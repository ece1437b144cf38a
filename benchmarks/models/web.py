"""The web applications of `python -m benchmarks web`: the course's, and one that does nothing."""

from typing import Any

from fastapi import FastAPI

app = FastAPI()


@app.get("/predict")
async def predict(feature_1: int = 0, feature_2: int = 0, feature_3: int = 0) -> dict[str, Any]:
    """Answer as the course's application does."""
    return {"output": [int(feature_1 + feature_2 + feature_3 > 1)]}


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the least that an application can."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    del receive
    length = (b"content-length", b"2")
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": b"ok"})
