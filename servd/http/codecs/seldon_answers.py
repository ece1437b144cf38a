"""Outputs to a SeldonMessage, and what goes wrong to one with a status. Used by seldon.py.

An application's outputs become the payload that its request had; numbers keep the form of the
request. A Seldon class answers messages itself.
"""

import json
import re
import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from servd.carriers.long_bytes import LongBytes, pieces_of
from servd.engine.query import ALWAYS_ERRORS, BadInput, Why
from servd.http.codecs.base import STATUS, Frame, Part, cause_of
from servd.http.codecs.seldon_inputs import (
    ARRAY,
    BYTES,
    JSON_ONE,
    JSON_SEVERAL,
    TENSOR,
    TEXT,
)
from servd.http.codecs.seldon_messages import Meta

if TYPE_CHECKING:
    from servd.engine.route import Route

MESSAGE: Final = b"m"
"""The one output is a message itself."""
KNOWN: Final = b"k"
"""No input: what is told after it is the answer."""
METADATA: Final = b"d"
"""What is known of the application; what the one output says of it, where there is one."""

BAD_DATA: Final = "MICROSERVICE_BAD_DATA"
INTERNAL: Final = "MICROSERVICE_INTERNAL_ERROR"

_NUMERIC: Final = frozenset(b"-0123456789")
_LIST: Final = ord("[")
_FLAT: Final = re.compile(rb"\[[-+0-9.eE, ]*\]").fullmatch
_NAMES: Final[dict[int, bytes]] = {}
_MAX_NAMES: Final = 1024
_ONE_NUMBER: Final = b'{"data":{"names":[],"tensor":{"shape":[1],"values":[%b]}},"meta":{}}\n'
_HTTP: Final = b'{"httpStatus":'
_WITH_STATUS: Final = re.compile(rb'"status":\s*\{')


def error_message(info: str, reason: str) -> bytes:
    """Return the message that says what went wrong, as Seldon's wrapper does."""
    status = {"code": -1, "info": info, "reason": reason, "status": 1}
    return json.dumps({"status": status}, separators=(",", ":")).encode() + b"\n"


def names_of(width: int) -> bytes:
    """Return the names of columns that have none: t:0, t:1 and so on."""
    known = _NAMES.get(width)
    if known is None:
        known = b"[%b]" % b",".join(b'"t:%d"' % at for at in range(width))
        if width < _MAX_NAMES:
            _NAMES[width] = known
    return known


