"""What others wrote, made fit for a line of a log or of a terminal. Used by log.py and the CLI.

Names, messages and outputs may hold what ends a line, moves a cursor, sets a terminal's title or
turns the direction of writing round. Shown as it is, it could pass for something that servd says.
"""

import re
from typing import Final

_STEERING: Final = (
    "\x7f-\x9f"  # DEL and C1, of which one ends a line and one begins what ESC [ does
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions of writing
    "\ud800-\udfff"  # halves of characters, which no file takes
)
_IN_A_LINE: Final = re.compile(f"[\x00-\x1f{_STEERING}]")
_IN_LINES: Final = re.compile(f"[\x00-\x08\x0b-\x1f{_STEERING}]")
_IN_JSON: Final = re.compile(f"[{_STEERING}]")
_COLOUR: Final = re.compile(f"(\x1b\\[[0-9;:]*m)|[\x00-\x08\x0a-\x1f{_STEERING}]")
_COLOUR_OFF: Final = "\x1b[0m"


def on_one_line(text: str) -> str:
    r"""Return a text with all that steers written out, ends of lines too: `\n`, `\x1b`."""
    return _IN_A_LINE.sub(_written_out, text)


def on_lines(text: str, indent: str = "") -> str:
    """Return a text that may have several lines, of which all but the first are indented."""
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{indent}".join(_IN_LINES.sub(_written_out, line) for line in lines)


def in_json(text: str) -> str:
    """Return JSON that says the same and holds nothing that steers."""
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def in_colour(line: str) -> str:
    """Return what a model has printed, for a terminal: colours stay, the rest is written out."""
    shown = _COLOUR.sub(lambda found: found[1] or _written_out(found), line)
    return f"{shown}{_COLOUR_OFF}" if "\x1b[" in shown else shown


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
