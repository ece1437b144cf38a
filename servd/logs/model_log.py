"""The log of one replica: what it prints, each line with its time, in files of bounded size.

Fed by pump.py (processes) and launchers/container.py (containers), with what comes as it comes.
The model's text is not changed, with three exceptions: secrets are replaced; of a line that is
written over with carriage returns, as progress bars are, only states that stood for a while and the
last one are kept; and a line that is longer than anybody reads is cut, which it says.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.logs.log import stamp

MAX_BYTES: Final = 10 * 1024 * 1024
"""Of the file; older text is in copies."""

KEEP: Final = 3
MAX_LINE_BYTES: Final = 64 * 1024
CUT_NOTE: Final = b" [... the rest of this line is left out]"
BAR_EVERY_S: Final = 1.0
"""How often the state of a line that is written over is kept."""


class ModelLog:
    """Takes a replica's output in pieces of any size. Not for two threads at once.

    `_rest` is the line that has no end yet, as far as it is not written; `_is_open` says that its
    beginning is in the file already, `_is_skipped` that it is too long and its end is left out.
    `_is_bar` says that it was written over, `_bar` which state of it was kept last.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.time,
        *,
        max_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        secrets: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._keep = keep
        self._secrets = [(value.encode(), name.encode()) for value, name in secrets]
        self._file: int | None = None
        self._size = 0
        self._lost = 0
        self._rest = b""
        self._is_open = False
        self._is_skipped = False
        self._is_bar = False
        self._bar = b""
        self._bar_s = 0.0

    def begin(self) -> None:
        """Make the file, so that a replica that prints nothing has an empty log."""
        with suppress(OSError):
            self._rotate()

    def feed(self, piece: bytes) -> None:
        """Take what was printed. A line is written when it has ended or is too long."""
        now_s = self._clock()
        mark = stamp(now_s)
        data = self._rest + (self._after_skipped(piece) if self._is_skipped else piece)
        if b"\r\n" in data:
            data = data.replace(b"\r\n", b"\n")
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            self._write(self._ended(whole, mark))
        if rest or newline:
            self._take_rest(rest, now_s, mark)

    def rest(self) -> None:
        """Write what has no end yet: nothing has come for a while. Called by who feeds."""
        now_s = self._clock()
        if self._is_bar:
            if now_s - self._bar_s >= BAR_EVERY_S:
                self._keep_bar(now_s, stamp(now_s))
            return
        # Held back: it may be the first half of an end of line.
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest.removesuffix(b"\r")
        if text:
            self._write(text if self._is_open else stamp(now_s) + text)
            self._is_open, self._rest = True, held

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._rest or self._is_open:
            self.feed(b"\n")
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # --- lines ---

    def _ended(self, whole: bytes, mark: bytes) -> bytes:
        """Return lines that have ended (the last without its end), ready to be written."""
        is_plain = not (self._is_open or self._is_bar or b"\r" in whole)
        if is_plain and (len(whole) <= MAX_LINE_BYTES or _longest(whole) <= MAX_LINE_BYTES):
            return mark + whole.replace(b"\n", b"\n" + mark) + b"\n"
        first, *others = whole.split(b"\n")
        text = self._first(first, mark)
        return text + b"".join(mark + shown(line) + b"\n" for line in others)

    def _first(self, line: bytes, mark: bytes) -> bytes:
        """Return the end of the line that had begun, or the whole of it, and begin anew."""
        was_open, self._is_open = self._is_open, False
        bar, self._bar, self._is_bar = self._bar, b"", False
        ended = shown(line)
        if was_open and b"\r" not in line:
            return ended + b"\n"
        # What stands at the end has been kept while it stood.
        text = b"" if bar and ended == bar else mark + ended + b"\n"
        return b"\n" + text if was_open else text

    def _take_rest(self, rest: bytes, now_s: float, mark: bytes) -> None:
        if b"\r" in rest.rstrip(b"\r"):
            rest = last_state(rest)
            self._begin_bar(now_s)
        if len(rest) > MAX_LINE_BYTES:
            begin = b"" if self._is_open else mark
            self._write(begin + shown(rest) + b"\n")
            rest, self._is_skipped, self._is_open, self._is_bar = b"", True, False, False
        self._rest = rest
        if self._is_bar and now_s - self._bar_s >= BAR_EVERY_S:
            self._keep_bar(now_s, mark)

    def _after_skipped(self, piece: bytes) -> bytes:
        """Return what follows the line that is left out; from a return on it is another one."""
        ends = [at for at in (piece.find(b"\n"), piece.find(b"\r")) if at >= 0]
        self._is_skipped = not ends
        return piece[min(ends) + 1 :] if ends else b""

    def _begin_bar(self, now_s: float) -> None:
        if self._is_bar:
            return
        self._is_bar, self._bar, self._bar_s = True, b"", now_s
        if self._is_open:
            self._write(b"\n")
            self._is_open = False

    def _keep_bar(self, now_s: float, mark: bytes) -> None:
        """Write the present state of a line that is written over, as a line."""
        self._bar_s = now_s
        text = self._rest.strip(b"\r")
        if text and text != self._bar:
            self._bar = text
            self._write(mark + text + b"\n")

    # --- the file ---

    def _write(self, text: bytes) -> None:
        """Append to the file; a disk that is full costs text and ends nothing."""
        for value, name in self._secrets:
            text = text.replace(value, name)
        try:
            if self._file is None or self._size + len(text) > self._max_bytes:
                self._rotate()
            if self._lost:
                note = (
                    b"[%d bytes of output were lost: the log could not be written]\n" % self._lost
                )
                text = stamp(self._clock()) + note + text
            self._append(text)
            self._lost = 0
        except OSError:
            self._lost += len(text)

    def _append(self, text: bytes) -> None:
        assert self._file is not None  # noqa: S101 - `_rotate` opened it
        view = memoryview(text)
        while view:
            written = os.write(self._file, view)
            self._size += written
            view = view[written:]

    def _rotate(self) -> None:
        """Open the file, after what is in it was moved away if it is too large."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        if self._file is None:
            self._file = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._file).st_size
            if self._size < self._max_bytes:
                return
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                numbered(self._path, number).replace(numbered(self._path, number + 1))
        with suppress(FileNotFoundError):
            self._path.replace(numbered(self._path, 1))
        new = os.open(self._path, flags, 0o600)
        os.close(self._file)
        self._file, self._size = new, 0


def numbered(path: Path, number: int) -> Path:
    """Return what a log is called that was moved away so often."""
    return path.with_name(f"{path.name}.{number}")


def _longest(text: bytes) -> int:
    return max(map(len, text.split(b"\n")))


def last_state(line: bytes) -> bytes:
    """Return what a line shows last: the text after its last return that is followed by any."""
    text = line.rstrip(b"\r")
    return line[text.rfind(b"\r") + 1 :]


def shown(line: bytes) -> bytes:
    """Return what is left of a line that has ended: its last state, cut where it is too long."""
    if b"\r" in line:
        line = last_state(line).rstrip(b"\r")
    return line if len(line) <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] + CUT_NOTE
