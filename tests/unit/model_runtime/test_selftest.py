"""What the test call reports, and what it advises: only what was tried."""

import pickle
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from model_runtime import loaders, manifest, selftest
from model_runtime.inputs import Batch
from model_runtime.loaders.base import LoadError, Predictor
from model_runtime.manifest import Manifest
from model_runtime.raw_outputs import RawOutput


@cache
def of_texts() -> object:
    """Return a model that takes texts; scikit-learn is imported where a test wants one."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = make_pipeline(TfidfVectorizer(), LogisticRegression())
    return classifier.fit(["good film", "bad film"], [0, 1])


@cache
def of_rows() -> object:
    """Return a model that takes rows of four numbers."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])


def report(folder: Path, source: object, *, max_batch: int = -1, **values: object):
    """Load and test-call a function of a text or a pickled model; return the report."""
    (folder / "files").mkdir()
    if isinstance(source, str):
        (folder / "files" / "f.py").write_text(source)
        given = {"loader": "python", "file": "f.py", "kind": "function", "object": "f"}
    else:
        (folder / "files" / "m.pkl").write_bytes(
            pickle.dumps(source() if callable(source) else source)
        )
        given = {"loader": "pickle", "file": "m.pkl", "kind": "pickle"}
    manifest.write(Manifest(**(given | values)), folder)
    model = loaders.load(folder)
    return selftest.test_call(model, manifest.read(folder), max_batch)


def fault(folder: Path, source: object, **values: object) -> selftest.TestCallError:
    """Return how a test call failed."""
    with pytest.raises(selftest.TestCallError) as caught:
        report(folder, source, **values)
    return caught.value


TENSOR = {"dtype": "int64", "shape": [2], "data": [1, 2]}


@pytest.mark.parametrize(
    ("source", "values", "answered"),
    [
        (
            "def f(rows): return [row['x'].sum() for row in rows]",
            {"input_type": "tensors", "example": {"x": TENSOR}},
            {"x": TENSOR},
        ),
        (
            "def f(rows): return [len(row) for row in rows]",
            {"input_type": "tensors"},
            {"input": {"dtype": "float32", "shape": [1], "data": [1.0]}},
        ),
        ("def f(xs): return [x[2] for x in xs]", {}, [1.0, 1.0, 1.0]),
        ("def f(xs): return [x.upper() for x in xs]", {"input_type": "strings"}, "test"),
        ("def f(xs): return [len(x) for x in xs]", {"input_type": "bytes"}, "dGVzdA=="),
        (
            "def f(xs): return [x['a'] for x in xs]",
            {"input_type": "any", "example": {"a": 1}},
            {"a": 1},
        ),
        (of_rows, {}, [1.0, 1.0, 1.0, 1.0]),
    ],
    ids=["tensors", "guessed tensors", "guessed", "strings", "bytes", "example", "known"],
)
def test_a_call_that_returned_is_reported_with_its_input(tmp_path, source, values, answered):
    """As a client would send it."""
    told = report(tmp_path, source, **values).as_info()
    assert (told["state"], told["input"]) == ("ok", answered)
    assert 0 <= told["call_ms"] < 10_000


@pytest.mark.parametrize(
    ("source", "values", "told"),
    [
        ("def f(xs): return [sum(x) for x in xs]", {"example": [1, 2]}, {"origin": "example"}),
        ("def f(xs): return [sum(x) for x in xs]", {}, {"origin": "guess"}),
        (
            "def f(a: int, b: str) -> int: return a",
            {"input_type": "auto"},
            {"origin": "signature", "input": {"a": 1, "b": "some text"}, "output": 1},
        ),
        (of_rows, {}, {"origin": "signature"}),
        (
            "def f(xs): return [len(x) for x in xs]",
            {"input_type": "bytes", "example": "aGVsbG8="},
            {"origin": "example", "input_bytes": 5},
        ),
        (
            "def f(xs): return ['x' * 9999 for _ in xs]",
            {"example": [0.5] * 1000},
            {"origin": "example", "input_bytes": 5000, "output_bytes": 10_001},
        ),
    ],
)
def test_where_an_input_is_from_is_told(tmp_path, source, values, told):
    """What was given is not what was guessed; what is too long to be told has a length."""
    assert report(tmp_path, source, **values).as_info().items() >= told.items()


