"""Durations and sizes as people write them. Used by config.py and the command line."""

import re
from typing import Final

_DURATION_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS: Final = (
    {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3}
    | {"kib": 1024, "mib": 1024**2, "gib": 1024**3}
    # As docker and Kubernetes have them.
    | {"k": 1024, "m": 1024**2, "g": 1024**3, "ki": 1024, "mi": 1024**2, "gi": 1024**3}
)
_OBJECTIVES_S: Final = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_QUANTITY: Final = re.compile(r"\s*(-?\d+(?:\.\d*)?|-?\.\d+)\s*([a-zA-Z]*)\s*")


def parse_duration(value: object) -> float:
    """Return the seconds of a number (seconds) or a text such as "100ms", "2s" or "0.5s".

    Raises:
        ValueError: it is not a duration; the message says how one looks.
    """
    number, unit = _quantity(value)
    if unit not in _DURATION_UNITS:
        raise ValueError(f"{value!r} is not a duration such as 100ms, 2s or 0.5s")
    return number * _DURATION_UNITS[unit]


def parse_size(value: object) -> int:
    """Return the bytes of a number (bytes) or a text such as "32MiB".

    Raises:
        ValueError: it is not a size; the message says how one looks.
    """
    number, unit = _quantity(value)
    if unit not in _SIZE_UNITS or number < 0:
        raise ValueError(f"{value!r} is not a size such as 32MiB or 500kB")
    return int(number * _SIZE_UNITS[unit])


def _quantity(value: object) -> tuple[float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), ""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return 0.0, "?"
    return float(found[1]), found[2].lower()


def longer_objective_s(call_ms: float) -> float:
    """Return an objective in which three calls of a model fit: a query waits for two others."""
    return next((step for step in _OBJECTIVES_S if step * 1000 >= 3 * call_ms), 3600)


def shown_duration(seconds: float) -> str:
    """Return a time as people write it: "200ms", "2s"."""
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def shown_bytes(size: int) -> str:
    """Return a number of bytes as people read it: "812 B", "3.2 MB"."""
    if size < 1000:
        return f"{size} B"
    shown, units = size / 1000, ["kB", "MB", "GB", "TB"]
    while shown >= 999.5 and len(units) > 1:
        shown /= 1000
        units.pop(0)
    return f"{shown:.1f} {units[0]}" if shown < 9.95 else f"{shown:.0f} {units[0]}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return how many there are, in words: "1 replica", "2 queries"."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
