"""An MXNet module and a function `func(model, inputs)`: `deploy_mxnet_model`."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from servd.clipper.deployers.deployer_utils import Wanted, deploy_folder, saved

logger: Final = logging.getLogger(__name__)

MXNET_MODEL_RELATIVE_PATH: Final = "mxnet_model"


def create_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    mxnet_model: Any,
    mxnet_data_shapes: Any,
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
    deploy_mxnet_model(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        mxnet_model,
        mxnet_data_shapes,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_mxnet_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    mxnet_model: Any,
    mxnet_data_shapes: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a module of MXNet; `mxnet_data_shapes` are names and shapes of its inputs.

    Raises:
        ClipperException: the model cannot be loaded.
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
        _save(mxnet_model, mxnet_data_shapes, folder)
        deploy_folder(clipper_conn, wanted, folder)


def _save(model: Any, data_shapes: Any, folder: Path) -> None:
    """Write a module's parameters, and the names and shapes of its inputs, into a folder."""
    try:
        model.save_checkpoint(prefix=str(folder / MXNET_MODEL_RELATIVE_PATH), epoch=0)
    except Exception as error:
        logger.error("Error saving MXNet model: %s", error)  # noqa: TRY400 - it is raised
        raise
    shapes = [[str(each[0]), list(each[1])] for each in data_shapes]
    metadata = folder / "mxnet_model_metadata.json"
    metadata.write_text(json.dumps({"data_shapes": shapes}))
    logger.info("MXNet model saved")
