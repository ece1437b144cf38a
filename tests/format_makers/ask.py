"""Loads bundles as replicas do, and asks them: `python ask.py [LIBRARY]...`.

Of standard input comes a JSON object with a list of inputs for each bundle's folder. A line is
printed for each: the model's signature, what came of its test call, and the answer to each input,
asked alone and all at once; or the error. Each is loaded in a process of its own, which begins with
the libraries.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from model_runtime import failure, inputs, loaders, manifest
from model_runtime.selftest import test_call


def answers(model, values):
    """Return what a model answers to a batch."""
    batch = inputs.pack(values, model.input_type, model.signature)
    return [json.loads(each) for each in model.predictor.predict(batch)]


def told(bundle, values):
    """Return what is printed."""
    model = loaders.load(bundle)
    report = test_call(model, manifest.read(bundle), max_batch=-1)
    return {
        "signature": model.signature.as_json(),
        "test": report.as_info(),
        "single": [answers(model, [value])[0] for value in values],
        "batch": answers(model, values) if values else [],
    }


def main():
    """Load and ask all of them."""
    asked = json.load(sys.stdin)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for bundle, values in asked.items():
        if os.fork():
            os.wait()
            continue
        try:
            said = told(Path(bundle), values)
        except Exception as error:  # noqa: BLE001  (whatever a loader raises is its answer)
            said = {"error": failure.describe(error, None)}
        print(json.dumps({bundle: said}), flush=True)
        os._exit(0)


main()
