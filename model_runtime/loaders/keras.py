"""Loads Keras' files, with whichever of its backends is installed."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from model_runtime.failure import message_of
from model_runtime.loaders.arrays import ArrayPredictor, Port, row_items, taken, view_of
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.loaders.keras_trust import LAMBDA
from model_runtime.manifest import Manifest

BACKENDS: Final = ("tensorflow", "jax", "torch")
_VARIABLE: Final = "KERAS_BACKEND"
_TEXTS: Final = ("string", "str")


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a Keras file holds; see `loaders.load`."""
    _choose_backend()
    import keras  # noqa: PLC0415  (it is told its backend before)

    path = files / manifest.file
    try:
        model = keras.saving.load_model(
            str(path), compile=False, safe_mode=LAMBDA not in manifest.trust
        )
    except Exception as error:
        raise LoadError(
            f"{path.name} cannot be loaded by Keras {keras.__version__}: {message_of(error)}",
            hint=_hint(str(error)),
        ) from error
    signature, ports = taken(_ports(model), manifest)
    call = _call(model, ports)
    predictor = ArrayPredictor(call, view_of(signature, ports))
    info = {"object": type(model).__name__}
    return LoadedModel(
        predictor, signature.input_type, row_items(signature), info, signature=signature
    )


def _choose_backend() -> None:
    """Say which backend Keras is to use where nobody has, of those that are installed.

    Raises:
        LoadError: none is.
    """
    if os.environ.get(_VARIABLE) or "keras" in sys.modules:
        return
    configured = _configured()
    known = (configured, *BACKENDS) if configured in BACKENDS else BACKENDS
    found = next((name for name in known if find_spec(name) is not None), None)
    if found is None:
        raise LoadError(
            f"Keras computes by one of {', '.join(BACKENDS)}, and none of them is installed",
            hint="pip install torch",
        )
    os.environ[_VARIABLE] = found


def _configured() -> str:
    """Return the backend of the user's settings; nothing where there are none."""
    folder = Path(os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser())
    try:
        told = json.loads((folder / "keras.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(told.get("backend", "")) if isinstance(told, dict) else ""


def _hint(message: str) -> str:
    if "Lambda" in message:
        return f"--trust {LAMBDA} runs the code that is in the file"
    if "Could not locate class" in message or "Unknown layer" in message:
        return (
            "it has a class of its author's own: deploy a Python file with that class and a "
            "function that loads the model and calls it"
        )
    return ""


def _ports(model: Any) -> list[Port]:
    """Return a port for each input of a model; one of which nothing is known where none is told."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return [Port("input", shape=None)]
    return [Port(each.name, _dtype(str(each.dtype)), tuple(each.shape[1:])) for each in inputs]


def _dtype(name: str) -> str:
    if name in _TEXTS:
        return "str"
    return "float32" if name == "bfloat16" else name


def _call(model: Any, ports: Any) -> Any:
    """Return the model's prediction as a function of one array a port."""
    names = [each.name for each in ports]
    import numpy as np  # noqa: PLC0415  (Keras has it)

    def call(*arrays: Any) -> Any:
        given = (
            arrays[0] if len(names) == 1 else {name: arrays[at] for at, name in enumerate(names)}
        )
        return _as_arrays(np, model.predict_on_batch(given))

    return call


def _as_arrays(np: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_arrays(np, each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_arrays(np, each) for each in value]
    return np.asarray(value)
