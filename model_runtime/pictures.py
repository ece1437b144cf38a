"""A picture for the test call of a model that takes pictures. Used by selftest and examples."""

from __future__ import annotations

import binascii
import struct
from typing import Final

_SIDE: Final = 64
_RGB: Final = 2
_HEAD: Final = b"\x89PNG\r\n\x1a\n"


def picture() -> bytes:
    """Return a grey square as a PNG file (https://www.w3.org/TR/png-3/)."""
    import zlib  # noqa: PLC0415 - not every Python was built with it

    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, _RGB, 0, 0, 0)
    line = b"\0" + b"\x80" * (3 * _SIDE)
    data = zlib.compress(line * _SIDE, 9)
    return _HEAD + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = binascii.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
