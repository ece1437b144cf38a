"""ONNX models: a graph with its versions, and perhaps files beside it that hold its tensors."""

from typing import Final

from model_runtime import onnx_file
from model_runtime.onnx_file import OnnxFile, OnnxFileError
from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_LIBRARY: Final = "onnxruntime"
_OF_IR: Final = (
    *((8, "1.10"), (9, "1.15"), (10, "1.18"), (11, "1.23"), (12, "1.24"), (14, "1.32")),
    (15, "1.33"),
)
_OF_OPSET: Final = (
    *((15, "1.10"), (16, "1.11"), (17, "1.12"), (18, "1.14"), (19, "1.15"), (20, "1.17")),
    *((21, "1.18"), (22, "1.21"), (23, "1.23"), (24, "1.24"), (26, "1.25"), (27, "1.32")),
    (29, "1.33"),
)
"""From which version on onnxruntime reads an IR version, and an opset: by its compatibility page up
to 1.20, by trying them up to 1.32. The last of each is read by none of these."""
_KEY: Final = 0x08
"""The first byte of a model: the key of its IR version."""


def _detect(peek: Peek) -> bool:
    return peek.head[:1] == bytes((_KEY,)) and onnx_file.is_one(peek.path)


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    try:
        told = onnx_file.read(peek.path)
    except OnnxFileError as error:
        raise TargetError(f"{peek.name} is damaged: {error}") from error
    except (OSError, ValueError) as error:
        raise TargetError(f"{peek.name} cannot be read: {error}") from error
    by = f", by {told.producer}" if told.producer.isprintable() and told.producer else ""
    return Inspected(
        summary=f"ONNX {told.shown}{by}",
        needs=(
            Need(
                module=_LIBRARY,
                distribution=_LIBRARY,
                at_least=_oldest(told),
                why=f"has {told.shown}",
            ),
        ),
        files=tuple(peek.path.parent / each for each in told.external),
    )


def _oldest(told: OnnxFile) -> str:
    """Return the oldest version of onnxruntime that reads a file, as far as that is known."""
    wanted = [version for ir, version in _OF_IR if told.ir >= ir]
    wanted += [version for opset, version in _OF_OPSET if told.opsets.get("", 0) >= opset]
    return max(wanted, key=lambda each: tuple(map(int, each.split("."))), default="")


FORMAT: Final = Format(name="onnx", what="an ONNX model", detect=_detect, inspect=_inspect)
