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
from model_runtime.refusals import UnfitRowsError
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
        (3, "an object with number, maybe, .*, not the number 3"),
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
        with pytest.raises(UnfitRowsError, match='plan: wanted one of "b", "a", found the text'):
            seen(POLARS, FULL | {"plan": "c"})


BAD: dict[str, Any] = {
    "number": [10**400, "x", True, [1]],
    "maybe": ["x", {}],
    "whole": [1 << 63, -(1 << 63) - 1, 1.5, "1", True],
    "count": [1 << 70, "x"],
    "flag": [1, "true"],
    "known": [0, []],
    "text": [1, ["x"]],
    "note": [1.5, {"a": 1}],
    "day": ["2024-02-30", "soon", 20240131],
    "since": ["2024-01-31T25:00:00", "2024-01-31T00:00:00+99:99", 1],
    "plan": ["c", 1, ["a"], {"a": 1}],
}
KINDS = [PANDAS, *[POLARS][: int(HAS_POLARS)]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "value"), [(name, v) for name in BAD for v in BAD[name]])
def test_a_cell_that_does_not_fit_is_told_of_its_row_alone(kind, name, value):
    """In a batch of three, of which each column is made at once."""
    with pytest.raises(UnfitRowsError) as caught:
        seen(kind, FULL, FULL | {name: value}, FEW)
    assert list(caught.value.errors) == [1]
    (fault,) = caught.value.errors[1].faults
    assert fault["loc"] == [name]
    assert fault["msg"].startswith("wanted ")
    assert ", found " in fault["msg"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_wrong_with_rows_is_told(kind):
    """Of each of them, in all columns."""
    with pytest.raises(UnfitRowsError) as caught:
        seen(kind, FULL | {"whole": "x", "plan": "z"}, FULL, FULL | {"flag": 1, "plan": "z"})
    told = {at: [each["loc"] for each in error.faults] for at, error in caught.value.errors.items()}
    assert told == {0: [["whole"], ["plan"]], 2: [["flag"], ["plan"]]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.5, None])
def test_rows_that_change_each_other_are_not_put_together(kind, value):
    """Beside floats or what is missing whole numbers become floats, which do not hold them all."""
    big = 2**53 + 1
    if kind == PANDAS:
        pairs = [({"any": big}, {"any": value}), ({"count": big}, {"count": None})]
    else:
        pairs = [({"any": big}, {"any": 0.5})]
    for one, other in pairs:
        with pytest.raises(UnfitRowsError) as caught:
            seen(kind, FULL | one, FULL | other)
        assert not caught.value.errors
        (name,) = one
        assert seen(kind, FULL | one)[name].to_list() == [big]


if HAS_POLARS:

    @pytest.mark.parametrize("values", [[1, "a"], [True, 2], [{"a": 1}, 3], [[1], "x"], [1.5, "x"]])
    def test_polars_does_not_change_values_of_several_kinds(values):
        """It would make texts of numbers, or nothing, to have one dtype."""
        frame = seen(POLARS, *[FULL | {"any": value} for value in values])
        assert frame["any"].to_list() == values


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
