"""A batch of inputs as it arrived, and the ways a model can see it. Used by the loop and loaders.

`viewer` picks the way once, when a model loads; a view then costs a few calls a batch.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from model_runtime import protocol, rows, tensors
from model_runtime.older import dataclass
from model_runtime.refusals import shown
from model_runtime.signature import Signature

NUMERIC: Final = protocol.STRUCT_FORMATS
_MOST_EMPTY: Final = 1 << 16
_DTYPES: Final = {protocol.INTEGERS: "<i4", protocol.FLOATS: "<f4", protocol.DOUBLES: "<f8"}


@dataclass(slots=True)
class Batch:
    """The payload of one PREDICT, or of several that were merged (docs/protocol.md).

    `lengths` is empty when all inputs have `len(data) / count` bytes. `wanted` says which outputs
    may be raw; it is empty when none may.
    """

    input_type: int
    lengths: bytes
    data: bytes
    count: int
    wanted: bytes = b""


View = Callable[[Batch], Any]


def viewer(input_type: str, *, as_lists: bool, row_items: int | None = None) -> View:
    """Return the function that turns a batch into what the model is called with.

    Numeric rows of equal length: one 2-D numpy array that the model owns; of unequal length: a
    list of 1-D arrays. With `as_lists`, or without numpy: lists of numbers. Strings, bytes and
    JSON values: a list. Tensors: a list of dicts, from their names to arrays that cannot be written
    to, as they are views of the message; with `as_lists`, or without numpy, to lists of lists. A
    model with a known `row_items` refuses rows of unequal length.
    """
    code = protocol.INPUT_TYPE_CODES[input_type]
    if code in _PLAIN_VIEWS:
        return _PLAIN_VIEWS[code]
    is_listed = as_lists or importlib.util.find_spec("numpy") is None
    if code == protocol.TENSORS:
        return _tensors_view(_as_list if is_listed else _array_maker())
    return _list_view(row_items) if is_listed else _numpy_view(code, row_items)


def _numpy_view(code: int, row_items: int | None) -> View:
    """Return a view of numeric batches as numpy arrays."""
    import numpy as np  # noqa: PLC0415  (a replica of a model without numbers starts without it)

    dtype = np.dtype(_DTYPES[code])
    width = dtype.itemsize
    frombuffer = np.frombuffer

    def view(batch: Batch) -> Any:
        lengths = batch.lengths
        if lengths and (sizes := frombuffer(lengths, "<u4")).size and (sizes != sizes[0]).any():
            rows = _ragged_rows(batch, width, row_items)
            return [frombuffer(row, dtype).copy() for row in rows]
        _check_width(len(batch.data), batch.count, width)
        # The copy is the model's own: it may write to it, and it does not pin the message.
        return frombuffer(batch.data, dtype).reshape(batch.count, -1).copy()

    def view_empty_safe(batch: Batch) -> Any:
        # reshape(n, -1) cannot tell the row length of no data at all.
        return view(batch) if batch.data else np.empty((batch.count, 0), dtype)

    return view_empty_safe


def _list_view(row_items: int | None) -> View:
    """Return a view of numeric batches as lists of numbers."""

    def view(batch: Batch) -> Any:
        letter = NUMERIC[batch.input_type]
        width = struct.calcsize(letter)
        if batch.lengths and len(set(_sizes(batch))) > 1:
            rows = _ragged_rows(batch, width, row_items)
            return [list(struct.unpack(f"<{len(row) // width}{letter}", row)) for row in rows]
        _check_width(len(batch.data), batch.count, width)
        total = len(batch.data) // width
        flat = struct.unpack(f"<{total}{letter}", batch.data)
        step = total // batch.count
        return [list(flat[at * step : (at + 1) * step]) for at in range(batch.count)]

    return view


def _sizes(batch: Batch) -> tuple[int, ...]:
    """Return the byte length of each row of a batch that has a lengths frame."""
    if len(batch.lengths) != 4 * batch.count:
        raise protocol.ProtocolError(
            f"lengths has {len(batch.lengths)} bytes for {batch.count} rows"
        )
    return struct.unpack(f"<{batch.count}I", batch.lengths)


def _ragged_rows(batch: Batch, width: int, row_items: int | None) -> list[bytes]:
    """Return the rows of a batch of unequal lengths, or refuse them for a model of fixed length."""
    sizes = sorted({size // width for size in _sizes(batch)})
    if row_items is not None:
        listed = ", ".join(map(str, sizes))
        raise ValueError(
            f"inputs of this batch have {listed} numbers, this model takes {row_items} numbers each"
        )
    rows = protocol.split_rows(batch.lengths, batch.data, batch.count)
    for row in rows:
        _check_width(len(row), 1, width)
    return rows


def _check_width(size: int, count: int, width: int) -> None:
    """Refuse data that is not `count` equal rows of whole numbers of `width` bytes."""
    if count < 1 or size % (count * width):
        raise protocol.ProtocolError(
            f"{size} bytes are not {count} rows of numbers of {width} bytes each"
        )


def _view_bytes(batch: Batch) -> list[bytes]:
    """Return each row's bytes."""
    return protocol.split_rows(batch.lengths, batch.data, batch.count)


