"""Small ONNX models, of each kind that their inputs and outputs can be. Used by tests."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

OPSET, IR = 17, 8


def save(
    path: Path,
    nodes: list[Any],
    ins: list[Any],
    outs: list[Any],
    tensors: dict[str, Any] | None = None,
    *,
    opset: int = OPSET,
    ir: int = IR,
    **how: Any,
) -> Path:
    """Write a model of some nodes, whose tensors may lie in a file beside it (`location`)."""
    held = [numpy_helper.from_array(value, name) for name, value in (tensors or {}).items()]
    graph = helper.make_graph(nodes, "graph", ins, outs, held)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=imports, producer_name="tests")
    model.ir_version = ir
    if how:
        how |= {"save_as_external_data": True, "size_threshold": 0}
    onnx.save(model, path, **how)
    return path


def of(name: str, shape: Any, kind: int = T.FLOAT) -> Any:
    """Return an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2) / 7


def linear(path: Path, batch: Any = "N", **how: Any) -> Path:
    """Write a matrix multiplication of rows of three numbers, of a batch of some size."""
    nodes = [helper.make_node("MatMul", ["x", "W"], ["y"])]
    return save(path, nodes, [of("x", [batch, 3])], [of("y", [batch, 2])], {"W": WEIGHTS}, **how)


def several(path: Path) -> Path:
    """Write a model of two columns of whole numbers, and two outputs."""
    nodes = [
        helper.make_node("Mul", ["a", "b"], ["product"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
    ]
    ins = [of("a", ["N", 1], T.INT64), of("b", ["N", 1], T.INT64)]
    outs = [of("product", ["N", 1], T.INT64), of("sum", ["N", 1], T.INT64)]
    return save(path, nodes, ins, outs)


def picture(path: Path) -> Path:
    """Write a model of pictures of three planes: the mean of each."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)]
    return save(path, nodes, [of("x", [None, 3, 2, 2])], [of("y", [None, 3])])


def sequence(path: Path) -> Path:
    """Write a model of lists of any length: their sum."""
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)]
    ins, outs = [of("x", ["batch", "time"], T.INT64)], [of("y", ["batch"], T.INT64)]
    return save(path, nodes, ins, outs, {"axes": np.array([1], np.int64)})


def text(path: Path) -> Path:
    """Write a model of texts: whole numbers by labels."""
    node = helper.make_node(
        "LabelEncoder",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        keys_strings=["no", "yes"],
        values_int64s=[10, 20],
        default_int64=-1,
    )
    return save(path, [node], [of("x", ["N", 1], T.STRING)], [of("y", ["N", 1], T.INT64)])


def encoded(path: Path) -> Path:
    """Write a model of a column of texts and one of numbers, which refuses other texts."""
    nodes = [
        helper.make_node("Reshape", ["city", "flat"], ["cities"]),
        helper.make_node(
            "OneHotEncoder",
            ["cities"],
            ["coded"],
            domain="ai.onnx.ml",
            cats_strings=["Oslo", "Rome"],
            zeros=0,
        ),
        helper.make_node("Mul", ["coded", "age"], ["y"]),
    ]
    ins = [of("city", ["N", 1], T.STRING), of("age", ["N", 1])]
    flat = {"flat": np.array([-1], np.int64)}
    return save(path, nodes, ins, [of("y", ["N", 2])], flat)


def labels(path: Path) -> Path:
    """Write a model that answers texts."""
    node = helper.make_node(
        "LabelEncoder",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        keys_int64s=[0, 1],
        values_strings=["none", "æ one"],
        default_string="?",
    )
    return save(path, [node], [of("x", ["N"], T.INT64)], [of("y", ["N"], T.STRING)])


def scalar(path: Path) -> Path:
    """Write a model without any dimension for a batch."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
    return save(path, nodes, [of("x", [3])], [of("y", [])])


def classifier(path: Path) -> Path:
    """Write a classifier as converters make them: a label, and a map of probabilities."""
    scores = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        coefficients=[0.1, 0.2, 0.3, -0.1, -0.2, -0.3],
        intercepts=[0.0, 0.5],
        classlabels_ints=[0, 1],
        multi_class=0,
        post_transform="SOFTMAX",
    )
    maps = helper.make_node(
        "ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    of_map = helper.make_map_type_proto(T.INT64, helper.make_tensor_type_proto(T.FLOAT, []))
    out = helper.make_value_info("probabilities", helper.make_sequence_type_proto(of_map))
    return save(path, [scores, maps], [of("x", [None, 3])], [of("label", [None], T.INT64), out])


def halves(path: Path) -> Path:
    """Write a model of numbers of 16 bits, and of true and false."""
    nodes = [helper.make_node("Where", ["is", "x", "zero"], ["y"])]
    ins = [of("x", ["N", 2], T.FLOAT16), of("is", ["N", 2], T.BOOL)]
    zero = {"zero": np.zeros(1, np.float16)}
    return save(path, nodes, ins, [of("y", ["N", 2], T.FLOAT16)], zero)


def complex_numbers(path: Path) -> Path:
    """Write a model whose input no JSON value can be."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(T.FLOAT, None))
    nodes = [helper.make_node("SequenceLength", ["x"], ["y"])]
    return save(path, nodes, [helper.make_value_info("x", kind)], [of("y", [], T.INT64)])
