"""Which files of a project are opened while a model loads, told by the kernel. Used by loading.py.

Python tells of its own opens (an audit hook in the loading process); libraries in C and C++ open
weights by themselves, and of those only inotify tells. It does not say who opened a file, so few
files are believed, and only what Python has not told.
"""

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from servd.finding.installed import is_left_out

_MODIFY: Final = 0x2
_OPEN: Final = 0x20
_CREATE: Final = 0x100
_OVERFLOW: Final = 0x4000
_IS_FOLDER: Final = 0x40000000
_HEAD: Final = struct.Struct("iIII")
_MAX_FOLDERS: Final = 2000
"""A user has 8192 watches or more for all programs; a tree with more folders is data."""
_MAX_FILES: Final = 100
"""More opened files than that are not a model's weights but somebody's search through the tree."""
_READ: Final = 1 << 20


class OpenWatch:
    """Watches the folders below one while it is entered; then `opened` are the files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[int, Path] = {}
        self._opened: set[Path] = set()
        self._written: set[Path] = set()
        self._fd = -1

    @property
    def opened(self) -> set[Path]:
        """The files that were opened and neither made nor written; none where it was too many."""
        found = self._opened - self._written
        return found if len(found) <= _MAX_FILES else set()

    def __enter__(self) -> Self:
        """Begin to watch; where the kernel does not let us, nothing is seen."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            return self
        waiting = [self._root]
        while waiting and len(self._folders) < _MAX_FOLDERS:
            folder = waiting.pop(0)
            number = libc.inotify_add_watch(
                self._fd, os.fsencode(folder), _OPEN | _CREATE | _MODIFY
            )
            # The same number again: a link has led to a folder that is watched already.
            if number >= 0 and number not in self._folders:
                self._folders[number] = folder
                waiting += _folders_in(folder)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop watching."""
        if self._fd >= 0:
            self.drain()
            os.close(self._fd)

    def drain(self) -> None:
        """Take what has happened; to be called now and then, as the kernel keeps only so much."""
        if self._fd < 0:
            return
        with suppress(BlockingIOError):
            while events := os.read(self._fd, _READ):
                self._take(events)

    def _take(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            number, mask, _cookie, length = _HEAD.unpack_from(events, at)
            at += _HEAD.size
            name = events[at : at + length].rstrip(b"\0")
            at += length
            folder = self._folders.get(number)
            if folder is None or not name or mask & (_IS_FOLDER | _OVERFLOW):
                continue
            path = folder / os.fsdecode(name)
            if path.suffix not in (".py", ".pyc"):
                (self._opened if mask & _OPEN else self._written).add(path)


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [folder / entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    return sorted(path for path in found if not is_left_out(path, folder))
