"""A message's payload to the inputs of an application. Used by seldon.py.

Numbers go straight to rows. What has names or types of its own is read as Clipper's bodies are
(clipper_inputs.py), so that the same is taken and refused by both.
"""

import base64
import binascii
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Any, Final

import msgspec

from servd.datatypes import Inputs, InputType
from servd.http.codecs.base import AskedAs, Decode, RequestError
from servd.http.codecs.clipper_inputs import by_inputs
from servd.http.codecs.clipper_signed import has_say
from servd.http.codecs.seldon_bodies import refused
from servd.http.codecs.seldon_messages import UNSET, Data, Message, Meta, check, shape_of
from servd.schemas.faults import found

TENSOR: Final = b"t"
ARRAY: Final = b"n"
"""Several inputs, as rows of a tensor or of an array; in capitals, one that was given flat."""
JSON_ONE: Final = b"j"
JSON_SEVERAL: Final = b"J"
TEXT: Final = b"s"
BYTES: Final = b"b"

_LETTERS: Final = {InputType.DOUBLES: "d", InputType.FLOATS: "f", InputType.INTEGERS: "i"}
_rows_of_numbers: Final = msgspec.json.Decoder(list[list[float]]).decode
_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_meta: Final = msgspec.json.Encoder().encode


def told_of(form: bytes, meta: Meta | None) -> bytes:
    """Return what an answer has to know of its request: its form, and the meta that comes back."""
    return form if meta is None else form + _meta(meta)


ReadMessage = Callable[[Message], AskedAs]


def reader_of(inputs: Inputs) -> ReadMessage:
    """Return how messages become the inputs of an application."""
    if has_say(inputs.signature):
        return _Signed(inputs).read
    return _READERS[inputs.input_type]


# --- numbers ---


def _numeric(input_type: InputType) -> ReadMessage:
    letter, size = _LETTERS[input_type], input_type.item_bytes
    is_whole = input_type is InputType.INTEGERS

    def read(message: Message) -> AskedAs:
        data = message.data
        if data is UNSET:
            rows, form = _numbers_of(message, input_type), JSON_SEVERAL
            if len(rows) == 1:
                form = JSON_ONE
            return AskedAs([_packed(row, letter) for row in rows], told_of(form, message.meta))
        if data.tensor is UNSET:
            rows, is_flat = _array_rows(data, input_type)
            told = told_of(ARRAY.upper() if is_flat else ARRAY, message.meta)
            return AskedAs([_packed(row, letter) for row in rows], told)
        shape, values = shape_of(data.tensor)
        _check_not_empty(shape)
        row = _packed(_whole(values, "data.tensor.values") if is_whole else values, letter)
        if len(shape) == 1:
            return AskedAs([row], told_of(TENSOR.upper(), message.meta))
        width = prod(shape[1:]) * size
        rows_ = (
            [row] if shape[0] == 1 else [row[at : at + width] for at in range(0, len(row), width)]
        )
        return AskedAs(rows_, told_of(TENSOR, message.meta))

    return read


def _check_not_empty(shape: list[int]) -> None:
    if not shape or 0 in shape:
        raise refused(f"data.tensor is empty: its shape is {shape}")


@lru_cache(maxsize=256)
def _packer(count: int, letter: str) -> Callable[..., bytes]:
    """Return how so many numbers become a row."""
    return struct.Struct(f"<{count}{letter}").pack


def _packed(values: list[Any], letter: str) -> bytes:
    try:
        return _packer(len(values), letter)(*values)
    except (struct.error, OverflowError):
        kind = "int" if letter == "i" else "float"
        raise refused(f"a number is out of the range of a 32-bit {kind}") from None


def _whole(values: list[Any], place: str) -> list[int]:
    """Return whole numbers, which Seldon's tensors hold as doubles."""
    for at, value in enumerate(values):
        if value != int(value):
            raise refused(f"{place}[{at}] is {value}: this application takes whole numbers")
    return [int(value) for value in values]


def _array_rows(data: Data, input_type: InputType) -> tuple[list[list[Any]], bool]:
    """Return the rows of an array of numbers, and whether it was one that was given flat."""
    raw = _raw(data.ndarray)
    is_whole = input_type is InputType.INTEGERS
    try:
        rows = [] if is_whole else _rows_of_numbers(raw)
    except _ERRORS:
        rows = []
    if rows and all(rows):
        return rows, False
    value = _decoded(raw)
    return _number_rows(value, input_type, "data.ndarray")


def _numbers_of(message: Message, input_type: InputType) -> list[list[Any]]:
    if message.jsonData is UNSET:
        name = "strData" if message.strData is not UNSET else "binData"
        raise _other_payload(name, input_type)
    return _number_rows(_decoded(_raw(message.jsonData)), input_type, "jsonData")[0]