def test_what_was_tried_in_vain_is_told(tmp_path):
    """Whoever is to give an example sees which were no good."""
    told = report(tmp_path, "def f(xs): raise KeyError", input_type="any").as_info()
    assert told["tried"] == ["[1.0, 2.0, 3.0]", "1.0", '"test"', "{}", "[[1.0, 2.0]]", "null"]
    (tmp_path / "numbers").mkdir()
    hint = fault(tmp_path / "numbers", "def f(xs): raise KeyError").hint
    assert "it raised on [1.0], [1.0, 1.0], [1.0, 1.0, 1.0]" in hint
    assert len(hint) < 700


@pytest.mark.parametrize("kind", ["KeyError", "TypeError"])
def test_a_model_that_raised_on_every_guess_is_not_called_tested(tmp_path, kind):
    """It may well be right, for inputs of another shape; what it raised is told."""
    source = f"def f(xs): raise {kind}(str(xs)[:2])"
    told = report(tmp_path, source, input_type="any").as_info()
    assert told["state"] == "unproven"
    assert "input" not in told
    assert "call_ms" not in told
    assert all(reason.startswith(kind) for reason in told["reasons"])
    assert 1 <= len(told["reasons"]) <= 3


def test_a_test_that_was_skipped_is_said_to_be(tmp_path):
    """Nothing was called."""
    told = report(tmp_path, "def f(xs): raise ValueError", skip_test=True).as_info()
    assert told == {"state": "skipped"}


def test_an_input_that_is_long_is_not_repeated(tmp_path):
    """The example is the owner's, who has it."""
    example = [0.5] * 10_000
    told = report(tmp_path, "def f(xs): return [1 for _ in xs]", example=example).as_info()
    assert told["state"] == "ok"
    assert "input" not in told


def test_the_time_of_a_call_is_the_shortest(tmp_path):
    """What is made at the first call only is no part of what a query will take."""
    source = (
        "import time\nseen = []\n"
        "def f(xs):\n    time.sleep(0.001 if seen else 0.3)\n    seen.append(1)\n"
        "    return [1 for _ in xs]\n"
    )
    assert report(tmp_path, source).call_ms < 300
    (tmp_path / "always").mkdir()
    always = "import time\ndef f(xs):\n    time.sleep(0.05)\n    return [1 for _ in xs]\n"
    began_s = time.monotonic()
    call_ms = report(tmp_path / "always", always).call_ms
    assert 50 <= call_ms <= (time.monotonic() - began_s) * 1000


@pytest.mark.parametrize(
    ("source", "values", "advised"),
    [
        (of_texts, {}, "--input-type strings"),
        (of_texts, {"input_type": "floats"}, "--input-type strings"),
        (of_texts, {"example": "good film"}, "--input-type strings"),
        ("def f(xs): return [x.upper() for x in xs]", {}, "--input-type strings"),
        ("def f(xs): return [x['a'] for x in xs]", {"example": {"a": 1}}, "--input-type any"),
        (of_rows, {"input_type": "strings"}, "--input-type doubles"),
    ],
)
def test_another_input_type_is_advised_where_the_model_answers_it(
    tmp_path, source, values, advised
):
    """Not one that the fault's text suggests: one that was tried."""
    assert advised in fault(tmp_path, source, **values).hint


def test_a_model_of_any_is_advised_too(tmp_path):
    """It goes live untested, with what it does answer."""
    told = report(tmp_path, of_rows, input_type="any")
    assert told.state == "unproven"
    assert "--input-type doubles" in told.hint


@pytest.mark.parametrize(
    "source",
    [
        "def f(xs): raise ValueError('never')",
        "def f(xs): return [{'x': 1}[x] for x in map(str, xs)]",
    ],
)
def test_no_type_is_advised_that_does_not_help(tmp_path, source):
    """The hint asks for an example instead."""
    assert "--input-type" not in fault(tmp_path, source).hint
    assert "--example" in fault_again(tmp_path, source)


def fault_again(folder: Path, source: str) -> str:
    """Return the hint of the same model once more, in a folder of its own."""
    (folder / "again").mkdir()
    return fault(folder / "again", source).hint


class Columns:
    """A model that was fitted on a table: it picks its columns by name."""

    feature_names_in_ = np.array(["age", "city of birth"], dtype=object)

    def predict(self, table):
        """Answer one number a row, of a number and a text."""
        return np.asarray(table["age"]) * table["city of birth"].str.len()


def test_a_model_of_named_columns_answers_an_object(tmp_path):
    """What its columns hold is found by trying; the example is one that it has answered."""
    pytest.importorskip("pandas")
    told = report(tmp_path, Columns(), input_type="auto")
    assert told.state == "ok"
    assert told.input == {"age": 1.0, "city of birth": "some text"}


