"""Inputs that are tried where nobody says what one looks like. Used by selftest.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from model_runtime import failure, protocol
from model_runtime.examples import example_of, value_of
from model_runtime.pictures import picture
from model_runtime.signature import Signature

_PROBE_LENGTHS: Final = range(1, 65)
_MAX_NAMED_LENGTH: Final = 65_536
_MAX_NAMED: Final = 200
_BUDGET_S: Final = 1.0
_NUMBER: Final = re.compile(r"\d{1,6}")
_GUESSES: Final[dict[int, tuple[Any, ...]]] = {
    protocol.STRINGS: ("test", "", "1.0", "{}"),
    protocol.BYTES: (b"test", b""),
    protocol.ANY: ([1.0, 2.0, 3.0], 1.0, "test", {}, [[1.0, 2.0]], None),
    protocol.TENSORS: ({"input": {"dtype": "float32", "shape": [1], "data": [1.0]}},),
}
_OTHER_LENGTHS: Final = range(1, 17)


def guesses_of(code: int, signature: Signature | None) -> tuple[Any, ...]:
    """Return the inputs that are tried of a type that is not numbers."""
    value = {} if signature is None else signature.value or {}
    if str(value.get("contentMediaType", "")).startswith("image/"):
        return (picture(),)
    # What says more than its type is told what it says first.
    if signature is not None and value.keys() - {"type", "contentEncoding"}:
        return (example_of(signature), *_GUESSES[code])
    return _GUESSES[code]


def other_guesses(input_type: str, row_items: int | None) -> Iterable[Any]:
    """Return what is tried of a type that was not asked for."""
    if input_type == "strings":
        return ["some text"]
    lengths = _OTHER_LENGTHS if row_items is None else (row_items,)
    return [] if input_type == "any" else [[1.0] * length for length in lengths]


def ones(length: int, code: int) -> list[float] | list[int]:
    """Return an input of that many ones."""
    return [1] * length if code == protocol.INTEGERS else [1.0] * length


def by_fields(signature: Signature) -> dict[str, Any]:
    """Return an input of numbers as their fields are."""
    return {name: value_of(schema) for name, schema in (signature.fields or {}).items()}


def numeric_probes(
    code: int, last_error: Callable[[], BaseException | None], clock: Callable[[], float]
) -> Iterator[list[float] | list[int]]:
    """Give inputs of ones of growing length, and of the lengths the model's errors name first.

    Lengths that were named are always tried; the others as long as the time allows.
    """
    until = clock() + _BUDGET_S
    tried: set[int] = set()
    named: list[int] = []
    for length in _PROBE_LENGTHS:
        if length not in tried and (clock() < until or not tried):
            tried.add(length)
            yield ones(length, code)
            named.extend(_named_lengths(last_error()))
        while named and len(tried) < _MAX_NAMED:
            wanted = named.pop(0)
            if wanted not in tried:
                tried.add(wanted)
                yield ones(wanted, code)
                named.extend(_named_lengths(last_error()))


def _named_lengths(error: BaseException | None) -> Iterable[int]:
    """Return the whole numbers in an exception's message that could be a length."""
    if error is None:
        return []
    numbers = (int(text) for text in _NUMBER.findall(failure.message_of(error)))
    return [number for number in numbers if 0 < number <= _MAX_NAMED_LENGTH]
