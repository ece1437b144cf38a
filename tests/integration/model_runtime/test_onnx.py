"""ONNX models as a replica has them: their answers are onnxruntime's own, bit for bit."""

import json
import os

import numpy as np
import onnxruntime
import pytest

from model_runtime import inputs, loaders, manifest, selftest
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import Manifest
from model_runtime.refusals import InputError
from tests import onnx_graphs


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Return what loads a graph of tests/onnx_graphs.py, with some words of its deployer's."""
    monkeypatch.chdir(tmp_path)

    def load(make, *given, **words):
        (tmp_path / "files").mkdir()
        path = make(tmp_path / "files" / "m.onnx", *given)
        usual = {"loader": "onnx", "kind": "file", "file": "m.onnx", "input_type": "auto"}
        manifest.write(Manifest(**(usual | words)), tmp_path)
        found = loaders.load(tmp_path)
        report = selftest.test_call(found, manifest.read(tmp_path), -1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return found, session, report

    return load


def answers(found, values):
    """Return what a loaded model answers to a batch."""
    batch = inputs.pack(values, found.input_type, found.signature)
    return [json.loads(text) for text in found.predictor.predict(batch)]


def both(found, values):
    """Return what a model answers to a batch, which is what it answers to each alone."""
    made = answers(found, values)
    assert made == [answers(found, [each])[0] for each in values]
    return made


ROWS = [[0.1, 0.2, 0.3], [1.0, -2.0, 3.5], [1e-7, 1e7, 0.0]]


@pytest.mark.parametrize("batch", ["N", None, 1, 2, 3, 4])
def test_rows_of_numbers_are_answered_as_onnxruntime_does(loaded, batch):
    """Of a batch of any size, one by one, or of as many as the model takes."""
    found, session, report = loaded(onnx_graphs.linear, batch)
    assert report.state == "ok"
    assert found.input_type == "floats"
    assert found.signature.value["maxItems"] == 3
    size = batch if isinstance(batch, int) else 3
    fed = np.array([*ROWS, *ROWS[-1:] * size], np.float32)
    wanted = [
        row
        for at in range(0, 3, size)
        for row in session.run(None, {"x": fed[at : at + size]})[0].tolist()
    ][:3]
    assert answers(found, ROWS) == wanted


def test_several_inputs_are_fields_and_several_outputs_named(loaded):
    """Whole numbers of 64 bits stay what they are."""
    found, session, report = loaded(onnx_graphs.several)
    assert report.state == "ok"
    assert found.input_type == "rows"
    assert list(found.signature.fields) == ["a", "b"]
    assert found.signature.fields["a"]["maximum"] == 2**63 - 1
    large = 2**53 + 1
    fed = {"a": np.array([[large], [2]]), "b": np.array([[1], [-3]])}
    product, total = (each.tolist() for each in session.run(None, fed))
    assert both(found, [{"a": large, "b": 1}, {"a": 2, "b": -3}]) == [
        {"product": product[0], "sum": total[0]},
        {"product": product[1], "sum": total[1]},
    ]


def test_arrays_of_many_dimensions_are_nested_lists(loaded):
    """With the sizes in the schema; one input is taken bare, or by its name."""
    found, session, report = loaded(onnx_graphs.picture)
    assert report.state == "ok"
    value = np.random.default_rng(0).random((2, 3, 2, 2), np.float32)
    wanted = session.run(None, {"x": value})[0].tolist()
    assert both(found, value.tolist()) == wanted
    assert both(found, [{"x": each} for each in value.tolist()]) == wanted
    schema = found.signature.value
    assert (schema["minItems"], schema["items"]["items"]["maxItems"]) == (3, 2)


def test_lists_of_any_length_are_batched_by_their_length(loaded):
    """Each as if it came alone."""
    found, _, report = loaded(onnx_graphs.sequence)
    assert report.state == "ok"
    assert both(found, [[1, 2, 3], [4], [5, 6, 7], [2**40]]) == [6, 4, 18, 2**40]


def test_texts_are_inputs_and_outputs(loaded):
    """Of any script."""
    found, _, report = loaded(onnx_graphs.text)
    assert report.state == "ok"
    assert found.input_type == "strings"
    assert both(found, ["yes", "no", "ø"]) == [[20], [10], [-1]]


def test_values_that_encoders_know_are_asked_with(loaded):
    """Others are refused by the model, and none would be a good guess."""
    found, _, report = loaded(onnx_graphs.encoded)
    assert report.state == "ok"
    assert found.signature.fields["city"]["examples"] == ["Oslo", "Rome"]
    assert both(found, [{"city": "Rome", "age": 2.5}]) == [[0.0, 2.5]]


def test_texts_are_answered(loaded):
    """One to an input."""
    found, _, _ = loaded(onnx_graphs.labels)
    assert both(found, [0, 1, 7]) == ["none", "æ one", "?"]


def test_a_model_without_a_batch_is_asked_one_by_one(loaded):
    """An input is all that it takes."""
    found, _, report = loaded(onnx_graphs.scalar)
    assert report.state == "ok"
    assert both(found, [[1, 2, 3.5], [0, 0, 0]]) == [6.5, 0.0]


def test_numbers_of_16_bits_and_bools(loaded):
    """In what JSON has for them."""
    found, session, report = loaded(onnx_graphs.halves)
    assert report.state == "ok"
    fed = {"x": np.array([[0.1, 2.5]], np.float16), "is": np.array([[True, False]])}
    assert (
        both(found, [{"x": [0.1, 2.5], "is": [True, False]}]) == session.run(None, fed)[0].tolist()
    )


@pytest.mark.parametrize("output", [None, "labels", "proba", "both"])
def test_a_classifier_s_maps_are_objects(loaded, output):
    """And --output chooses of both."""
    found, session, report = loaded(onnx_graphs.classifier, output=output)
    assert report.state == "ok"
    label, maps = session.run(None, {"x": np.array(ROWS, np.float32)})
    told = [{str(name): value for name, value in each.items()} for each in maps]
    pairs = list(zip(label.tolist(), told, strict=True))
    wanted = {
        None: [{"label": one, "probabilities": each} for one, each in pairs],
        "labels": label.tolist(),
        "proba": told,
        "both": [{"label": one, "probabilities": each} for one, each in pairs],
    }
    # Of several rows at once onnxruntime's own last digits are others than of each alone.
    assert answers(found, ROWS) == wanted[output]


def test_tensors_beside_the_file_are_found(loaded):
    """They lie in the bundle with it."""
    found, session, report = loaded(
        lambda path: onnx_graphs.linear(path, location="weights.bin") and path
    )
    assert report.state == "ok"
    assert answers(found, ROWS) == session.run(None, {"x": np.array(ROWS, np.float32)})[0].tolist()


@pytest.mark.parametrize("place", ["../../secret.bin", "/etc/passwd", "a/../../b"])
def test_tensors_elsewhere_are_not_read(loaded, place):
    """Whoever has made the bundle."""

    def make(path):
        onnx_graphs.linear(path, location="x" * len(place))
        path.write_bytes(path.read_bytes().replace(b"x" * len(place), place.encode()))
        return path

    with pytest.raises(LoadError, match="leads out of its folder"):
        loaded(make)


def test_what_cannot_be_loaded_names_the_versions(loaded):
    """The library's own words behind them."""
    with pytest.raises(LoadError, match=r"does not load m\.onnx \(opset 17, .*IR version 99\)"):
        loaded(lambda path: onnx_graphs.linear(path, ir=99))


def test_an_input_that_json_has_not_is_refused(loaded):
    """With what to do in its place."""
    with pytest.raises(LoadError, match=r"the input x of m\.onnx is a seq") as caught:
        loaded(onnx_graphs.complex_numbers)
    assert "a Python file with a function" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"method": "transform"}, "has no methods"),
        ({"input_type": "strings"}, r"takes floats \(x tensor\(float\)\['N', 3\]\), not strings"),
        ({"output": "labels"}, "--output labels is for classifiers"),
    ],
)
def test_what_a_graph_has_not_is_said(loaded, words, message):
    """Before it is asked."""
    with pytest.raises(LoadError, match=message):
        loaded(onnx_graphs.linear, **words)


def test_numbers_may_be_given_as_another_type(loaded):
    """As applications of that type have them; the model gets its own."""
    found, session, _ = loaded(onnx_graphs.linear, input_type="doubles")
    assert found.input_type == "doubles"
    assert answers(found, ROWS) == session.run(None, {"x": np.array(ROWS, np.float32)})[0].tolist()


def test_a_row_that_does_not_fit_is_the_input_s_fault(loaded):
    """By the name of the model's input."""
    found, _, _ = loaded(onnx_graphs.several)
    with pytest.raises(InputError, match="a: "):
        answers(found, [{"a": 2**70, "b": 1}])
