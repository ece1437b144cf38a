"""torch.export's files (.pt2): a zip with a graph whose inputs have dtypes and shapes."""

from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.json_parts import parsed
from servd.packing.formats.peek import Peek
from servd.packing.formats.torch_zip import PROGRAM, folder_of
from servd.packing.targets import Asked

_MODELS: Final = "models/"
_OLD: Final = "serialized_exported_program.json"
"""The graph in files that were written before torch 2.7."""
_MOST_BYTES: Final = 256 << 20


def _detect(peek: Peek) -> bool:
    return _OLD in peek.names or folder_of(peek.names, PROGRAM) is not None


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    graphs = [name for name in _graphs(peek) if name.endswith(".json")]
    if len(graphs) != 1:
        listed = ", ".join(graphs) or "none"
        raise TargetError(
            f"{peek.name} is a torch.export file with {len(graphs)} programs ({listed}), and "
            "one is served",
            hint="save each by itself: torch.export.save(program, …)",
        )
    program = parsed(peek, graphs[0], peek.member(graphs[0], _MOST_BYTES))
    version = str(program.get("torch_version") or "").partition("+")[0]
    return Inspected(
        summary=f"torch.export{f', torch {version}' if version else ''}",
        needs=(
            Need(
                module="torch",
                distribution="torch",
                at_least=".".join(version.split(".")[:2]),
                why=f"was exported by torch {version}",
            ),
        ),
    )


def _graphs(peek: Peek) -> list[str]:
    """Return the names of a file's programs."""
    if _OLD in peek.names:
        return [_OLD]
    start = f"{folder_of(peek.names, PROGRAM)}/{_MODELS}"
    return [name for name in peek.names if name.startswith(start)]


FORMAT: Final = Format(
    name="torch_export", what="a torch.export file", detect=_detect, inspect=_inspect
)
