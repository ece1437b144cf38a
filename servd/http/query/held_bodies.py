"""Long bodies and their rows, in memory or in memory files. Used by parsing.py and long_bodies.py.

A body is written to a memory file as it comes; its rows are views of another, or of its own.
"""

import mmap
import os
import struct
import time
from collections.abc import Iterator
from typing import Final, cast

from servd.carriers.long_bytes import LONG_BYTES, LongBytes, do_beside
from servd.http.query.body_reader import Done

_WRITTEN_BYTES: Final = 1 << 16
"""Less is not written alone: a body may come a byte at a time."""

_KEPT_BYTES: Final = 1 << 12
"""A piece that is not shorter is kept as it came."""

_UNMAPPED_BESIDE_BYTES: Final = 1 << 23
_UNMAP_TRIES: Final = 100
_UNMAP_WAIT_S: Final = 0.05


class BusyError(Exception):
    """As many long bodies are held as may be."""


class LongBody:
    """A body in a memory file; `close` lets go of it, however often it is called.

    What comes in small pieces is gathered, and so is all that comes first: a file costs more than
    memory. All is in the file once it was flushed.
    """

    __slots__ = ("_gathered", "_gathered_bytes", "_held", "descriptor", "size")

    def __init__(self, held: "BytesHeld") -> None:
        self._held = held
        self._gathered: list[bytes | bytearray | memoryview] = []
        self._gathered_bytes = 0
        self.descriptor = -1
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Add what came, which does not change.

        Raises:
            BusyError: all long bodies together are too long.
            OSError: there is no memory for it.
        """
        self._held.take(len(chunk))
        self.size += len(chunk)
        if self.descriptor < 0 or self._gathered or len(chunk) < _WRITTEN_BYTES:
            self._gather(chunk)
            most = LONG_BYTES if self.descriptor < 0 else _WRITTEN_BYTES
            if self._gathered_bytes > most:
                self.flush()
        else:
            self._write(chunk)

    def _gather(self, chunk: bytes | bytearray | memoryview) -> None:
        """Keep what came: the pieces as they are, unless they are many."""
        gathered = self._gathered
        if len(chunk) >= _KEPT_BYTES:
            gathered.append(chunk)
        elif gathered and isinstance(gathered[-1], bytearray):
            gathered[-1] += chunk
        elif chunk:
            gathered.append(bytearray(chunk))
        self._gathered_bytes += len(chunk)

    def flush(self) -> None:
        """Write what was gathered.

        Raises:
            OSError: there is no memory for it.
        """
        if self.descriptor < 0:
            self.descriptor = os.memfd_create("servd-body", os.MFD_CLOEXEC)
        gathered, self._gathered = self._gathered, []
        self._gathered_bytes = 0
        for piece in gathered:
            self._write(piece)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self.descriptor, left) :]

    def end(self) -> None:
        """Have all of it in the file, if there is one.

        Raises:
            OSError: there is no memory for it.
        """
        if self.descriptor >= 0:
            self.flush()

    @property
    def is_short(self) -> bool:
        """Whether all of it is still in memory."""
        return self.descriptor < 0

    def begin(self, size: int) -> bytes:
        """Return its first bytes, once it has ended."""
        if self.is_short:
            return b"".join(bytes(piece[:size]) for piece in self._gathered[:1])
        return os.pread(self.descriptor, size, 0)

    def whole(self) -> bytes:
        """Return it, where it is short."""
        return b"".join(self._gathered)

    def close(self) -> None:
        """Let go of the file: it was read, or will not be."""
        if self.descriptor >= 0:
            # The last one to close it gives its memory back.
            if self.size > _UNMAPPED_BESIDE_BYTES:
                do_beside(os.close, self.descriptor)
            else:
                os.close(self.descriptor)
            self.descriptor = -1
        self._gathered = []
        self._held.give_back(self.size)
        self.size = 0

    def __del__(self) -> None:
        self.close()


class BytesHeld:
    """How many bytes of long bodies and of their rows a server holds, and may hold."""

    __slots__ = ("_limit", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int, *, is_forced: bool = False) -> None:
        """Count bytes that came.

        Raises:
            BusyError: they would be too many, and are not forced.
        """
        if self.held + size > self._limit and not is_forced:
            raise BusyError
        self.held += size

    def give_back(self, size: int) -> None:
        """Count bytes that have gone."""
        self.held -= size


class LongRows:
    """The rows of a long body, views of a memory file. They live as long as one is in use."""

    def __init__(self, descriptor: int, done: Done, held: BytesHeld) -> None:
        self.count = done.count
        self.is_batch = done.is_batch
        self.version = done.version
        self.told = done.told
        self._size = done.size
        self._file = _RowFile(descriptor, done.size + 4 * done.count, held)

    @classmethod
    def of(cls, body: LongBody, version: str | None, held: BytesHeld) -> "LongRows":
        """Return the one row that a body is: the file of one that has one goes on as the row's.

        Raises:
            OSError: there is no memory for it.
        """
        try:
            if body.is_short:
                return _OneRow(body.whole(), version)
            os.write(body.descriptor, struct.pack("<I", body.size))
            done = Done(size=body.size, count=1, is_batch=False, version=version)
            return cls(body.descriptor, done, held)
        finally:
            body.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rows, as bytes where all are short, else as LongBytes: what a query holds."""
        view = memoryview(self._file.mapped)
        at = 0
        for index in range(self.count):
            (size,) = struct.unpack_from("<I", view, self._size + 4 * index)
            row = view[at : at + size]
            at += size
            is_short = self._size <= LONG_BYTES
            yield bytes(row) if is_short else cast("bytes", LongBytes([row], self._file))


class _OneRow(LongRows):
    """A row that has no file."""

    def __init__(self, row: bytes, version: str | None) -> None:
        self.count = 1
        self.is_batch = False
        self.version = version
        self.told = b""
        self._row = row

    def __iter__(self) -> Iterator[bytes]:
        yield self._row


class _RowFile:
    """A mapped memory file. Unmapping a long one takes tens of milliseconds: a thread does it."""

    def __init__(self, descriptor: int, size: int, held: BytesHeld) -> None:
        self._held = held
        held.take(size, is_forced=True)
        self.mapped = mmap.mmap(descriptor, size, prot=mmap.PROT_READ) if size else b""

    def __del__(self) -> None:
        self._held.give_back(len(self.mapped))
        if isinstance(self.mapped, mmap.mmap) and len(self.mapped) > _UNMAPPED_BESIDE_BYTES:
            do_beside(_unmap, self.mapped)


def _unmap(mapped: mmap.mmap) -> None:
    for _ in range(_UNMAP_TRIES):
        try:
            mapped.close()
        except BufferError:  # a part of it is being sent
            time.sleep(_UNMAP_WAIT_S)
        else:
            return
