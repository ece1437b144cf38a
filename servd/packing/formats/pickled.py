"""Pickles and joblib's files, of any compression and ending. What is in them pickles.py finds.

A pickle of protocol 2 and later says so in its first two bytes, also within a compression. An older
one is text: it is one where its opcodes lead to its end.
"""

from contextlib import suppress
from typing import Final

from servd.errors import TargetError
from servd.packing import pickle_scan
from servd.packing.formats.base import Format, Inspected
from servd.packing.formats.peek import Peek
from servd.packing.formats.torch_zip import OLD_HEAD
from servd.packing.targets import Asked

_PROTO: Final = 0x80
_NEWEST: Final = 5
_MOST_TEXT_BYTES: Final = 64 << 20
_STOP: Final = b"."


def _detect(peek: Peek) -> bool:
    if peek.head.startswith(OLD_HEAD):
        return False
    head = peek.inflated_head
    if len(head) >= 2 and head[0] == _PROTO and 2 <= head[1] <= 2 * _NEWEST:
        return True
    return _is_text(peek)


def _is_text(peek: Peek) -> bool:
    """Tell whether a file is a pickle of protocol 0 or 1."""
    if not peek.tail.endswith(_STOP) or peek.size > _MOST_TEXT_BYTES:
        return False
    with suppress(TargetError):
        return pickle_scan.scan(peek.path).is_complete
    return False


def _inspect(peek: Peek, asked: Asked) -> Inspected:
    del asked
    return Inspected(summary=f"pickle, {peek.size} bytes")


FORMAT: Final = Format(name="pickle", what="a pickle", detect=_detect, inspect=_inspect)
