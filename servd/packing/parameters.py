"""What a class is made with, as the command line and Seldon Core write it. Used by the CLI."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from servd.errors import InvalidValueError

_YES: Final = ("y", "yes", "t", "true", "on", "1")
_NO: Final = ("n", "no", "f", "false", "off", "0")
_FORM: Final = "as in alpha=0.5:FLOAT; types are INT, FLOAT, DOUBLE, STRING, BOOL, JSON"


def read_parameters(texts: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that texts of the form NAME=VALUE[:TYPE] name.

    Without a type a value that is JSON is that, any other a text.

    Raises:
        InvalidValueError: one has another form, comes twice, or is not of its type.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidValueError(f"'{text[:80]}' is not a parameter", hint=_FORM)
        if name in found:
            raise InvalidValueError(f"the parameter '{name}' is given twice", hint=_FORM)
        found[name] = _value(name, value)
    return found


def _value(name: str, text: str) -> Any:
    value, colon, word = text.rpartition(":")
    read = _TYPES.get(word.upper()) if colon else None
    if read is None:
        if colon and word.isalpha() and word.isupper():
            raise InvalidValueError(f"the parameter '{name}' has no type '{word[:40]}'", hint=_FORM)
        return _json_or_text(text)
    try:
        return read(value)
    except ValueError:
        raise InvalidValueError(
            f"the parameter '{name}' is not of type {word.upper()}: '{value[:80]}'", hint=_FORM
        ) from None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError(text) from None


def _refuse(word: str) -> None:
    raise ValueError(word)


def _number(text: str) -> float:
    number = float(text)
    if number - number != 0:  # NaN and infinities are no JSON, as which it is kept
        raise ValueError(text)
    return number


def _truth(text: str) -> bool:
    word = text.lower()
    if word not in (*_YES, *_NO):
        raise ValueError(text)
    return word in _YES


_TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "INT": int,
    "FLOAT": _number,
    "DOUBLE": _number,
    "STRING": str,
    "BOOL": _truth,
    "JSON": _json,
}
