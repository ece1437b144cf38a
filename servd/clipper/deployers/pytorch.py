"""A PyTorch model and a function `func(model, inputs)`: `deploy_pytorch_model`."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from servd.clipper.deployers.deployer_utils import Wanted, deploy_folder, framework, saved
from servd.clipper.exceptions import ClipperException
from servd.clipper.saved_objects import save

logger: Final = logging.getLogger(__name__)

PYTORCH_WEIGHTS_RELATIVE_PATH: Final = "pytorch_weights.pkl"
PYTORCH_MODEL_RELATIVE_PATH: Final = "pytorch_model.pkl"


def create_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    pytorch_model: Any,
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
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
        func,
        pytorch_model,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_pytorch_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    pytorch_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a module of PyTorch: its class by value, its weights as a state dictionary.

    Raises:
        ClipperException: the model cannot be saved or loaded.
    """
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
        torch = framework("torch")
        try:
            weights = str(folder / PYTORCH_WEIGHTS_RELATIVE_PATH)
            torch.save(pytorch_model.state_dict(), weights)
            save(pytorch_model, folder, PYTORCH_MODEL_RELATIVE_PATH)
        except Exception as error:
            raise ClipperException(f"Error saving torch model: {error}") from error
        logger.info("Torch model saved")
        deploy_folder(clipper_conn, wanted, folder)
