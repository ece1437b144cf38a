"""lightgbm's text files: `tree`, a version, what all trees have, each tree, and the parameters."""

import re
from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_HEAD: Final = re.compile(rb"tree\r?\nversion=(v\d+)\r?\n(?:\w+=[^\n]*\n){0,20}")
_OBJECTIVE: Final = re.compile(rb"^objective=([\w ]+)", re.MULTILINE)
_ENDS: Final = (b"end of trees", b"end of parameters", b"pandas_categorical:")
_CATEGORICAL: Final = re.compile(rb"^pandas_categorical:(?!null|\[\])", re.MULTILINE)


def _detect(peek: Peek) -> bool:
    found = _HEAD.match(peek.head)
    return found is not None and b"\nnum_class=" in found[0]


def _is_cut(tail: bytes) -> bool:
    """Tell whether a file lacks its end: of its trees, its parameters, or its categories."""
    if b"\nparameters:" in tail and b"end of parameters" not in tail:
        return True
    _, is_there, categories = tail.rpartition(b"\npandas_categorical:")
    if is_there and not categories.rstrip().endswith((b"]", b"null")):
        return True
    return not any(word in tail for word in _ENDS)


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    found = _HEAD.match(peek.head)
    if found is None:
        raise TargetError(f"{peek.name} is not a lightgbm model: it begins with no tree")
    if _is_cut(peek.tail):
        raise TargetError(f"{peek.name} is damaged: it ends too early")
    objective = _OBJECTIVE.search(peek.head)
    told = f", {objective[1].decode().strip()}" if objective else ""
    tables = [Need(module="pandas", distribution="pandas")]
    return Inspected(
        summary=f"lightgbm {found[1].decode()}{told}",
        needs=(
            Need(module="lightgbm", distribution="lightgbm"),
            *(tables if _CATEGORICAL.search(peek.tail) else ()),
        ),
    )


FORMAT: Final = Format(name="lightgbm", what="a lightgbm model", detect=_detect, inspect=_inspect)
