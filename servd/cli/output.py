"""How the CLI writes: lines, progress steps, tables, JSON documents. Used by every verb."""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from servd.logs.printable import in_colour, in_json, on_lines, on_one_line

if TYPE_CHECKING:
    from rich.status import Status

_STEP_WIDTH: Final = 9
_DETAIL_WIDTH: Final = 52


class Output:
    """Writes results to stdout and remarks to stderr, in the form that the options ask for.

    Whatever is in a name or a message, it steers no terminal and begins no line (printable.py).
    """

    def __init__(self, *, is_json: bool, is_quiet: bool, no_color: bool) -> None:
        self.is_json = is_json
        self._is_quiet = is_quiet
        self.is_terminal = sys.stdout.isatty()
        self._spinner: Status | None = None
        self.has_color = self.is_terminal and not (no_color or os.environ.get("NO_COLOR"))

    def document(self, value: Any) -> None:
        """Write the one JSON document of `--json`."""
        click.echo(in_json(json.dumps(value, indent=2, ensure_ascii=False)))

    def record(self, value: Any) -> None:
        """Write one line of NDJSON, for what goes on."""
        click.echo(in_json(json.dumps(value, ensure_ascii=False)))

    def result(self, value: Any, text: str) -> None:
        """Write the document in JSON mode, else the text."""
        if self.is_json:
            self.document(value)
        else:
            self.line(text)

    def line(self, text: str, color: str | None = None) -> None:
        """Write a line for people; nothing in JSON mode or when quiet."""
        shown = on_one_line(text)
        self._line(self._paint(shown, color) if color else shown)

    def answer(self, text: str) -> None:
        """Write what was asked for, quiet or not."""
        click.echo(on_one_line(text))

    def answer_json(self, text: str) -> None:
        """Write what was asked for, which is JSON as it came."""
        click.echo(on_lines(in_json(text)))

    def logged(self, line: str) -> None:
        """Write a line of a log as it was printed; on a terminal it may do no more than colour."""
        click.echo(in_colour(line) if self.is_terminal else line)

    def warning(self, text: str) -> None:
        """Write a warning to stderr; in JSON mode it is part of the document instead.

        It may have several lines, as code that is to be pasted has.
        """
        if not self.is_json:
            self.settle()
            word = self._paint("warning", "yellow", stream=sys.stderr)
            click.echo(f"{word}: {on_lines(text)}", err=True)

    def step(self, word: str, detail: str, duration_ms: float | None = None) -> None:
        """Write one line of progress that went well: with a mark and its time on a terminal."""
        detail = on_one_line(detail)
        if not self.is_terminal:
            self._line(f"{word:<{_STEP_WIDTH}} {detail}")
            return
        mark = self._paint("✓", "green")
        took = "" if duration_ms is None else f"{duration_ms:.0f} ms"
        self._line(f"{mark} {word:<{_STEP_WIDTH}} {detail:<{_DETAIL_WIDTH}} {took:>8}".rstrip())

    def failed_step(self, word: str, detail: str) -> None:
        """Write one line of progress that failed; not on a terminal the error alone tells it."""
        if self.is_terminal:
            detail = on_one_line(detail)
            self._line(f"{self._paint('✗', 'red')} {word:<{_STEP_WIDTH}} {detail}")

    def working(self, text: str) -> None:
        """Show on a terminal that something goes on, until the next line or `settle`."""
        if not self.has_color or self.is_json or self._is_quiet:
            return
        from rich.console import Console  # noqa: PLC0415 - slow to import, wanted here only
        from rich.markup import escape  # noqa: PLC0415
        from rich.status import Status  # noqa: PLC0415

        self.settle()
        self._spinner = Status(escape(on_one_line(text)), console=Console())
        self._spinner.start()

    def settle(self) -> None:
        """Take away what `working` shows."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write columns, never cut: a name or a process id is there to be copied."""
        lines = [tuple(map(on_one_line, row)) for row in (headers, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for index, row in enumerate(lines):
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            text = "  ".join(cells).rstrip()
            click.echo(click.style(text, bold=True) if self.has_color and index == 0 else text)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write names and values under each other."""
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            self.line(f"  {name:<{width}}  {value}")

    def _line(self, shown: str) -> None:
        if not (self.is_json or self._is_quiet):
            self.settle()
            click.echo(shown)

    def _paint(self, text: str, color: str, stream: Any = None) -> str:
        if not self.has_color or (stream is not None and not stream.isatty()):
            return text
        return click.style(text, fg=color)


def milliseconds(value: float | None) -> str:
    """Return a latency as people read it."""
    return "-" if value is None else f"{value:.1f}ms"


def number(value: float | None) -> str:
    """Return a number with one digit below ten, and none above."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage."""
    return "-" if ratio is None else f"{ratio * 100:.1f}%"


def size(count: int | None) -> str:
    """Return bytes as MB."""
    return "-" if count is None else f"{count / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """Return seconds as people read them: 12 s, 3 min, 2 h, 5 d."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
