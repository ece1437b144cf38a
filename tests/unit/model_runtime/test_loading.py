"""Loaders, the test call and failure texts, on real files and real scikit-learn models."""

import gzip
import pickle
import shutil
import sys
from functools import cache
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest

from model_runtime import failure, inputs, loaders, manifest, selftest
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import Manifest

MODELS = Path(__file__).parents[2] / "models"
X = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])


@cache
def classifier():
    """Return a model of scikit-learn's, which only who runs a test of it imports."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(X, [0, 1, 0, 1])


@pytest.fixture(autouse=True)
def _clean_imports():
    """Leave the import system as it was."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).find("/files/") >= 0:
            del sys.modules[name]


def bundled(folder, source, **values):
    """Make a bundle of one file and return its folder."""
    (folder / "files").mkdir()
    shutil.copy(source, folder / "files")
    values = {"loader": "python", "kind": "function", "object": "predict"} | values
    manifest.write(Manifest(file=Path(source).name, **values), folder)
    return folder


def tried(folder, max_batch=-1):
    """Load a bundle and test-call it."""
    model = loaders.load(folder)
    selftest.test_call(model, manifest.read(folder), max_batch)
    return model


def pickled(folder, dump, name="model.pkl", **values):
    """Make a bundle of a file that `dump` writes."""
    path = folder / name
    dump(path)
    (folder / "bundle").mkdir()
    values = {"loader": "pickle", "kind": "pickle", "object": None} | values
    return bundled(folder / "bundle", path, **values)


@pytest.mark.parametrize(
    "name", ["good", "needs_three", "needs_many", "prints_megabyte", "poison", "async_function"]
)
def test_right_models_pass(tmp_path, name):
    """A model passes once some input of ones is answered."""
    model = tried(bundled(tmp_path, MODELS / f"{name}.py"))
    assert model.info == {"object": "predict"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong_length", "1 output for 2 inputs"),
        ("drops_last", "0 outputs for 1 input"),
        ("non_list", "type float"),
        ("returns_none", "None"),
        ("unserialisable", "type object"),
        ("raises", "RuntimeError: this model always fails and says so on two lines"),
        ("exits", "SystemExit: 7"),
    ],
)
def test_wrong_models_fail_their_test_call(tmp_path, name, words):
    """A model that fails its test call says why in one line."""
    with pytest.raises(selftest.TestCallError, match=words) as caught:
        tried(bundled(tmp_path, MODELS / f"{name}.py"))
    assert "\n" not in caught.value.message
    assert caught.value.hint or name == "unserialisable"


def test_traceback_holds_the_models_frames_only(tmp_path):
    """The owner sees their own lines, under the names they know."""
    with pytest.raises(selftest.TestCallError) as caught:
        tried(bundled(tmp_path, MODELS / "raises.py"))
    text = caught.value.traceback
    assert 'File "raises.py", line' in text
    assert "in check" in text
    assert "model_runtime/" not in text.replace(str(tmp_path), "")
    assert "--example" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("syntax_error", "SyntaxError: ", ""),
        ("import_error", "ModuleNotFoundError: No module", "pip install surely_not_installed"),
        ("raises_on_load", "ValueError: weights are damaged", ""),
        ("exits_on_load", "SystemExit: done training", "__main__"),
        ("no_arguments", "'predict' cannot be called with one argument", "list of inputs"),
    ],
)
def test_models_that_do_not_load(tmp_path, name, message, hint):
    """A failed load is described by message, own frames and hint."""
    folder = bundled(tmp_path, MODELS / f"{name}.py")
    with pytest.raises(failure.MODEL_ERRORS) as caught:
        loaders.load(folder)
    told = failure.describe(caught.value, folder)
    assert told["message"].startswith(message)
    assert hint in told["hint"]
    assert "importlib" not in told["traceback"]
    assert str(tmp_path) not in told["traceback"]


def test_missing_function_names_the_nearest(tmp_path):
    """A misspelt name is answered with the right one."""
    with pytest.raises(LoadError) as caught:
        loaders.load(bundled(tmp_path, MODELS / "good.py", object="predicct"))
    assert caught.value.hint == "did you mean predict?"


