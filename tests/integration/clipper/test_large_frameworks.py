"""The deployers of frameworks that are too large to be installed for tests: conftest.py leaves this
file out where one of them is missing.
"""

import importlib
import os

import numpy as np
import pytest

from servd.clipper import ClipperException


def deployer(name):
    """Return a deployer's module."""
    return importlib.import_module(f"servd.clipper.deployers.{name}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pytorch_for_real(started, ask):
    """A module's class by value and its weights; version 2 goes live without being linked."""
    torch = importlib.import_module("torch")
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight[:] = torch.tensor([[1.0, 2.0]])

    def predict(model, inputs):
        import torch

        with torch.no_grad():
            rows = model(torch.tensor(np.array(inputs), dtype=torch.float32))
        return [str(float(row[0])) for row in rows]

    deploy = deployer("pytorch")
    deploy.create_endpoint(started, "torch-model", "doubles", predict, model)
    assert ask(started, "/torch-model/predict", {"input": [3.0, 4.0]})[1]["output"] == 11.0
    with torch.no_grad():
        model.weight[:] = torch.tensor([[1.0, 1.0]])
    deploy.deploy_pytorch_model(started, "torch-model", 2, "doubles", predict, model)
    assert ask(started, "/torch-model/predict", {"input": [3.0, 4.0]})[1]["output"] == 7.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_onnx_for_real(started, ask):
    """A PyTorch module as ONNX, computed by ONNX Runtime for batches of any size."""
    torch = importlib.import_module("torch")
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight[:] = torch.tensor([[1.0, 2.0]])

    def predict(model, inputs):
        (rows,) = model.run(np.array(inputs, dtype=np.float32))
        return [str(float(row[0])) for row in rows]

    deploy = deployer("onnx")
    deploy.create_pytorch_endpoint(
        started, "onnx", "floats", torch.zeros(1, 2), predict, model, onnx_backend="caffe2"
    )
    batch = {"input_batch": [[3.0, 4.0], [1.0, 1.0]]}
    answers = ask(started, "/onnx/predict", batch)[1]["batch_predictions"]
    assert [each["output"] for each in answers] == [11.0, 3.0]
    with pytest.raises(ClipperException, match="tensorrt ONNX backend is not currently supported"):
        deploy.deploy_pytorch_model(
            started, "m", 1, "floats", torch.zeros(1, 2), predict, model, onnx_backend="tensorrt"
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_keras_for_real(started, ask, tmp_path):
    """A model object, and the path of one that was saved."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = importlib.import_module("keras")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [2.0]])])

    def predict(model, inputs):
        return [str(float(row[0])) for row in model.predict(np.array(inputs), verbose=0)]

    deploy = deployer("keras")
    deploy.create_endpoint(started, "keras", "floats", predict, model, slo_micros=10_000_000)
    assert ask(started, "/keras/predict", {"input": [3.0, 4.0]})[1]["output"] == 11.0
    model.set_weights([np.array([[1.0], [1.0]])])
    saved = tmp_path / "model.keras"
    model.save(str(saved))
    deploy.deploy_keras_model(started, "keras", 2, "floats", predict, str(saved))
    assert ask(started, "/keras/predict", {"input": [3.0, 4.0]})[1]["output"] == 7.0
    with pytest.raises(ClipperException, match="a Keras Model object or a saved Model"):
        deploy.deploy_keras_model(started, "k", 1, "floats", predict, str(tmp_path / "gone.h5"))
