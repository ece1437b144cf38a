"""Functions that are called once an input, on real bundles: their answers, and who fails."""

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from model_runtime import inputs, loaders, manifest, protocol, selftest
from model_runtime.annotations.kind import UnclearError
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import AUTO, Manifest
from model_runtime.outputs import OutputError
from model_runtime.refusals import Failed, InputError, PartlyFailedError

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(autouse=True)
def _clean_imports():
    """Leave the import system as it was."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if "/files/" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def bundled(folder, name, **values):
    """Make a bundle of a file of models and return its folder."""
    values = {"kind": "function", "input_type": AUTO, "file": "once.py"} | values
    (folder / "files").mkdir(parents=True)
    shutil.copy(MODELS / values["file"], folder / "files")
    manifest.write(Manifest(loader="python", object=name, **values), folder)
    return folder


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a model by its name."""

    def loaded(name, **values):
        return loaders.load(
            bundled(tmp_path / f"{name}{len([*tmp_path.iterdir()]) or ''}", name, **values)
        )

    return loaded


def answers(model, *values):
    """Return the outputs of one batch; failures as they are."""
    batch = inputs.pack(values, model.input_type, model.signature)
    try:
        texts = model.predictor.predict(batch)
    except PartlyFailedError as error:
        texts = error.outcomes
    return [each.error if isinstance(each, Failed) else json.loads(each) for each in texts]


def calls_of(name):
    """Return what a model's file has noted."""
    return sys.modules[name].CALLS


@pytest.mark.parametrize(
    ("name", "values", "outputs"),
    [
        ("course", [{}, {"feature_2": 3}, [4, 5]], [{"tens": 0}, {"tens": 3}, {"tens": 45}]),
        ("price", [{"rooms": 1}, [2, "x"]], [104.0, 201.0]),
        ("prices", [{"rooms": 1}, {"rooms": 2, "city": ""}], [104.0, 200.0]),
        ("greet", [{"name": "Ada"}, {"name": "Bo", "age": 3}], ["Ada is 30", "Bo is 3"]),
        ("join", [{}, {"right": "a"}, {"left": "", "right": ""}],
         [[], ["right"], ["left", "right"]]),
        ("mean", [[1, 2, 3], [4]], [2.0, 4.0]),
        ("known", [{"a": 1, "b": 2}, {}], [2, 0]),
        ("named", [{"a": 1, "b": None}], [["a", "b"]]),
        ("together", [{"at": 1, "of": 3}, [2, 3], [3, 3]], [1, 2, 3]),
        ("doubled", [[1, 2], [3, 4]], [6.0, 14.0]),
        ("count", [3, {"to": 1}], [[0, 1, 2], [0]]),
        ("acount", [3, 0], [[0, 1, 2], []]),
        ("pair", [[1, 2], {"a": "x", "b": 0}], [1, "x"]),
    ],
)  # fmt: skip
def test_each_input_is_answered_in_its_place(load, name, values, outputs):
    """By name, in order or bare; what is left out has its default; async calls run at once."""
    assert answers(load(name), *values) == outputs


def test_a_class_may_load_asynchronously(load):
    """Its method's parameters are the parts of an input."""
    assert answers(load("Counter", kind="class"), 2, {"times": 5}) == [6, 15]


def test_an_input_that_fails_fails_alone_and_no_other_is_called_again(load):
    """What it raised, what it returned, and what its types refuse, each in its place."""
    model = load("course")
    found = answers(model, [1, 1], [-1, 0], [99, 0], ["x", 0], [2, 2])
    assert [found[0], found[4]] == [{"tens": 11}, {"tens": 22}]
    assert [type(each) for each in found[1:4]] == [ArithmeticError, OutputError, InputError]
    assert found[3].faults == [
        {
            "loc": ["feature_1"],
            "msg": 'wanted a whole number, found the text "x"',
            "type": "int_type",
        }
    ]
    assert calls_of("once") == [(1, 1), (-1, 0), (99, 0), (2, 2)]
    with pytest.raises(ArithmeticError, match="negative"):
        answers(model, [-1, 0])


def test_an_async_input_fails_alone(load):
    """The calls beside it go on."""
    found = answers(load("together"), [1, 3], [-1, 3], [3, 3])
    assert (found[0], type(found[1]), found[2]) == (1, ArithmeticError, 3)


def test_a_list_is_made_of_what_can_be_made(load):
    """The function gets the good ones in one list; the others fail by themselves."""
    found = answers(load("prices"), [1, ""], [-1, ""], [2, ""])
    assert (found[0], str(found[1]), found[2]) == (100.0, "rooms cannot be below 0", 200.0)
    assert calls_of("once") == [2]


DEEP = b"[" * 100_000 + b"]" * 100_000
LONG = b"9" * 5000


