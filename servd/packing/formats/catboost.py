"""catboost's files (.cbm): a mark, the length of the model, and the model as FlatBuffers."""

import re
from typing import Final

from servd.errors import TargetError
from servd.packing.formats.base import Format, Inspected, Need
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked

_MARK: Final = b"CBM1"
_PREFIX_BYTES: Final = 8
_VERSION: Final = re.compile(rb"Branch: tags/v(\d[\w.]*)")
_MOST_SEARCHED: Final = 64 << 20


def _detect(peek: Peek) -> bool:
    return peek.head.startswith(_MARK)


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    if not _detect(peek):
        raise TargetError(f"{peek.name} is not a catboost model: it does not begin with CBM1")
    wanted = _PREFIX_BYTES + int.from_bytes(peek.head[4:_PREFIX_BYTES], "little")
    if len(peek.head) < _PREFIX_BYTES or peek.size < wanted:
        raise TargetError(f"{peek.name} is damaged: it ends too early, {wanted} bytes are wanted")
    found = _VERSION.search(peek.content() if peek.size <= _MOST_SEARCHED else peek.tail)
    version = found[1].decode() if found else ""
    return Inspected(
        summary=f"catboost {version}".strip(),
        needs=(Need(module="catboost", distribution="catboost", made_with=version),),
    )


FORMAT: Final = Format(name="catboost", what="a catboost model", detect=_detect, inspect=_inspect)
