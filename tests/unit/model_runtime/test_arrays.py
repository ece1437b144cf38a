"""Inputs that are arrays: made of nested lists, called together or apart, and cut again."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from model_runtime import inputs
from model_runtime.loaders.arrays import ArrayPredictor, Port, taken, view_of
from model_runtime.loaders.base import LoadError
from model_runtime.outputs import OutputError
from model_runtime.refusals import InputError, PartlyFailedError


def manifest(**more):
    """Return what a deployer says."""
    usual = {"input_type": "auto", "schema": None, "extra": None, "file": "model", "example": None}
    return SimpleNamespace(**(usual | more))


def model(call, *ports, more=None, **ways):
    """Return a predictor with its signature."""
    signature, settled = taken(ports, manifest(**(more or {})))
    return ArrayPredictor(call, view_of(signature, settled), **ways), signature


def ask(made, *values):
    """Return the answers to a batch."""
    predictor, signature = made
    batch = inputs.pack(list(values), signature.input_type, signature)
    return [json.loads(each) for each in predictor.predict(batch)]


def test_a_list_of_numbers_travels_as_bytes():
    """Its type is that of the port, as are its length and names."""
    calls = []

    def call(rows):
        calls.append(rows)
        return rows.sum(1)

    made = model(call, Port("x", "float32", (3,)))
    assert made[1].input_type == "floats"
    assert made[1].value["minItems"] == 3
    assert ask(made, [1, 2, 3], [0.5, 0, 0]) == [6.0, 0.5]
    assert (calls[-1].dtype, calls[-1].shape) == ("float32", (2, 3))
    named = model(call, Port("x", "float32"), more={"schema": fields("a", "b")})
    assert named[1].input_type == "floats"
    assert ask(named, {"a": 1.0, "b": 2.5}) == [3.5]


def fields(*names):
    """Return the schema of named numbers."""
    return {"type": "object", "properties": {name: {"type": "number"} for name in names}}


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("float32", ["1"], 'wanted numbers, found the text "1"'),
        ("float32", [None], "wanted numbers, found null"),
        ("float32", [[1], [1, 2]], "no array"),
        ("float32", {"a": 1}, "wanted numbers, found an object"),
        ("int64", [1.5], "wanted whole numbers, found 1.5"),
        ("uint8", [256], "wanted numbers of uint8, found 256"),
        ("uint8", [-1], "wanted numbers of uint8, found -1"),
        ("int64", [1 << 70], "wanted numbers"),
        ("bool", [1], "wanted true or false, found the number 1"),
        ("str", [1], "wanted texts, found the number 1"),
    ],
)
def test_what_is_no_array_of_the_dtype_fails_alone(dtype, value, words):
    """With what was wanted, and what was found; its neighbours are answered."""
    made = model(lambda x: [list(x)], Port("x", dtype))
    with pytest.raises(InputError, match=words):
        ask(made, value)
    good = {"bool": [True], "str": ["a"]}.get(dtype, [1])
    with pytest.raises(PartlyFailedError) as partly:
        ask(made, good, value)
    assert isinstance(partly.value.outcomes[0], bytes)


def test_a_wrong_shape_names_both():
    """By the name of the part where there are several."""
    made = model(lambda a, b: a.sum(1) + b, Port("a", shape=(2,)), Port("b", shape=()))
    assert ask(made, {"a": [1, 2], "b": 3}, [[0, 0], 1]) == [6.0, 1.0]
    with pytest.raises(InputError, match="a: wanted an array of 2, found one of 3"):
        ask(made, {"a": [1, 2, 3], "b": 3})


def test_rows_of_different_shapes_are_called_apart():
    """Each by itself, and no one fails."""
    sizes = []

    def call(x):
        sizes.append(x.shape)
        return x.sum(1)

    made = model(call, Port("x"))
    assert ask(made, [1, 2]) == [3.0]
    assert ask(made, [1], [1, 2, 3], [4]) == [1.0, 6.0, 4.0]
    assert (1, 3) in sizes


def test_outputs_are_cut_by_rows():
    """A dict is an object, a tuple a list."""
    made = model(lambda x: {"sum": x.sum(1), "both": (x, x * 2)}, Port("x", shape=(2,)))
    assert ask(made, [1, 2], [3, 4]) == [
        {"sum": 3.0, "both": [[1.0, 2.0], [2.0, 4.0]]},
        {"sum": 7.0, "both": [[3.0, 4.0], [6.0, 8.0]]},
    ]


@pytest.mark.parametrize("first", [1, 2])
def test_what_has_not_the_batch_first_is_each_row_s_own(first):
    """Also where its first dimension is as long as the batch, or one, by chance."""

    def call(x):
        return {"sum": x.sum(1), "state": np.zeros((first, len(x), 1)) + x.sum()}

    made = model(call, Port("x", shape=(1,)))
    for _ in range(2):
        answers = ask(made, [1], [2])
        assert [each["sum"] for each in answers] == [1.0, 2.0]
        assert [np.unique(each["state"]).tolist() for each in answers] == [[1.0], [2.0]]


def test_a_model_of_so_many_rows_gets_so_many():
    """The last one again where there are fewer; what comes of that is dropped."""
    sizes = []

    def call(x):
        sizes.append(len(x))
        return x * 2

    made = model(call, Port("x", shape=(1,)), size=2)
    assert ask(made, [1], [2], [3]) == [[2.0], [4.0], [6.0]]
    assert sizes == [2, 2]


def test_a_model_without_a_batch_gets_an_input_as_it_is():
    """And answers with whatever it returns."""
    made = model(lambda x: x.sum(), Port("x", shape=(2, 2)), is_whole=True)
    assert ask(made, [[1, 2], [3, 4]], [[0, 0], [0, 1]]) == [10.0, 1.0]


def test_an_output_that_is_no_array_is_told():
    """By its type."""
    made = model(lambda _: object(), Port("x", shape=(1,)))
    with pytest.raises(OutputError, match="of type object, and no array"):
        ask(made, [1])


@pytest.mark.parametrize(
    ("ports", "more", "words"),
    [
        ([Port("a"), Port("b")], {"input_type": "floats"}, "takes 2 arrays .a, b."),
        ([Port("a"), Port("b")], {"schema": fields("c")}, "the schema has 'c'"),
        ([Port("a")], {"input_type": "strings"}, "takes an array"),
        ([Port("a", shape=(3,))], {"schema": fields("a", "b")}, "names 2 columns"),
    ],
)
def test_what_a_deployer_says_must_fit(ports, more, words):
    """It is refused before the model is called."""
    with pytest.raises(LoadError, match=words):
        taken(ports, manifest(**more))


def test_a_schema_says_shapes_and_ranges():
    """Of a shape that is not known it says nothing but the sample."""
    assert Port("x", "uint8", (2, None)).schema() == {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
    }
    assert Port("x", sample=[1.0]).schema() == {"examples": [[1.0]]}
    assert Port("x").schema() == {}
