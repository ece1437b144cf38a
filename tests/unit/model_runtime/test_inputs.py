"""A batch is seen by the model as arrays, lists, texts, bytes or JSON values."""

import struct

import numpy as np
import pytest

from model_runtime import protocol, tensors
from model_runtime.inputs import Batch, pack, viewer
from model_runtime.protocol import DOUBLES, ProtocolError
from model_runtime.tensors import Tensor


@pytest.mark.parametrize(
    ("word", "dtype"), [("doubles", "f8"), ("floats", "f4"), ("integers", "i4")]
)
def test_equal_rows_are_one_array(word, dtype):
    """Rows of equal length are one 2-D array of the type, which the model may write to."""
    seen = viewer(word, as_lists=False)(pack([[1, 2, 3], [4, 5, 6]], word))
    assert seen.dtype == dtype
    assert seen.tolist() == [[1, 2, 3], [4, 5, 6]]
    seen[0, 0] = 9


def test_unequal_rows_are_a_list_of_arrays():
    """Rows of unequal length are 1-D arrays."""
    seen = viewer("doubles", as_lists=False)(pack([[1.0], [2.0, 3.0], []], "doubles"))
    assert [row.tolist() for row in seen] == [[1.0], [2.0, 3.0], []]
    assert all(isinstance(row, np.ndarray) for row in seen)


def test_a_lengths_frame_of_equal_lengths_is_one_array():
    """Merged batches may name lengths that are all equal."""
    batch = Batch(DOUBLES, struct.pack("<2I", 8, 8), struct.pack("<2d", 1, 2), 2)
    assert viewer("doubles", as_lists=False)(batch).shape == (2, 1)
    assert viewer("doubles", as_lists=True)(batch) == [[1.0], [2.0]]


@pytest.mark.parametrize("as_lists", [False, True])
def test_known_row_length_refuses_unequal_rows(as_lists):
    """A model of fixed length names the sizes that it got and the one that it takes."""
    view = viewer("doubles", as_lists=as_lists, row_items=3)
    with pytest.raises(ValueError, match="have 1, 3 numbers, this model takes 3"):
        view(pack([[1.0], [1.0, 2.0, 3.0]], "doubles"))


def test_lists_are_plain_python():
    """With as_lists numbers are Python's own."""
    view = viewer("integers", as_lists=True)
    assert view(pack([[1, 2], [3, 4]], "integers")) == [[1, 2], [3, 4]]
    assert view(pack([[1], [2, 3]], "integers")) == [[1], [2, 3]]
    assert view(pack([[], []], "integers")) == [[], []]


def test_empty_rows_are_an_array_without_columns():
    """Inputs without numbers are rows all the same."""
    assert viewer("doubles", as_lists=False)(pack([[], []], "doubles")).shape == (2, 0)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("strings", ["a", "", "ü\n"]),
        ("bytes", [b"a", b"", b"\xff"]),
        ("any", [1, "x", None, {"a": [1.5]}, []]),
    ],
)
def test_other_types_are_lists_of_values(word, values):
    """Texts, bytes and JSON values come as lists."""
    assert viewer(word, as_lists=False)(pack(values, word)) == values


def test_bytes_are_packed_from_base64():
    """An example of bytes is base64 text."""
    assert pack(["YWI="], "bytes").data == b"ab"


@pytest.mark.parametrize("as_lists", [False, True])
def test_damaged_batches_are_refused(as_lists):
    """Data that is no whole rows is refused before the model sees it."""
    view = viewer("doubles", as_lists=as_lists)
    with pytest.raises(ProtocolError, match="7 bytes are not 1 rows of numbers of 8"):
        view(Batch(DOUBLES, b"", b"1234567", 1))
    with pytest.raises(ProtocolError, match="4 bytes are not 1 rows of numbers of 8"):
        view(Batch(DOUBLES, struct.pack("<2I", 4, 12), bytes(16), 2))
    with pytest.raises(ProtocolError, match="lengths has 12 bytes for 2 rows"):
        view(Batch(DOUBLES, struct.pack("<3I", 8, 0, 8), bytes(16), 2))


@pytest.mark.parametrize(
    ("value", "word", "message"),
    [
        ([1.5], "integers", "list of whole numbers"),
        ([True], "doubles", "list of numbers"),
        (1.0, "doubles", "list of numbers"),
        ([2**40], "integers", "out of range"),
        (1, "strings", "a text"),
        (1, "bytes", "base64"),
        ("?", "bytes", "base64"),
    ],
)
def test_values_of_another_type_are_refused(value, word, message):
    """An example of the wrong type is told what is wanted."""
    with pytest.raises(ValueError, match=message):
        pack([value], word)


