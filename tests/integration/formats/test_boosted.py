"""Boosters' own files, as a replica has them: answers are those of the libraries' boosters."""

import json
import pickle

import numpy as np
import pytest

from model_runtime import inputs, loaders, manifest, selftest
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import Manifest

lightgbm = pytest.importorskip("lightgbm")
pd = pytest.importorskip("pandas")
xgboost = pytest.importorskip("xgboost")

RNG = np.random.default_rng(0)
ARRAY = RNG.random((200, 3))
CLASS = (ARRAY[:, 0] + ARRAY[:, 1] > 1).astype(int)
THREE = np.arange(200) % 3
FRAME = pd.DataFrame(ARRAY, columns=["age", "income", "rooms"])
FRAME["city"] = pd.Categorical(["Oslo", "Rome"] * 100)
CITY = (FRAME["city"] == "Oslo").to_numpy().astype(int)
QUIET = {"verbose": -1, "num_leaves": 4, "min_data_in_leaf": 5}


def of_xgboost(data, label, objective, **more):
    """Return a booster of xgboost."""
    matrix = xgboost.DMatrix(data, label, enable_categorical=True)
    return xgboost.train({"objective": objective, "max_depth": 2} | more, matrix, 5)


def of_lightgbm(data, label, objective, **more):
    """Return a booster of lightgbm."""
    return lightgbm.train({"objective": objective} | QUIET | more, lightgbm.Dataset(data, label), 5)


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Return what loads a booster's file."""
    monkeypatch.chdir(tmp_path)

    def load(booster, file, **words):
        (tmp_path / "files").mkdir(exist_ok=True)
        booster.save_model(tmp_path / "files" / file)
        name = "xgboost" if isinstance(booster, xgboost.Booster) else "lightgbm"
        usual = {"loader": name, "kind": "file", "file": file, "input_type": "auto"}
        manifest.write(Manifest(**(usual | words)), tmp_path)
        found = loaders.load(tmp_path)
        assert selftest.test_call(found, manifest.read(tmp_path), -1).state == "ok"
        return found

    return load


def answers(found, values):
    """Return what a loaded model answers to a batch."""
    batch = inputs.pack(values, found.input_type, found.signature)
    return [json.loads(text) for text in found.predictor.predict(batch)]


