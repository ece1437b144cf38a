"""FastAPI that takes files: W8's baselines, an UploadFile of a form and a raw body.

What fastapi_app.py is for lists of numbers.
"""

from typing import Any

from fastapi import FastAPI, Request, UploadFile

from benchmarks.baselines.model import TARGET, answer, load

app = FastAPI()
predict: Any = load(TARGET)


@app.post("/picture/predict")
async def on_file(file: UploadFile) -> Any:
    """Answer a form, as FastAPI's manual has it."""
    return answer(predict([await file.read()])[0])


@app.post("/raw/predict")
async def on_body(request: Request) -> Any:
    """Answer a body that is the file."""
    return answer(predict([await request.body()])[0])