def _number_rows(value: Any, input_type: InputType, place: str) -> tuple[list[list[Any]], bool]:
    if not isinstance(value, list):
        raise refused(f"{place}: wanted rows of numbers, found {found(value)}")
    is_flat = bool(value) and not any(isinstance(each, list) for each in value)
    rows = [value] if is_flat else value
    if not rows or [] in rows:
        raise refused(f"{place} is empty: send rows of numbers such as [[1.5, 2]]")
    flat = [
        _flat(row, place if is_flat else f"{place}[{at}]", input_type)
        for at, row in enumerate(rows)
    ]
    return flat, is_flat


def _flat(row: Any, place: str, input_type: InputType) -> list[Any]:
    """Return all numbers of a row, which may be nested."""
    if not isinstance(row, list):
        raise refused(f"{place}: wanted a list of numbers, found {found(row)}")
    if any(isinstance(each, list) for each in row):
        inner = [_flat(each, f"{place}[{at}]", input_type) for at, each in enumerate(row)]
        if len(set(map(len, inner))) > 1:
            raise refused(f"{place} is ragged: its parts are of {sorted(set(map(len, inner)))}")
        return list(chain.from_iterable(inner))
    for at, each in enumerate(row):
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise refused(
                f"{place}[{at}]: wanted a number, found {found(each)} "
                f"(this application takes {input_type})"
            )
    return _whole(row, place) if input_type is InputType.INTEGERS else row


# --- texts, bytes, any ---


def _texts(message: Message) -> AskedAs:
    if message.strData is not UNSET:
        return AskedAs([message.strData.encode()], told_of(TEXT, message.meta))
    values, form = _values_of(message, InputType.STRINGS)
    rows = [_text(value, f"{_PLACE[form]}[{at}]") for at, value in enumerate(values)]
    return AskedAs(rows, told_of(form, message.meta))


def _text(value: Any, place: str) -> bytes:
    value = _the_one(value)
    if not isinstance(value, str):
        raise refused(f"{place}: wanted a text, found {found(value)}")
    return value.encode()


def _bytes(message: Message) -> AskedAs:
    if message.binData is not UNSET:
        row = _of_base64(message.binData, "binData")
        return AskedAs([row], told_of(BYTES, message.meta))
    values, form = _values_of(message, InputType.BYTES)
    rows = [_of_base64(_the_one(value), f"{_PLACE[form]}[{at}]") for at, value in enumerate(values)]
    return AskedAs(rows, told_of(form, message.meta))


