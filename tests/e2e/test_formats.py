"""Bare files of models, deployed and asked over HTTP: the answers are their libraries' own."""

import json
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import skops.io
from onnxruntime import InferenceSession
from sklearn.linear_model import LogisticRegression

from tests import formats, onnx_graphs

pytestmark = pytest.mark.slow

ROWS = np.random.default_rng(0).random((6, 3))
TWO = (ROWS.sum(1) > 1.5).astype(int)


def asked(daemon, name, inputs):
    """Return what an application answers to some inputs, one by one and all at once."""
    url = f"{daemon.query_url}/{name}/predict"

    def post(body):
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
            return json.loads(answer.read())

    each = [post({"input": value})["output"] for value in inputs]
    told = post({"input_batch": [*inputs, *inputs]})["batch_predictions"]
    batch = [answer["output"] for answer in told]
    assert batch[len(inputs) :] == batch[: len(inputs)]
    return each, batch[: len(inputs)]


def deployed(daemon, folder, *words):
    """Deploy a file; the deployment's texts."""
    done = daemon.cli("deploy", *words, "--slo", "5s", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def onnx(folder):
    """Write an ONNX model without an ending."""
    session = InferenceSession(onnx_graphs.linear(folder / "linear"))
    fed = ROWS.astype(np.float32)
    return "linear", fed.tolist(), session.run(None, {"x": fed})[0].tolist()


def onnx_beside(folder):
    """Write one whose tensors lie in a file beside it."""
    path = onnx_graphs.linear(folder / "large.onnx", location="large.data")
    fed = ROWS.astype(np.float32)
    return path.name, fed.tolist(), InferenceSession(path).run(None, {"x": fed})[0].tolist()


def onnx_columns(folder):
    """Write one of columns of whole numbers."""
    onnx_graphs.several(folder / "columns.onnx")
    large = 2**60 + 1
    return "columns.onnx", [{"a": large, "b": 2}], [{"product": [2 * large], "sum": [large + 2]}]


def skops_file(folder):
    """Write a skops file."""
    model = LogisticRegression().fit(ROWS, TWO)
    skops.io.dump(model, folder / "safe.skops")
    return "safe.skops", ROWS.tolist(), model.predict(ROWS).tolist()


def xgboost(folder):
    """Write a booster of xgboost as JSON, with another ending."""
    library = pytest.importorskip("xgboost")
    data = library.DMatrix(ROWS, TWO, feature_names=["a", "b", "c"])
    model = library.train({"objective": "binary:logistic"}, data, 3)
    model.save_model(folder / "boost.json")
    (folder / "boost.json").rename(folder / "boost.model")
    inputs = [dict(zip("abc", row, strict=True)) for row in ROWS.tolist()]
    return "boost.model", inputs, model.predict(data).tolist()


def lightgbm(folder):
    """Write a booster of lightgbm."""
    library = pytest.importorskip("lightgbm")
    many = np.random.default_rng(0).random((90, 3))
    data = library.Dataset(many, many[:, 0])
    model = library.train({"verbose": -1, "min_data_in_leaf": 3}, data, 3)
    model.save_model(folder / "light.txt")
    return "light.txt", many[:6].tolist(), model.predict(many[:6]).tolist()


def test_each_format_answers_as_its_library(daemon, tmp_path):
    """Bit for bit, in one daemon, whatever the file is called."""
    for make in (onnx, onnx_beside, onnx_columns, skops_file, xgboost, lightgbm):
        name, inputs, wanted = make(tmp_path)
        deployed(daemon, tmp_path, name)
        each, batch = asked(daemon, name.partition(".")[0], inputs)
        assert each == wanted, name
        assert batch == wanted, name


def test_formats_whose_libraries_are_in_another_environment(daemon, tmp_path):
    """They are nowhere in the daemon's, and the model runs in theirs."""
    told = formats.made("others", tmp_path)
    for name, case in told.items():
        deployed(daemon, tmp_path, name, "--env", f"venv:{formats.environment()}")
        each, batch = asked(daemon, name.partition(".")[0], case["inputs"])
        assert each == case["outputs"], name
        assert batch == case["outputs"], name


def test_types_that_are_not_trusted_are_shown_before_anything_is_loaded(daemon, tmp_path):
    """And named as --trust takes them."""
    (tmp_path / "mine.py").write_text(
        "class Scale:\n"
        "    def __init__(self, by=2.0):\n"
        "        self.by = by\n"
        "    def predict(self, rows):\n"
        "        return (rows * self.by).sum(1)\n"
    )
    code = "import mine, skops.io; skops.io.dump(mine.Scale(3.0), 'mine.skops')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    words = ("mine.skops", "--include", "mine.py")
    refused = daemon.cli("deploy", *words, cwd=tmp_path)
    assert refused.returncode == 1
    assert "has a type that skops does not trust: mine.Scale" in refused.stderr
    assert "--trust mine.Scale" in refused.stderr
    for trusted in ("mine.Scale", "all"):
        deployed(daemon, tmp_path, *words, "--trust", trusted, "--name", f"m{trusted[:3]}")
        assert asked(daemon, f"m{trusted[:3]}", [[1.0, 2.0]])[0] == [9.0]
