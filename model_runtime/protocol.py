"""The messages of the replica protocol (docs/protocol.md). Used by replicas and by servd."""

from __future__ import annotations

import struct
from collections.abc import Sequence, Sized
from typing import Any, Final, TypeVar

from model_runtime import packed

PROTOCOL_VERSION: Final = 2

VERSIONS: Final = frozenset({1, 2})
"""Those that are spoken here. Who speaks 1 is sent nothing that it lacks (docs/protocol.md)."""

TENSORS_SINCE: Final = 2
"""The version since when inputs may be tensors and outputs raw."""

HELLO: Final = 1
STATE: Final = 2
HEARTBEAT: Final = 3
PREDICT: Final = 4
RESULT: Final = 5
FAILURE: Final = 6
LONG: Final = 7
RAW: Final = 8
PARTIAL: Final = 9
OPEN: Final = 10
CREDIT: Final = 11
CANCEL: Final = 12
ITEMS: Final = 13
END: Final = 14

WANTS_RAW: Final = 1
"""The byte of an input in PREDICT's `wanted` whose output may be raw."""

IS_RAW: Final = 1
"""The byte of an output in RAW's `forms` that is raw; 0: a JSON text."""

RAISED: Final = ""
"""Why an input failed, in PARTIAL: the model raised."""
BAD_OUTPUT: Final = "output"
"""Ends a FAILURE or an END, or says so in PARTIAL: the model did not raise, but what it returned is
no output."""
BAD_INPUT: Final = "input"
"""So does this: the model's own types refuse the input. What is wrong with it comes behind."""

PARTIAL_SINCE: Final = 2
"""The version since when a batch of which some inputs failed is told as PARTIAL."""

ITEM_BYTES: Final = 32
"""What an item of a stream takes of its window beside its text: many short ones are a load, too."""

LOADING: Final = "loading"
TESTING: Final = "testing"
READY: Final = "ready"
FAILED: Final = "failed"
DRAINING: Final = "draining"

BYTES: Final = 0
INTEGERS: Final = 1
FLOATS: Final = 2
DOUBLES: Final = 3
STRINGS: Final = 4
ANY: Final = 5
TENSORS: Final = 6
ROWS: Final = 7

INPUT_TYPE_CODES: Final = {
    "bytes": BYTES,
    "integers": INTEGERS,
    "floats": FLOATS,
    "doubles": DOUBLES,
    "strings": STRINGS,
    "any": ANY,
    "tensors": TENSORS,
    "rows": ROWS,
}
"""Canonical input type words to their codes in PREDICT."""

STRUCT_FORMATS: Final = {INTEGERS: "i", FLOATS: "f", DOUBLES: "d"}
"""`struct` and `array` type characters of the numeric input types."""

Data = TypeVar("Data", bytes, memoryview)

pack_header = packed.pack
"""Packs one header array."""

_unpack = packed.unpack


class ProtocolError(ValueError):
    """A message that docs/protocol.md does not allow."""


def version_between(other: Any = 1) -> int:
    """Return the version to speak with who says that it speaks `other`: what both know."""
    return min(max(other, 1), PROTOCOL_VERSION) if isinstance(other, int) else 1


def unpack_header(frame: bytes) -> list[Any]:
    """Return the header array of a message.

    Raises:
        ProtocolError: the frame is not a msgpack array that begins with a whole number.
    """
    try:
        header = _unpack(frame)
    except Exception as error:  # msgpack documents no common base of what it raises
        raise ProtocolError(f"header is not msgpack: {error}") from error
    if not isinstance(header, list) or not header or not isinstance(header[0], int):
        raise ProtocolError("header is not an array that begins with a message kind")
    return header


def join_rows(rows: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the `lengths` and `data` frames of a PREDICT for these rows."""
    data = b"".join(rows)
    size = len(rows[0])
    # The common case is told without a Python loop per row.
    if len(data) == size * len(rows) and len(set(map(len, rows))) == 1:
        return b"", data
    return struct.pack(f"<{len(rows)}I", *map(len, rows)), data


def lengths_of(rows: Sequence[Sized]) -> bytes:
    """Return the `lengths` frame of a PREDICT for these rows; empty where all are of one length."""
    sizes = list(map(len, rows))
    return b"" if len(set(sizes)) == 1 else struct.pack(f"<{len(sizes)}I", *sizes)


def sizes_of(lengths: bytes, size: int, count: int) -> Sequence[int]:
    """Return the length of each of `count` parts of `size` bytes, as a `lengths` frame says.

    Raises:
        ProtocolError: they do not add up.
    """
    if not lengths:
        each, rest = divmod(size, count)
        if rest:
            raise ProtocolError(f"{size} bytes are not {count} rows of equal length")
        return [each] * count
    if len(lengths) != 4 * count:
        raise ProtocolError(f"lengths has {len(lengths)} bytes for {count} rows")
    sizes = struct.unpack(f"<{count}I", lengths)
    if sum(sizes) != size:
        raise ProtocolError("lengths do not add up to the data")
    return sizes


def split_rows(lengths: bytes, data: Data, count: int) -> list[Data]:
    """Return the rows of a PREDICT; the inverse of `join_rows`. Of a view they are views.

    Raises:
        ProtocolError: the frames do not hold `count` rows.
    """
    sizes = sizes_of(lengths, len(data), count)
    if not lengths:
        size = sizes[0]
        return (
            [data[at : at + size] for at in range(0, size * count, size)]
            if size
            else [data[:0]] * count
        )
    rows = []
    at = 0
    for size in sizes:
        rows.append(data[at : at + size])
        at += size
    return rows
