"""Messages on a byte stream: three lengths, then the frames. Used at both ends of a unix socket.

docs/protocol.md ("Carriers") is the format: `header`, `data` and `lengths` bytes as three uint32,
then these frames. A frame that is left out has length 0.
"""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from model_runtime.protocol import ProtocolError

MAX_HEADER_BYTES: Final = 1 << 26
MAX_PAYLOAD_BYTES: Final = 1 << 31

LONG_BYTES: Final = 1 << 18
"""A message that is longer is neither copied whole nor waited for: it moves piece by piece."""

_MAP_BYTES: Final = 1 << 22

_GATHERED_BYTES: Final = 1 << 15
"""A message that is longer is put where it stays as it comes, not where the others are gathered."""

NewPiece = Callable[[int], mmap.mmap]
"""Returns memory of a size for a piece of a long message."""

_prefix: Final = struct.Struct("<III")
_PREFIX_BYTES: Final = _prefix.size


def prefix(header: bytes, data: bytes = b"", lengths: bytes = b"") -> bytes:
    """Return what goes before a message's frames."""
    return _prefix.pack(len(header), len(data), len(lengths))


def prefix_of_sizes(header: int, data: int, lengths: int) -> bytes:
    """Return what goes before frames of these sizes."""
    return _prefix.pack(header, data, lengths)


class Assembler:
    """Puts messages together from what a stream delivers, in pieces of any size.

    Each byte of a long message is copied once, to where it stays, whatever the pieces are. With
    `new_piece` each payload frame of a long message is a list of its pieces: views of mappings that
    it makes of a size.
    """

    __slots__ = ("_gathered_bytes", "_incoming", "_needed", "_new_piece", "_rest")

    def __init__(self, *, new_piece: NewPiece | None = None) -> None:
        self._new_piece = new_piece
        # In pieces is only what is long: to map memory takes longer than to copy less.
        self._gathered_bytes = _GATHERED_BYTES if new_piece is None else LONG_BYTES
        self._rest = bytearray()
        self._needed = _PREFIX_BYTES
        self._incoming: _Incoming | None = None

    def feed(self, piece: bytes | memoryview) -> list[list[Any]]:
        """Return the messages that a piece completes, as lists of frames without empty ones.

        What a view shows may change after that.

        Raises:
            ProtocolError: a length is beyond all sense; the stream cannot be read any further.
        """
        messages: list[list[Any]] = []
        if self._rest or self._incoming is not None:
            whole = self._go_on(piece, messages)
            if whole is None:
                return messages
            piece = whole
        if len(piece) <= _GATHERED_BYTES:
            piece = bytes(piece)  # many messages: their frames are cut from bytes in less time
        at = 0
        while len(piece) - at >= _PREFIX_BYTES:
            sizes = header, data, lengths = _prefix.unpack_from(piece, at)
            if not 0 < header <= MAX_HEADER_BYTES or max(data, lengths) > MAX_PAYLOAD_BYTES:
                raise ProtocolError("a message on the stream has no sensible length")
            after = at + _PREFIX_BYTES + header + data + lengths
            if after > len(piece):
                self._begin(piece, at, sizes)
                return messages
            messages.append(_frames(piece, at + _PREFIX_BYTES, sizes))
            at = after
        self._needed = _PREFIX_BYTES
        if at < len(piece):
            self._rest += memoryview(piece)[at:]
        return messages

    def _go_on(
        self, piece: bytes | memoryview, messages: list[list[Any]]
    ) -> bytes | memoryview | None:
        """Take more of a message; return what is still to be read once that is whole."""
        if self._incoming is not None:
            rest = self._incoming.take(memoryview(piece))
            if not self._incoming.is_whole:
                return None
            messages.append(self._incoming.frames())
            self._incoming = None
            return rest
        self._rest += piece
        if len(self._rest) < self._needed:
            return None
        piece = bytes(self._rest)
        self._rest.clear()
        return piece

    def _begin(self, piece: bytes | memoryview, at: int, sizes: tuple[int, int, int]) -> None:
        """Keep the beginning of a message whose end is still to come."""
        self._needed = _PREFIX_BYTES + sum(sizes)
        if self._needed <= self._gathered_bytes:
            self._rest += memoryview(piece)[at:]
        else:
            self._incoming = _Incoming(sizes, self._new_piece)
            self._incoming.take(memoryview(piece)[at + _PREFIX_BYTES :])


class _Incoming:
    """A long message while it comes.

    A BytesIO grows by moving pages and not their content, and gives its bytes away without a copy.
    """

    __slots__ = ("_at", "_frames", "_missing")

    def __init__(self, sizes: tuple[int, int, int], new_piece: NewPiece | None) -> None:
        self._missing = [size for size in sizes if size]
        self._frames: list[_Frame] = [
            _Pieces(size, new_piece) if new_piece is not None and number else io.BytesIO()
            for number, size in enumerate(self._missing)
        ]
        self._at = 0

    @property
    def is_whole(self) -> bool:
        return self._at == len(self._frames)

    def take(self, piece: memoryview) -> memoryview:
        """Take what belongs to the message; return what is left of the piece."""
        while piece and not self.is_whole:
            part = piece[: self._missing[self._at]]
            self._frames[self._at].write(part)
            self._missing[self._at] -= len(part)
            piece = piece[len(part) :]
            if not self._missing[self._at]:
                self._at += 1
        return piece

    def frames(self) -> list[Any]:
        return [frame.getvalue() for frame in self._frames]


class _Frame(Protocol):
    """What a frame is put into while it comes."""

    def write(self, piece: memoryview, /) -> object:
        """Add a piece."""

    def getvalue(self) -> Any:
        """Return the frame."""


class _Pieces:
    """A frame that stays in pieces, so that it is let go of piece by piece.

    Each is a mapping of its own: what is freed in the heap is given back in one go, when the last
    piece is, and that takes tens of milliseconds for hundreds of megabytes.
    """

    __slots__ = ("_left", "_map", "_new_piece", "_pieces")

    def __init__(self, size: int, new_piece: NewPiece) -> None:
        self._left = size
        self._new_piece = new_piece
        self._map = new_piece(min(size, _MAP_BYTES))
        self._pieces: list[memoryview] = []

    def write(self, piece: memoryview, /) -> None:
        while piece:
            part = piece[: len(self._map) - self._map.tell()]
            self._map.write(part)
            self._left -= len(part)
            piece = piece[len(part) :]
            if self._map.tell() == len(self._map):
                self._pieces.append(memoryview(self._map).toreadonly())
                if self._left:
                    self._map = self._new_piece(min(self._left, _MAP_BYTES))

    def getvalue(self) -> list[memoryview]:
        return self._pieces


def _frames(piece: bytes | memoryview, at: int, sizes: tuple[int, int, int]) -> list[bytes]:
    frames: list[bytes] = []
    for size in sizes:
        if size:
            frames.append(bytes(piece[at : at + size]))
            at += size
    return frames
