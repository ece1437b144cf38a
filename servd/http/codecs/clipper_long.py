"""Long bodies in Clipper's query format to rows, a piece at a time. Used by codecs/clipper.py.

It takes what clipper_bodies.py takes. What that builds at once, objects for each number of a body,
would take many times the body's size in memory; here no more than a piece of it is built.
"""

import re
import struct
from collections.abc import Callable, Iterator
from math import isinf
from typing import Any, Final, Literal

import msgspec
import simdjson

from servd.datatypes import InputType
from servd.http.bounds import Bounds
from servd.http.codecs.base import Read, RequestError, Rows, packed
from servd.http.codecs.clipper_bodies import INT32
from servd.http.codecs.json_faults import said_of_long
from servd.http.codecs.refusals import (
    KIND,
    UPDATE_SCHEMA,
    json_error,
    no_batch,
    no_input,
    no_object,
    no_such_input,
    too_many_rows,
)

PIECE_BYTES: Final = 1 << 20

_ESCAPES_BYTES: Final = 12
"""The longest that must not be cut: the two escapes of a surrogate pair."""

_CUT_SEARCH_BYTES: Final = 4096
_HIGH: Final = (b"d8", b"d9", b"da", b"db")
"""How the number of a surrogate pair's first escape begins."""

_HUGE_NUMBER: Final = re.compile(rb"[\d.][eE]\+?\d{3}|\d{300}")
_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', re.DOTALL)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_FIRST_KEY: Final = re.compile(rb'\s*\{\s*("(?:[^"\\]|\\.){0,200}")\s*:')
_BLANKS: Final = re.compile(rb"[ \t\n\r]*")
_GAP: Final = re.compile(rb"[\s,]*")
_ROW: Final = re.compile(rb"\[([^\[\]{\"]*)\]")
_LONGEST_VERSION: Final = 1000
_COMMA: Final = ord(",")
_STRUCTURE: Final = (b",", b"[", b"{")


class _Envelope(msgspec.Struct):
    version: str | int | msgspec.UnsetType | None = msgspec.UNSET
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Feedback(msgspec.Struct):
    uid: int
    label: float
    input: msgspec.Raw


_feedback: Final = msgspec.json.Decoder(_Feedback).decode
_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode
_base64: Final = msgspec.json.Decoder(bytes).decode


def read(
    body: memoryview,
    input_type: InputType,
    bounds: Bounds,
    rows: Rows,
    on_json: Callable[[], object] = int,
) -> Read:
    """Write the rows of a body. `on_json` is called once it is known to be JSON with an input.

    Raises:
        RequestError: it is not what the application takes, or exceeds a bound.
        MemoryError: it cannot be read in the memory that there is.
    """
    if input_type in _OF_ANY:
        check_values(body, bounds)
    check_utf8(body)
    try:
        asked = _envelope_of(body, input_type)
        is_batch = asked.input is msgspec.UNSET
        raw = asked.input_batch if is_batch else asked.input
        if raw is msgspec.UNSET:
            raise no_input(first_key(body), input_type)
        on_json()
        write = _WRITERS[input_type]
        if is_batch:
            _write_batch(memoryview(raw), input_type, bounds, rows)
        else:
            write(memoryview(raw), rows)
            rows.end_row()
    except (msgspec.MsgspecError, RecursionError) as error:
        raise json_error(said_of_long(body, str(error)), input_type) from None
    except (struct.error, OverflowError):
        raise json_error("a number is out of the range of a float (+-3.4028235e38)") from None
    return Read(is_batch, version_named(asked.version))


_OF_ANY: Final = (InputType.ANY, InputType.ROWS)
"""Types whose rows are JSON, of any values."""


def check_utf8(body: memoryview) -> None:
    """Raise RequestError unless a body is UTF-8: msgspec does not look into what it skips."""
    try:
        for piece in _between_characters(body):
            piece.decode()
    except UnicodeDecodeError as error:
        raise json_error(f"the body is not UTF-8: {error.reason}") from None


def _envelope_of(body: memoryview, input_type: InputType) -> _Envelope:
    blanks = _BLANKS.match(body)
    first = blanks.end() if blanks else 0
    if bytes(body[first : first + 1]) == b"{":
        return _envelope(body)
    msgspec.json.decode(body, type=msgspec.Raw)  # it may be no JSON either
    raise no_object(_SUCH[_name_of(body[first:])], input_type)


_SUCH: Final = {"Array": [], "String": "", "True": True, "False": False, "Null": None, "Number": 0}
"""A value of each type that is no object: the very one may be long."""