COLUMNS = {"properties": {"a": {"type": "number"}, "b": {"type": "number"}, "c": {"type": "null"}}}


@pytest.mark.parametrize(
    "source",
    [
        "def f(table): return [sum(x) for x in table]",
        "def f(table): return [repr(x) for x in table]",
    ],
)
def test_a_function_of_a_table_is_not_told_that_it_gets_a_list(tmp_path, source):
    """Who goes through a table as through a list gets the columns' names, and is told so."""
    pytest.importorskip("pandas")
    schema = {"type": "object", "required": ["a", "b", "c"], **COLUMNS}
    hint = fault(tmp_path, source, input_type="rows", schema=schema).hint
    assert "one table with a row for each input" in hint
    assert "a list of inputs" not in hint
    assert "inputs]" not in hint


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"output": "both"},
            "--output both is for fitted classifiers, and 'f' is a function",
        ),
        ({"output": "labels"}, "--output labels is for fitted classifiers"),
        ({"concurrency": 3}, "--concurrency is how many streams .*: 'f' does not yield"),
    ],
)
def test_what_a_function_does_not_have_is_not_silently_left_out(tmp_path, values, words):
    """Who deploys a function with an option of other models is told, and not let down later."""
    with pytest.raises(LoadError, match=words) as caught:
        report(tmp_path, "def f(a: int, b: int): return a + b", input_type="auto", **values)
    assert caught.value.hint.startswith("leave --")


def test_without_pandas_a_model_of_a_table_says_what_is_missing(tmp_path, monkeypatch):
    """It cannot be loaded, and the hint helps."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LoadError, match="pandas is not installed") as caught:
        report(tmp_path, Columns(), input_type="auto")
    assert caught.value.hint == "pip install pandas"


def test_what_came_is_reported_where_it_is_short(tmp_path):
    """As a client would read it."""
    told = report(tmp_path, "def f(xs): return [{'sum': sum(x)} for x in xs]").as_info()
    assert told["output"] == {"sum": 1.0}
    (tmp_path / "long").mkdir()
    assert (
        "output"
        not in report(tmp_path / "long", "def f(xs): return ['x' * 9999 for _ in xs]").as_info()
    )


@pytest.mark.parametrize(
    ("source", "varies"),
    [
        ("import random\ndef f(xs): return [random.random() for _ in xs]", True),
        ("import time\ndef f(xs): return [time.time_ns()] * len(xs)", True),
        ("def f(xs): return [len(xs) * 0 + sum(x) for x in xs]", False),
    ],
)
def test_a_model_that_answers_the_same_input_differently_is_told(tmp_path, source, varies):
    """Its answers are no use to a cache."""
    assert report(tmp_path, source).as_info().get("varies", False) is varies


def test_an_example_that_is_a_list_is_told_by_its_names(tmp_path):
    """Where the model's numbers have names, the object says more."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(np.eye(3), [0, 1, 0])
    model.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    told = report(tmp_path, model, input_type="auto", example=[1, 2, 3])
    assert told.input == {"a": 1, "b": 2, "c": 3}


class Paced:
    """A predictor, and the clock that each call of it moves on; `sizes` are those of the calls."""

    def __init__(self, predictor: Predictor, call_s: float) -> None:
        self.sizes: list[int] = []
        self.now_s = 0.0
        self._predictor = predictor
        self._call_s = call_s

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s

    def predict(self, batch: Batch) -> Sequence[bytes | RawOutput]:
        """Take the time of a call."""
        self.sizes.append(batch.count)
        self.now_s += self._call_s
        return self._predictor.predict(batch)


@pytest.mark.parametrize(
    ("call_ms", "max_batch", "several_ms"),
    [(5, -1, 5.0), (0.1, -1, None), (100, -1, None), (5, 1, None)],
)
def test_a_call_with_several_inputs_is_timed(tmp_path, call_ms, max_batch, several_ms):
    """Where one is slow enough that batches matter, and not so slow that a deployment waits."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "f.py").write_text("def f(xs): return [sum(x) for x in xs]")
    manifest.write(Manifest(loader="python", file="f.py", kind="function", object="f"), tmp_path)
    model = loaders.load(tmp_path)
    paced = Paced(model.predictor, call_ms / 1000)
    tested = replace(model, predictor=paced)
    told = selftest.test_call(tested, manifest.read(tmp_path), max_batch, paced).as_info()
    assert told.get("several_ms") == several_ms
    assert told.get("several") == (16 if several_ms else None)
    assert paced.sizes.count(16) == (several_ms is not None)
    assert told["call_ms"] == call_ms
