"""Bodies in Clipper's query format (the query API of Clipper 0.4) to rows. Used by clipper.py.

Whole numbers are accepted for floats and doubles, which Clipper refused.
"""

import struct
import sys
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import simdjson

from servd.datatypes import InputType
from servd.http.codecs.base import Asked, Decode
from servd.http.codecs.json_faults import EXPLAINED_BYTES, encoding_fault, read_strictly
from servd.http.codecs.refusals import explain, json_error, no_input

LARGE_BODY_BYTES = 1024
"""From this size on, a numeric body goes through simdjson's buffer: at 784 numbers that takes
less than half the time of the typed decoder and struct."""


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    version: str | int | msgspec.UnsetType | None = msgspec.UNSET


class _Doubles(_Request):
    input: list[float] | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[list[float]] | msgspec.UnsetType = msgspec.UNSET


INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Integers(_Request):
    input: list[INT32] | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[list[INT32]] | msgspec.UnsetType = msgspec.UNSET


class _Strings(_Request):
    input: str | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Bytes(_Request):
    input: bytes | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[bytes] | msgspec.UnsetType = msgspec.UNSET


class _Any(_Request):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_SHAPES: dict[InputType, type[_Request]] = {
    InputType.DOUBLES: _Doubles,
    InputType.FLOATS: _Doubles,
    InputType.INTEGERS: _Integers,
    InputType.STRINGS: _Strings,
    InputType.BYTES: _Bytes,
    InputType.ANY: _Any,
    InputType.ROWS: _Any,
}


class _Readers:
    """How bodies of one input type are read: `strictly` first, and `again` where that failed.

    msgspec does not look into what it skips, so a body with other keys is read again, after a
    look at all of it. That costs the bodies with other keys only.
    """

    __slots__ = ("_input_type", "_loosely", "strictly")

    def __init__(self, input_type: InputType) -> None:
        shape = _SHAPES[input_type]
        self._input_type = input_type
        self.strictly: Callable[[bytes], Any] = msgspec.json.Decoder(shape).decode
        loose = msgspec.defstruct(
            shape.__name__,
            [(field.name, field.type, field.default) for field in msgspec.structs.fields(shape)],
        )
        self._loosely: Callable[[bytes], Any] = msgspec.json.Decoder(loose).decode

    def again(self, body: bytes, error: Exception) -> Any:
        """Return the request of a body with other keys; raise RequestError for any other body."""
        if isinstance(error, msgspec.ValidationError) and "unknown field" in str(error):
            check_json(body, self._input_type)
            try:
                return self._loosely(body)
            except (msgspec.MsgspecError, UnicodeError, RecursionError) as why:
                error = why
        raise explain(body, self._input_type, str(error)) from None


class _Packers(dict[int, Callable[..., bytes]]):
    """How as many numbers as the key says become a row, each made when first needed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __missing__(self, count: int) -> Callable[..., bytes]:
        pack = struct.Struct(f"<{count}{self._kind}").pack
        if count < LARGE_BODY_BYTES:  # so many lengths at most are kept
            self[count] = pack
        return pack


_parser: Any = simdjson.Parser()


def _numeric_decoder(input_type: InputType, kind: str) -> Decode:
    readers = _Readers(input_type)
    parse = readers.strictly
    packers = _Packers(kind)
    large = LARGE_BODY_BYTES if input_type is InputType.DOUBLES else sys.maxsize
    unset = msgspec.UNSET

    def decode(body: bytes) -> bytes | Asked:
        if len(body) > large and (row := _decode_large(body)) is not None:
            return row
        try:
            request = parse(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            request = readers.again(body, error)
        try:
            values = request.input
            if values is unset or request.version is not unset:
                return _asked(request, lambda each: packers[len(each)](*each), body, input_type)
            return packers[len(values)](*values)
        except (struct.error, OverflowError):
            raise json_error("a number is out of the range of a float (+-3.4028235e38)") from None

    return decode


def _plain_decoder(
    input_type: InputType,
    to_row: Callable[[Any], bytes],
    check: Callable[[bytes, InputType], None] | None = None,
) -> Decode:
    readers = _Readers(input_type)
    parse = readers.strictly
    unset = msgspec.UNSET

    def decode(body: bytes) -> bytes | Asked:
        try:
            request = parse(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            request = readers.again(body, error)
        if check is not None:
            check(body, input_type)
        value = request.input
        if value is unset or request.version is not unset:
            return _asked(request, to_row, body, input_type)
        return to_row(value)

    return decode


def check_json(body: bytes, input_type: InputType | None = None) -> None:
    """Refuse a body that is not JSON to the last byte: UTF-8, escapes, and numbers that are any.

    Raises:
        RequestError: it is not, and why.
    """
    try:
        _parser.parse(body)
    except (ValueError, RuntimeError, UnicodeError):
        # simdjson refuses whole numbers beyond 64 bits too, which JSON has. Of a longer body the
        # typed decoder sees all but the encoding.
        is_short = len(body) <= EXPLAINED_BYTES
        fault = read_strictly(body)[1] if is_short else encoding_fault(body)
        if fault is not None:
            raise json_error(fault, input_type) from None


DECODE: dict[InputType, Decode] = {
    InputType.DOUBLES: _numeric_decoder(InputType.DOUBLES, "d"),
    InputType.FLOATS: _numeric_decoder(InputType.FLOATS, "f"),
    InputType.INTEGERS: _numeric_decoder(InputType.INTEGERS, "i"),
    InputType.STRINGS: _plain_decoder(InputType.STRINGS, str.encode),
    InputType.BYTES: _plain_decoder(InputType.BYTES, bytes),
    InputType.ANY: _plain_decoder(InputType.ANY, bytes, check_json),
    InputType.ROWS: _plain_decoder(InputType.ROWS, bytes, check_json),
}
"""How the bodies of requests become rows of an input type."""


def _asked(
    request: Any, to_row: Callable[[Any], bytes], body: bytes, input_type: InputType
) -> bytes | Asked:
    """Return what a request of several inputs, or for a version, asks for."""
    version = request.version
    # null or no text, as a client may send for "none"; a number is the text of it.
    version = None if version in (None, "", msgspec.UNSET) else str(version)
    if request.input is not msgspec.UNSET:
        row = to_row(request.input)
        return row if version is None else Asked(row, version)
    if request.input_batch is msgspec.UNSET:
        keys = list(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
        raise no_input(keys, input_type)
    return Asked([to_row(each) for each in request.input_batch], version)


def _decode_large(body: bytes) -> bytes | None:
    """Return the row of a body that holds one flat array and nothing else, else None.

    simdjson flattens nested arrays silently; with one bracket and two quotation marks there is
    nothing to flatten and only one key. What it refuses, the typed decoder explains.
    """
    if body.count(b"[") != 1 or body.count(b'"') != 2:
        return None
    try:
        buffer = _parser.parse(body)["input"].as_buffer(of_type="d")
        return bytes(buffer)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, IndexError):
        return None
