"""What an ONNX file says of itself, read without any library: a bounded walk of its protobuf.

Used where models are packed, and by loaders/onnx.py for what it says of a file that does not load.
Field numbers are those of onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto,
TensorProto); the wire format is protobuf's. Tensors are passed over, not read.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

VARINT: Final = 0
_FIXED64: Final = 1
BYTES: Final = 2
_FIXED32: Final = 5

_IR, _PRODUCER, _PRODUCER_VERSION, _GRAPH, _OPSET, _FUNCTION = 1, 2, 3, 7, 8, 25
_MODEL_FIELDS: Final = {
    **dict.fromkeys((_IR, 5), VARINT),
    **dict.fromkeys((_PRODUCER, _PRODUCER_VERSION, 4, 6, _GRAPH, _OPSET, 14, 20, _FUNCTION), BYTES),
    26: BYTES,
}
_IN_GRAPH: Final = {1: "node", 5: "tensor", 15: "sparse"}
_IN_NODE: Final = {5: "attribute"}
_IN_FUNCTION: Final = {7: "node", 11: "attribute"}
_IN_ATTRIBUTE: Final = {
    5: "tensor",
    10: "tensor",
    6: "graph",
    11: "graph",
    22: "sparse",
    23: "sparse",
}
_IN_SPARSE: Final = {1: "tensor", 2: "tensor"}
_INNER: Final[dict[str, dict[int, str]]] = {
    "graph": _IN_GRAPH,
    "node": _IN_NODE,
    "function": _IN_FUNCTION,
    "attribute": _IN_ATTRIBUTE,
    "sparse": _IN_SPARSE,
}
_EXTERNAL: Final = 13
_LOCATION: Final = b"location"
_MOST_FIELDS: Final = 5_000_000
_MOST_DEPTH: Final = 100  # as protobuf's own readers have it
_MOST_TEXT: Final = 4096


class OnnxFileError(ValueError):
    """A file is no sound ONNX model; the message says why."""


class OnnxFile(NamedTuple):
    """The versions of a model, and the files beside it that hold its tensors.

    `opsets` are by domain, "" of ONNX's own; `external` are paths relative to the file's folder.
    """

    ir: int
    opsets: dict[str, int]
    producer: str
    external: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The versions, for people: opset 21, IR version 10."""
        named = [f"{name} {version}".strip() for name, version in sorted(self.opsets.items())]
        return f"opset {', '.join(named)}, IR version {self.ir}"


class Field(NamedTuple):
    """One field of a message: a number, or the place of its bytes."""

    number: int
    wire: int
    value: int
    start: int
    end: int


def is_one(path: Path) -> bool:
    """Tell whether a file begins as an ONNX model does: up to its graph, whole or not.

    Other formats of protobuf begin alike, and have other fields, or no texts, in their places.
    """
    try:
        with mapped(path) as content:
            for field in _top(content, is_cut=True):
                if field.number == _GRAPH:
                    return True
                if field.number == _PRODUCER and not _is_text(content, field):
                    return False
    except (OnnxFileError, OSError, ValueError):
        return False
    return False


def read(path: Path) -> OnnxFile:
    """Return what a file says of itself.

    Raises:
        OnnxFileError: it is damaged, or no ONNX model.
        OSError: it cannot be read.
    """
    with mapped(path) as content:
        ir, opsets, producer = 0, {}, ["", ""]
        inner: list[tuple[str, Field]] = []
        for field in _top(content):
            if field.number == _IR:
                ir = field.value
            elif field.number in (_PRODUCER, _PRODUCER_VERSION):
                producer[field.number - _PRODUCER] = text_of(content, field)
            elif field.number == _OPSET:
                domain, version = _opset(content, field)
                opsets[domain] = version
            elif field.number in (_GRAPH, _FUNCTION):
                inner.append(("graph" if field.number == _GRAPH else "function", field))
        if not any(kind == "graph" for kind, _ in inner):
            raise OnnxFileError("it has no graph")
        external = _External(content)
        # Only where one has a place elsewhere is all of a graph looked at: it may be large.
        for kind, field in inner if content.find(_LOCATION) >= 0 else ():
            external.visit(kind, field)
        return OnnxFile(ir, opsets or {"": 1}, " ".join(producer).strip(), tuple(external.found))


