"""msgpack without a library: what the headers of messages and of tensors are made of.

Used by packed.py where none is installed. Of the format (github.com/msgpack/msgpack, spec.md) it
has what JSON has, and bytes: neither extensions nor timestamps.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

_DEEPEST: Final = 128
_MOST: Final = 1 << 32

_DOUBLE: Final = struct.Struct(">d")
_FIXED: Final = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS: Final = {
    code: struct.Struct(f">{letter}")
    for code, letter in zip(
        (0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3), "fdBHIQbhiq"
    )
}
_SIZES: Final = {
    code: (struct.Struct(f">{letter}"), kind)
    for code, letter, kind in (
        *((0xC4, "B", bytes), (0xC5, "H", bytes), (0xC6, "I", bytes)),
        *((0xD9, "B", str), (0xDA, "H", str), (0xDB, "I", str)),
        *((0xDC, "H", list), (0xDD, "I", list), (0xDE, "H", dict), (0xDF, "I", dict)),
    )
}


class FormatError(ValueError):
    """Bytes are not one value of msgpack, or a value has no place in it."""


def pack(value: Any) -> bytes:
    """Return the bytes of a value: None, bool, int, float, str, bytes, lists, tuples and dicts.

    Raises:
        FormatError: it is, or holds, something else.
    """
    out = bytearray()
    try:
        _put(value, out, 0)
    except (OverflowError, struct.error) as error:
        raise FormatError(f"{value!r:.60} cannot be packed: {error}") from error
    return bytes(out)


def unpack(data: bytes | memoryview) -> Any:
    """Return the value of bytes.

    Raises:
        FormatError: they are not one value, or end before it does.
    """
    content = bytes(data)
    try:
        value, end = _take(content, 0, 0)
    except (IndexError, struct.error) as error:
        raise FormatError("it ends in the middle of a value") from error
    if end != len(content):
        raise FormatError("there is more than one value")
    return value


def _put(value: Any, out: bytearray, depth: int) -> None:
    put = _PUTTERS.get(type(value))
    if put is None:
        put = next((each for kind, each in _PUTTERS.items() if isinstance(value, kind)), None)
    if put is None or depth > _DEEPEST:
        raise FormatError(f"a {type(value).__name__} cannot be packed")
    put(value, out, depth)


def _put_none(value: None, out: bytearray, depth: int) -> None:
    out.append(0xC0)


def _put_bool(value: bool, out: bytearray, depth: int) -> None:  # noqa: FBT001 - a value
    out.append(0xC3 if value else 0xC2)


def _put_int(value: int, out: bytearray, depth: int) -> None:
    if -32 <= value < 128:
        out.append(value & 0xFF)
        return
    width = (value if value >= 0 else -value - 1).bit_length() + (value < 0)
    at = 0 if width <= 8 else 1 if width <= 16 else 2 if width <= 32 else 3
    code = (0xCC if value >= 0 else 0xD0) + at
    out.append(code)
    out += _NUMBERS[code].pack(value)


def _put_float(value: float, out: bytearray, depth: int) -> None:
    out.append(0xCB)
    out += _DOUBLE.pack(value)


def _put_str(value: str, out: bytearray, depth: int) -> None:
    text = value.encode()
    if len(text) < 32:
        out.append(0xA0 | len(text))
    else:
        _put_size(len(text), (0xD9, 0xDA, 0xDB), out)
    out += text


def _put_bytes(value: bytes, out: bytearray, depth: int) -> None:
    _put_size(len(value), (0xC4, 0xC5, 0xC6), out)
    out += value


def _put_list(value: list[Any], out: bytearray, depth: int) -> None:
    if len(value) < 16:
        out.append(0x90 | len(value))
    else:
        _put_size(len(value), (None, 0xDC, 0xDD), out)
    for each in value:
        _put(each, out, depth + 1)


def _put_dict(value: dict[Any, Any], out: bytearray, depth: int) -> None:
    if len(value) < 16:
        out.append(0x80 | len(value))
    else:
        _put_size(len(value), (None, 0xDE, 0xDF), out)
    for key, each in value.items():
        _put(key, out, depth + 1)
        _put(each, out, depth + 1)


def _put_size(size: int, codes: tuple[int | None, int, int], out: bytearray) -> None:
    code = codes[0] if size < 1 << 8 and codes[0] else codes[1] if size < 1 << 16 else codes[2]
    if size >= _MOST or code is None:
        raise FormatError(f"{size} bytes or items are too many")
    out.append(code)
    out += _SIZES[code][0].pack(size)


_PUTTERS: Final[dict[type, Callable[[Any, bytearray, int], None]]] = {
    type(None): _put_none,
    bool: _put_bool,
    int: _put_int,
    str: _put_str,
    float: _put_float,
    list: _put_list,
    tuple: _put_list,
    dict: _put_dict,
    bytes: _put_bytes,
    bytearray: _put_bytes,
    memoryview: _put_bytes,
}


def _take(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return the value at a place, and where what follows begins."""
    code = data[at]
    at += 1
    if code < 0x80 or code >= 0xE0:
        return (code if code < 0x80 else code - 256), at
    if code >= 0xC0:
        return _take_wide(data, code, at, depth)
    if code >= 0xA0:
        return _take_sized(data, at, str, code & 0x1F, depth)
    return _take_sized(data, at, list if code >= 0x90 else dict, code & 0x0F, depth)


def _take_wide(data: bytes, code: int, at: int, depth: int) -> tuple[Any, int]:
    """Return a value whose first byte is a code of its own."""
    number = _NUMBERS.get(code)
    if number is not None:
        return number.unpack_from(data, at)[0], at + number.size
    if code in _FIXED:
        return _FIXED[code], at
    if code not in _SIZES:
        raise FormatError(f"0x{code:x} begins no value that is known here")
    size, kind = _SIZES[code]
    return _take_sized(data, at + size.size, kind, size.unpack_from(data, at)[0], depth)


def _take_sized(data: bytes, at: int, kind: type, size: int, depth: int) -> tuple[Any, int]:
    """Return a value of a number of bytes or items."""
    if kind is str or kind is bytes:
        end = at + size
        if end > len(data):
            raise IndexError
        piece = data[at:end]
        return (piece.decode() if kind is str else piece), end
    if depth > _DEEPEST or size > len(data) - at:
        raise FormatError("it is nested too deep, or has fewer items than it says")
    items = []
    for _ in range(size if kind is list else 2 * size):
        item, at = _take(data, at, depth + 1)
        items.append(item)
    return (items if kind is list else _mapping(items)), at


def _mapping(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise FormatError("a map's keys are texts")
    return dict(zip(keys, items[1::2]))
