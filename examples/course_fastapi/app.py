"""A FastAPI service around a pickled model. It knows nothing of servd, and runs without it."""

import pickle
from pathlib import Path

import uvicorn
from fastapi import FastAPI

app = FastAPI()
model = pickle.loads(Path(__file__).with_name("model.pickle").read_bytes())  # noqa: S301 - our own


@app.get("/")
def hello():
    return {"message": "Hey look it's working"}


@app.get("/predict")
def predict(feature_1: int = 0, feature_2: int = 0, feature_3: int = 0):
    return {"output": model.predict([[feature_1, feature_2, feature_3]]).tolist()}


if __name__ == "__main__":
    uvicorn.run(app, port=5000)
