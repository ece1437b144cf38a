"""Clipper's query format (the query API of Clipper 0.4): bodies to rows, outcomes to answers.

Whole numbers are accepted for floats and doubles, which Clipper refused.
"""

import json
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import simdjson

from servd.datatypes import InputType
from servd.query import Miss, Why

if TYPE_CHECKING:
    from servd.route import Route

LARGE_BODY_BYTES = 1024
"""From this size on, a numeric body goes through simdjson's buffer: at 784 numbers that takes
less than half the time of the typed decoder and struct."""

SCHEMA = (
    "Expected JSON schema: \n  {\n   "
    '"input" := [double] | [int] | [string] | [byte] | [float],\n  }\n'
)

Rows = bytes | list[bytes]
"""One input, or those of an `input_batch`."""


class Asked(NamedTuple):
    """What a request asks for, where that is not one input for the current version."""

    rows: Rows
    version: str | None


Decode = Callable[[bytes], bytes | Asked]
"""Bodies to rows. Raises RequestError, whose cause says why a body is not what is taken."""


class RequestError(Exception):
    """A request that gets Clipper's error object instead of a prediction."""

    def __init__(self, status: int, error: str, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.error = error
        self.cause = cause


class _Request(msgspec.Struct):
    version: str | msgspec.UnsetType | None = msgspec.UNSET


class _Doubles(_Request):
    input: list[float] | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[list[float]] | msgspec.UnsetType = msgspec.UNSET


_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Integers(_Request):
    input: list[_Int32] | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[list[_Int32]] | msgspec.UnsetType = msgspec.UNSET


class _Strings(_Request):
    input: str | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[str] | msgspec.UnsetType = msgspec.UNSET


class _Bytes(_Request):
    input: bytes | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[bytes] | msgspec.UnsetType = msgspec.UNSET


class _Any(_Request):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_DECODERS: dict[InputType, Callable[[bytes], Any]] = {
    InputType.DOUBLES: msgspec.json.Decoder(_Doubles).decode,
    InputType.FLOATS: msgspec.json.Decoder(_Doubles).decode,
    InputType.INTEGERS: msgspec.json.Decoder(_Integers).decode,
    InputType.STRINGS: msgspec.json.Decoder(_Strings).decode,
    InputType.BYTES: msgspec.json.Decoder(_Bytes).decode,
    InputType.ANY: msgspec.json.Decoder(_Any).decode,
}


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
    parse = _DECODERS[input_type]
    packers = _Packers(kind)
    large = LARGE_BODY_BYTES if input_type is InputType.DOUBLES else sys.maxsize
    unset = msgspec.UNSET

    def decode(body: bytes) -> bytes | Asked:
        if len(body) > large and (row := _decode_large(body)) is not None:
            return row
        try:
            request = parse(body)
            values = request.input
            if values is unset or request.version is not unset:
                return _asked(request, lambda each: packers[len(each)](*each))
            return packers[len(values)](*values)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise _explain(body, input_type, str(error)) from None
        except (struct.error, OverflowError):
            raise _json_error("a number is out of the range of a float (+-3.4028235e38)") from None

    return decode


def _plain_decoder(input_type: InputType, to_row: Callable[[Any], bytes]) -> Decode:
    parse = _DECODERS[input_type]
    unset = msgspec.UNSET

    def decode(body: bytes) -> bytes | Asked:
        try:
            request = parse(body)
            value = request.input
            if value is unset or request.version is not unset:
                return _asked(request, to_row)
            return to_row(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
            raise _explain(body, input_type, str(error)) from None

    return decode


DECODE: dict[InputType, Decode] = {
    InputType.DOUBLES: _numeric_decoder(InputType.DOUBLES, "d"),
    InputType.FLOATS: _numeric_decoder(InputType.FLOATS, "f"),
    InputType.INTEGERS: _numeric_decoder(InputType.INTEGERS, "i"),
    InputType.STRINGS: _plain_decoder(InputType.STRINGS, str.encode),
    InputType.BYTES: _plain_decoder(InputType.BYTES, bytes),
    InputType.ANY: _plain_decoder(InputType.ANY, bytes),
}
"""How the bodies of requests become rows of an input type."""


def _asked(request: Any, to_row: Callable[[Any], bytes]) -> bytes | Asked:
    """Return what a request of several inputs, or for a version, asks for."""
    version = request.version or None  # null, as a client may send for "none"
    if request.input is not msgspec.UNSET:
        row = to_row(request.input)
        return row if version is None else Asked(row, version)
    if request.input_batch is msgspec.UNSET:
        raise _json_error("JSON object does not have required keys input or input_batch")
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


def _json_error(what: str) -> RequestError:
    return RequestError(400, "Json error", f"Error parsing JSON: {what}. {SCHEMA}")


_KIND = {
    InputType.DOUBLES: "double",
    InputType.FLOATS: "float",
    InputType.INTEGERS: "int",
    InputType.STRINGS: "string",
    InputType.BYTES: "base64-encoded string",
    InputType.ANY: "any",
}


def _explain(body: bytes, input_type: InputType, detail: str) -> RequestError:
    """Return the error in Clipper's words for a body that the typed decoder refused."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        offset = getattr(error, "pos", 0)
        text = getattr(error, "msg", "Terminate parsing due to Handler error.")
        return _json_error(f"JSON parse error: {text} (offset {offset})\n")
    if not isinstance(value, dict):
        return RequestError(400, "Json error", "JSON schema invalid")
    if value.get("version") is not None and not isinstance(value["version"], str):
        return _json_error(
            "Type mismatch! JSON key version expected type string"
            f"but found type {_name(value['version'])}"
        )
    key = "input" if "input" in value else "input_batch"
    wanted = "Array" if input_type.item_bytes or key == "input_batch" else "String"
    found = _name(value.get(key))
    if found != wanted:
        return _json_error(
            f"Type mismatch! JSON key {key} expected type {wanted}but found type {found}"
        )
    wrong = _wrong_item(value[key], input_type, is_batch=key == "input_batch")
    if wrong is None:
        return _json_error(f"{key}: {detail}")
    return _json_error(f"Array input of type {wrong} is not of type {_KIND[input_type]}")


def _wrong_item(value: Any, input_type: InputType, *, is_batch: bool) -> str | None:
    """Return the JSON type of the first item that is of the wrong one, None if none is."""
    if not isinstance(value, list):
        return None
    is_row = is_batch and input_type.item_bytes > 0
    wrong = (_wrong_type(item, input_type, is_row=is_row) for item in value)
    return next((name for name in wrong if name is not None), None)


def _wrong_type(item: Any, input_type: InputType, *, is_row: bool) -> str | None:
    """Return the JSON type of an item, None where it is the one that is wanted."""
    if is_row and isinstance(item, list):
        return _wrong_item(item, input_type, is_batch=False)
    # 1.0 is no whole number, as in Clipper.
    is_broken = input_type is InputType.INTEGERS and isinstance(item, float)
    is_right = _name(item) == ("Number" if input_type.item_bytes else "String")
    return None if is_right and not is_row and not is_broken else _name(item)


def _name(value: Any) -> str:
    """Return the name of a JSON type as Clipper's messages have it."""
    if isinstance(value, bool):
        return "True" if value else "False"
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names.get(type(value), "Null")


def miss_object(query_id: int, route: "Route", why: Why, row: bytes = b"") -> tuple[int, bytes]:
    """Return the status and the object that say a query got no output.

    An application with a default output gives it, with the explanation; one without gives an error
    whose status says the kind. A `row` of the wrong length is the caller's fault either way.
    """
    default = route.default
    if default is None or why is Miss.WRONG_SIZE or why is Miss.FAULT:
        text = error_object("Query processing error", _cause(route, why, row), query_id)
        return _STATUS[why.kind], text
    return 200, b'{"query_id":%d,"output":%b,"default":true,"default_explanation":%b}' % (
        query_id,
        default,
        why.json,
    )


_STATUS = {
    Miss.NO_MODEL: 503,
    Miss.TIMED_OUT: 504,
    Miss.MODEL_FAILED: 500,
    Miss.OVERLOADED: 503,
    Miss.WRONG_SIZE: 400,
    Miss.FAULT: 500,
}


def _cause(route: "Route", why: Why, row: bytes) -> str:
    dispatcher = route.dispatcher
    size = route.input_type.item_bytes
    if why is Miss.WRONG_SIZE and dispatcher is not None and dispatcher.row_bytes and size:
        wanted, found = dispatcher.row_bytes // size, len(row) // size
        return f"Model {dispatcher.id} takes {wanted} numbers, the input has {found}"
    return why.value


def fault_object(query_id: int) -> bytes:
    """Return the error object for what nobody foresaw."""
    return error_object("Internal error", Miss.FAULT.value, query_id)


def error_object(error: str, cause: str, query_id: int | None = None) -> bytes:
    """Return Clipper's error object."""
    body: dict[str, Any] = {"error": error, "cause": cause}
    if query_id is not None:
        body["query_id"] = query_id
    return json.dumps(body).encode()
