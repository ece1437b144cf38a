"""Tables in and out of models: rows as pandas' and polars', and outputs by the names of columns."""

import importlib.util
import json
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from model_runtime import protocol
from model_runtime.frames import CATEGORY, PANDAS, POLARS, Dtype, frame_view
from model_runtime.inputs import pack
from model_runtime.outputs import OutputError, render
from model_runtime.signature import Signature

pd = pytest.importorskip("pandas")

HAS_POLARS = importlib.util.find_spec("polars") is not None
"""It is tried where it is there: the environment of tests has it not, as it is large."""

FIELDS: dict[str, Any] = {
    "number": {"type": "number"},
    "maybe": {"type": ["number", "null"], "default": None},
    "whole": {"type": "integer"},
    "count": {"type": ["integer", "null"], "default": None},
    "flag": {"type": "boolean"},
    "known": {"type": ["boolean", "null"], "default": None},
    "text": {"type": "string"},
    "note": {"type": ["string", "null"], "default": None},
    "day": {"type": "string", "format": "date"},
    "since": {"type": ["string", "null"], "format": "date-time", "default": None},
    "plan": {"type": ["string", "null"], "default": None},
    "any": {},
}
REQUIRED = tuple(name for name, schema in FIELDS.items() if "default" not in schema)
SIGNATURE = Signature(input_type="rows", fields=FIELDS, required=REQUIRED)
DTYPES = {"plan": Dtype(CATEGORY, ("b", "a"), is_ordered=True)}
FULL = {
    "number": 1,
    "maybe": 0.5,
    "whole": 2**60 + 1,
    "count": 3,
    "flag": True,
    "known": False,
    "text": "é",
    "note": "x",
    "day": "2024-01-31",
    "since": "2024-01-31T12:30:00+02:00",
    "plan": "a",
    "any": "z",
}
FEW = {name: value for name, value in FULL.items() if name in REQUIRED}


def seen(kind: str, *values: Any) -> Any:
    """Return what a model that takes tables sees of inputs."""
    pytest.importorskip(kind)
    return frame_view(SIGNATURE, kind, DTYPES)(pack(list(values), "rows", SIGNATURE))


def test_a_table_has_the_dtypes_of_its_fields():
    """And what is left out is missing, in the way in which such columns have it."""
    frame = seen(PANDAS, FULL, FEW)
    kinds = {name: dtype.kind for name, dtype in frame.dtypes.items()}
    assert list(frame.columns) == list(FIELDS)
    assert [kinds[name] for name in ("number", "maybe", "whole", "count", "flag")] == list("ffifb")
    assert (kinds["known"], kinds["day"], kinds["since"]) == ("O", "M", "M")
    assert frame["whole"].tolist() == [2**60 + 1] * 2
    assert frame["since"][0] == pd.Timestamp("2024-01-31 10:30:00")
    assert frame["plan"].dtype == pd.CategoricalDtype(["b", "a"], ordered=True)
    missing = ["maybe", "count", "known", "note", "since", "plan"]
    assert frame.isna().sum().to_dict() == dict.fromkeys(FIELDS, 0) | dict.fromkeys(missing, 1)
    assert np.isnan(frame["note"][1])


def test_a_batch_of_nothing_but_missing_values_is_a_table_too():
    """Each column keeps its dtype where no value tells it."""
    both, alone = seen(PANDAS, FULL, FEW), seen(PANDAS, FEW)
    names = ["maybe", "count", "since", "plan", "note"]
    assert both[names].dtypes.to_dict() == alone[names].dtypes.to_dict()


