"""Values that the inputs of an ONNX graph have: those that its encoders know. Used by onnx.py.

An encoder refuses what it has not seen, so an input that is made up for the test call has to be one
of these. Nodes are read as model_runtime/onnx_file.py does; what changes no value is passed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from model_runtime import onnx_file
from model_runtime.onnx_file import BYTES, VARINT, Field, OnnxFileError

_GRAPH, _NODE = 7, 1
_INPUT, _OUTPUT, _OP, _ATTRIBUTE = 1, 2, 4, 5
_NAME, _INTS, _STRINGS = 1, 8, 9
_PASSING: Final = frozenset(
    {
        *("ArrayFeatureExtractor", "Cast", "Flatten", "Gather", "Identity", "Reshape", "Squeeze"),
        *("StringNormalizer", "Transpose", "Unsqueeze"),
    }
)
_ENCODERS: Final = {
    "OneHotEncoder": ("cats_strings", "cats_int64s"),
    "LabelEncoder": ("keys_strings", "keys_int64s"),
    "CategoryMapper": ("cats_strings",),
}
_MOST: Final = 5


class _Node(NamedTuple):
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    known: tuple[Any, ...]


def known_by_encoders(path: Path) -> dict[str, list[Any]]:
    """Return some values of the inputs of a file's graph, by their names, where it knows any."""
    try:
        with onnx_file.mapped(path) as content:
            return _known(_nodes(content))
    except (OnnxFileError, OSError, ValueError):
        return {}


def _known(nodes: list[_Node]) -> dict[str, list[Any]]:
    origin: dict[str, str] = {}
    found: dict[str, list[Any]] = {}
    for node in nodes:  # each comes behind those whose outputs it takes
        for name in node.inputs[:1]:
            source = origin.get(name, name)
            if node.known:
                found.setdefault(source, list(node.known[:_MOST]))
            elif node.op in _PASSING:
                origin.update(dict.fromkeys(node.outputs, source))
    return found


def _nodes(content: Any) -> list[_Node]:
    nodes = []
    for part in onnx_file.fields(content, 0, len(content)):
        if part.number == _GRAPH and part.wire == BYTES:
            inner = onnx_file.fields(content, part.start, part.end)
            nodes += [_node(content, each) for each in inner if each.number == _NODE]
    return nodes


def _node(content: Any, place: Field) -> _Node:
    inputs, outputs, attributes, op = [], [], [], ""
    for each in onnx_file.fields(content, place.start, place.end):
        if each.number == _INPUT:
            inputs.append(onnx_file.text_of(content, each))
        elif each.number == _OUTPUT:
            outputs.append(onnx_file.text_of(content, each))
        elif each.number == _OP:
            op = onnx_file.text_of(content, each)
        elif each.number == _ATTRIBUTE:
            attributes.append(each)
    wanted = _ENCODERS.get(op, ())
    values = [_values(content, each, wanted) for each in attributes] if wanted else []
    known = next(filter(None, values), ())
    return _Node(op, tuple(inputs), tuple(outputs), tuple(known))


def _values(content: Any, place: Field, wanted: tuple[str, ...]) -> list[Any]:
    """Return the first values of an attribute that is of one of some names."""
    name = ""
    values: list[Any] = []
    for each in onnx_file.fields(content, place.start, place.end):
        if each.number == _NAME:
            name = onnx_file.text_of(content, each)
        elif each.number == _STRINGS:
            values.append(onnx_file.text_of(content, each))
        elif each.number == _INTS and each.wire == VARINT:
            values.append(onnx_file.signed(each.value))
        elif each.number == _INTS:
            values += onnx_file.packed(content, each, _MOST)
        if len(values) >= _MOST and name:
            break
    return values if name in wanted else []