class SeldonAnswer:
    """One message for the outputs of one request's inputs."""

    __slots__ = ("_error", "_explained", "_form", "_is_gateway", "_outputs", "_route", "_told")

    def __init__(self, route: "Route", told: bytes, *, is_gateway: bool) -> None:
        self._route = route
        self._form = told[:1]
        self._told = told[1:]
        self._is_gateway = is_gateway
        self._outputs: dict[int, bytes] = {}
        self._error: tuple[int, bytes] | None = None
        self._explained = ""

    def output(self, query_id: int, output: bytes | LongBytes) -> Part:
        """Keep an output: the message is made of all of them."""
        if isinstance(output, LongBytes):
            output = b"".join(pieces_of((output,)))
        self._outputs[query_id] = output
        return b""

    def missed(self, index: int, query_id: int, why: Why, row: bytes) -> Part:
        """Take the default output for an input that has none; without one this is an error."""
        route = self._route
        if route.default is not None and why.kind not in ALWAYS_ERRORS and self._form != MESSAGE:
            self._outputs[query_id] = route.default
            self._explained = self._explained or why.value
        elif self._error is None:
            status = STATUS[why.kind]
            status = 400 if status == 422 else status
            cause = why.value if isinstance(why, BadInput) else cause_of(route, why, row)
            if index and status == 400:
                cause = f"row {index}: {cause}"
            reason = BAD_DATA if status == 400 else INTERNAL
            self._error = (status, error_message(cause, reason))
        return b""

    def frame(self, count: int) -> Frame:
        """Return the whole answer."""
        del count
        if self._error is not None:
            return Frame(*self._error)
        if len(self._outputs) == 1 and self._form == TENSOR and not self._has_meta:
            (output,) = self._outputs.values()
            if output[0] in _NUMERIC:
                return Frame(200, _ONE_NUMBER % output)
        outputs = [self._outputs[key] for key in sorted(self._outputs)]
        if self._form == MESSAGE:
            return self._relayed(outputs[0])
        if self._form in (KNOWN, METADATA):
            return Frame(200, self._known(outputs))
        return Frame(200, b"{%b,%b}\n" % self._parts(_payload(self._form, outputs, self._route)))

    def _known(self, outputs: list[bytes]) -> bytes:
        if self._form == KNOWN:
            return self._told
        given: dict[str, Any] = json.loads(outputs[0]) if outputs else {}
        return _sorted({**metadata_of(self._route), **given})

    def _parts(self, payload: bytes) -> tuple[bytes, bytes]:
        """Return the members of the answer, in the order of their names."""
        meta = b'"meta":%b' % self._meta()
        return (payload, meta) if payload < meta else (meta, payload)

    @property
    def _has_meta(self) -> bool:
        return bool(self._told or self._is_gateway or self._explained)

    def _meta(self) -> bytes:
        if not self._has_meta:
            return b"{}"
        meta = msgspec.json.decode(self._told, type=Meta) if self._told else Meta()
        if not self._is_gateway:
            meta.routing = None
        if self._explained:
            said = {"default": True, "default_explanation": self._explained}
            meta.tags = {**(meta.tags or {}), **said}
        if not self._is_gateway:
            for name in ("metrics", "puid", "requestPath", "tags"):
                if not getattr(meta, name):
                    setattr(meta, name, None)
            return msgspec.json.encode(meta)
        return msgspec.json.encode(_whole(meta, self._route))

    def _relayed(self, output: bytes) -> Frame:
        """Return the message that a class has made; its status is that of the answer."""
        status = 200
        if output.startswith(_HTTP):
            message = json.loads(output)
            status = message.pop("httpStatus")
            return Frame(status if 400 <= status < 600 else 500, _sorted(message))
        if _WITH_STATUS.search(output):
            said = json.loads(output).get("status")
            code = said.get("code") if isinstance(said, dict) else None
            status = code if isinstance(code, int) and 200 <= code < 600 else 200
        if not self._is_gateway:
            return Frame(status, output + b"\n")
        message = msgspec.json.decode(output, type=dict[str, msgspec.Raw])
        try:
            meta = msgspec.json.decode(message.get("meta", b"{}"), type=Meta)
        except msgspec.MsgspecError:
            return Frame(status, output + b"\n")
        message["meta"] = msgspec.Raw(msgspec.json.encode(_whole(meta, self._route)))
        return Frame(status, msgspec.json.encode(dict(sorted(message.items()))) + b"\n")


def _sorted(message: dict[str, Any]) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _whole(meta: Meta, route: "Route") -> dict[str, Any]:
    """Return all of the meta that a gateway tells."""
    version = route.current.id.version if route.current is not None else ""
    path = {route.model: f"{route.model}:{version}"} if route.model else {}
    return {
        "metrics": meta.metrics or [],
        "puid": meta.puid or secrets.token_hex(16),
        "requestPath": {**path, **(meta.requestPath or {})},
        "routing": meta.routing or {},
        "tags": meta.tags or {},
    }


def metadata_of(route: "Route") -> dict[str, Any]:
    """Return what is known of an application's model."""
    return {
        "custom": {},
        "inputs": [],
        "name": route.model or route.name,
        "outputs": [],
        "platform": "servd",
        "versions": [route.current.id.version] if route.current is not None else [],
    }


# --- payloads ---


def _payload(form: bytes, outputs: list[bytes], route: "Route") -> bytes:
    """Return the member of the message that holds the outputs."""
    if form == JSON_ONE:
        return b'"jsonData":%b' % outputs[0]
    if form == JSON_SEVERAL:
        return b'"jsonData":[%b]' % b",".join(outputs)
    if form in (TEXT, BYTES):
        return _of_one(outputs[0], route)
    is_tensor = form.lower() == TENSOR
    if form in (TENSOR, ARRAY):
        return _of_rows(outputs, is_tensor=is_tensor)
    return _of_flat(outputs[0], is_tensor=is_tensor)


