"""A model's return value as JSON texts, one an output. Called by every predictor after a batch.

The rules: one output for each input. A text that is strict JSON by itself is pasted as it is
(a function that returns "6.6" answers the number 6.6, as Clipper did); inside lists and dicts a
text stays a text. numpy values are their Python equals, NaN and infinities are the texts "NaN",
"Infinity", "-Infinity", bytes are base64 text, and so on (values.py). No output holds a raw
newline. What numpy's `tolist` and `item` make of a value is not trusted where it may stand for
another (numpy_values.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from json.encoder import encode_basestring
from typing import Any, Final, NoReturn

from model_runtime import numpy_values, tables
from model_runtime.numpy_values import UnlikeJsonError, is_scalar
from model_runtime.values import clean, plain

_PLAIN_NUMBERS: Final = (frozenset({float}), frozenset({int}), frozenset({int, float}))
_SLICE_ITEMS: Final = 1 << 16
"""Numbers that are written in one call, which keeps Python's lock: some ten milliseconds."""

_JSON_HEADS: Final = frozenset(' \t\n\r-0123456789"[{tfn')
_NUMPY_FLOATS: Final = ("float64", "float32", "float16")
_LITERALS: Final = {True: b"true", False: b"false", None: b"null"}
_TOO_DEEP: Final = "an output is nested too deep, or contains itself"


class OutputError(ValueError):
    """The model returned something that is not one JSON-able output for each input."""


def render(outputs: Any, count: int) -> list[bytes]:
    """Return the JSON text of each of the `count` outputs.

    Raises:
        OutputError: `outputs` is not a list of that length of values that JSON has.
    """
    if type(outputs) is not list:
        outputs = _as_list(outputs)
    if len(outputs) != count:
        raise OutputError(
            f"the model returned {_counted(len(outputs), 'output')} for "
            f"{_counted(count, 'input')}: it must return a list with one output for each input"
        )
    if not count:
        return []
    kinds = frozenset(map(type, outputs))
    if kinds in _PLAIN_NUMBERS:
        return _numbers(outputs)
    if kinds == {str}:
        return _texts(outputs)
    if kinds == {list}:
        return _rows(outputs)
    if all(map(is_scalar, kinds)):
        return render(_scalars(outputs, kinds), count)
    return [_one(output) for output in outputs]


def item_text(item: Any) -> bytes:
    """Return the JSON text of one item of a stream: a text is a text, also one that is JSON.

    Raises:
        OutputError: JSON cannot say it.
    """
    try:
        (text,) = render([[item]], 1)
    except OutputError as error:
        raise OutputError(str(error).replace("an output", "an item", 1)) from error
    return text[1:-1]


def _counted(number: int, noun: str) -> str:
    """Return "1 output", "2 outputs"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _as_list(outputs: Any) -> list[Any]:
    """Return the outputs of a tuple, an array or a series as a list of Python values."""
    if isinstance(outputs, (list, tuple)):
        return list(outputs)
    if isinstance(outputs, dict) or hasattr(outputs, "columns"):
        named: list[Any] | None = _converted(tables.by_name, outputs)
        if named is not None:
            return named
    listed = _converted(numpy_values.listed, outputs) if hasattr(outputs, "tolist") else None
    if isinstance(listed, list):
        return listed
    name = type(outputs).__name__
    raise OutputError(
        f"the model returned {'None' if outputs is None else f'a value of type {name}'}: "
        "it must return a list with one output for each input"
    )


def _numbers(outputs: list[Any]) -> list[bytes]:
    """Return the texts of Python ints and floats: their repr is JSON, but for NaN and infinity."""
    return _number_text(outputs)[1:-1].split(b", ")


def _number_text(outputs: list[Any]) -> bytes:
    """Return the repr of (lists of) ints and floats, NaN and infinities quoted."""
    try:
        text = repr(outputs).encode()
    except ValueError as error:  # Python limits the digits of an int it prints
        raise OutputError(f"an output is a number too long to print: {error}") from error
    if b"n" not in text:
        return text
    text = text.replace(b"nan", b'"NaN"').replace(b"-inf", b'"-Infinity"')
    return text.replace(b"inf", b'"Infinity"')


def _rows(outputs: list[list[Any]]) -> list[bytes]:
    """Return the texts of outputs that are lists; lists of plain numbers take one repr for all."""
    inner = frozenset(map(type, chain.from_iterable(outputs)))
    if inner not in _PLAIN_NUMBERS:
        return [_one(output) for output in outputs]
    if sum(map(len, outputs)) > _SLICE_ITEMS:
        return list(map(_long_row, outputs))
    rows = _number_text(outputs)[2:-2].split(b"], [")
    return [b"[" + row.replace(b" ", b"") + b"]" for row in rows]


def _long_row(row: list[Any]) -> bytes:
    """Return the text of a list of numbers, a slice at a time: heartbeats are answered between."""
    slices = (
        _number_text(row[at : at + _SLICE_ITEMS])[1:-1].replace(b" ", b"")
        for at in range(0, len(row), _SLICE_ITEMS)
    )
    return b"[" + b",".join(slices) + b"]"


def _texts(outputs: list[str]) -> list[bytes]:
    """Return the texts of outputs that are strings.

    Joined by commas they are checked by one parse. That proves each of them alone only where a
    comma can be nothing but a separator: as many as there are gaps, and no quote or bracket.
    """
    joined = ",".join(outputs)
    is_flat = joined.count(",") == len(outputs) - 1 and not any(sign in joined for sign in '"[{')
    # A batch of words is told by its first one: it would only be refused after the work.
    # A lone blank text would parse too, as an array of nothing.
    if is_flat and joined[:1] in _JSON_HEADS and not joined.isspace() and _is_json(f"[{joined}]"):
        # Outside quotes a newline is white space, so a space says the same.
        return joined.replace("\n", " ").replace("\r", " ").encode().split(b",")
    return [_text(output) for output in outputs]


def _text(text: str) -> bytes:
    """Return a text pasted if it is JSON, as a JSON string otherwise."""
    if text[:1] in _JSON_HEADS and _is_json(text):
        if "\n" in text or "\r" in text:
            # Strict JSON has raw newlines between tokens only.
            text = text.replace("\n", " ").replace("\r", " ")
        return _encode(text)
    return _encode(encode_basestring(text))


def _encode(text: str) -> bytes:
    """Return UTF-8; what is no character (half of a surrogate pair) becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _refuse_constant(word: str) -> NoReturn:
    """Refuse NaN, Infinity and -Infinity, which Python reads and JSON does not have."""
    raise ValueError(word)