def first_key(body: memoryview) -> list[str]:
    """Return the first key of a body: naming all would take all of them."""
    first = _FIRST_KEY.match(body)
    return [] if first is None else [msgspec.json.decode(first[1])]


def version_named(version: str | int | msgspec.UnsetType | None) -> str | None:
    """Return the version that a body names; None where it names none."""
    if version in (None, "", msgspec.UNSET):
        return None
    name = str(version)
    if len(name) > _LONGEST_VERSION:
        raise RequestError(
            400,
            "Query processing error",
            f"Requested version: {name[:40]}… does not exist: no version has so long a name",
        )
    return name


def check_feedback(body: memoryview) -> None:
    """Raise RequestError unless a body is feedback, as far as its input goes."""
    try:
        _feedback(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        cause = f"Error parsing JSON: {error}. {UPDATE_SCHEMA}"
        raise RequestError(400, "Json error", cause) from None


def check_values(body: memoryview, bounds: Bounds) -> None:
    """Refuse a body of more values than a model should have to build. Commas in texts count too."""
    count = 1
    for at in range(0, len(body), PIECE_BYTES):
        piece = bytes(body[at : at + PIECE_BYTES])
        count += sum(map(piece.count, _STRUCTURE))
    if count > bounds.max_values:
        raise RequestError(
            413,
            "Bad request",
            f"the body has more than {bounds.max_values} JSON values: "
            "send less at a time, or raise the server's --max-values",
        )


def _write_batch(raw: memoryview, input_type: InputType, bounds: Bounds, rows: Rows) -> None:
    if bytes(raw[:1]) != b"[":
        raise no_batch(_SUCH.get(_name_of(raw), {}), input_type)
    write = _WRITERS[input_type]
    if input_type.item_bytes:
        elements: Iterator[memoryview] = _number_rows(raw, input_type)
    else:
        check_count(raw, input_type, bounds)
        elements = map(memoryview, _elements(raw))
    for count, element in enumerate(elements, 1):
        if count > bounds.max_rows:
            raise too_many_rows(bounds)
        write(element, rows)
        rows.end_row()


def check_count(raw: memoryview, input_type: InputType, bounds: Bounds) -> None:
    """Refuse an array of too many elements before an object is made for each."""
    quotes = commas = 0
    for at in range(0, len(raw), PIECE_BYTES):
        piece = bytes(raw[at : at + PIECE_BYTES])
        quotes += piece.count(b'"') - piece.count(b'\\"')
        commas += piece.count(b",")
    if input_type not in _OF_ANY:
        is_over = quotes // 2 > bounds.max_rows  # some quotes may not have been counted
    else:
        is_over = commas >= bounds.max_rows and has_more(raw, bounds.max_rows)
    if is_over:
        raise too_many_rows(bounds)


def has_more(raw: memoryview, count: int) -> bool:
    """Tell whether an array has more elements than that."""
    depth = commas = 0
    for token in _TOKEN.finditer(raw):
        sign = raw[token.start()]
        if sign in b"[{":
            depth += 1
        elif sign in b"]}":
            depth -= 1
        elif depth == 1 and sign == _COMMA:
            commas += 1
            if commas >= count:
                return True
    return False


def _number_rows(raw: memoryview, input_type: InputType) -> Iterator[memoryview]:
    """Yield the rows of an array of arrays of numbers."""
    at, end = 1, len(raw) - 1
    while True:
        gap = _GAP.match(raw, at, end)
        at = gap.end() if gap else at
        if at >= end:
            return
        row = _ROW.match(raw, at, end)
        if row is None:
            raise _wrong_type(raw[at:end], input_type)
        yield raw[slice(*row.span())]
        at = row.end()


def _wrong_type(raw: memoryview, input_type: InputType) -> RequestError:
    """Return the refusal of a row that is none, or that holds something that is no number."""
    if bytes(raw[:1]) == b"[":
        odd = re.compile(rb"[\[{\"tfn]").search(raw, 1)
        raw = raw[odd.start() :] if odd else raw
    return json_error(f"Array input of type {_name_of(raw)} is not of type {KIND[input_type]}")


def _name_of(raw: memoryview) -> str:
    """Return the name of a JSON value's type as Clipper's messages have it."""
    names = {
        b"[": "Array",
        b"{": "Object",
        b'"': "String",
        b"t": "True",
        b"f": "False",
        b"n": "Null",
    }
    return names.get(bytes(raw[:1]), "Number")


# --- one row each ---


_Pack = Callable[[bytes], bytes]


def _packer(input_type: InputType) -> _Pack:
    """Return what makes an array of numbers, as text, the bytes of a row."""
    kind: Any = list[INT32] if input_type is InputType.INTEGERS else list[float]
    typed = msgspec.json.Decoder(kind).decode
    letter = {InputType.DOUBLES: "d", InputType.FLOATS: "f", InputType.INTEGERS: "i"}[input_type]
    wide: Literal["q", "d"] = "q" if letter == "i" else "d"
    parser: Any = simdjson.Parser()

    def pack(text: bytes) -> bytes:
        try:
            buffer = memoryview(parser.parse(text).as_buffer(of_type="i" if wide == "q" else "d"))
        except (ValueError, TypeError, RuntimeError):
            numbers = typed(text)  # it says why, or takes it all the same
        else:
            if letter == wide:
                return bytes(buffer)
            numbers = buffer.cast("B").cast(wide).tolist()
        return packed(numbers, letter)

    return pack


def _number_writer(input_type: InputType) -> Callable[[memoryview, Rows], None]:
    pack = _packer(input_type)

    def write(raw: memoryview, rows: Rows) -> None:
        if bytes(raw[:1]) != b"[":
            raise no_such_input(_SUCH.get(_name_of(raw), {}), input_type)
        for piece in _at_commas(raw[1:-1]):
            if any(sign in piece for sign in b'[{"'):
                raise _wrong_type(memoryview(b"[%b" % piece), input_type)
            rows.write(pack(b"[%b]" % piece))

    return write


def _at_commas(raw: memoryview) -> Iterator[bytes]:
    """Yield pieces of an array's content that begin and end where an item does."""
    rest = b""
    for at in range(0, len(raw), PIECE_BYTES):
        before, comma, after = (rest + bytes(raw[at : at + PIECE_BYTES])).rpartition(b",")
        if comma:
            yield before
        # Blanks are between items only: the array's syntax has been checked.
        rest = after.strip()
        if len(rest) > PIECE_BYTES:
            raise json_error("an item of an array is too long")
    if rest:
        yield rest


def _write_text(raw: memoryview, rows: Rows) -> None:
    """Write a text, unescaped. JSON's syntax has been checked, so quotes inside are escaped."""
    if bytes(raw[:1]) != b'"':
        raise no_such_input(_SUCH.get(_name_of(raw), {}), InputType.STRINGS)
    for piece in _between_characters(raw[1:-1]):
        rows.write(_text(b'"%b"' % piece).encode() if b"\\" in piece else piece)


def _between_characters(raw: memoryview) -> Iterator[bytes]:
    """Yield pieces that end neither in a character of UTF-8 nor in an escape."""
    at = 0
    while at < len(raw):
        end = _cut(raw, at + PIECE_BYTES)
        yield bytes(raw[at:end])
        at = end


def _cut(raw: memoryview, end: int) -> int:
    """Return where a text can be cut before `end`; its own end where no place is found."""
    if end >= len(raw):
        return len(raw)
    begin = max(end - _CUT_SEARCH_BYTES, 0)
    text = bytes(raw[begin : end + 1])
    for at in range(len(text) - 1, _ESCAPES_BYTES, -1):
        if text[at] & 0xC0 != 0x80 and _is_between(text[at - _ESCAPES_BYTES - 1 : at]):
            return begin + at
    return len(raw)


def _is_between(before: bytes) -> bool:
    """Tell whether an escape has certainly ended, or none is there, after these 13 bytes."""
    if b"\\u" not in before:
        return before[-1:] != b"\\"
    # One of four hex digits has just ended, and is not the first half of a pair.
    return before[-6:-4] == b"\\u" and before[-7:-6] != b"\\" and before[-4:-2].lower() not in _HIGH


def _write_bytes(raw: memoryview, rows: Rows) -> None:
    if bytes(raw[:1]) != b'"':
        raise no_such_input(_SUCH.get(_name_of(raw), {}), InputType.BYTES)
    rows.write(_base64(raw))


def _write_any(raw: memoryview, rows: Rows) -> None:
    if _HUGE_NUMBER.search(raw):
        for token in _NUMBER.finditer(raw):
            text = token[0]
            if text[:1] != b'"' and any(sign in text for sign in b".eE") and isinf(float(text)):
                what = f"the number {text[:40].decode()} is beyond the range of a float"
                raise json_error(what, InputType.ANY)
    rows.write(raw)


_WRITERS: Final[dict[InputType, Callable[[memoryview, Rows], None]]] = {
    InputType.DOUBLES: _number_writer(InputType.DOUBLES),
    InputType.FLOATS: _number_writer(InputType.FLOATS),
    InputType.INTEGERS: _number_writer(InputType.INTEGERS),
    InputType.STRINGS: _write_text,
    InputType.BYTES: _write_bytes,
    InputType.ANY: _write_any,
    InputType.ROWS: _write_any,
}
