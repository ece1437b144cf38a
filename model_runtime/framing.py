"""Messages on a byte stream: three lengths, then the frames. Used at both ends of a unix socket.

docs/protocol.md ("Carriers") is the format: `header`, `data` and `lengths` bytes as three uint32,
then these frames. A frame that is left out has length 0.
"""

import struct
from typing import Final

from model_runtime.protocol import ProtocolError

MAX_HEADER_BYTES: Final = 1 << 26
MAX_PAYLOAD_BYTES: Final = 1 << 31

_prefix: Final = struct.Struct("<III")
_PREFIX_BYTES: Final = _prefix.size


def prefix(header: bytes, data: bytes = b"", lengths: bytes = b"") -> bytes:
    """Return what goes before a message's frames."""
    return _prefix.pack(len(header), len(data), len(lengths))


class Assembler:
    """Puts messages together from what a stream delivers, in pieces of any size."""

    __slots__ = ("_needed", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._needed = _PREFIX_BYTES

    def feed(self, piece: bytes) -> list[list[bytes]]:
        """Return the messages that a piece completes, as lists of frames without empty ones.

        Raises:
            ProtocolError: a length is beyond all sense; the stream cannot be read any further.
        """
        if self._rest:
            self._rest += piece
            if len(self._rest) < self._needed:
                return []
            piece = bytes(self._rest)
            self._rest.clear()
        messages: list[list[bytes]] = []
        at = 0
        while len(piece) - at >= _PREFIX_BYTES:
            header, data, lengths = _prefix.unpack_from(piece, at)
            if not 0 < header <= MAX_HEADER_BYTES or max(data, lengths) > MAX_PAYLOAD_BYTES:
                raise ProtocolError("a message on the stream has no sensible length")
            after = at + _PREFIX_BYTES + header + data + lengths
            if after > len(piece):
                self._needed = after - at
                break
            messages.append(_frames(piece, at + _PREFIX_BYTES, (header, data, lengths)))
            at = after
        else:
            self._needed = _PREFIX_BYTES
        if at < len(piece):
            self._rest += memoryview(piece)[at:]
        return messages


def _frames(piece: bytes, at: int, sizes: tuple[int, int, int]) -> list[bytes]:
    frames = []
    for size in sizes:
        if size:
            frames.append(piece[at : at + size])
            at += size
    return frames
