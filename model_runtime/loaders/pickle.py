"""Loads pickles and joblib files: scikit-learn, and whatever has predict or is callable."""

from __future__ import annotations

import importlib
import inspect
import mmap
import pickle
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from model_runtime.frames import PANDAS, frame_view
from model_runtime.inputs import View, viewer
from model_runtime.loaders import functions
from model_runtime.loaders.answers import answering
from model_runtime.loaders.base import CallPredictor, LoadedModel, LoadError
from model_runtime.loaders.fitted import ROWS, Learnt, learn
from model_runtime.loaders.python import callables_of, class_call, function_call
from model_runtime.loaders.survey import names_of
from model_runtime.manifest import AUTO, Manifest

_COMPRESSED: Final = (b"\x78", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00", b"\x04\x22\x4d\x18")
"""First bytes of zlib, gzip, bzip2, xz, lzma and lz4: what joblib can have compressed with."""
_JOBLIB_ARRAY: Final = b"NumpyArrayWrapper"
"""joblib puts raw arrays between a pickle's opcodes, each announced by this class."""
BY_VALUE: Final = b"cloudpickle"
"""What reads functions and classes that are in the file with their code."""
_OTHER_FORMATS: Final = {
    b"PK": "a zip archive (skops, Keras and PyTorch files are)",
    b"\x89HDF": "an HDF5 file (older Keras models are)",
    b"tree\n": "a LightGBM text model",
    b"{": "a JSON text (XGBoost models can be)",
}
_TABLE_HINT: Final = (
    "it was fitted on a table with named columns: leave --input-type out, and it says itself what "
    "it takes"
)
_BOOSTERS: Final = ("lightgbm", "xgboost")
"""Whose boosters take what a file of their own does, and no arrays or no names."""
_METHODS: Final = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "transform",
    "kneighbors",
    "apply",
)


def load(manifest: Manifest, files: Path) -> LoadedModel:
    """Return the model that a pickle of the bundle holds; see `loaders.load`."""
    model = unpickled(manifest, files)
    if manifest.kind != "pickle":
        return _of_code(model, manifest)
    library = type(model).__module__.partition(".")[0]
    if type(model).__name__ == "Booster" and library in _BOOSTERS:
        loader = importlib.import_module(f"model_runtime.loaders.{library}")
        booster: LoadedModel = loader.model_of(model, manifest)
        return booster
    return fitted_model(model, manifest)


def fitted_model(model: Any, manifest: Manifest) -> LoadedModel:
    """Return what a fitted model, or a function, is that a file holds; other loaders call it.

    Raises:
        LoadError: it has no such method, or takes other inputs than its deployer says.
    """
    call = call_of(model, manifest.method, manifest.file)
    if inspect.isroutine(call) and call is model:
        return functions.model_of(call, manifest, {"object": type(model).__name__})
    learnt, view = _seen(model, manifest)
    # Of a model with names numbers come without, of one without a table has some: sklearn says so
    # each time.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    warnings.filterwarnings("ignore", message="X has feature names, but")
    call, output = answering(model, call, manifest)
    signature = replace(learnt.signature, output=output)

    def retyped(input_type: str) -> CallPredictor:
        return CallPredictor(call, viewer(input_type, as_lists=manifest.as_lists))

    return LoadedModel(
        CallPredictor(call, view),
        signature.input_type,
        learnt.row_items,
        {"object": type(model).__name__},
        signature=signature,
        retyped=retyped,
        hint=_TABLE_HINT if manifest.input_type != AUTO and names_of(model) else "",
    )


def unpickled(manifest: Manifest, files: Path) -> Any:
    """Return what the pickle of a bundle holds; loaders/seldon.py asks for it, too.

    Raises:
        LoadError: it cannot be read here.
    """
    _check_python(manifest, files / manifest.file)
    return read(files / manifest.file)


def _check_python(manifest: Manifest, path: Path) -> None:
    """Refuse code that another Python has compiled, before it is read: it could end this process.

    Raises:
        LoadError: the file has such code.
    """
    if is_another_python(manifest.python) and (manifest.kind != "pickle" or holds(path, BY_VALUE)):
        raise of_another_python(manifest.python, manifest.object or manifest.file)


def is_another_python(python: str) -> bool:
    """Tell whether a version of Python, where it is known, runs no code that this one compiles."""
    return python != "" and python.split(".")[:2] != list(map(str, sys.version_info[:2]))


