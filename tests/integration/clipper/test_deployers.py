"""The deployers: with their frameworks where those are installed, else against their interface."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_runtime import clipper_model
from servd.clipper import ClipperException
from servd.clipper.deployers.deployer_utils import serialize_object

NUMBERS = [[1.0, 2.0], [3.0, 5.0]]
SESSIONS = """
class Graph:
    def as_default(self):
        import contextlib
        return contextlib.nullcontext()
class Session:
    def __init__(self, graph=None):
        self.graph = graph or Graph()
        self.factor = None
class Saver:
    def save(self, session, path):
        import pathlib
        folder = pathlib.Path(path).parent
        folder.mkdir()
        for end in (".meta", ".index", ".data-00000-of-00001"):
            pathlib.Path(path + end).write_text(str(session.factor))
        (folder / "checkpoint").write_text("")
        return path
    def restore(self, session, path):
        import pathlib
        session.factor = float(pathlib.Path(path + ".index").read_text())
class train:
    Saver = Saver
    @staticmethod
    def import_meta_graph(path, clear_devices):
        return Saver()
class GraphDef:
    def ParseFromString(self, text):
        self.text = text
def import_graph_def(graph, name):
    assert graph.text == b"frozen"
"""
MXNET = """
import pathlib
import types
class Module:
    def __init__(self, symbol=None, label_names=("softmax_label",)):
        self.symbol = symbol
    def save_checkpoint(self, prefix, epoch):
        pathlib.Path(f"{prefix}-symbol.json").write_text(self.symbol)
        pathlib.Path(f"{prefix}-{epoch:04d}.params").write_text("5")
    def bind(self, data_shapes, for_training):
        assert data_shapes == [("data", (1, 2))] and not for_training
    def set_params(self, arguments, auxiliary):
        self.factor = arguments
def load_checkpoint(prefix, epoch):
    symbol = pathlib.Path(f"{prefix}-symbol.json").read_text()
    return symbol, int(pathlib.Path(f"{prefix}-{epoch:04d}.params").read_text()), {}
mod = types.SimpleNamespace(Module=Module)
model = types.SimpleNamespace(load_checkpoint=load_checkpoint)
"""
SPARK = {
    "__init__.py": "",
    "sql.py": """
import types
class Session:
    sparkContext = "context"
class Builder:
    def appName(self, name):
        return self
    def getOrCreate(self):
        return Session()
SparkSession = types.SimpleNamespace(builder=Builder())
""",
    "ml/__init__.py": "",
    "ml/base.py": "class Model: pass\n",
    "ml/pipeline.py": """
from pyspark.ml.base import Model
import pathlib
class PipelineModel(Model):
    def __init__(self, factor):
        self.factor = factor
    def save(self, path):
        pathlib.Path(path).mkdir()
        (pathlib.Path(path) / "factor").write_text(str(self.factor))
    @classmethod
    def load(cls, path):
        return cls(float((pathlib.Path(path) / "factor").read_text()))
""",
    "mllib.py": """
import pathlib
class Regression:
    def __init__(self, factor):
        self.factor = factor
    def save(self, context, path):
        assert context == "context"
        pathlib.Path(path).mkdir()
        (pathlib.Path(path) / "factor").write_text(str(self.factor))
    @classmethod
    def load(cls, context, path):
        assert context == "context"
        return cls(float((pathlib.Path(path) / "factor").read_text()))
""",
}


class Connection:
    """Keeps what is built, as an image would hold it, and what it is deployed with."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []

    def register_application(self, *arguments):
        """Note the application."""
        self.calls.append(("register_application", arguments))

    def link_model_to_app(self, *arguments):
        """Note the link."""
        self.calls.append(("link_model_to_app", arguments))

    def build_and_deploy_model(self, name, version, input_type, path, base_image, *rest):
        """Keep the files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(path, self.folder)
        self.calls.append((name, version, input_type, base_image, *rest))

    def answers(self, inputs, **modules):
        """Return what a replica of it would answer, run by itself with some modules on its path."""
        shutil.copyfile(clipper_model.__file__, self.folder / "clipper_model.py")
        code = f"import clipper_model, json; print(json.dumps(clipper_model.predict({inputs!r})))"
        path = os.pathsep.join([str(self.folder), *modules.values()])
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def connection(tmp_path):
    """Return a connection that keeps what it is told."""
    return Connection(tmp_path / "image")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return a function that puts a module in a framework's place, here and for replicas."""
    folder = tmp_path / "frameworks"
    monkeypatch.syspath_prepend(str(folder))
    made = []

    def make(name, files):
        for file, text in files.items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in [each for each in sys.modules if each.partition(".")[0] in made]:
        del sys.modules[name]


