"""Named tensors as bytes that describe themselves (docs/protocol.md, "Tensors"); no numpy needed.

An input of the type `tensors` is such bytes, and so is a raw output. Read by inputs.py and by
servd/engine/raw.py, made by raw_outputs.py and by whoever sends such inputs.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Union

from model_runtime import packed
from model_runtime.framing import MAX_PAYLOAD_BYTES
from model_runtime.protocol import ProtocolError

Buffer = Union[bytes, memoryview]
"""Flat: its length is its size in bytes."""

ALIGNMENT: Final = 8
"""Each tensor's data begins at a multiple of so many bytes, and so does what follows."""

MAX_TENSORS: Final = 1024
MAX_RANK: Final = 32
"""As many dimensions as every numpy has."""

MAX_NAME: Final = 256
MAX_DESCRIPTION_BYTES: Final = 1 << 20

BYTES: Final = "bytes"
"""The dtype of elements of any length: each is its length, a uint32, and that many bytes."""

LETTERS: Final = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
"""The dtypes of fixed size, by numpy's names, and their letters in `struct`."""

WIDTHS: Final = {dtype: struct.calcsize(f"<{letter}") for dtype, letter in LETTERS.items()} | {
    BYTES: 4  # at least
}
"""The dtypes, and what one element takes."""

_length: Final = struct.Struct("<I")


class Tensor(NamedTuple):
    """A tensor: its elements are in `data` row by row, little-endian."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Buffer


class Place(NamedTuple):
    """Where a tensor's `size` bytes are, from the beginning of what describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    at: int
    size: int


def pack(tensors: Iterable[Tensor]) -> list[Buffer]:
    """Return tensors as bytes that describe themselves, in pieces to be joined.

    Raises:
        ProtocolError: there are too many of them, or one is not what it says.
    """
    tensors = list(tensors)
    listed = [[name, dtype, list(shape), len(data)] for name, dtype, shape, data in tensors]
    described = packed.pack(listed)
    start = _aligned(_length.size + len(described))
    _check(listed, start, sum(_aligned(len(each.data)) for each in tensors) + start)
    pieces: list[Buffer] = [(_length.pack(len(described)) + described).ljust(start, b"\0")]
    for each in tensors:
        pieces.append(each.data)
        if (padding := -len(each.data) % ALIGNMENT) != 0:
            pieces.append(bytes(padding))
    return pieces


def head_bytes(beginning: Buffer) -> int:
    """Return how many bytes `places` must see, told by the first four.

    Raises:
        ProtocolError: they are no beginning of tensors.
    """
    if len(beginning) < _length.size:
        raise ProtocolError(f"{len(beginning)} bytes are too few for tensors")
    (described,) = _length.unpack_from(beginning)
    if described > MAX_DESCRIPTION_BYTES:
        raise ProtocolError(f"tensors are described in {described} bytes")
    return _length.size + int(described)


def places(head: Buffer, size: int) -> list[Place]:
    """Return what `size` bytes hold, of which `head` are the first.

    Raises:
        ProtocolError: they are no tensors, or do not add up.
    """
    end = head_bytes(head)
    if end > len(head):
        raise ProtocolError(f"a description of tensors of {end} bytes is cut off at {len(head)}")
    try:
        listed = packed.unpack(head[_length.size : end])
    except Exception as error:  # msgpack documents no common base of what it raises
        raise ProtocolError(f"the description of tensors is not msgpack: {error}") from error
    return _check(listed, _aligned(end), size)


def unpack(row: Buffer) -> list[Tensor]:
    """Return the tensors that bytes hold, as views of them.

    Raises:
        ProtocolError: they hold none, or do not add up.
    """
    whole = memoryview(row)
    return [
        Tensor(name, dtype, shape, whole[at : at + size])
        for name, dtype, shape, at, size in places(whole, len(whole))
    ]


def pack_elements(elements: Iterable[bytes]) -> bytes:
    """Return the data of a tensor of bytes."""
    return b"".join(_length.pack(len(each)) + each for each in elements)


def elements(tensor: Tensor) -> list[bytes]:
    """Return the elements of a tensor of bytes, which are of any length.

    Raises:
        ProtocolError: there are more or fewer than the shape says.
    """
    data, found, at = tensor.data, [], 0
    for _ in range(math.prod(tensor.shape)):
        if at + _length.size > len(data):
            break
        (size,) = _length.unpack_from(data, at)
        at += _length.size + size
        found.append(bytes(data[at - size : at]))
    if at != len(data) or len(found) != math.prod(tensor.shape):
        raise ProtocolError(f"tensor {tensor.name!r}: its elements do not add up to its data")
    return found


def _aligned(size: int) -> int:
    return size + -size % ALIGNMENT


def _check(listed: Any, at: int, size: int) -> list[Place]:
    """Return where the tensors of a description are, the first at `at`, of `size` bytes in all."""
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_TENSORS:
        many = f"{len(listed)} tensors" if isinstance(listed, list) else "no list"
        raise ProtocolError(f"a description of {many}, not of 1 to {MAX_TENSORS} tensors")
    found = []
    for each in listed:
        place = _place(each, at)
        found.append(place)
        at += _aligned(place.size)
    if at != size:
        raise ProtocolError(f"{size} bytes of tensors that take {at}")
    if len({place.name for place in found}) != len(found):
        raise ProtocolError("two tensors have the same name")
    return found


def _place(described: Any, at: int) -> Place:
    """Return where a tensor is that is described so, and whether it can be."""
    if not isinstance(described, list) or len(described) != 4:
        raise ProtocolError("a tensor is described by its name, dtype, shape and size")
    name, dtype, shape, size = described
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise ProtocolError(f"a tensor's name is a text of up to {MAX_NAME} characters")
    if not isinstance(dtype, str) or dtype not in WIDTHS:
        known = ", ".join(WIDTHS)
        raise ProtocolError(f"tensor {name!r} is of dtype {_shown(dtype)}; known are {known}")
    if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(map(_is_size, shape)):
        raise ProtocolError(
            f"tensor {name!r} is of shape {_shown(shape)}, not of up to {MAX_RANK} whole numbers"
        )
    width = WIDTHS[dtype]
    # A dimension of 0 must not hide others that no array can have.
    if math.prod(max(length, 1) for length in shape) * width > MAX_PAYLOAD_BYTES:
        raise ProtocolError(f"tensor {name!r} of shape {_shown(shape)} is too large")
    needed = math.prod(shape) * width
    if not _is_size(size) or (size < needed if dtype == BYTES else size != needed):
        least = "at least " if dtype == BYTES else ""
        raise ProtocolError(
            f"tensor {name!r} of {dtype} and shape {_shown(shape)} takes {least}{needed} bytes, "
            f"not {_shown(size)}"
        )
    return Place(name, dtype, tuple(shape), at, size)


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 0


def _shown(value: Any) -> str:
    """Return what somebody sent, short enough for a message."""
    return repr(value)[:80]


def nested(flat: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return elements as lists of that shape; the element itself where it has no dimension."""
    if not shape:
        return flat[0]
    step = math.prod(shape[1:])
    return [nested(flat[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0])]
