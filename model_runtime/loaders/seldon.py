"""Loads a class that is written for Seldon Core. Its inputs are messages (seldon/)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_runtime import forks
from model_runtime.calling import rendered_texts
from model_runtime.failure import MODEL_ERRORS
from model_runtime.inputs import Batch, viewer
from model_runtime.loaders import python
from model_runtime.loaders.base import LoadedModel, LoadError
from model_runtime.manifest import Manifest
from model_runtime.raw_outputs import RawOutput
from model_runtime.refusals import Failed
from model_runtime.seldon.component import Component
from model_runtime.seldon.shape import fault_of
from model_runtime.signature import Signature


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a file of the bundle defines; see `loaders.load`.

    Raises:
        LoadError: it cannot be one.
    """
    name = manifest.object or ""
    target = _target(manifest, files, name)
    if (why := fault_of(target)) is not None:
        raise LoadError(why, hint="def predict(self, X, names, meta=None): …")
    if importlib.util.find_spec("numpy") is None:
        raise LoadError(f"'{name}' is called with arrays", hint="pip install numpy")
    instance = python.instance_of(target, manifest.parameters, name)
    signature = Signature(input_type="any", is_seldon=True)
    predictor = SeldonPredictor(Component(instance))
    return LoadedModel(predictor, "any", info={"object": name}, signature=signature)


def _target(manifest: Manifest, files: Path, name: str) -> Any:
    """Return the class, or an instance of it, which is in a file or in a pickle."""
    if manifest.loader == "pickle":
        from model_runtime.loaders import pickle  # noqa: PLC0415  (it takes its time)

        return pickle.unpickled(manifest, files)
    return python.find(python.import_file(files / manifest.file), name, manifest.file)


class SeldonPredictor:
    """Answers a batch's messages one after the other; one that fails does so by itself."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._view = viewer("any", as_lists=True)

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """See Predictor.

        Raises:
            PartlyFailedError: some of the messages failed.
            Exception: the one message of the batch did; that is what it raised.
        """
        return rendered_texts([self._outcome(value) for value in self._view(batch)])

    def _outcome(self, value: Any) -> bytes | Failed:
        try:
            text = self._component.answer(value)
        except MODEL_ERRORS as error:  # the boundary of an input
            forks.leave_if_child()
            return Failed(error)
        forks.leave_if_child()
        return text
