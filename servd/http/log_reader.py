"""Reads log files from their end and follows them. Used by api_logs.py.

Files are rotated by copy and truncate, so a file that is shorter than what was read of it begins
anew.
"""

from dataclasses import dataclass
from pathlib import Path

_BLOCK = 64 * 1024
_MAX_AT_ONCE = 1024 * 1024


@dataclass(slots=True)
class LogReader:
    """One log file. `label` names it where several are shown together."""

    path: Path
    label: str
    offset: int = 0
    partial: bytes = b""

    def tail(self, lines: int) -> list[bytes]:
        """Return the last lines, each with its end; `more` goes on after them."""
        found, self.offset = _tail(self.path, lines)
        if len(found) < lines:
            # Right after a rotation the last lines are in the copy.
            copy = self.path.with_name(f"{self.path.name}.1")
            found = _tail(copy, lines - len(found))[0] + found
        return found

    def more(self) -> list[bytes]:
        """Return the whole lines that were written since; at most a megabyte at once."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self.offset:
                    self.offset, self.partial = 0, b""
                file.seek(self.offset)
                content = file.read(_MAX_AT_ONCE)
        except FileNotFoundError:
            return []
        self.offset += len(content)
        *lines, self.partial = (self.partial + content).split(b"\n")
        # A line without an end must not grow in memory for ever.
        if len(self.partial) > _MAX_AT_ONCE:
            lines.append(self.partial)
            self.partial = b""
        return [line + b"\n" for line in lines]

    def labelled(self, lines: list[bytes], *, is_labelled: bool) -> bytes:
        """Return the lines as text to show."""
        label = f"{self.label} | ".encode() if is_labelled else b""
        return b"".join(label + line for line in lines)


def _tail(path: Path, lines: int) -> tuple[list[bytes], int]:
    """Return a file's last lines and its size; none and 0 if there is no such file."""
    try:
        with path.open("rb") as file:
            at = size = file.seek(0, 2)
            content = b""
            # One more end of line than lines: the one before the first of them.
            while at > 0 and content.count(b"\n") <= lines:
                step = min(_BLOCK, at)
                at = file.seek(at - step)
                content = file.read(step) + content
    except FileNotFoundError:
        return [], 0
    return _ended(content.splitlines(keepends=True)[-lines:] if lines else []), size


def _ended(lines: list[bytes]) -> list[bytes]:
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    return lines