def _view_strings(batch: Batch) -> list[str]:
    """Return each row as text."""
    rows = protocol.split_rows(batch.lengths, batch.data, batch.count)
    return [row.decode() for row in rows]


def _view_any(batch: Batch) -> list[Any]:
    """Return each row as the JSON value it is."""
    texts = protocol.split_rows(batch.lengths, batch.data, batch.count)
    try:
        return [json.loads(text.decode()) for text in texts]
    except (json.JSONDecodeError, UnicodeError):
        raise
    except (ValueError, RecursionError):
        return [json.loads(text) for text in rows.readable(texts)]


def _tensors_view(shown: Callable[[tensors.Tensor], Any]) -> View:
    """Return a view of batches of tensors, each `shown` as what the model gets."""

    def view(batch: Batch) -> Any:
        rows = protocol.split_rows(batch.lengths, memoryview(batch.data), batch.count)
        return [{each.name: shown(each) for each in tensors.unpack(row)} for row in rows]

    return view


def _array_maker() -> Callable[[tensors.Tensor], Any]:
    """Return the function that shows a tensor as a numpy array, uncopied where it has bytes."""
    import numpy as np  # noqa: PLC0415  (as above)

    dtypes = {
        dtype: np.dtype(dtype).newbyteorder("<")
        for dtype in tensors.WIDTHS.keys() - {tensors.BYTES}
    }

    def array(tensor: tensors.Tensor) -> Any:
        if tensor.dtype != tensors.BYTES:
            return np.frombuffer(tensor.data, dtypes[tensor.dtype]).reshape(tensor.shape)
        made = np.empty(tensor.shape, object)
        made.reshape(-1)[:] = tensors.elements(tensor)
        return made

    return array


def _as_list(tensor: tensors.Tensor) -> Any:
    """Return a tensor as lists of lists of numbers or of bytes."""
    if math.prod(max(length, 1) for length in tensor.shape) > max(len(tensor.data), _MOST_EMPTY):
        raise protocol.ProtocolError(f"tensor {tensor.name!r} is {tensor.shape} of nothing")
    if tensor.dtype == tensors.BYTES:
        return tensors.nested(tensors.elements(tensor), tensor.shape)
    letter = tensors.LETTERS[tensor.dtype]
    flat = struct.unpack(f"<{math.prod(tensor.shape)}{letter}", tensor.data)
    return tensors.nested(flat, tensor.shape)


_PLAIN_VIEWS: Final[dict[int, View]] = {
    protocol.BYTES: _view_bytes,
    protocol.STRINGS: _view_strings,
    protocol.ANY: _view_any,
}