def _of_one(output: bytes, route: "Route") -> bytes:
    """Return the answer to one text or to bytes, as what it is."""
    if output[:1] == b'"':
        signature = route.inputs.signature
        schema = {} if signature is None else signature.output
        is_bytes = isinstance(schema, dict) and schema.get("contentEncoding") == "base64"
        return b'"%b":%b' % (b"binData" if is_bytes else b"strData", output)
    if output[0] in _NUMERIC:
        return _of_rows([output], is_tensor=True)
    if output[0] == _LIST:
        return _of_flat(output, is_tensor=True)
    return b'"jsonData":%b' % output


def _of_flat(output: bytes, *, is_tensor: bool) -> bytes:
    """Return the data of the one output of an input that was given without rows."""
    if output[0] != _LIST:
        return _of_rows([output], is_tensor=is_tensor)
    if not is_tensor or _FLAT(output) is None:
        shape = None if not is_tensor else _shape(json.loads(output))
        if not shape:
            return b'"data":{"names":[],"ndarray":%b}' % output
        return _tensor(b"[]", shape, _flattened(output))
    return _tensor(b"[]", [_width(output)], output[1:-1])


def _of_rows(outputs: list[bytes], *, is_tensor: bool) -> bytes:
    """Return the data of several outputs: a tensor where that is wanted and all are numbers."""
    firsts = {output[0] for output in outputs}
    count = len(outputs)
    if firsts <= _NUMERIC:
        joined = b",".join(outputs)
        return _tensor(b"[]", [count], joined) if is_tensor else _array(b"[]", joined)
    if firsts == {_LIST}:
        if all(map(_FLAT, outputs)):
            widths = set(map(_width, outputs))
            if len(widths) == 1:
                (width,) = widths
                if is_tensor:
                    values = b",".join([output[1:-1] for output in outputs])
                    return _tensor(names_of(width), [count, width], values)
                return _array(names_of(width), b",".join(outputs))
        return _of_nested(outputs, is_tensor=is_tensor)
    named = _by_name(outputs) if firsts == {ord("{")} else None
    if named is not None:
        names, rows = named
        found = _of_rows(rows, is_tensor=is_tensor)
        return found.replace(names_of(len(names)), msgspec.json.encode(names), 1)
    return _array(b"[]", b",".join(outputs))


def _of_nested(outputs: list[bytes], *, is_tensor: bool) -> bytes:
    joined = b",".join(outputs)
    value = json.loads(b"[%b]" % joined)
    shape = _shape(value)
    if shape is not None and is_tensor:
        return _tensor(names_of(shape[1]), shape, _flattened(b"[%b]" % joined))
    lengths = {len(row) for row in value}
    names = names_of(lengths.pop()) if len(lengths) == 1 else b"[]"
    return _array(names, joined)


def _by_name(outputs: list[bytes]) -> tuple[list[str], list[bytes]] | None:
    """Return the names and the rows of outputs that are numbers by the same names."""
    try:
        rows = [msgspec.json.decode(output, type=dict[str, float]) for output in outputs]
    except msgspec.MsgspecError:
        return None
    names = list(rows[0])
    if not names or any(list(row) != names for row in rows):
        return None
    return names, [msgspec.json.encode(list(row.values())) for row in rows]


def _width(output: bytes) -> int:
    return 0 if not output.strip(b"[] ") else output.count(b",") + 1


def _shape(value: Any) -> list[int] | None:
    """Return the shape of nested lists of numbers; None where they are none, or ragged."""
    if not isinstance(value, list):
        return None if isinstance(value, bool) or not isinstance(value, int | float) else []
    shapes = [_shape(each) for each in value]
    if not shapes:
        return [0]
    first = shapes[0]
    if first is None or any(shape != first for shape in shapes):
        return None
    return [len(value), *first]


def _flattened(text: bytes) -> bytes:
    """Return all numbers of nested lists, as they are written."""
    return re.sub(rb"[\[\] ]+", b"", text)


def _tensor(names: bytes, shape: list[int], values: bytes) -> bytes:
    listed = b",".join(b"%d" % length for length in shape)
    return b'"data":{"names":%b,"tensor":{"shape":[%b],"values":[%b]}}' % (names, listed, values)


def _array(names: bytes, rows: bytes) -> bytes:
    return b'"data":{"names":%b,"ndarray":[%b]}' % (names, rows)