def deployer(name):
    """Return a deployer's module."""
    return importlib.import_module(f"servd.clipper.deployers.{name}")


def test_importing_the_deployers_imports_no_framework():
    """Neither the package nor its deployers: they are imported when they are called."""
    names = "torch", "tensorflow", "keras", "onnx", "onnxruntime", "pyspark", "mxnet", "xgboost"
    code = (
        "import sys, servd.clipper\n"
        "from servd.clipper.deployers import "
        "python, pytorch, tensorflow, keras, onnx, pyspark, mxnet, xgboost\n"
        f"print([name for name in {(*names, 'docker', 'kubernetes', 'sklearn')} "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_a_framework_that_is_not_installed_is_named(connection, monkeypatch):
    """The message says what to install; what was saved is gone."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ClipperException, match="pip install torch"):
        deployer("pytorch").deploy_pytorch_model(
            connection, "m", 1, "doubles", lambda _, xs: xs, object()
        )


def test_closures_of_scikit_learn(started, ask):
    """A function over a fitted classifier answers; whole numbers may be among the doubles."""
    sklearn = importlib.import_module("sklearn.ensemble")
    rng = np.random.default_rng(0)
    table, labels = rng.random((60, 3)), rng.integers(0, 2, 60)
    model = sklearn.GradientBoostingClassifier(n_estimators=5).fit(table, labels)

    def predict(inputs):
        return [str(each) for each in model.predict(inputs)]

    deployer("python").create_endpoint(started, "kddtutorial", "doubles", predict)
    status, answer = ask(started, "/kddtutorial/predict", {"input": [1, 0.5, 2]})
    assert (status, answer["default"]) == (200, False)
    assert answer["output"] == model.predict([[1, 0.5, 2]])[0]


def test_a_module_beside_the_script_comes_along(started, ask, monkeypatch):
    """It is named by the function, whose own values are sent with it."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    beside = importlib.import_module("beside_the_script")
    text = "factor = 7"

    def predict(inputs):
        return [f"{text} {beside.size(x)}" for x in inputs]

    deployer("python").create_endpoint(started, "local", "strings", predict)
    assert ask(started, "/local/predict", {"input": "abc"})[1]["output"] == "factor = 7 3"


def test_xgboost_for_real(started, ask):
    """A booster and a function with it; as Clipper does it, in a closure, too."""
    xgboost = importlib.import_module("xgboost")
    rng = np.random.default_rng(0)
    table, labels = rng.random((60, 3)), rng.integers(0, 2, 60)
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(table, labels)
    expected = int(model.predict(np.array([[1, 2, 3]]))[0])

    def predict(model, inputs):
        return [str(each) for each in model.predict(np.array(inputs))]

    deployer("xgboost").create_endpoint(started, "boosted", "integers", predict, model)
    assert ask(started, "/boosted/predict", {"input": [1, 2, 3]})[1]["output"] == expected

    def closed(inputs):
        return [str(each) for each in model.predict(np.array(inputs))]

    deployer("python").create_endpoint(
        started, "closed", "integers", closed, batch_size=1, pkgs_to_install=["xgboost"]
    )
    assert ask(started, "/closed/predict", {"input": [1, 2, 3]})[1]["output"] == expected


def test_tensorflow_by_its_interface(connection, stand_in, tmp_path):
    """A session, a folder with a checkpoint, a frozen graph; what is missing is said."""
    tf = stand_in("tensorflow", {"__init__.py": SESSIONS})
    frameworks = str(tmp_path / "frameworks")
    deploy = deployer("tensorflow").deploy_tensorflow_model

    def predict(session, inputs):
        return [sum(x) * (session.factor or 100) for x in inputs]

    session = tf.Session()
    session.factor = 2.0
    deploy(connection, "m", 1, "doubles", predict, session)
    assert connection.answers(NUMBERS, tensorflow=frameworks) == ["6.0", "16.0"]
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(connection.folder / "tfmodel", checkpoint)
    deploy(connection, "m", 2, "doubles", predict, str(checkpoint))
    assert connection.answers(NUMBERS, tensorflow=frameworks) == ["6.0", "16.0"]
    frozen = tmp_path / "graph.pb"
    frozen.write_bytes(b"frozen")
    deploy(connection, "m", 3, "doubles", predict, str(frozen))
    assert connection.answers(NUMBERS, tensorflow=frameworks) == ["300.0", "800.0"]
    (checkpoint / "checkpoint").unlink()
    with pytest.raises(ClipperException, match="not found or some files are missing"):
        deploy(connection, "m", 4, "doubles", predict, str(checkpoint))
    with pytest.raises(ClipperException, match="not found"):
        deploy(connection, "m", 4, "doubles", predict, str(tmp_path / "gone"))


def test_mxnet_by_its_interface(connection, stand_in, tmp_path):
    """The checkpoint is loaded and bound to the shapes that were given."""
    mx = stand_in("mxnet", {"__init__.py": MXNET})
    model = mx.mod.Module(symbol="net")

    def predict(model, inputs):
        return [sum(x) * model.factor for x in inputs]

    deployer("mxnet").create_endpoint(
        connection, "m", "doubles", predict, model, [("data", (1, 2))]
    )
    assert connection.answers(NUMBERS, mxnet=str(tmp_path / "frameworks")) == ["15.0", "40.0"]
    assert connection.calls[0] == ("register_application", ("m", "doubles", "None", 3000000))
    assert connection.calls[1] == ("m", 1, "doubles", "default", None, None, 1, -1, None)
    assert connection.calls[2] == ("link_model_to_app", ("m", "m"))


def test_pyspark_by_its_interface(connection, stand_in, tmp_path):
    """Pipelines are saved by themselves, models of mllib with the context; others are refused."""
    stand_in("pyspark", SPARK)
    pipeline = importlib.import_module("pyspark.ml.pipeline").PipelineModel(2.0)
    regression = importlib.import_module("pyspark.mllib").Regression(3.0)

    def predict(spark, model, inputs):
        return [f"{spark.sparkContext} {sum(x) * model.factor}" for x in inputs]

    deploy = deployer("pyspark").deploy_pyspark_model
    for model, first in ((pipeline, "context 6.0"), (regression, "context 9.0")):
        deploy(connection, "m", 1, "doubles", predict, model, "context")
        answers = connection.answers(NUMBERS, pyspark=str(tmp_path / "frameworks"))
        assert answers[0] == first
    with pytest.raises(ClipperException, match="was not a pyspark object"):
        deploy(connection, "m", 1, "doubles", predict, object(), "context")


def test_outputs_are_texts(connection):
    """Whatever a function returns is answered as its text, as of Clipper's containers."""
    deployer("python").deploy_python_closure(
        connection, "m", 1, "doubles", lambda xs: [np.float64(1.5), {"a": 1}][: len(xs)]
    )
    assert connection.answers(NUMBERS) == ["1.5", "{'a': 1}"]


def test_what_another_python_wrote_is_refused(connection):
    """Before it is read: byte code of another version could end the replica without a word."""
    deployer("python").deploy_python_closure(connection, "m", 1, "doubles", lambda xs: xs)
    note = connection.folder / "modules.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"python": "3.6.9"}))
    with pytest.raises(AssertionError, match=r"written by Python 3\.6\.9, and this replica is"):
        connection.answers(NUMBERS)


def test_an_object_is_serialized_by_value():
    """serialize_object gives a pickle's bytes, or says what has none."""
    import pickle

    assert pickle.loads(serialize_object(lambda x: x + 1))(2) == 3
    with pytest.raises(ClipperException, match="cannot be pickled"):
        serialize_object(x for x in ())
