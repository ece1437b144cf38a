"""A model's outputs, raw where that is wanted and they are numpy's."""

import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import tensors
from model_runtime.outputs import OutputError, render
from model_runtime.raw_outputs import RawOutput, render_wanted


def seen(output):
    """Return an output's tensors by name, as dtype, shape and values; a text as it is."""
    if not isinstance(output, RawOutput):
        return output
    row = b"".join(output.pieces)
    assert len(row) == len(output)
    return {
        each.name: (
            each.dtype,
            each.shape,
            np.frombuffer(each.data, np.dtype(each.dtype).newbyteorder("<")).tolist(),
        )
        for each in tensors.unpack(row)
    }


def outputs_of(returned, wanted=None):
    """Return what comes of a model's return value, where all outputs are wanted raw or some."""
    wanted = b"\1" * len(returned) if wanted is None else wanted
    return [*map(seen, render_wanted(returned, len(returned), wanted))]


@pytest.mark.parametrize("dtype", [*tensors.LETTERS])
def test_each_dtype_travels_as_it_is(dtype):
    """Whatever the order of its bytes in the model's memory."""
    value = np.array([[0, 1], [1, 0]], dtype).astype(np.dtype(dtype).newbyteorder(">"))
    assert outputs_of([value]) == [{"": (dtype, (2, 2), [0, 1, 1, 0])}]


def test_an_array_of_outputs_is_one_tensor_each():
    """Of one dimension each is a scalar; memory that is not in order is put in order."""
    assert outputs_of(np.array([1.5, np.nan], np.float32))[0] == {"": ("float32", (), [1.5])}
    table = np.arange(6, dtype=np.int64).reshape(3, 2).T
    assert outputs_of(table) == [
        {"": ("int64", (3,), [0, 2, 4])},
        {"": ("int64", (3,), [1, 3, 5])},
    ]
    assert outputs_of(np.empty((2, 0))) == [{"": ("float64", (0,), [])}] * 2


def test_a_dict_of_arrays_has_their_names():
    """All of its values have to be numpy's; else its JSON says all of it."""
    named = {"a": np.uint8(7), "b": np.zeros((1, 2))}
    assert outputs_of([named]) == [{"a": ("uint8", (), [7]), "b": ("float64", (1, 2), [0, 0])}]
    assert outputs_of([named | {"c": 1}]) == [b'{"a":7,"b":[[0.0,0.0]],"c":1}']


MASKED = np.ma.masked_array([1.0, 2.0], [False, True])
OTHERS = [
    1.5,
    "text",
    [1.0, 2.0],
    (np.zeros(2),),
    {},
    {1: np.zeros(2)},
    {"x" * 300: np.zeros(1)},
    {"\ud800": np.zeros(1)},
    np.array(["a", "b"]),
    np.array([b"a"]),
    np.datetime64("2026-01-02"),
    np.longdouble(1),
    np.array([None, 1]),
    MASKED,
    decimal.Decimal(1),
]


@pytest.mark.parametrize("output", OTHERS, ids=[type(each).__name__ for each in OTHERS])
def test_all_else_is_the_json_that_it_always_is(output):
    """What tensors cannot say, or not all of it."""
    assert outputs_of([output]) == render([output], 1)


def test_only_what_is_wanted_is_raw():
    """Of one batch some are, and the others are the texts that they are without them."""
    returned = np.arange(8, dtype=np.float32).reshape(4, 2)
    made = outputs_of(returned, b"\0\1\0\1")
    assert made[0::2] == render(returned, 4)[0::2]
    assert made[1::2] == [{"": ("float32", (2,), [2, 3])}, {"": ("float32", (2,), [6, 7])}]


VALUES = st.one_of(
    st.floats(width=32).map(np.float32),
    st.lists(st.integers(-9, 9), max_size=3).map(np.array),
    st.sampled_from([1, "1", "a b", None, [2, 3], {"k": 1}]),
)


@given(st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=6))
def test_a_text_is_the_same_whoever_else_is_in_the_batch(pairs):
    """Each output has its place, and its text does not depend on which others are raw."""
    values = [value for value, _ in pairs]
    made = render_wanted(values, len(values), bytes(wanted for _, wanted in pairs))
    assert len(made) == len(values)
    for output, (value, is_wanted) in zip(made, pairs, strict=True):
        if isinstance(output, RawOutput):
            assert is_wanted
            ((_, shape, flat),) = seen(output).values()
            assert shape == value.shape
            np.testing.assert_equal(flat, value.reshape(-1).tolist())
        else:
            assert output == render([value], 1)[0]


@pytest.mark.parametrize("returned", [None, 7, [1], np.zeros(3), np.float64(1), np.array(1), {}])
def test_a_wrong_number_of_outputs_is_refused_as_ever(returned):
    """With the message that it has without raw outputs."""
    with pytest.raises(OutputError) as without:
        render(returned, 2)
    with pytest.raises(OutputError) as caught:
        render_wanted(returned, 2, b"\1\1")
    assert str(caught.value) == str(without.value)
