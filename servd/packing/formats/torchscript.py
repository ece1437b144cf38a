"""TorchScript: a zip with a module's weights and, in code/, what it computes."""

from typing import Final

from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.formats.torch_zip import PICKLE, folder_of
from servd.packing.targets import Asked
from servd.quantities import counted


def _detect(peek: Peek) -> bool:
    folder = folder_of(peek.names, PICKLE)
    return folder is not None and bool(_code(peek, folder))


def _code(peek: Peek, folder: str) -> list[str]:
    start = f"{folder}/code/"
    return [name for name in peek.names if name.startswith(start) and name.endswith(".py")]


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    folder = folder_of(peek.names, PICKLE) or ""
    weights = [name for name in peek.names if name.startswith(f"{folder}/data/")]
    return Inspected(
        summary=f"TorchScript, {counted(len(weights), 'tensor')}",
        needs=(Need(module="torch", distribution="torch"),),
    )


FORMAT: Final = Format(
    name="torchscript", what="a TorchScript file", detect=_detect, inspect=_inspect
)
