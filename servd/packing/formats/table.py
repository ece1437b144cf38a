"""The table of formats, and which of them a file or folder is of. Used by kinds.py."""

from pathlib import Path
from typing import Final

from servd.errors import TargetError, did_you_mean
from servd.packing.formats import (
    catboost,
    keras,
    lightgbm,
    mlflow,
    onnx,
    pickled,
    pmml,
    skops,
    torch_export,
    torch_state,
    torchscript,
    transformers,
    unknown,
    xgboost,
)
from servd.packing.formats.base import Format
from servd.packing.formats.peek import Peek
from servd.packing.pickles import PICKLE_ENDINGS

PICKLE: Final = pickled.FORMAT.name
FORMATS: Final[tuple[Format, ...]] = (
    pickled.FORMAT,
    skops.FORMAT,
    onnx.FORMAT,
    xgboost.FORMAT,
    lightgbm.FORMAT,
    catboost.FORMAT,
    torchscript.FORMAT,
    torch_export.FORMAT,
    torch_state.FORMAT,
    keras.FORMAT,
    pmml.FORMAT,
    mlflow.FORMAT,
    transformers.FORMAT,
)
"""All formats. Whoever fits is asked by content; the order is that of messages."""
_BY_NAME: Final = {each.name: each for each in FORMATS}


def choose(path: Path, loader: str | None) -> Format:
    """Return the format of a file or folder: the one that is named, or the one that it is of.

    Raises:
        TargetError: it is of none, or of several and none is named; or there is no such format.
    """
    if loader is not None:
        return _named(path, loader)
    peek = Peek(path)
    found = [each for each in FORMATS if each.is_folder == peek.is_folder and each.detect(peek)]
    if not found and path.suffix in PICKLE_ENDINGS and not unknown.is_told(peek):
        return pickled.FORMAT  # what is wrong with it is said of it as of a pickle
    if not found:
        raise unknown.refusal(peek, [each for each in FORMATS if not each.is_folder])
    if len(found) > 1:
        kinds = " and ".join(f"{each.what} ({each.name})" for each in found)
        ways = " or ".join(f"--loader {each.name}" for each in found)
        raise TargetError(f"{path.name} may be {kinds}", hint=f"say which it is: {ways}")
    return found[0]


def _named(path: Path, loader: str) -> Format:
    chosen = _BY_NAME.get(loader)
    if chosen is None:
        hint = did_you_mean(loader, _BY_NAME) or f"loaders are {', '.join(_BY_NAME)}"
        raise TargetError(f"there is no loader '{loader}'", hint=hint)
    if chosen.is_folder != path.is_dir():
        is_of = "a folder" if chosen.is_folder else "a file"
        raise TargetError(f"--loader {loader} is for {is_of}, which {path.name} is not")
    return chosen
