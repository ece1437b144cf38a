"""The daemon's own log and the logs of replicas. Used by all that have something to tell."""

import logging
import re
import sys
import time
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from servd.logs.printable import on_lines, on_one_line

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
_MAX_BYTES = 10 * 1024 * 1024
_KEEP = 3
_TAIL_BYTES = 64 * 1024
_MAX_LENGTH = 8192
"""Of one message, in characters."""
_INDENT = "    "

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


class _Formatter(logging.Formatter):
    """Times as `stamp` writes them; a record is one line, and below it an indented traceback.

    What begins with a time is servd's, whatever names and messages hold that clients sent.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; called by logging."""
        record.exc_text = None  # which another formatter may have left there
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the record's line; called by logging, before it adds a traceback."""
        record.message = _bounded(on_one_line(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return a traceback; called by logging, which puts it below the record."""
        return _INDENT + on_lines(super().formatException(ei), _INDENT)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        """Return where the record was made; called by logging like `formatException`."""
        return _INDENT + on_lines(super().formatStack(stack_info), _INDENT)


def _bounded(text: str) -> str:
    if len(text) <= _MAX_LENGTH:
        return text
    return f"{text[:_MAX_LENGTH]} [... {len(text) - _MAX_LENGTH:,} more characters]"


def _add(handlers: list[logging.Handler], level: str) -> list[logging.Handler]:
    root = logging.getLogger()
    for handler in handlers:
        handler.setFormatter(_Formatter(_FORMAT))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    return handlers


def release(handlers: list[logging.Handler]) -> None:
    """Take the handlers of `configure` off again and close them."""
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
        handler.close()


def stamp(now_s: float) -> bytes:
    """Return how a line begins: its time in UTC with milliseconds (RFC 3339), and a blank."""
    whole = int(now_s)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{int((now_s - whole) * 1000):03d}Z ".encode()


def unstamped(line: str) -> str:
    """Return a line of a replica's log as the model printed it."""
    return _STAMP.sub("", line, count=1)


def note(path: Path, text: str) -> None:
    """Add a line of servd's own to a replica's log, where the file can be written.

    What the replica printed last may have been no whole line.
    """
    with suppress(OSError), path.open("ab+") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        is_begun = file.read(1) not in (b"", b"\n")
        line = stamp(time.time()) + _bounded(on_one_line(text)).encode() + b"\n"
        file.write(b"\n" * is_begun + line)


def tail(path: Path, lines: int, *, start: int = 0) -> list[str]:
    """Return the last lines of a replica's log from byte `start` on, without their times.

    None if there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start if start <= size else 0, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [unstamped(line) for line in text.splitlines()[-lines:]]