@pytest.mark.parametrize("file", ["m.json", "m.ubj"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror"])
def test_numbers_of_xgboost(loaded, file, objective):
    """A list of them, without names."""
    booster = of_xgboost(ARRAY, CLASS, objective)
    found = loaded(booster, file)
    assert (found.input_type, found.row_items) == ("doubles", 3)
    wanted = booster.predict(xgboost.DMatrix(ARRAY[:9])).tolist()
    assert answers(found, ARRAY[:9].tolist()) == wanted


@pytest.mark.parametrize("file", ["m.json", "m.ubj"])
def test_a_table_of_xgboost(loaded, file):
    """By the columns' names; categories are those that it knows, and any may be missing."""
    booster = of_xgboost(FRAME, CITY, "binary:logistic")
    found = loaded(booster, file)
    assert found.input_type == "rows"
    assert found.signature.fields["city"]["enum"] == ["Oslo", "Rome", None]
    wanted = booster.predict(xgboost.DMatrix(FRAME[:9], enable_categorical=True)).tolist()
    assert answers(found, FRAME[:9].to_dict("records")) == wanted
    assert len(set(wanted)) > 1
    missing = FRAME[:1].assign(age=np.nan)
    wanted = booster.predict(xgboost.DMatrix(missing, enable_categorical=True)).tolist()
    assert answers(found, [FRAME.iloc[0].to_dict() | {"age": None}]) == wanted


def test_named_numbers_need_no_table(loaded, monkeypatch):
    """Nor pandas."""
    booster = of_xgboost(FRAME.drop(columns="city"), CLASS, "binary:logistic")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    found = loaded(booster, "m.json")
    wanted = booster.predict(xgboost.DMatrix(ARRAY[:9], feature_names=booster.feature_names))
    asked = [dict(zip(booster.feature_names, row, strict=True)) for row in ARRAY[:9].tolist()]
    assert answers(found, asked) == wanted.tolist()


@pytest.mark.parametrize("output", ["labels", "proba", "both"])
@pytest.mark.parametrize("make", [of_xgboost, of_lightgbm])
@pytest.mark.parametrize("classes", [2, 3])
def test_labels_and_probabilities_of_a_classifier(loaded, make, classes, output):
    """Where --output asks for them: as the library's own classifier has them."""
    names = {
        of_xgboost: ("binary:logistic", "multi:softprob"),
        of_lightgbm: ("binary", "multiclass"),
    }
    more = {"num_class": 3} if classes == 3 else {}
    booster = make(ARRAY, CLASS if classes == 2 else THREE, names[make][classes - 2], **more)
    raw = booster.predict(xgboost.DMatrix(ARRAY[:9]) if make is of_xgboost else ARRAY[:9])
    proba = np.stack([1.0 - raw, raw], 1) if classes == 2 else raw
    labels = proba.argmax(1).tolist()
    told = [{str(at): each for at, each in enumerate(row)} for row in proba.tolist()]
    wanted = {
        "labels": labels,
        "proba": told,
        "both": [
            {"label": label, "probabilities": each}
            for label, each in zip(labels, told, strict=True)
        ],
    }
    file = "m.json" if make is of_xgboost else "m.txt"
    assert answers(loaded(booster, file, output=output), ARRAY[:9].tolist()) == wanted[output]


def test_labels_of_what_has_none_are_refused(loaded):
    """It has no classes."""
    with pytest.raises(LoadError, match="--output labels is for classifiers"):
        loaded(of_xgboost(ARRAY, CLASS, "reg:squarederror"), "m.json", output="labels")


def test_another_method_is_refused(loaded):
    """With those that it has."""
    with pytest.raises(LoadError, match="has no 'transform'") as caught:
        loaded(of_xgboost(ARRAY, CLASS, "reg:squarederror"), "m.json", method="transform")
    assert "predict" in caught.value.hint


def test_numbers_and_tables_of_lightgbm(loaded):
    """As those of xgboost."""
    booster = of_lightgbm(ARRAY, CLASS, "binary")
    found = loaded(booster, "m.txt")
    assert (found.input_type, found.row_items) == ("doubles", 3)
    assert answers(found, ARRAY[:9].tolist()) == booster.predict(ARRAY[:9]).tolist()
    booster = of_lightgbm(FRAME, CITY, "binary")
    found = loaded(booster, "t.txt")
    assert found.input_type == "rows"
    assert found.signature.fields["city"]["enum"] == ["Oslo", "Rome", None]
    wanted = booster.predict(FRAME[:9]).tolist()
    assert len(set(wanted)) > 1
    assert answers(found, FRAME[:9].to_dict("records")) == wanted


@pytest.mark.parametrize("make", [of_xgboost, of_lightgbm])
def test_a_booster_in_a_pickle_is_asked_as_in_a_file_of_its_own(tmp_path, monkeypatch, make):
    """By the names of its columns."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    frame = FRAME.drop(columns="city")
    booster = make(frame, CLASS, "binary:logistic" if make is of_xgboost else "binary")
    (tmp_path / "files" / "m.pkl").write_bytes(pickle.dumps(booster))
    usual = {"loader": "pickle", "kind": "pickle", "file": "m.pkl", "input_type": "auto"}
    manifest.write(Manifest(**usual), tmp_path)
    found = loaders.load(tmp_path)
    wanted = booster.predict(xgboost.DMatrix(frame[:5]) if make is of_xgboost else frame[:5])
    assert answers(found, frame[:5].to_dict("records")) == wanted.tolist()


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_a_damaged_file_is_told_by_its_library(tmp_path, monkeypatch, name):
    """With its version."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    content = {"xgboost": b'{"learner":{"attributes":{}}}', "lightgbm": b"tree\nversion=v4\n"}
    (tmp_path / "files" / "m").write_bytes(content[name])
    usual = {"loader": name, "kind": "file", "file": "m", "input_type": "auto"}
    manifest.write(Manifest(**usual), tmp_path)
    with pytest.raises(LoadError, match=rf"{name} [\d.]+ does not load m: "):
        loaders.load(tmp_path)
