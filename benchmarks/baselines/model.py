"""Load a model as the baselines do: in their own process. Used by fastapi_app.py and the peers."""

import importlib.util
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = os.environ["BENCH_NAME"]
"""The application: its path is the same on every server."""

TARGET = os.environ["BENCH_TARGET"]


def load(target: str) -> Callable[[list[list[float]]], Any]:
    """Return the model's function: `file.py:function`, or the `predict` of a pickle."""
    path, _, name = target.partition(":")
    if not name:
        return pickle.loads(Path(path).read_bytes()).predict
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def answer(output: Any) -> dict[str, Any]:
    """Return an answer in servd's form."""
    if hasattr(output, "item"):
        output = output.item()
    return {"query_id": 0, "output": output, "default": False}
