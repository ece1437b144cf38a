"""A replica's model without a daemon: `python -m model_runtime.trial --work DIR BUNDLE`.

`servd test` and servd.testing run it (servd/client/trial.py). It loads the bundle, makes the test
call and calls the model as a replica does; only how inputs come and outputs go is another way.
Lines of JSON: on standard input a list of inputs each, on standard output first `{"loaded": …}` or
`{"error": …}`, then for each list `{"outcomes": [{"output": …} or {"error": …}]}`. What the model
prints goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from model_runtime import failure, forks, inputs, manifest, workspace
from model_runtime.contract import EXIT_LOAD_FAILED
from model_runtime.failure import MODEL_ERRORS
from model_runtime.loaders import load
from model_runtime.loaders.base import LoadedModel, as_model
from model_runtime.refusals import Failed, InputError, PartlyFailedError
from model_runtime.selftest import test_call


class Trial:
    """One model that is tried, on a copy of its files in the folder `work`."""

    def __init__(self, bundle: Path, work: Path, max_batch: int, answers: IO[str]) -> None:
        self._bundle = bundle
        self._work = work
        self._max_batch = max_batch
        self._answers = answers
        self._place = bundle

    def load(self) -> LoadedModel | None:
        """Load the model and call it once; None where that failed, which is told."""
        began_s = time.monotonic()
        try:
            self._place = workspace.make(self._bundle, self._work)
            model = as_model(load(self._place))
            tested = model
            if model.streaming is not None:
                tested = replace(model, predictor=model.streaming.first)
            report = test_call(tested, manifest.read(self._place), self._max_batch)
        except MODEL_ERRORS as error:
            forks.leave_if_child()
            self._tell({"error": dict(failure.as_json(error, self._place))})
            return None
        signature = model.signature
        told: dict[str, Any] = {
            "input_type": model.input_type,
            "test": report.as_info(),
            "load_ms": round((time.monotonic() - began_s) * 1000, 1),
        }
        if signature is not None:
            told["signature"] = report.completed(signature).as_json()
        self._tell({"loaded": told})
        return model

    def answer(self, model: LoadedModel, values: Sequence[Any]) -> None:
        """Tell what comes of some inputs: each by itself where the model raises on all."""
        began_s = time.perf_counter()
        outcomes = self._outcomes(model, values)
        if len(values) > 1 and all("error" in each for each in outcomes):
            outcomes = [each for value in values for each in self._outcomes(model, [value])]
        took_ms = (time.perf_counter() - began_s) * 1000
        self._tell({"outcomes": outcomes, "duration_ms": round(took_ms, 3)})

    def _outcomes(self, model: LoadedModel, values: Sequence[Any]) -> list[dict[str, Any]]:
        try:
            batch = inputs.pack(values, model.input_type, model.signature)
        except ValueError as error:
            # InputError is one, and says which part of an input it is.
            return [_told(error, self._place) | {"is_input": True}] * len(values)
        try:
            outputs: Sequence[Any] = model.predictor.predict(batch)
        except PartlyFailedError as error:
            outputs = error.outcomes
        except MODEL_ERRORS as error:  # the task boundary: anything a model raises
            outputs = [Failed(error)] * len(values)
        forks.leave_if_child()
        return [
            _told(each.error, self._place)
            if isinstance(each, Failed)
            else {"output": json.loads(each)}
            for each in outputs
        ]

    def _tell(self, told: dict[str, Any]) -> None:
        self._answers.write(json.dumps(told) + "\n")
        self._answers.flush()


def _told(error: BaseException, place: Path) -> dict[str, Any]:
    told: dict[str, Any] = {"error": dict(failure.as_json(error, place))}
    if isinstance(error, InputError):
        told |= {"is_input": True, "detail": error.faults}
    return told


def main() -> int:
    """Run as a program; return the exit status."""
    given = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    # Both are kept aside: what the model prints is no answer, and what it reads no input.
    answers = os.fdopen(os.dup(1), "w")
    asked = os.fdopen(os.dup(0))
    os.dup2(2, 1)
    with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor is what is wanted
        os.dup2(nothing.fileno(), 0)
    trial = Trial(given.bundle, given.work, given.max_batch, answers)
    model = trial.load()
    if model is None:
        return EXIT_LOAD_FAILED
    for line in asked:
        try:
            trial.answer(model, json.loads(line))
        except BrokenPipeError:
            break
        except Exception:  # noqa: BLE001 - whoever waits is to hear of the end
            traceback.print_exc()
            break
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of the model must not keep anybody waiting.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime.trial")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a folder for a copy of it")
    parser.add_argument("--max-batch", type=int, default=-1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
