"""JSON as its strictest readers read it, unlike Python. Tests read answers with it."""

import json
import math
from typing import Any, NoReturn


def read(text: bytes | str) -> Any:
    """Return what a JSON text holds.

    Raises:
        ValueError: it is not JSON, or holds what some readers refuse: NaN, a number beyond the
            range of a float, half of a surrogate pair, a byte order mark.
    """
    text = text.decode() if isinstance(text, bytes) else text
    if text.startswith("\ufeff"):
        raise ValueError("a byte order mark is not JSON")
    value = _DECODER.decode(text)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def is_json(text: bytes | str) -> bool:
    """Tell whether `read` takes a text."""
    try:
        read(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
"""Made once: making one takes longer than most texts do."""