def test_class_is_made_once_and_gets_what_it_needs(tmp_path):
    """load() runs once; predict gets names and meta where it needs them."""
    model = tried(bundled(tmp_path, MODELS / "class_model.py", kind="class", object="Model"))
    assert model.predictor.predict(inputs.pack([[1, 2]], "doubles")) == [b"[3.0,1,0,0]"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("NoPredict", LoadError, "'NoPredict' has no method 'predict'"),
        ("NeedsArguments", TypeError, "missing 1 required positional argument: 'path'"),
    ],
)
def test_unfit_classes_are_refused(tmp_path, name, kind, words):
    """A class that cannot be made or asked is refused."""
    with pytest.raises(kind, match=words):
        loaders.load(bundled(tmp_path, MODELS / "class_model.py", kind="class", object=name))


def dump_gzip(path):
    """Write a gzipped pickle."""
    path.write_bytes(gzip.compress(pickle.dumps(classifier())))


@pytest.mark.parametrize(
    "dump",
    [
        lambda path: path.write_bytes(pickle.dumps(classifier())),
        lambda path: path.write_bytes(cloudpickle.dumps(classifier())),
        lambda path: joblib.dump(classifier(), path),
        lambda path: joblib.dump(classifier(), path, compress=3),
        dump_gzip,
    ],
)
def test_every_way_of_pickling_loads(tmp_path, dump):
    """pickle, cloudpickle and joblib files give the same answers as the model itself."""
    model = tried(pickled(tmp_path, dump))
    assert model.row_items == 3
    texts = model.predictor.predict(inputs.pack(X.tolist(), "doubles"))
    assert texts == [str(label).encode() for label in classifier().predict(X)]


def test_methods_of_a_pickle(tmp_path):
    """Another method answers where it is named; one that is missing is answered with the list."""

    def dump(path):
        path.write_bytes(pickle.dumps(classifier()))

    model = tried(pickled(tmp_path, dump, method="predict_proba"))
    assert len(eval(model.predictor.predict(inputs.pack([[1, 2, 3]], "doubles"))[0])) == 2
    (tmp_path / "other").mkdir()
    with pytest.raises(LoadError, match="no 'transform'") as caught:
        loaders.load(pickled(tmp_path / "other", dump, method="transform"))
    assert "predict, predict_proba" in caught.value.hint


def test_pickled_function_is_called_with_the_inputs(tmp_path):
    """A function pickled by value answers as a function of a file does."""
    code = cloudpickle.dumps(lambda rows: [float(sum(row)) for row in rows])
    model = tried(pickled(tmp_path, lambda path: path.write_bytes(code)))
    assert model.predictor.predict(inputs.pack([[1, 2]], "doubles")) == [b"3.0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "zip archive"),
        (lambda: pickle.dumps(classifier())[:50], "not a sound pickle"),
        (pickle.dumps("Zürich").replace(b"\xc3\xbc", b"\xff\xfe"), "not a sound pickle"),
        (pickle.dumps({"model": 1}), "holds a dict"),
        (pickle.dumps(dict), "holds the class dict"),
        (pickle.dumps(7), "holds a int"),
    ],
)
def test_files_that_hold_no_model(tmp_path, content, words):
    """What is no model is said to be what it is."""
    content = content() if callable(content) else content
    with pytest.raises(LoadError, match=words):
        loaders.load(pickled(tmp_path, lambda path: path.write_bytes(content)))


def test_an_example_is_final(tmp_path):
    """With an example, the first exception fails the test call."""
    with pytest.raises(selftest.TestCallError, match="IndexError"):
        tried(bundled(tmp_path, MODELS / "needs_three.py", example=[1.0]))


def test_version_hint_names_what_differs():
    """The hint names the version the model was made with and the one here."""
    hint = failure.version_hint({"scikit-learn": "0.1", "surely-not-here": "1"})
    assert "scikit-learn 0.1 (here: " in hint
    assert "surely-not-here 1 (here: not installed)" in hint
