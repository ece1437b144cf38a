"""What an ONNX file says of itself: what onnx reads in it, and no more than is there."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from model_runtime import onnx_file
from model_runtime.onnx_file import OnnxFileError
from tests import onnx_graphs


def test_versions_and_producer_are_those_that_onnx_reads(tmp_path):
    """Of each domain."""
    path = onnx_graphs.classifier(tmp_path / "m")
    told, model = onnx_file.read(path), onnx.load(path)
    assert told.ir == model.ir_version
    assert told.opsets == {each.domain: each.version for each in model.opset_import}
    assert told.producer == "tests"
    assert told.external == ()
    assert onnx_file.is_one(path)


def test_files_of_tensors_are_found_wherever_they_are_named(tmp_path):
    """In the graph, in what a node has, and in graphs within it."""

    def outside(name):
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"{name}.bin")
        tensor.external_data.add(key="offset", value="0")
        return tensor

    inner = helper.make_graph([], "inner", [], [], [outside("c")])
    nodes = [
        helper.make_node("Constant", [], ["b"], value=outside("b")),
        helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner),
    ]
    graph = helper.make_graph(nodes, "graph", [], [], [outside("a")])
    (tmp_path / "m").write_bytes(helper.make_model(graph).SerializeToString())
    assert sorted(onnx_file.read(tmp_path / "m").external) == ["a.bin", "b.bin", "c.bin"]


def test_graphs_that_are_nested_without_end_are_refused(tmp_path):
    """And no recursion goes as deep as a file says."""

    def field(number, content):
        size, length = len(content), b""
        while size >= 128:
            length, size = length + bytes((size & 127 | 128,)), size >> 7
        return bytes((number << 3 | 2,)) + length + bytes((size,)) + content

    graph = field(5, field(13, field(1, b"location")))
    for _ in range(2000):  # a node's attribute's graph
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "m").write_bytes(b"\x08\x08" + field(7, graph))
    with pytest.raises(OnnxFileError, match="nested too deep"):
        onnx_file.read(tmp_path / "m")


@pytest.mark.parametrize("end", range(8, 140))
def test_a_file_that_is_cut_anywhere_is_read_or_refused(tmp_path, end):
    """Never with another error."""
    path = onnx_graphs.linear(tmp_path / "m")
    path.write_bytes(path.read_bytes()[:end])
    try:
        told = onnx_file.read(path)
    except OnnxFileError:
        return
    assert told.ir == onnx_graphs.IR


@given(content=st.binary(min_size=1, max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    """Never with another error."""
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    onnx_file.is_one(path)
    try:
        onnx_file.read(path)
    except OnnxFileError:
        return