def _of_base64(value: Any, place: str) -> bytes:
    if not isinstance(value, str):
        raise refused(f"{place}: wanted base64 text, found {found(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refused(f"{place} is not base64: {error}") from None


def _the_one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


_PLACE: Final = {
    TENSOR: "data.tensor",
    ARRAY: "data.ndarray",
    ARRAY.upper(): "data.ndarray",
    TENSOR.upper(): "data.tensor",
    JSON_ONE: "jsonData",
    JSON_SEVERAL: "jsonData",
    TEXT: "strData",
    BYTES: "binData",
}


def _values_of(message: Message, input_type: InputType) -> tuple[list[Any], bytes]:
    """Return the inputs of a message as values of JSON, and its form."""
    data = message.data
    if data is UNSET:
        if message.jsonData is UNSET:
            raise _other_payload(
                "strData" if message.strData is not UNSET else "binData", input_type
            )
        return [_decoded(_raw(message.jsonData))], JSON_ONE
    if data.tensor is not UNSET:
        raise refused(f"this application takes {input_type}: a tensor holds numbers")
    return _listed(data), ARRAY


def _listed(data: Data) -> list[Any]:
    values = _decoded(_raw(data.ndarray))
    if not isinstance(values, list) or not values:
        raise refused(f"data.ndarray: wanted a list of inputs, found {found(values)}")
    return values


def _any(message: Message) -> AskedAs:
    """Return inputs of which nothing is known: rows of arrays, and other payloads as they are."""
    rows, form = _any_rows(message)
    return AskedAs([msgspec.json.encode(row) for row in rows], told_of(form, message.meta))


def _any_rows(message: Message) -> tuple[list[Any], bytes]:
    data = message.data
    if data is UNSET:
        if message.strData is not UNSET:
            return [message.strData], TEXT
        if message.binData is not UNSET:
            _of_base64(message.binData, "binData")
            return [message.binData], BYTES
        raw = _raw(message.jsonData)
        check(raw)
        return [msgspec.Raw(raw)], JSON_ONE
    if data.tensor is not UNSET:
        shape, values = shape_of(data.tensor)
        _check_not_empty(shape)
        nested = _nested(values, shape)
        return ([nested], TENSOR.upper()) if len(shape) == 1 else (nested, TENSOR)
    values = _listed(data)
    is_flat = not any(isinstance(each, list | dict) for each in values)
    return ([values], ARRAY.upper()) if is_flat else (values, ARRAY)


def _nested(values: list[Any], shape: list[int]) -> list[Any]:
    for length in reversed(shape[1:]):
        values = [values[at : at + length] for at in range(0, len(values), length)]
    return values


# --- by a signature ---


class _Signed:
    """Reads messages by what a version says of its inputs."""

    def __init__(self, inputs: Inputs) -> None:
        self._decode: Decode = by_inputs(inputs)
        signature = inputs.signature
        self._fields = list((signature.fields if signature else None) or {})
        only = self._fields[0] if len(self._fields) == 1 else None
        kind = (signature.fields or {})[only].get("type") if signature and only else None
        self._is_one = (only is not None or not self._fields) and kind != "array"
        self._is_listed = signature is not None and _is_array(signature.value)

    def read(self, message: Message) -> AskedAs:
        """Return what a message asks for.

        Raises:
            RequestError: it is not what is taken.
        """
        values, form = self._values(message)
        place = _PLACE[form]
        is_one = form not in (TENSOR, ARRAY, JSON_SEVERAL)
        body = {"input": values[0]} if is_one else {"input_batch": values}
        try:
            asked = self._decode(msgspec.json.encode(body))
        except RequestError as error:
            raise _renamed(error, place) from None
        rows = asked if isinstance(asked, bytes) else asked.rows
        listed = [rows] if isinstance(rows, bytes) else rows
        return AskedAs(listed, told_of(form, message.meta))

    def _values(self, message: Message) -> tuple[list[Any], bytes]:
        data = message.data
        if data is UNSET:
            if message.jsonData is not UNSET:
                value = _decoded(_raw(message.jsonData))
                is_several = isinstance(value, list) and all(isinstance(v, dict) for v in value)
                return (value, JSON_SEVERAL) if is_several and value else ([value], JSON_ONE)
            is_text = message.strData is not UNSET
            return [message.strData if is_text else message.binData], TEXT if is_text else BYTES
        rows, form = _any_rows(message)
        names = data.names
        if names and self._fields:
            return [self._named(row, names, _PLACE[form]) for row in rows], form
        if self._is_one and not self._is_listed:
            if form.isupper():  # a list of inputs that are no lists
                rows, form = rows[0], form.lower()
            rows = [_the_one(row) for row in rows]
        return rows, form

    def _named(self, row: Any, names: list[str], place: str) -> Any:
        if isinstance(row, dict):
            return row
        if not isinstance(row, list) or len(row) != len(names):
            count = f"{len(row)} values" if isinstance(row, list) else found(row)
            raise refused(f"{place}: a row has {count}, and there are {len(names)} names")
        if len(set(names)) < len(names):
            raise refused("data.names has a name twice")
        return dict(zip(names, row, strict=True))


def _is_array(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "array"


_BATCH: Final = re.compile(r"\binput_batch\b")
_ONE: Final = re.compile(r"\binput\b(?=[\[.:])")
_EXAMPLES: Final = re.compile(r"\.? Example: .*$|Expected JSON schema:.*$", re.DOTALL)


def _renamed(error: RequestError, place: str) -> RequestError:
    """Return a refusal that names the place in the message, and not that in Clipper's body."""
    said = _EXAMPLES.sub("", error.cause)
    said = _ONE.sub(place, _BATCH.sub(place, said)).strip()
    return RequestError(400, "MICROSERVICE_BAD_DATA", said, error.detail)


# --- what is common ---


def _raw(value: Any) -> bytes:
    return bytes(value)


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _ERRORS as error:
        raise refused(f"it cannot be read: {error}") from None


def _other_payload(name: str, input_type: InputType) -> RequestError:
    wanted = {
        InputType.STRINGS: "strData, or data.ndarray of texts",
        InputType.BYTES: "binData",
    }.get(input_type, "data with a tensor or an ndarray")
    return refused(
        f"this application takes {input_type}, and the message has {name}: send {wanted}"
    )


_READERS: Final[dict[InputType, ReadMessage]] = {
    **{each: _numeric(each) for each in _LETTERS},
    InputType.STRINGS: _texts,
    InputType.BYTES: _bytes,
    InputType.ANY: _any,
    InputType.ROWS: _any,
}
