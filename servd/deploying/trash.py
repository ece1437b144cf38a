"""Where bundles lie for a day after nobody needs them. Used by bundles.py.

A folder keeps its name in it, so that it comes back under the same; when it was thrown away is its
time of modification. It goes sooner where the disk fills up, the oldest first.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from servd.clock import wall_s
from servd.logs.log import log

KEEP_S: Final = 24 * 3600.0
_MIN_FREE: Final = 0.1
"""Share of the disk below which nothing is kept."""
_GOING: Final = "going."


class Trash:
    """A folder of folders. Its methods block: they are called in threads."""

    def __init__(self, folder: Path, wall: Callable[[], float] = wall_s) -> None:
        self._folder = folder
        self._wall = wall

    def take(self, path: Path, name: str = "") -> None:
        """Move a folder here, where it gets another name if one is given, and is not given back.

        Where it cannot be moved, it stays and that is logged.
        """
        target = self._folder / (name or path.name)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if target.exists():
                self._delete(target)
            os.utime(path, (self._wall(), self._wall()))
            shutil.move(path, target)
        except OSError as error:
            log.warning("%s cannot be thrown away: %s", path, error.strerror or error)

    def give_back(self, path: Path) -> bool:
        """Move a folder back to where it was; return whether it was here."""
        try:
            (self._folder / path.name).rename(path)
        except OSError:
            return False
        log.info("took %s out of the trash", path.name)
        return True

    def tidy(self) -> None:
        """Delete what has lain here for a day, and more where the disk is nearly full."""
        now_s = self._wall()
        for thrown_s, path in self._entries():
            if now_s - thrown_s >= KEEP_S or path.name.startswith(_GOING) or self._is_full():
                log.info("deleting %s from the trash", path.name)
                self._delete(path)

    def empty(self) -> bool:
        """Delete everything, as the disk is full; return whether there was anything."""
        entries = self._entries()
        for _, path in entries:
            self._delete(path)
        return bool(entries)

    def _entries(self) -> list[tuple[float, Path]]:
        """Return when each was thrown away, the oldest first."""
        if not self._folder.is_dir():
            return []
        return sorted((path.lstat().st_mtime, path) for path in self._folder.iterdir())

    def _is_full(self) -> bool:
        disk = shutil.disk_usage(self._folder)
        return disk.free < disk.total * _MIN_FREE

    def _delete(self, path: Path) -> None:
        # Out of the way first: a half deleted folder must never be given back.
        going = path.with_name(f"{_GOING}{secrets.token_hex(8)}")
        path.rename(going)
        shutil.rmtree(going, ignore_errors=True)
