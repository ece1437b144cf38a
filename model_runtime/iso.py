"""Dates and times of ISO texts. Used by whatever takes them: annotations/ and frames.py.

Before Python 3.11 its own `fromisoformat` knows only what its `isoformat` writes.
"""

from __future__ import annotations

import re
import sys
from datetime import date, datetime, time
from typing import Final

_DAY: Final = re.compile(r"(\d{4})-?(?:W(\d\d)(?:-?(\d)(?!\d))?|(\d\d)-?(\d\d))", re.ASCII)
_CLOCK: Final = re.compile(
    r"T?(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?"
    r"(?:(Z)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)


def date_by_parts(text: str) -> date:
    """Return a date, also where Python itself knows few ways to write one."""
    found = _DAY.fullmatch(text)
    if found is None:
        raise _invalid(text)
    year, week, weekday, month, day = found.groups()
    if week is not None:
        return date.fromisocalendar(int(year), int(week), int(weekday or 1))
    return date(int(year), int(month), int(day))


def time_by_parts(text: str) -> time:
    """Return a time of day likewise."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise _invalid(text)
    hour, minute, second, fraction, utc, sign, *offset = found.groups()
    zone = "+00:00" if utc else ""
    if sign:
        zone = sign + ":".join(part for part in (offset[0], offset[1] or "00", offset[2]) if part)
    known = f"{hour}:{minute or '00'}:{second or '00'}.{(fraction or '')[:6]:0<6}{zone}"
    return time.fromisoformat(known)


def datetime_by_parts(text: str) -> datetime:
    """Return a date and time likewise; any character may stand between both."""
    found = _DAY.match(text)
    if found is None:
        raise _invalid(text)
    rest = text[found.end() :]
    clock = time_by_parts(rest[1:]) if rest else time()
    return datetime.combine(date_by_parts(found.group()), clock)


def _invalid(text: str) -> ValueError:
    return ValueError(f"Invalid isoformat string: {text!r}")


if sys.version_info >= (3, 11):
    date_of = date.fromisoformat
    datetime_of = datetime.fromisoformat
    time_of = time.fromisoformat
else:
    date_of, datetime_of, time_of = date_by_parts, datetime_by_parts, time_by_parts
