"""A PyTorch model as ONNX and a function `func(model, inputs)`: `deploy_pytorch_model`.

ONNX Runtime computes it, also where Caffe2 is asked for, which there is no more: `model.run(array)`
returns the list of outputs, as of every backend of ONNX.
"""

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, Final

from servd.clipper.deployers.deployer_utils import Wanted, deploy_folder, framework, saved
from servd.clipper.exceptions import ClipperException

logger: Final = logging.getLogger(__name__)

_BACKENDS: Final = ("caffe2", "onnxruntime")
_DYNAMO: Final = "dynamo"


def create_pytorch_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    inputs: Any,
    func: Callable[..., Any],
    pytorch_model: Any,
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = "caffe2",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Register an application, deploy a model and link them, all under one name."""
    clipper_conn.register_application(name, input_type, default_output, slo_micros)
    deploy_pytorch_model(
        clipper_conn,
        name,
        version,
        input_type,
        inputs,
        func,
        pytorch_model,
        base_image,
        labels,
        registry,
        num_replicas,
        onnx_backend,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


create_endpoint: Final = create_pytorch_endpoint


def deploy_pytorch_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    inputs: Any,
    func: Callable[..., Any],
    pytorch_model: Any,
    base_image: str | None = None,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = "caffe2",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a module of PyTorch as ONNX; `inputs` is what it is traced with.

    Raises:
        ClipperException: it has no form in ONNX, or the backend is unknown.
    """
    if onnx_backend not in _BACKENDS and base_image is None:
        message = f"{onnx_backend} ONNX backend is not currently supported."
        logger.error(message)
        raise ClipperException(message)
    wanted = Wanted(
        name=name,
        version=version,
        input_type=input_type,
        base_image=base_image,
        labels=labels,
        registry=registry,
        num_replicas=num_replicas,
        batch_size=batch_size,
        pkgs_to_install=pkgs_to_install,
    )
    with saved(wanted, func) as folder:
        (folder / "model.onnx").write_bytes(_exported(pytorch_model, inputs))
        logger.info("Torch model has be serialized to ONNX format")
        deploy_folder(clipper_conn, wanted, folder)


def _exported(model: Any, inputs: Any) -> bytes:
    torch = framework("torch")
    framework("onnxruntime")
    written = io.BytesIO()
    # The number of rows is not that of what it is traced with: replicas get batches.
    rows = {"input": {0: "rows"}, "output": {0: "rows"}}
    more = {_DYNAMO: False} if _DYNAMO in signature(torch.onnx.export).parameters else {}
    try:
        with warnings.catch_warnings():
            # Of this exporter's age: the newer one needs packages that torch does not bring.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                inputs,
                written,
                input_names=["input"],
                output_names=["output"],
                dynamic_axes=rows,
                **more,
            )
    except Exception as error:
        message = f"Error serializing PyTorch model to ONNX: {error}"
        logger.error(message)  # noqa: TRY400 - it is raised
        raise ClipperException(message) from error
    return written.getvalue()
