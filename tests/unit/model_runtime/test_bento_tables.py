"""Batches of inputs of BentoML's DataframeInput as one table, and what comes of each."""

import json

import pytest

from model_runtime import inputs
from model_runtime.bento.adapters import DataframeInput
from model_runtime.loaders.bento_tables import model_of
from model_runtime.manifest import Manifest
from model_runtime.outputs import OutputError
from model_runtime.refusals import InputError, PartlyFailedError


@pytest.fixture
def frames():
    """Return the tables that the API was called with."""
    return []


@pytest.fixture
def ask(frames):
    """Return a function that has an API answer a batch of inputs with the sums of their rows."""

    def answer(values, adapter=None, call=None, input_type="any"):
        def summed(frame):
            frames.append(frame)
            return frame.sum(axis=1, numeric_only=True)

        manifest = Manifest(
            loader="bento", file="s.py", kind="saved", object="S", input_type=input_type
        )
        model = model_of(call or summed, adapter or DataframeInput(), manifest, {"object": "S.sum"})
        batch = inputs.pack(values, input_type, model.signature)
        return [json.loads(each) for each in model.predictor.predict(batch)]

    return answer


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ([1, 2], 3),
        ({"a": 1, "b": 2}, 3),
        ([[1, 2], [3, 4]], [3, 7]),
        ([{"a": 1}, {"a": 2}], [1, 2]),
        ({"a": [1, 3], "b": [2, 4]}, [3, 7]),
        ({"a": {"0": 1}, "b": {"0": 2}}, [3]),
        ({"columns": ["a"], "index": [0], "data": [[5]]}, [5]),
        ([], []),
    ],
)
def test_an_input_is_a_row_or_a_table(ask, value, output):
    """A row has one output, a table a list of them."""
    assert ask([value]) == [output]


def test_rows_that_are_alike_are_one_table_and_one_call(ask, frames):
    """As are tables of the same columns."""
    assert ask([{"a": 1, "b": 2}, {"b": 1, "a": 5}]) == [3, 6]
    assert ask([[1, 2], [[3, 4], [5, 6]], [7, 8]]) == [3, [7, 11], 15]
    assert [frame.shape for frame in frames] == [(2, 2), (4, 2)]


def test_what_cannot_be_in_one_table_is_answered_each_by_itself(ask):
    """And what is no table fails alone."""
    with pytest.raises(PartlyFailedError) as caught:
        ask([[1, 2], {"a": 5}, "text", [3, 4]])
    told = caught.value.outcomes
    assert [told[0], told[3]] == [b"3", b"7"]
    assert "wanted a row or a table" in str(told[2].error)
    with pytest.raises(PartlyFailedError) as caught:
        ask([[1, 2], {"a": 5}])
    assert caught.value.outcomes == [b"3", b"5"]


def test_columns_and_types_are_as_the_api_says(ask, frames):
    """In their order; others are passed over, one that is missing is named."""
    adapter = DataframeInput(columns=["b", "a"], dtype={"a": "float64", "b": "int64"})
    assert ask([{"a": 1, "b": 2, "c": 3}, {"c": 0, "a": 1, "b": "5"}], adapter) == [3, 6]
    assert list(frames[0].columns) == ["b", "a"]
    assert list(map(str, frames[0].dtypes)) == ["int64", "float64"]
    with pytest.raises(InputError, match="the table has no column 'b'"):
        ask([{"a": 1}], adapter)
    with pytest.raises(InputError, match="cannot have the types of its columns"):
        ask([{"a": "x", "b": 1}], adapter)
    with pytest.raises(PartlyFailedError) as caught:
        ask([{"a": "x", "b": 1}, {"a": 1, "b": 1}], adapter)
    assert caught.value.outcomes[1] == b"2.0"


def test_rows_by_their_index_are_told_by_orient(ask):
    """Without it an object of objects has columns."""
    value = {"r1": {"a": 1, "b": 2}, "r2": {"a": 3, "b": 4}}
    assert ask([value], DataframeInput(orient="index")) == [[3, 7]]
    assert ask([value]) == [[4, 6]]


def test_arrays_of_numbers_are_a_table_too(ask, frames):
    """Where the deployer says that inputs are such."""
    assert ask([[1.0, 2.0], [3.0, 4.0]], input_type="doubles") == [3.0, 7.0]
    assert frames[0].shape == (2, 2)


def test_a_table_as_an_output_has_an_object_for_each_row(ask):
    """And another number of outputs than rows is told."""
    assert ask([{"a": 1}], call=lambda frame: frame) == [{"a": 1}]
    with pytest.raises(OutputError, match="1 outputs for 2 rows"):
        ask([[[1], [2]]], call=lambda _frame: [1])
