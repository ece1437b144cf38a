"""The kinds of value that options and arguments take, with errors in words. Used by the verbs."""

import json
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


class Duration(click.ParamType):  # type: ignore[type-arg]  # older clicks have no type argument
    """A time such as 100ms; its value is in seconds."""

    name = "duration"

    def __init__(self, *, is_positive: bool = False) -> None:
        self._is_positive = is_positive

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; called by click."""
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 0 or (self._is_positive and seconds == 0):
            least = "above zero" if self._is_positive else "zero or above"
            self.fail(f"must be {least}, not {value}", param, ctx)
        return seconds


class Size(click.ParamType):  # type: ignore[type-arg]  # older clicks have no type argument
    """A size such as 2g or 512MiB; its value is in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bytes; called by click."""
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class WholeNumber(click.ParamType):  # type: ignore[type-arg]  # older clicks have no type argument
    """A whole number that is not below `least`."""

    name = "n"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; called by click."""
        text = str(value)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            self.fail(f"'{text}' is not a whole number", param, ctx)
        if int(text) < self._least:
            self.fail(f"must be {self._least} or above, not {text}", param, ctx)
        return int(text)


class BatchSize(click.ParamType):  # type: ignore[type-arg]  # older clicks have no type argument
    """A whole number above zero, or "adaptive", which is -1."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; called by click."""
        if value in {"adaptive", "-1", -1}:
            return -1
        return WholeNumber(1).convert(value, param, ctx)