@pytest.mark.parametrize("bad", [DEEP, LONG], ids=["deep", "long"])
@pytest.mark.parametrize(
    ("name", "values", "row", "outputs"),
    [
        ("course", {"input_type": "any", "call": "each"}, b"[0,%b]", [{"tens": 1}, {"tens": 2}]),
        ("course", {}, b"[0,%b]", [{"tens": 1}, {"tens": 2}]),
        ("prices", {}, b'[%b,""]', [100.0, 200.0]),
        ("doubled", {"input_type": "any"}, b"[%b]", [2.0, 4.0]),
        ("acount", {"input_type": "any", "call": "each"}, b"%b", [[0], [0, 1]]),
    ],
)
def test_an_input_that_python_does_not_read_fails_alone(load, name, values, row, outputs, bad):
    """Nested deeper than it goes, or a number of more digits: JSON all the same."""
    model = load(name, **values)
    lengths, data = protocol.join_rows([row % each for each in (b"1", bad, b"2")])
    batch = inputs.Batch(protocol.INPUT_TYPE_CODES[model.input_type], lengths, data, 3)
    with pytest.raises(PartlyFailedError) as caught:
        model.predictor.predict(batch)
    first, second, third = caught.value.outcomes
    assert [json.loads(first), json.loads(third)] == outputs
    assert isinstance(second.error, InputError)
    batch = inputs.Batch(batch.input_type, b"", row % bad, 1)
    with pytest.raises(InputError, match=r"nested too deeply|cannot be read"):
        model.predictor.predict(batch)


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("course", {"feature_1": 0, "feature_2": 0}),
        ("price", {"rooms": 1, "city": "Oslo"}),
        ("mean", [1.0]),
        ("greet", {"name": "some text", "age": 30}),
    ],
)
def test_the_test_call_makes_up_an_input(load, tmp_path, name, example):
    """Of the names, types and defaults that the function has."""
    model = load(name)
    report = selftest.test_call(model, manifest.read(tmp_path / name), -1)
    assert (report.state, report.input) == ("ok", example)


def test_what_the_test_call_learns_of_a_refusal(load, tmp_path):
    """An example that the function's types refuse is told by the part that is wrong."""
    model = load("price", example={"rooms": -1, "city": "x"})
    with pytest.raises(selftest.TestCallError, match="rooms cannot be below 0") as caught:
        selftest.test_call(model, manifest.read(tmp_path / "price"), -1)
    assert "Traceback" not in caught.value.traceback


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("course", {"input_type": "doubles", "call": "each"},
         "by name of one input (input type rows), and is deployed with the input type doubles"),
        ("greet", {"input_type": "strings", "call": "each"}, "'greet' takes name, age by name"),
        ("course", {"schema": {"type": "object", "properties": {"x": {}}}},
         "the schema has 'x', 'course' takes feature_1, feature_2"),
        ("price", {"schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
         "the schema lacks 'rooms', 'price' takes rooms, city"),
        ("course",
         {"schema": {"type": "object", "properties": {"feature_1": {"type": "string"}}}},
         "the schema says that feature_1 is string, 'course' takes number"),
        ("mean", {"schema": {"type": "string"}},
         "the schema says that an input is string, 'mean' takes array"),
    ],
)  # fmt: skip
def test_contradictions_name_both_sides(load, name, values, words):
    """What the deployer says and what the function says cannot both be true."""
    with pytest.raises((UnclearError, LoadError)) as caught:
        load(name, **values)
    assert words in caught.value.message


def test_a_schema_says_more_than_the_function(load):
    """Bounds and defaults are the deployer's, the order and the rest the function's."""
    schema = {
        "type": "object",
        "properties": {"feature_2": {"type": "integer", "maximum": 9}},
        "required": ["feature_2"],
        "additionalProperties": True,
    }
    told = load("course", schema=schema).signature
    assert list(told.fields) == ["feature_1", "feature_2"]
    assert told.fields["feature_2"] == {"type": "integer", "maximum": 9}
    assert (told.required, told.extra) == (("feature_2",), "ignore")


def test_any_takes_a_function_s_inputs_in_each_form(load):
    """With --input-type any its inputs are what they are, and checked where it is called."""
    model = load("course", input_type="any", call="each")
    found = answers(model, {}, [4, 5], {"x": 1}, 3)
    assert found[:2] == [{"tens": 0}, {"tens": 45}]
    assert all(isinstance(each, InputError) for each in found[2:])
    assert "there is no 'x'" in str(found[2])


def test_a_bundle_of_before_is_called_as_before(load):
    """Its manifest says a type and nothing of calls: a function gets the list of inputs."""
    model = load("course", input_type="doubles")
    assert model.signature.call == "batch"
    with pytest.raises(ValueError, match="truth value"):
        model.predictor.predict(inputs.pack([[1.0], [2.0]], "doubles"))
    ((first, _),) = calls_of("once")
    assert first.tolist() == [[1.0], [2.0]]


COLUMNS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string", "default": ""}},
}


LIBRARIES = [name for name in ("pandas", "polars") if find_spec(name) is not None]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_function_of_tables_gets_one_for_a_batch(load, library):
    """Its columns are those of the schema, or of the example; the library is the annotation's."""
    model = load(f"of_{library}", file="of_frames.py", schema=COLUMNS)
    assert (model.input_type, model.signature.call) == ("rows", "batch")
    assert model.signature.required == ("a",)
    assert answers(model, {"a": 1}, [2, "x"]) == [2, 4]
    shown = load(f"of_{library}", file="of_frames.py", example={"a": 1, "b": None, "c": "x"})
    assert shown.signature.fields == {"a": {"type": "number"}, "b": {}, "c": {"type": "string"}}


def test_rows_without_an_annotation_are_pandas(load):
    """A function that says nothing gets a table of the columns that its deployer names."""
    pytest.importorskip("pandas")
    model = load("bare", file="of_frames.py", input_type="rows", schema=COLUMNS)
    assert answers(model, {"a": 1}) == ["a,b"]


def test_a_table_without_columns_is_refused(load):
    """With the ways to say them."""
    with pytest.raises(UnclearError, match="nothing says which columns") as caught:
        load("bare", file="of_frames.py", input_type="rows")
    assert "--columns" in caught.value.hint


def test_a_table_without_its_library_is_refused(load, monkeypatch):
    """It is named, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LoadError, match="pandas is not installed") as caught:
        load("bare", file="of_frames.py", input_type="rows", schema=COLUMNS)
    assert caught.value.hint == "pip install pandas"
