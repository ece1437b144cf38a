"""numpy's scalars and arrays as values that JSON has, without importing numpy. Used by outputs.py.

`tolist` and `item` give Python's nearest type, and where there is none something else: a date in
nanoseconds becomes a whole number, a record loses the names of its fields, a long double too large
for a float becomes infinite. So what an array holds is told by its dtype first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from model_runtime.older import zip

_MAX_PATH: Final = 8
"""So many steps of the way to a value are told."""
_MAX_STEP: Final = 40


class UnlikeJsonError(ValueError):
    """JSON has no such value.

    `what` is it, `why` JSON does not have it, `instead` is what to return. `path` leads there from
    the output: keys and places, the outermost first; whoever looked inside something adds its own.
    """

    def __init__(self, what: str, instead: str, why: str = "which JSON cannot say") -> None:
        super().__init__(what)
        self._told = (what, why, instead)
        self.path: list[Any] = []

    @property
    def told(self) -> str:
        """What the model did, in one line."""
        what, why, instead = self._told
        steps = [_step(key) for key in self.path[:_MAX_PATH]]
        if len(self.path) > _MAX_PATH:
            steps.append("[…]")
        place = f" at {''.join(steps)}" if steps else ""
        return f"the model returned {what}{place}, {why}: return {instead} instead"


def _step(key: Any) -> str:
    """Return a step of a path, as code would have it; a key may be long, or print as it likes."""
    return f"[{' '.join(repr(key).split())[:_MAX_STEP]}]"


def a_span() -> UnlikeJsonError:
    """Return the refusal of a span of time, of whichever library."""
    return UnlikeJsonError("a span of time (timedelta)", "seconds, for example, as a number")


def is_scalar(kind: type) -> bool:
    """Tell whether a type is one of numpy's scalars."""
    return _is_numpy(kind, "generic")


def _is_numpy(kind: type, name: str) -> bool:
    return any(base.__module__ == "numpy" and base.__name__ == name for base in kind.__mro__)


def plain(scalar: Any) -> Any:
    """Return a numpy scalar as the value that it equals.

    Raises:
        UnlikeJsonError: there is none.
    """
    if scalar.dtype.kind == "f":
        return _float(scalar)
    return _by_kind(scalar) if scalar.dtype.kind in _UNLIKE else scalar.item()


def listed(array: Any) -> Any:
    """Return an array, or what else has `tolist`, as lists of values that they equal.

    Raises:
        UnlikeJsonError: it holds what JSON has not.
    """
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind == "f" and array.dtype.itemsize > 8:
        return _each(array.tolist(), _float)
    if kind in _UNLIKE and _is_numpy(type(array), "ndarray"):
        return _by_kind(array)
    values = array.tolist()
    if kind in ("M", "m") and _has_number(values):
        # pandas gives its own types, which are told as what they are; others may not.
        raise UnlikeJsonError("dates or spans of time", "texts or numbers that say the same")
    return values


def _float(scalar: Any) -> Any:
    """Return a number as a float, which is infinite only if the number is."""
    if scalar is None:  # masked
        return None
    number = float(scalar)
    if math.isinf(number) and number != scalar:
        raise UnlikeJsonError(
            f"the number {scalar!s}", "a text of it", "which is too large for a float of 64 bits"
        )
    return number


def _by_kind(value: Any) -> Any:
    return _UNLIKE[value.dtype.kind](value)


def _dates(value: Any) -> Any:
    """Return dates as the text that `isoformat` of the same date gives, whatever their unit."""
    return _each(value.astype(str).tolist(), iso)


def iso(text: str | None) -> str | None:
    """Return numpy's text of a date with seconds, and with 0, 6 or 9 or more digits of them."""
    if text is None or text == "NaT":
        return text  # masked, or no date
    date, _, time = text.partition("T")
    date += "-01" * (2 - date.lstrip("-").count("-"))
    if not time:
        return date
    whole, _, fraction = time.partition(".")
    whole += ":00" * (2 - whole.count(":"))
    fraction = fraction.rstrip("0")
    if not fraction:
        return f"{date}T{whole}"
    return f"{date}T{whole}.{fraction.ljust(6 if len(fraction) <= 6 else 9, '0')}"


def _records(value: Any) -> Any:
    """Return records as dicts of their fields, other raw memory as bytes."""
    names = value.dtype.names
    if names is None:
        return _each(value.tolist(), bytes)
    fields = {name: _field(value[name]) for name in names}
    return _zipped(fields, value.ndim)


def _field(value: Any) -> Any:
    if hasattr(value, "dtype"):
        return plain(value) if is_scalar(type(value)) else listed(value)
    return value


def _zipped(fields: Mapping[str, Any], depth: int) -> Any:
    """Return dicts of single values for a dict of nested lists."""
    if not depth:
        return fields
    columns = zip(*fields.values(), strict=True)
    return [_zipped(dict(zip(fields, column, strict=True)), depth - 1) for column in columns]


def _refuse_span(value: Any) -> Any:
    del value
    raise a_span()


def _refuse_complex(value: Any) -> Any:
    del value
    raise UnlikeJsonError(
        "a value of type complex", "its parts ([z.real, z.imag]) or its magnitude (abs(z))"
    )


def _each(values: Any, convert: Callable[[Any], Any]) -> Any:
    """Return nested lists with each value converted."""
    if isinstance(values, list):
        return [_each(value, convert) for value in values]
    return convert(values)


def _has_number(values: Any) -> bool:
    if isinstance(values, list):
        return any(map(_has_number, values))
    return isinstance(values, (int, float))


_UNLIKE: Final = {
    "M": _dates,
    "m": _refuse_span,
    "c": _refuse_complex,
    "V": _records,
}
"""What is made of the kinds of dtype that Python has no equal of."""
