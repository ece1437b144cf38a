"""Serves LitServe's classes by LitServe itself and asks them: `python litserve_answers.py FOLDER`.

Prints a JSON object of what each answers to inputs of its own.
"""

import json
import sys

import litserve as ls
from fastapi.testclient import TestClient
from litserve.utils import wrap_litserve_start

INPUTS = {
    "Squares": [{"input": 4}, {"input": 0.5}],
    "Batches": [{"name": "a", "number": 1}, {"name": "b", "number": 2.5}],
    "Words": [{"text": "a b c"}],
    "Typed": [{"number": 3}],
}


def settings(name):
    """Return how a class is made."""
    if name == "Words":
        return {"stream": True}
    return {"enable_async": True} if name == "Typed" else {}


def main():
    """Ask all of them."""
    sys.path.insert(0, sys.argv[1])
    import lit_api

    asked = {}
    for name, inputs in INPUTS.items():
        server = ls.LitServer(getattr(lit_api, name)(**settings(name)), accelerator="cpu")
        with wrap_litserve_start(server) as started, TestClient(started.app) as client:
            answers = [client.post("/predict", json=each, timeout=60) for each in inputs]
        if name == "Words":
            told = [[json.loads(line) for line in each.text.splitlines()] for each in answers]
        else:
            told = [each.json() for each in answers]
        asked[name] = [inputs, told]
    print(json.dumps(asked))


if __name__ == "__main__":
    main()