def pack(values: Sequence[Any], input_type: str, signature: Signature | None = None) -> Batch:
    """Return a batch of JSON values; the test call's way in (selftest.py).

    What has names may be an object by them, as the `signature` says. Bytes are base64 text, as in
    the HTTP API, or Python bytes. Tensors are an object that has by each name an object of `dtype`,
    `shape` and `data`, which lists all elements.

    Raises:
        ValueError: a value is not an input of that type.
    """
    code = protocol.INPUT_TYPE_CODES[input_type]
    made = [_pack_named(value, code, signature) for value in values]
    lengths, data = protocol.join_rows(made)
    return Batch(code, lengths, data, len(made))


def _pack_named(value: Any, code: int, signature: Signature | None) -> bytes:
    """Return one input's bytes, whose parts may have names."""
    if code == protocol.ROWS:
        if signature is None:
            raise ValueError("it is not known which fields an input has")
        return rows.pack(value, signature)
    if signature is not None and signature.fields is not None and isinstance(value, dict):
        value = rows.values_of(value, signature)
        value = value if code in NUMERIC else value[0]
    if signature is not None and code in NUMERIC and isinstance(value, list):
        _check_count(value, signature)
    return _pack_row(value, code)


def _check_count(value: list[Any], signature: Signature) -> None:
    """Raise ValueError where a list of numbers is not as long as the model takes it."""
    schema = signature.value or {}
    names = rows.in_brackets(signature.fields)
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if signature.fields:
        low = high = len(signature.fields)
    if not low <= len(value) <= high:
        wanted = f"{low}" if low == high else f"{low} to {high}"
        raise ValueError(f"an input of this model has {wanted} numbers{names}, not {len(value)}")


def _pack_row(value: Any, code: int) -> bytes:
    """Return one input's bytes."""
    if code in NUMERIC:
        return _pack_numbers(value, code)
    if code == protocol.ANY:
        return json.dumps(value).encode()
    if code == protocol.TENSORS:
        return _pack_tensors(value)
    if code == protocol.STRINGS and isinstance(value, str):
        return value.encode()
    if code == protocol.BYTES and isinstance(value, bytes):
        return value
    if code == protocol.BYTES and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"bytes are given as base64 text: {error}") from error
    wanted = "a text" if code == protocol.STRINGS else "base64 text"
    raise ValueError(f"an input of this model is {wanted}, not {shown(value)}")


def _pack_numbers(value: Any, code: int) -> bytes:
    """Return the bytes of one list of numbers."""
    wanted = "whole numbers" if code == protocol.INTEGERS else "numbers"
    kinds = (int,) if code == protocol.INTEGERS else (int, float)
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004  (callers tell values apart from types in no way)
            f"an input of this model is a list of {wanted}, not {shown(value)}"
        )
    for at, item in enumerate(value):
        if type(item) not in kinds:
            found = f"its item {at} is {shown(item)}"
            raise ValueError(f"an input of this model is a list of {wanted}, and {found}")
    try:
        return struct.pack(f"<{len(value)}{NUMERIC[code]}", *value)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"an input has a number out of range: {error}") from error


def _pack_tensors(value: Any) -> bytes:
    """Return the bytes of tensors that are given as JSON."""
    try:
        return b"".join(
            tensors.pack(_tensor(name, **described) for name, described in value.items())
        )
    except (AttributeError, TypeError, struct.error, OverflowError) as error:
        raise ValueError(
            'an input of this model is an object of tensors, such as {"x": {"dtype": "float32", '
            f'"shape": [2], "data": [1.0, 2.0]}}}}: {error}'
        ) from error


def _tensor(name: str, *, dtype: str, shape: list[int], data: list[Any]) -> tensors.Tensor:
    """Return a tensor of a list of its elements, which are texts where they are bytes."""
    if dtype == tensors.BYTES:
        packed = tensors.pack_elements(text.encode() for text in data)
    else:
        packed = struct.pack(f"<{len(data)}{tensors.LETTERS.get(dtype, 'x')}", *data)
    return tensors.Tensor(name, dtype, tuple(shape), packed)
