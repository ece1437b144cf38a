"""The daemon's own log and the logs of replicas. Called by servd/daemon.py and the supervisor."""

import logging
import shutil
import sys
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_MAX_BYTES = 10 * 1024 * 1024
_KEEP = 3
_TAIL_BYTES = 64 * 1024

log = logging.getLogger("servd")
"""The root of the daemon's loggers."""


def configure(path: Path, level: str, *, to_stderr: bool) -> list[logging.Handler]:
    """Write the daemon's log to a rotated file, and in the foreground to stderr too.

    Returns the handlers, for `release`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_KEEP, encoding="utf-8")
    ]
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    return _add(handlers, level)


def to_stderr(level: str) -> list[logging.Handler]:
    """Write the log to stderr only, as containers want it; for processes that keep no files.

    Returns the handlers, for `release`.
    """
    return _add([logging.StreamHandler(sys.stderr)], level)


def _add(handlers: list[logging.Handler], level: str) -> list[logging.Handler]:
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    return handlers


def release(handlers: list[logging.Handler]) -> None:
    """Take the handlers of `configure` off again and close them."""
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
        handler.close()


def rotate(path: Path, *, max_bytes: int = _MAX_BYTES, keep: int = _KEEP) -> bool:
    """Copy a replica's log away and empty it if it has grown beyond `max_bytes`.

    The replica keeps its descriptor: opened for appending, it goes on at the file's new end.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = _numbered(path, number)
        if older.exists():
            older.replace(_numbered(path, number + 1))
    shutil.copyfile(path, _numbered(path, 1))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def note(path: Path, text: str) -> None:
    """Add a line of servd's own to a replica's log, where the file can be written.

    What the replica printed last may have been no whole line.
    """
    with suppress(OSError), path.open("ab+") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        is_begun = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * is_begun + text.encode(errors="replace") + b"\n")


def tail(path: Path, lines: int, *, start: int = 0) -> list[str]:
    """Return the last lines of a log from byte `start` on; none if there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start if start <= size else 0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
