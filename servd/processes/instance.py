"""One daemon on one data directory: its folders, its lock, daemon.json. Used by daemon.py."""

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servd.config import Config
from servd.errors import StartError
from servd.logs.log import log

PRIVATE_MASK: Final = 0o077
OTHERS: Final = 0o077
"""The rights of a file's group and of all others."""


def close_to_others() -> int:
    """Have whatever this process makes from now on be its user's alone; return the mask before.

    Replicas get that one back: what a model writes elsewhere is not ours to close.
    """
    return os.umask(PRIVATE_MASK)


def make_folders(config: Config) -> None:
    """Make the folders of a daemon, closed to other users.

    Raises:
        StartError: one cannot be made or written, or belongs to somebody else.
    """
    for folder in _folders(config):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _not_writable(folder, error.strerror) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _not_writable(folder, "permission denied")
    # It may lie in /tmp, where anybody can make a folder or a link of that name first. One look:
    # what is a folder of our own there, nobody else can replace.
    found = config.run_dir.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StartError(f"{config.run_dir} belongs to another user", hint="choose --data-dir DIR")
    _tighten(config.run_dir)


def close_folders(config: Config) -> None:
    """Take others' rights from what was made before, by a wider mask, a backup or systemd."""
    for path in (*_folders(config), *config.data_dir.iterdir(), *config.logs_dir.rglob("*")):
        _tighten(path)


def _folders(config: Config) -> tuple[Path, ...]:
    return config.data_dir, config.run_dir, config.bundles_dir, config.logs_dir


def _tighten(path: Path) -> None:
    """Take others' rights from a file or folder of ours; what cannot be closed is said."""
    try:
        found = path.lstat()
        if not found.st_mode & OTHERS or stat.S_ISLNK(found.st_mode):
            return
        if found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX:
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
            return
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s is open to other users and cannot be closed: %s", path, error.strerror)
        return
    log.warning(
        "%s is open to other users (mode %o) and user %d's, so it is left so; "
        "what servd makes in it is closed",
        path,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
    )


@contextmanager
def locked(config: Config) -> Iterator[None]:
    """Hold the data directory; the kernel lets go of it however the daemon ends.

    Raises:
        StartError: another daemon holds it; names its process id.
    """
    try:
        lock = os.open(config.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_writable(config.lock_file, error.strerror) from error
    try:
        _take(lock, config)
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)


def clear_leftovers(config: Config) -> None:
    """Remove the sockets and scratch folders of replicas that a killed daemon left behind."""
    for folder in (config.run_dir / "r", config.run_dir / "scratch", config.scratch_dir):
        shutil.rmtree(folder, ignore_errors=True)
    config.admin_socket.unlink(missing_ok=True)


def write_info(path: Path, info: dict[str, Any]) -> None:
    """Write daemon.json; a reader sees all of it or none."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(info))
    draft.chmod(0o600)
    draft.replace(path)


def _take(lock: int, config: Config) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise StartError(
            f"a servd daemon runs on {config.data_dir} already (pid {pid})",
            hint="servd status, or give another folder: --data-dir DIR",
        ) from None


def _not_writable(path: Path, reason: str | None) -> StartError:
    return StartError(
        f"the data directory cannot be written: {path}: {reason}",
        hint="give another one: --data-dir DIR",
    )
