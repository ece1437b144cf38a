"""Reads log files from their end and follows them, for http/admin/api_logs.py and copier.py.

Whatever is in a file, the work is bounded: it is read in blocks from its end, each once, and no
further than `MAX_TAIL_BYTES`. Of a line that was written over with carriage returns the last state
is shown; one that is longer than anybody reads is cut, which it says.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from servd.logs.model_log import KEEP, MAX_LINE_BYTES, last_state, numbered, shown

MAX_TAIL_BYTES: Final = 32 * 1024 * 1024
_BLOCK: Final = 64 * 1024
_MAX_AT_ONCE: Final = 1024 * 1024


@dataclass(slots=True)
class LogReader:
    """One log file, which is rotated by renaming. `label` names it where several are shown."""

    path: Path
    label: str
    offset: int = 0
    inode: int | None = None
    partial: bytes = field(default=b"", repr=False)

    def tail(self, lines: int) -> list[bytes]:
        """Return the last lines, each with its end; `more` goes on after them."""
        try:
            with self.path.open("rb") as file:
                self.inode = _inode(file)
                self.offset = file.seek(0, 2)
                found = _last_lines(file, self.offset, lines)
        except FileNotFoundError:
            self.offset, found = 0, []
        if len(found) < lines:
            # Right after a rotation the last lines are in the copy.
            found = self._tail_of_copy(lines - len(found)) + found
        return found

    def more(self) -> list[bytes]:
        """Return the whole lines that were written since; at most a megabyte at once."""
        newer: Path | None = None
        for path in (self.path, *self._copies):
            try:
                with path.open("rb") as file:
                    if _inode(file) == self.inode or (self.inode is None and newer is None):
                        return self._read_on(file) or self._begin(newer)
            except FileNotFoundError:
                continue
            newer = path
        # What it was is gone, so is what was not read of it.
        return self._begin(self.path)

    def labelled(self, lines: list[bytes], *, is_labelled: bool) -> bytes:
        """Return the lines as text to show."""
        label = f"{self.label} | ".encode() if is_labelled else b""
        return b"".join(label + line for line in lines)

    @property
    def _copies(self) -> list[Path]:
        """What the file was renamed to: once, twice, and so on."""
        return [numbered(self.path, number) for number in range(1, KEEP + 1)]

    def _tail_of_copy(self, lines: int) -> list[bytes]:
        try:
            with self._copies[0].open("rb") as file:
                return _last_lines(file, file.seek(0, 2), lines)
        except FileNotFoundError:
            return []

    def _begin(self, path: Path | None) -> list[bytes]:
        """Go on with the next file, where one has taken the place of that which was read."""
        if path is None:
            return []
        try:
            with path.open("rb") as file:
                self.inode, self.offset = _inode(file), 0
                return self._read_on(file)
        except FileNotFoundError:
            return []

    def _read_on(self, file: IO[bytes]) -> list[bytes]:
        self.inode = _inode(file)
        if file.seek(0, 2) < self.offset:
            self.offset, self.partial = 0, b""  # somebody has emptied it
        file.seek(self.offset)
        content = file.read(_MAX_AT_ONCE)
        self.offset += len(content)
        *lines, partial = (self.partial + content).split(b"\n")
        # A line without an end must not grow in memory for ever.
        self.partial = partial if len(partial) <= MAX_LINE_BYTES else last_state(partial)
        if len(self.partial) > MAX_LINE_BYTES:
            self.partial = self.partial[: MAX_LINE_BYTES + 1]
        return [shown(line) + b"\n" for line in lines]


def _inode(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_ino


def _last_lines(file: IO[bytes], size: int, count: int) -> list[bytes]:
    """Return a file's last lines, each with its end, the oldest first."""
    found: list[bytes] = []
    for line in _backwards(file, size):
        if len(found) >= count:
            break
        found.append(shown(line) + b"\n")
    return found[::-1]


def _backwards(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield a file's lines without their ends, the last first."""
    at, line = size, _LineFromItsEnd()
    while at > 0 and size - at < MAX_TAIL_BYTES:
        end, at = at, max(0, at - _BLOCK)
        file.seek(at)
        first, *others = file.read(end - at).split(b"\n")
        if others:
            line.add(others.pop())
            # A file that ends as it should has no line after its last end.
            if end < size or not line.is_empty:
                yield line.text
            yield from reversed(others)
            line = _LineFromItsEnd()
        line.add(first)
    if size:
        yield line.text


class _LineFromItsEnd:
    """A line of which pieces come from its end to its beginning; keeps no more than is shown."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._has_state = False

    @property
    def is_empty(self) -> bool:
        return not any(self._pieces)

    @property
    def text(self) -> bytes:
        return b"".join(reversed(self._pieces))

    def add(self, piece: bytes) -> None:
        """Take the piece before those that came."""
        if self._has_state:
            return  # what stood before it was written over
        self._has_state = b"\r" in piece and not (self.is_empty and not piece.strip(b"\r"))
        # What is shown of a line that is too long is its beginning, so the pieces read last.
        self._pieces = [*self._pieces[-2:], piece]
