"""A scoring service in Flask: what is under "X" comes back under "score"."""

from flask import Flask, request

app = Flask(__name__)


@app.post("/score")
def score():
    return {"score": request.get_json()["X"]}


if __name__ == "__main__":
    app.run(port=5000)
