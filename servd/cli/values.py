"""The kinds of value that options and arguments take, with errors in words. Used by the verbs."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from servd.quantities import parse_duration, parse_size

_NO_JSON: Final = frozenset({"NaN", "Infinity", "-Infinity", "None", "True", "False"})
"""What other languages write for values that JSON has not, or writes in another way."""


def default_remark(text: str | None) -> str | None:
    """Return what to say of a default output that was meant to be JSON and is none, if it was.

    A text that is no JSON is a good default output, and is answered as a text.
    """
    if text is None or not (text.lstrip()[:1] in tuple('{["') or text.strip() in _NO_JSON):
        return None
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return f"the default output {text} is not JSON ({error}): it is answered as a text"
    return None


def _refuse(token: str) -> None:
    raise ValueError(f"JSON has no {token}")


class Written(click.ParamType):  # type: ignore[type-arg]  # older clicks have no type argument
    """A value that is made of what was written; the maker's ValueError says what is wrong."""

    def __init__(self, name: str, make: Callable[[Any], Any]) -> None:
        self.name = name
        self._make = make

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value; called by click."""
        try:
            return self._make(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _seconds(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError(f"must be zero or above, not {text}")
    return seconds


def _objective_us(text: str) -> int:
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"must be above zero, not {text}")
    return max(1, round(seconds * 1e6))


def _whole_number(value: Any, least: int) -> int:
    text = str(value)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise ValueError(f"'{text}' is not a whole number")
    if int(text) < least:
        raise ValueError(f"must be {least} or above, not {text}")
    return int(text)


def _batch_size(text: str) -> int:
    return -1 if text in {"adaptive", "-1"} else _whole_number(text, 1)


DURATION: Final = Written("duration", _seconds)
"""A time such as 100ms, in seconds."""
OBJECTIVE: Final = Written("duration", _objective_us)
"""A time above zero, in microseconds."""
SIZE: Final = Written("size", parse_size)
"""A size such as 2g or 512MiB, in bytes."""
BATCH_SIZE: Final = Written("n", _batch_size)
"""A whole number above zero, or "adaptive", which is -1."""
COUNT: Final = Written("n", partial(_whole_number, least=0))
POSITIVE: Final = Written("n", partial(_whole_number, least=1))
FILE: Final = click.Path(path_type=Path)
"""A file; whoever reads it says what is wrong with it."""