def test_equal_inputs_in_each_form_are_the_same_row():
    """An object in any order and an array: it is what the cache knows them by."""
    shuffled = dict(reversed(FULL.items()))
    rows = [pack([each], "rows", SIGNATURE) for each in (FULL, shuffled, list(FULL.values()))]
    assert len({row.data for row in rows}) == 1
    assert json.loads(rows[0].data) == list(FULL.values())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "the input lacks 'number'"),
        (FULL | {"more": 1}, "there is no 'more'"),
        ([1, 2], r"has 12 values \(number, maybe, .*\), not 2"),
        (3, "an object with number, maybe, .*, not int"),
    ],
)
def test_an_example_that_is_no_input_is_refused(value, words):
    """With the names that there are."""
    with pytest.raises(ValueError, match=words):
        pack([value], "rows", SIGNATURE)


if HAS_POLARS:

    def test_polars_has_the_same_columns():
        """Missing values are null in a column of any dtype."""
        frame = seen(POLARS, FULL, FEW)
        assert frame.columns == list(FIELDS)
        assert frame["whole"].to_list() == [2**60 + 1] * 2
        assert frame["since"].to_list() == [datetime(2024, 1, 31, 10, 30), None]  # noqa: DTZ001
        assert frame["plan"].to_list() == ["a", None]
        assert frame["known"].to_list() == [False, None]
        with pytest.raises(
            ValueError, match="column 'plan', input 0: wanted one of the categories"
        ):
            seen(POLARS, FULL | {"plan": "c"})


def test_fields_that_hold_more_than_one_value_are_handed_on():
    """A list or an object in a field is one cell."""
    fields = {"x": {"type": "array"}, "y": {}}
    signature = Signature(input_type="rows", fields=fields, required=("x", "y"))
    frame = frame_view(signature)(pack([{"x": [1, 2], "y": {"a": 1}}], "rows", signature))
    assert frame["x"].tolist() == [[1, 2]]
    assert frame["y"].tolist() == [{"a": 1}]


def test_what_comes_must_be_rows():
    """Also from who is no front end of ours."""
    view = frame_view(SIGNATURE)
    batch = pack([FULL], "rows", SIGNATURE)
    batch.data = batch.data[:-1]
    with pytest.raises(protocol.ProtocolError, match="rows are no JSON"):
        view(batch)


# --- outputs ---


def rendered(outputs: Any, count: int) -> list[Any]:
    """Return outputs as clients read them."""
    return [json.loads(text) for text in render(outputs, count)]


@pytest.mark.parametrize(
    "outputs",
    [
        lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}, dtype=object),
        lambda: {"a": [1, 2], "b": ["x", None]},
        lambda: {"a": np.array([1, 2]), "b": ("x", None)},
        lambda: {"a": pd.Series([1, 2]), "b": ["x", None]},
        *[lambda: pytest.importorskip("polars").DataFrame({"a": [1, 2], "b": ["x", None]})][
            : int(HAS_POLARS)
        ],
    ],
    ids=["pandas", "lists", "arrays", "series", *["polars"][: int(HAS_POLARS)]],
)
def test_tables_become_an_object_for_each_input(outputs):
    """By the names of their columns."""
    assert rendered(outputs(), 2) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_a_series_becomes_its_values():
    """As an array does."""
    assert rendered(pd.Series([1.5, 2.5], index=["x", "y"]), 2) == [1.5, 2.5]
    dates = pd.DataFrame({"day": pd.to_datetime(["2024-01-31"])})
    assert rendered(dates, 1) == [{"day": "2024-01-31T00:00:00"}]


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (lambda: {"a": [1, 2], "b": [1]}, "a value of type dict"),
        (lambda: {"a": 1}, "a value of type dict"),
        (dict, "a value of type dict"),
        (lambda: {"a": [1]}, "1 output for 2 inputs"),
        (lambda: pd.DataFrame({"a": []}), "0 outputs for 2 inputs"),
        (lambda: pd.DataFrame([[1, 2]] * 2, columns=["a", "a"]), "a value of type DataFrame"),
        (lambda: {"a": np.array([1, 2], "m8[s]")}, "a span of time"),
    ],
)
def test_tables_that_are_no_outputs_are_refused(outputs, words):
    """One row for each input, and one value for each name."""
    with pytest.raises(OutputError, match=words):
        render(outputs(), 2)