def mapped(path: Path) -> mmap.mmap:
    """Return the content of a file, to be closed."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _top(content: Any, *, is_cut: bool = False) -> Iterator[Field]:
    """Yield the fields of the model itself, of which the last one may be cut off where it `is_cut`.

    Raises:
        OnnxFileError: one is none of a model.
    """
    for field in fields(content, 0, len(content), is_cut=is_cut):
        if _MODEL_FIELDS.get(field.number) != field.wire:
            raise OnnxFileError("it has fields that no ONNX model has")
        yield field


def fields(content: Any, start: int, end: int, *, is_cut: bool = False) -> Iterator[Field]:
    """Yield the fields of a message that lies in a part of a buffer.

    Where the message `is_cut`, a last field that does not end in it is one nevertheless.

    Raises:
        OnnxFileError: it is no message.
    """
    at, count = start, 0
    while at < end:
        count += 1
        if count > _MOST_FIELDS:
            raise OnnxFileError("it has too many fields")
        tag, at = _varint(content, at, end)
        number, wire = tag >> 3, tag & 7
        value, size = 0, 0
        if wire == VARINT:
            value, at = _varint(content, at, end)
        elif wire == BYTES:
            size, at = _varint(content, at, end)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise OnnxFileError(f"it has a field of an unknown kind at byte {at}")
        if at + size > end and not is_cut:
            raise OnnxFileError(f"it ends too early: {at + size - end} bytes are missing")
        yield Field(number, wire, value, at, at + size)
        at += size


def _varint(content: Any, at: int, end: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at >= end:
            raise OnnxFileError("it ends too early, in the middle of a number")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise OnnxFileError(f"it has a number that is too long at byte {at}")


def signed(value: int) -> int:
    """Return a number of 64 bits as protobuf's int64 has it."""
    return value - (1 << 64) if value >> 63 else value


def packed(content: Any, field: Field, most: int) -> list[int]:
    """Return the first ones of many numbers that are one field."""
    values: list[int] = []
    at = field.start
    while at < field.end and len(values) < most:
        value, at = _varint(content, at, field.end)
        values.append(signed(value))
    return values


def _is_text(content: Any, field: Field) -> bool:
    return field.end <= len(content) and text_of(content, field).isprintable()


def text_of(content: Any, field: Field) -> str:
    """Return a text, of which what is no UTF-8 is written out."""
    return bytes(content[field.start : min(field.end, field.start + _MOST_TEXT)]).decode(
        "utf-8", "backslashreplace"
    )


def _opset(content: Any, field: Field) -> tuple[str, int]:
    domain, version = "", 0
    for inner in fields(content, field.start, field.end):
        if inner.number == 1 and inner.wire == BYTES:
            domain = text_of(content, inner)
        elif inner.number == 2 and inner.wire == VARINT:
            version = inner.value
    return ("" if domain == "ai.onnx" else domain), version


class _External:
    """Finds which files the tensors of a graph lie in, also those of graphs within it."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._left = _MOST_FIELDS
        self.found: dict[str, None] = {}

    def visit(self, kind: str, field: Field, depth: int = 0) -> None:
        """Look at a message of a kind.

        Raises:
            OnnxFileError: it is damaged, or nested too deep.
        """
        if depth > _MOST_DEPTH:
            raise OnnxFileError("its graphs are nested too deep")
        for inner in fields(self._content, field.start, field.end):
            self._left -= 1
            if self._left < 0:
                raise OnnxFileError("it has too many fields")
            if inner.wire != BYTES:
                continue
            if kind == "tensor":
                if inner.number == _EXTERNAL:
                    self._entry(inner)
            elif (below := _INNER[kind].get(inner.number)) is not None:
                self.visit(below, inner, depth + 1)

    def _entry(self, field: Field) -> None:
        """Take the place of a tensor: an entry of a key and a value."""
        told = {
            each.number: text_of(self._content, each)
            for each in fields(self._content, field.start, field.end)
            if each.wire == BYTES
        }
        if told.get(1) == _LOCATION.decode():
            self.found[told.get(2, "")] = None