def rows_of(*rows):
    """Return a batch of rows of tensors."""
    lengths, data = protocol.join_rows([b"".join(tensors.pack(row)) for row in rows])
    return Batch(protocol.TENSORS, lengths, data, len(rows))


def test_tensors_are_dicts_of_arrays_over_the_message():
    """One dict a row, an array by each name; nothing is copied, so nothing can be written."""
    one = [
        Tensor("x", "float32", (1, 2), struct.pack("<2f", 1, 2)),
        Tensor("flag", "bool", (), b"\1"),
    ]
    two = [Tensor("x", "float16", (0, 3), b"")]
    batch = rows_of(one, two)
    seen = viewer("tensors", as_lists=False)(batch)
    assert [{name: array.tolist() for name, array in row.items()} for row in seen] == [
        {"x": [[1.0, 2.0]], "flag": True},
        {"x": []},
    ]
    x = seen[0]["x"]
    assert (x.dtype, x.shape, seen[1]["x"].shape) == (np.float32, (1, 2), (0, 3))
    assert np.shares_memory(x, np.frombuffer(batch.data, np.uint8))
    assert x.flags.aligned
    assert not x.flags.writeable


def test_tensors_of_bytes_are_arrays_of_them():
    """Elements of any length are Python's bytes, in an array of the shape."""
    elements = tensors.pack_elements([b"a", b"", b"\xff\0", b"d"])
    batch = rows_of([Tensor("t", "bytes", (2, 2), elements)])
    (seen,) = viewer("tensors", as_lists=False)(batch)
    assert seen["t"].tolist() == [[b"a", b""], [b"\xff\0", b"d"]]
    assert viewer("tensors", as_lists=True)(batch) == [{"t": [[b"a", b""], [b"\xff\0", b"d"]]}]


def test_tensors_are_lists_where_there_is_no_numpy():
    """With as_lists: numbers are Python's own, nested as the shape says."""
    row = [
        Tensor("x", "int64", (2, 2), struct.pack("<4q", 1, 2, 3, 4)),
        Tensor("n", "float64", (), struct.pack("<d", 0.5)),
        Tensor("none", "int8", (2, 0), b""),
    ]
    assert viewer("tensors", as_lists=True)(rows_of(row)) == [
        {"x": [[1, 2], [3, 4]], "n": 0.5, "none": [[], []]}
    ]


@pytest.mark.parametrize("as_lists", [False, True])
def test_tensors_that_are_none_are_refused(as_lists):
    """A row that does not add up; as lists also one that would be millions of empty ones."""
    view = viewer("tensors", as_lists=as_lists)
    with pytest.raises(ProtocolError, match="described in 4294967295 bytes"):
        view(Batch(protocol.TENSORS, b"", b"\xff" * 16, 1))
    huge = rows_of([Tensor("x", "int8", (1 << 24, 0), b"")])
    if as_lists:
        with pytest.raises(ProtocolError, match="of nothing"):
            view(huge)
    else:
        assert view(huge)[0]["x"].shape == (1 << 24, 0)


def test_an_example_of_tensors_is_an_object_of_them():
    """By name: dtype, shape and all elements; texts where they are bytes."""
    example = {
        "x": {"dtype": "uint16", "shape": [2], "data": [1, 65535]},
        "t": {"dtype": "bytes", "shape": [1], "data": ["ü"]},
    }
    (seen,) = viewer("tensors", as_lists=True)(pack([example], "tensors"))
    assert seen == {"x": [1, 65535], "t": ["ü".encode()]}


@pytest.mark.parametrize(
    "example",
    [
        [1.0],
        {"x": [1.0]},
        {"x": {"dtype": "float32", "shape": [1]}},
        {"x": {"dtype": "float32", "shape": [2], "data": [1.0]}},
        {"x": {"dtype": "int8", "shape": [1], "data": [1000]}},
        {"x": {"dtype": "int8", "shape": [1], "data": ["a"]}},
        {"x": {"dtype": "colour", "shape": [1], "data": [1]}},
        {"x": {"dtype": "bytes", "shape": [1], "data": [1]}},
        {},
    ],
)
def test_an_example_that_is_no_tensors_is_refused(example):
    """As every example that does not fit: by a ValueError that says what would."""
    with pytest.raises(ValueError, match="tensor"):
        pack([example], "tensors")