def of_another_python(python: str, shown: str) -> LoadError:
    """Return the refusal of what has code in it that another Python has compiled."""
    made_by = ".".join(python.split(".")[:2])
    here = "{}.{}".format(*sys.version_info[:2])
    return LoadError(
        f"{shown} was written by Python {made_by}, and replicas here "
        f"are run by Python {here}, which cannot run what the other has compiled",
        hint=f"deploy it from Python {here}, or start the daemon with Python {made_by}: "
        f"python{made_by} -m servd start",
    )


def _of_code(target: Any, manifest: Manifest) -> LoadedModel:
    """Return the model that a function or a class is that was pickled with its code."""
    name = manifest.object or manifest.file
    is_class = manifest.kind == "class"
    if is_class:
        call = class_call(target, manifest.method, name, manifest.parameters)
    else:
        call = function_call(target, name)
    return functions.model_of(call, manifest, {"object": name}, is_method=is_class)


def _seen(model: Any, manifest: Manifest) -> tuple[Learnt, View]:
    """Return what is known of a model's inputs, and the view of them: a table, or as their type."""
    try:
        learnt = learn(model, manifest)
        if learnt.signature.input_type == ROWS:
            return learnt, frame_view(learnt.signature, PANDAS, learnt.dtypes)
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise LoadError(
            f"{manifest.file} was fitted on a table: it takes one, and pandas is not installed",
            hint="pip install pandas",
        ) from error
    kind = learnt.signature.input_type
    return learnt, viewer(kind, as_lists=manifest.as_lists, row_items=learnt.row_items)


def read(path: Path) -> Any:
    """Return what a pickle or joblib file holds."""
    with path.open("rb") as file:
        head = file.read(8)
        if not head:
            raise LoadError(f"{path.name} is empty")
        for magic, what in _OTHER_FORMATS.items():
            if head.startswith(magic):
                raise LoadError(
                    f"{path.name} is not a pickle: it is {what}",
                    hint="deploy a Python file with a function that loads it",
                )
        file.seek(0)
        if not _is_joblib(path):
            return _unpickle(file, path.name)
    import joblib  # noqa: PLC0415  (only where the file needs it)

    return joblib.load(path)


def _unpickle(file: Any, name: str) -> Any:
    """Return what a plain pickle holds; damaged ones are told apart from failing classes."""
    try:
        return pickle.load(file)  # noqa: S301  (a model is code; a replica is where it runs)
    except (pickle.UnpicklingError, EOFError) as error:
        raise _unsound(name, error) from error
    except (ValueError, IndexError, OverflowError) as error:
        # What a class of the pickle raises has the class's own frame below this one.
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise
        raise _unsound(name, error) from error


def _unsound(name: str, error: Exception) -> LoadError:
    return LoadError(
        f"{name} is not a sound pickle: {error}",
        hint="make the file again with pickle.dump or joblib.dump, opened with 'wb'",
    )


def _is_joblib(path: Path) -> bool:
    """Tell whether only joblib reads a file: it is compressed, or has arrays between opcodes."""
    with path.open("rb") as file:
        return file.read(8).startswith(_COMPRESSED) or holds(path, _JOBLIB_ARRAY)


def holds(path: Path, words: bytes) -> bool:
    """Tell whether a file has some bytes in it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(words) >= 0


def call_of(model: Any, method: str, name: str) -> Callable[[Any], Any]:
    """Return what is called with the inputs: the model's method, or a pickled function.

    Raises:
        LoadError: the model has no such method; the hint lists those it has.
    """
    bound = getattr(model, method, None)
    if callable(bound) and not isinstance(model, type):
        return bound  # type: ignore[no-any-return]
    if callable(model) and not isinstance(model, type) and method == "predict":
        return function_call(model, name)
    kind = type(model).__name__
    if isinstance(model, type):
        raise LoadError(f"{name} holds the class {model.__name__}, not a model made from it")
    if isinstance(model, dict):
        keys = ", ".join(map(str, list(model)[:10]))
        raise LoadError(
            f"{name} holds a dict (keys: {keys}), not a model",
            hint="pickle the model itself, or deploy a Python file with a function that uses it",
        )
    raise LoadError(f"{name} holds a {kind}, which has no '{method}'", hint=_methods_hint(model))


def _methods_hint(model: Any) -> str:
    """Return which methods a model has that could answer."""
    names = [name for name in _METHODS if callable(getattr(model, name, None))]
    names = names or callables_of(model)[:10]
    return f"it has: {', '.join(names)} (--method NAME)" if names else "it has no methods"
