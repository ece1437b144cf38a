"""Folders that are made once, whoever wants them, and that are whole or are not there.

Used by store.py, for environments and for what builds them. A folder is made where it stays, as
what is installed has its path in it. It is whole from when its mark is there, which comes by a
rename at the end, and goes first when it is removed. Who makes it, or uses it, holds a lock that
the kernel takes back however he ends.
"""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from servd.system.identity import process_id
from servd.system.offspring import is_zombie

MARK: Final = "environment.json"
_GOING: Final = "going."
_LOCKS: Final = "flocks"
_SCRATCH: Final = "scratch"


class Shelf:
    """A folder of folders, by their keys. All methods block.

    `is_sound` tells of a folder with a mark, and of what that says, whether it is still whole.
    """

    def __init__(self, folder: Path, is_sound: Callable[[Path, Mapping[str, Any]], bool]) -> None:
        self.folder = folder
        self._is_sound = is_sound

    def path(self, key: str) -> Path:
        """Return where the folder of a key is, or would be."""
        return self.folder / key

    def is_whole(self, key: str) -> bool:
        """Whether it is there, and all of it."""
        note = self.note(key)
        return bool(note) and self._is_sound(self.path(key), note)

    def note(self, key: str) -> dict[str, Any]:
        """Return what its mark says; nothing where there is none."""
        with suppress(OSError, ValueError):
            said = json.loads((self.path(key) / MARK).read_bytes())
            if isinstance(said, dict):
                return said
        return {}

    def whole(self) -> list[str]:
        """Return the keys of all that are whole."""
        return sorted(each for each in self._names() if self.is_whole(each))

    def being_made(self) -> list[str]:
        """Return the keys of those that somebody is making."""
        return sorted(
            each
            for each in self._names()
            if not self.is_whole(each) and self._is_held(each, "make")
        )

    def make(
        self, key: str, fill: Callable[[Path], Mapping[str, Any]], on_wait: Callable[[], None]
    ) -> bool:
        """Have the folder of a key; return whether it was made by this call.

        `fill` makes it and returns what its mark says. `on_wait` is called before another who is
        making the same is waited for.

        Raises:
            OSError: the disk does not take it; then nothing of it is left.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held(key, "make", on_wait):
            if self.is_whole(key):
                return False
            path = self.path(key)
            self._discard(key)
            try:
                note = fill(path)
                _to_disk(path)
                draft = path / f"{MARK}.new"
                draft.write_text(json.dumps(note), "utf-8")
                draft.replace(path / MARK)
            except BaseException:
                self._discard(key)
                raise
        return True

    def use(self, key: str) -> int:
        """Keep a folder from being removed until the descriptor that is returned is closed."""
        lock = self._opened(key, "use")
        fcntl.flock(lock, fcntl.LOCK_SH)
        self.touch(key)
        return lock

    def touch(self, key: str) -> None:
        """Note that a folder is wanted now: the time of its mark says when it was last."""
        with suppress(OSError):
            os.utime(self.path(key) / MARK)

    def remove(self, key: str) -> bool:
        """Remove a folder unless it is in use or being made; return whether it was removed."""
        try:
            with self._held(key, "make", None), self._held(key, "use", None):
                self._discard(key)
                return True
        except BlockingIOError:
            return False

    def is_used(self, key: str) -> bool:
        """Whether somebody keeps a folder from being removed."""
        return self._is_held(key, "use")

    def tidy(self) -> list[str]:
        """Remove what killed makers have left; return the keys of half folders."""
        removed = []
        for name in self._names():
            if name.startswith(_GOING):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            elif not self.is_whole(name) and self._tidied(name):
                removed.append(name)
        for path in _entries(self.folder / _SCRATCH):
            if not _is_alive(path.name):
                shutil.rmtree(path, ignore_errors=True)
        return removed

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder for what is wanted meanwhile; one of a killed process `tidy` removes."""
        pid = os.getpid()
        started = (process_id(pid) or "").rpartition(":")[2]
        path = self.folder / _SCRATCH / f"{pid}.{started}.{secrets.token_hex(4)}"
        path.mkdir(mode=0o700, parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def alone(self, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Be the only one who does what has this name."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._held(name, "alone", on_wait):
            yield

    def _tidied(self, key: str) -> bool:
        """Remove the folder of a key that is not whole, unless somebody is making it."""
        try:
            with self._held(key, "make", None):
                if not self.is_whole(key):
                    self._discard(key)
                    return True
        except BlockingIOError:
            pass
        return False

    def _discard(self, key: str) -> None:
        """Remove a folder; the mark goes first, so that no half of it is ever taken for whole."""
        path = self.path(key)
        with suppress(OSError):
            (path / MARK).unlink()
        going = self.folder / f"{_GOING}{secrets.token_hex(8)}"
        try:
            path.rename(going)
        except OSError:
            going = path
        shutil.rmtree(going, ignore_errors=True)

    def _names(self) -> list[str]:
        own = (_LOCKS, _SCRATCH)
        return [
            each.name for each in _entries(self.folder) if each.is_dir() and each.name not in own
        ]

    def _opened(self, key: str, purpose: str) -> int:
        locks = self.folder / _LOCKS
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(locks / f"{key}.{purpose}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _held(self, key: str, purpose: str, on_wait: Callable[[], None] | None) -> Iterator[None]:
        """Hold the lock of a key.

        Raises:
            BlockingIOError: another has it, and nobody would hear of the waiting.
        """
        lock = self._opened(key, purpose)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is None:
                    raise
                on_wait()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _is_held(self, key: str, purpose: str) -> bool:
        try:
            with self._held(key, purpose, None):
                return False
        except BlockingIOError:
            return True
        except OSError:
            return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_alive(name: str) -> bool:
    """Whether the process whose scratch folder it is still runs."""
    pid, _, rest = name.partition(".")
    started = rest.partition(".")[0]
    if not pid.isdigit() or is_zombie(int(pid)):  # which nobody may collect for a while
        return False
    found = process_id(int(pid))
    return found is not None and found.rpartition(":")[2] == started


def _to_disk(folder: Path) -> None:
    """Have all that was written there on the disk: the mark must not outlive it in a power cut."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ctypes.CDLL(None, use_errno=True).syncfs(number)
    finally:
        os.close(number)
