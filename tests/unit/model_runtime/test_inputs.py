"""A batch is seen by the model as arrays, lists, texts, bytes or JSON values."""

import struct

import numpy as np
import pytest

from model_runtime.inputs import Batch, pack, viewer
from model_runtime.protocol import DOUBLES, ProtocolError


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
