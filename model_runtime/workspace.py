"""A replica's own copy of its bundle, in which its model runs. Used by loop.py.

A bundle is what its digest says, for every replica and every image made of it. Models write beside
themselves: caches, compiled files, folders of results. That goes into a copy, which ends with the
replica. Code and small files are copied; of large ones the copy shares the blocks, where the file
system can do that, or holds links.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 1 << 20
MAX_TOTAL_BYTES: Final = 16 << 20
"""What is copied at most: it costs each start a few milliseconds, and a container its memory."""

_FICLONE: Final = 0x40049409
"""ioctl_ficlone(2): share the blocks of a file until one of both is written."""


def make(bundle: Path, folder: Path | None) -> Path:
    """Return a copy of a bundle in a folder; without one, in a temporary one of its own.

    Where it cannot be made (no room, nothing may be written) the model runs on its bundle, which
    it cannot change there either; that is said in its log.
    """
    place = None
    try:
        place = Path(tempfile.mkdtemp(prefix="servd-model-", dir=folder))
        _fill(bundle, place)
    except OSError as error:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        sys.stderr.write(
            f"no working copy of the model's files can be made in {folder or tempfile.gettempdir()}"
            f" ({error.strerror or error}): the model runs on the files as they were deployed\n"
        )
        return bundle
    return place


def _fill(bundle: Path, place: Path) -> None:
    # The user's own mask is for what the model makes; these files are nobody else's business.
    mask = os.umask(0o077)
    try:
        _copy_all(bundle, place)
    finally:
        os.umask(mask)


def _copy_all(bundle: Path, place: Path) -> None:
    left = MAX_TOTAL_BYTES
    for size, path in sorted(_files(bundle)):
        copy = place / path.relative_to(bundle)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py" and not sys.dont_write_bytecode:
            # Python would make it as the model is imported, by the user's mask.
            (copy.parent / "__pycache__").mkdir(exist_ok=True)
        if size <= MAX_FILE_BYTES and size <= left:
            left -= size
            shutil.copyfile(path, copy)
        elif not _share(path, copy):
            copy.symlink_to(path.resolve())


def _files(bundle: Path) -> Iterator[tuple[int, Path]]:
    """Yield size and path of each file; a folder of packages may be linked to from elsewhere."""
    for folder, _, names in os.walk(bundle, followlinks=True):
        for name in names:
            path = Path(folder, name)
            yield path.stat().st_size, path


def _share(path: Path, copy: Path) -> bool:
    """Make a copy that shares its blocks with the original; return whether that can be done."""
    with path.open("rb") as source, copy.open("xb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            is_shared = False
        else:
            is_shared = True
    if not is_shared:
        copy.unlink()
    return is_shared
