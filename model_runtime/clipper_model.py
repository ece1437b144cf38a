"""What a replica loads of a model that came by Clipper's deployers (servd/clipper). Not imported
from here: it is copied into the bundle, beside func.pkl and what the deployer has saved.

`predict` calls the function with a list of inputs (after the model, where there is one) and answers
with texts, as Clipper's containers do. Without func.pkl it answers what Clipper's noop and sum
images answer.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def _unpickled(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - a model is code; a replica is where it runs


def _pytorch(path: Path) -> tuple[Any, ...]:
    torch = importlib.import_module("torch")
    model = _unpickled(path)
    weights = torch.load(path.with_name("pytorch_weights.pkl"), map_location="cpu")
    model.load_state_dict(weights)
    return (model,)


def _keras(path: Path) -> tuple[Any, ...]:
    settings = path.with_name("keras.json")
    if settings.exists():
        # The model may have layers that only the backend it was made with can compute.
        os.environ.setdefault("KERAS_BACKEND", json.loads(settings.read_text())["backend"])
    keras = importlib.import_module("keras")
    return (keras.models.load_model(str(path)),)


def _onnx(path: Path) -> tuple[Any, ...]:
    backend = importlib.import_module("onnxruntime.backend")
    return (backend.prepare(str(path), device="CPU"),)


def _tensorflow(folder: Path) -> tuple[Any, ...]:
    tf = importlib.import_module("tensorflow")
    tf = getattr(getattr(tf, "compat", None), "v1", tf)
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        if (folder / "saved_model.pb").exists():
            tf.saved_model.loader.load(session, ["serve"], str(folder))
            return (session,)
        frozen = sorted(folder.glob("*.pb"))
        if frozen:
            graph = tf.GraphDef()
            graph.ParseFromString(frozen[0].read_bytes())
            tf.import_graph_def(graph, name="")
            return (session,)
        meta = next(iter(sorted(folder.glob("*.meta"))))
        saver = tf.train.import_meta_graph(str(meta), clear_devices=True)
        saver.restore(session, str(meta.with_suffix("")))
    return (session,)


def _pyspark(folder: Path) -> tuple[Any, ...]:
    sql = importlib.import_module("pyspark.sql")
    spark = sql.SparkSession.builder.appName("clipper-pyspark").getOrCreate()
    named = json.loads(folder.with_name("metadata.json").read_text())["model_class"]
    module, _, name = named.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    bases = (
        importlib.import_module("pyspark.ml.pipeline").PipelineModel,
        importlib.import_module("pyspark.ml.base").Model,
    )
    if issubclass(kind, bases):
        return (spark, kind.load(str(folder)))
    return (spark, kind.load(spark.sparkContext, str(folder)))


def _mxnet(metadata: Path) -> tuple[Any, ...]:
    mx = importlib.import_module("mxnet")
    prefix = str(metadata.with_name("mxnet_model"))
    symbol, arguments, auxiliary = mx.model.load_checkpoint(prefix=prefix, epoch=0)
    shapes = json.loads(metadata.read_text())["data_shapes"]
    module = mx.mod.Module(symbol=symbol, label_names=None)
    module.bind(data_shapes=[(name, tuple(shape)) for name, shape in shapes], for_training=False)
    module.set_params(arguments, auxiliary)
    return (module,)


_MODELS: dict[str, Callable[[Path], tuple[Any, ...]]] = {
    "pytorch_model.pkl": _pytorch,
    "keras_model.keras": _keras,
    "keras_model.h5": _keras,
    "tfmodel": _tensorflow,
    "model.onnx": _onnx,
    "pyspark_model_data": _pyspark,
    "mxnet_model_metadata.json": _mxnet,
    "xgboost_model.pkl": lambda path: (_unpickled(path),),
}
"""By what a deployer has saved: what reads it, and returns what comes before the inputs."""


def _check_python() -> None:
    """Refuse what another Python has compiled before it is read: running it could end the process.

    Raises:
        RuntimeError: it was written by another one.
    """
    note = HERE / "modules.json"
    made_by = json.loads(note.read_text()).get("python", "") if note.exists() else ""
    here = "{}.{}".format(*sys.version_info[:2])
    if made_by and ".".join(made_by.split(".")[:2]) != here:
        raise RuntimeError(
            f"func.pkl was written by Python {made_by}, and this replica is run by Python {here}, "
            f"which cannot run what the other has compiled: deploy it from Python {here}, or start "
            f"servd with Python {made_by}"
        )


def _loaded() -> Callable[[list[Any]], Any]:
    _check_python()
    if not (HERE / "func.pkl").exists():
        return _sums
    before: tuple[Any, ...] = ()
    for name, read in _MODELS.items():
        if (HERE / name).exists():
            before = read(HERE / name)
            break
    function = _unpickled(HERE / "func.pkl")
    return lambda inputs: function(*before, inputs)


def _sums(inputs: list[Any]) -> list[float]:
    return [len(x) if isinstance(x, (str, bytes)) else sum(x) for x in inputs]


_call = _loaded()


def predict(inputs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - annotations would say what an input is
    """Answer a list of inputs with as many texts."""
    return [str(output) for output in _call(list(inputs))]