_SIGNS: Final = (r"[eE]\+?\d{3}", r"\d\d{299}", r"\\u[dD][89a-fA-F]", "[\ud800-\udfff]")
_SUSPICIOUS: Final = re.compile("|".join(_SIGNS))
_EACH_SUSPICIOUS: Final = tuple(map(re.compile, _SIGNS))
"""One by one they are found three times as fast, as each begins with a sign of few; all at once a
short text is done sooner."""
_SHORT: Final = 4096

_parse = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _is_json(text: str) -> bool:
    """Tell whether a text is strict JSON, and every reader of JSON can read it.

    Python takes two kinds of text that others refuse: numbers that it reads as infinity, and
    escapes (or what some codecs make of bytes) that are half of a character. Both are rare, and
    known by how they look.
    """
    try:
        value = _parse(text)
        if _is_suspicious(text):
            _dump(value).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _is_suspicious(text: str) -> bool:
    """Tell whether a text that Python reads has what others might not."""
    if len(text) <= _SHORT:
        return _SUSPICIOUS.search(text) is not None
    return any(sign.search(text) for sign in _EACH_SUSPICIOUS)


def _converted(convert: Callable[[Any], Any], value: Any) -> Any:
    """Return what a conversion of numpy's values makes, its refusal told as one of an output."""
    try:
        return convert(value)
    except UnlikeJsonError as error:
        raise OutputError(error.told) from error


def _scalars(outputs: list[Any], kinds: frozenset[type]) -> list[Any]:
    """Return numpy scalars as Python values; those of one type by one call in C."""
    if len(kinds) == 1:
        (kind,) = kinds
        name = kind.__name__
        if name in _NUMPY_FLOATS:
            return list(map(float, outputs))
        if name.startswith(("int", "uint")):
            return list(map(int, outputs))
    return [_converted(numpy_values.plain, output) for output in outputs]


def _one(output: Any) -> bytes:
    """Return the text of one output of any kind."""
    if isinstance(output, str):
        return _text(str.__str__(output))  # an enum's own `str` is its name
    if output is None or isinstance(output, bool):
        return _LITERALS[output]
    try:
        return _encode(_checked(_dump(output)))
    except RecursionError:
        raise OutputError(_TOO_DEEP) from None
    except (ValueError, TypeError):
        # NaN, infinities, odd keys, keys that are one name and what is refused: the encoder does
        # not know the place of it. Rebuilt value by value, then it is plain JSON.
        return _dump_slowly(output)


def _dump_slowly(output: Any) -> bytes:
    """Return the text of an output that the JSON encoder refused as it was."""
    try:
        return _encode(_dump(clean(output)))
    except RecursionError:
        raise OutputError(_TOO_DEEP) from None
    except UnlikeJsonError as error:
        raise OutputError(error.told) from error
    except (ValueError, TypeError) as error:
        raise OutputError(f"an output cannot be written as JSON: {error}") from error


_dump = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=plain
).encode


def _checked(text: str) -> str:
    """Return the text of an output unless an object in it has a name twice.

    JSON's names are texts, so that of 1 is that of "1"; who reads both keeps one of them. Only
    where a key was no text can that be, and so it is looked for only where one looks like that.

    Raises:
        ValueError: one has.
    """
    if _MAY_END_NO_TEXT.search(text) and _MAY_BE_NO_TEXT.search(text):
        _parse_named(text)
    return text


_MAY_END_NO_TEXT: Final = re.compile(r'[\delNy]":')
"""Passes over what is no name ten times as fast."""

_MAY_BE_NO_TEXT: Final = re.compile(r'"(?:[-\d][^"]*|true|false|null|NaN|Infinity)":')


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError
    return named


_parse_named: Final = json.JSONDecoder(object_pairs_hook=_names_once).decode
