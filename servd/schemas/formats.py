"""Texts that are more than texts: dates, times, bytes. Used by checking.py and shapes.py."""

import base64
import binascii
from datetime import date, datetime
from typing import Final

_FIRST: Final = datetime(1677, 9, 21, 0, 12, 44)  # noqa: DTZ001  # compared with what has no zone
_LAST: Final = datetime(2262, 4, 11, 23, 47, 16)  # noqa: DTZ001
"""What pandas holds in nanoseconds; a day's difference by the zone is the same to people."""

_OUT_OF_RANGE: Final = ", which is beyond what pandas holds (1677-09-22 to 2262-04-11)"
_MICROSECONDS: Final = 6


class TextError(ValueError):
    """A text is not of its format; the message goes on after what was found, or is empty."""


def as_date_time(text: str) -> str:
    """Return a date and time in the one way in which rows have it (ISO 8601).

    Raises:
        TextError: it is none, or none that pandas holds.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TextError(_reason(error)) from None
    if not _FIRST <= moment.replace(tzinfo=None) <= _LAST:
        raise TextError(_OUT_OF_RANGE)
    if "." in text and len(text.partition(".")[2].rstrip("Zz")) > _MICROSECONDS:
        digits = "".join(sign if sign.isdigit() else " " for sign in text.partition(".")[2])
        if len(digits.split(" ")[0]) > _MICROSECONDS:
            return text  # datetime has no nanoseconds, pandas has
    return moment.isoformat()


def as_date(text: str) -> str:
    """Return a date in the one way in which rows have it.

    Raises:
        TextError: it is none, or none that pandas holds.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise TextError(_reason(error)) from None
    if not _FIRST.date() < day <= _LAST.date():
        raise TextError(_OUT_OF_RANGE)
    return day.isoformat()


def _reason(error: ValueError) -> str:
    """Return what Python says of a date that looks like one."""
    said = str(error)
    return "" if said.startswith("Invalid isoformat") else f" ({said})"


def as_base64(text: str) -> str:
    """Return bytes' base64 text, with its padding.

    Raises:
        TextError: it is none.
    """
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        raise TextError(f" ({error})") from None
