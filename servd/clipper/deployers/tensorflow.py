"""A TensorFlow session or saved model and a function `func(session, inputs)`:
`deploy_tensorflow_model`.
"""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from servd.clipper.deployers.deployer_utils import (
    Wanted,
    deploy_folder,
    framework,
    saved,
)
from servd.clipper.exceptions import ClipperException

logger: Final = logging.getLogger(__name__)

_CHECKPOINT: Final = ("*.meta", "*.index", "checkpoint", "*.data*")


def create_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    tf_sess_or_saved_model_path: Any,
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
    deploy_tensorflow_model(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        tf_sess_or_saved_model_path,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_tensorflow_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    tf_sess_or_saved_model_path: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a session, a folder with a checkpoint or a graph, or a frozen graph (.pb).

    Raises:
        ClipperException: it is none of these; the message says what is missing.
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
        _save(tf_sess_or_saved_model_path, folder / "tfmodel")
        deploy_folder(clipper_conn, wanted, folder)


def _save(model: Any, place: Path) -> None:
    tf = framework("tensorflow")
    tf = getattr(getattr(tf, "compat", None), "v1", tf)
    if isinstance(model, tf.Session):
        try:
            with model.graph.as_default():
                where = tf.train.Saver().save(model, str(place / "model.ckpt"))
        except Exception as error:
            logger.warning("Error saving Tensorflow model: %s", error)
            raise
        logger.info("TensorFlow model saved at: %s ", where)
        return
    _copy(Path(str(model)), place)
    logger.info("TensorFlow model copied to: tfmodel ")


def _copy(path: Path, place: Path) -> None:
    """Copy a model that was saved.

    Raises:
        ClipperException: it is not there, or not whole.
    """
    if path.is_dir():
        is_graph = any(path.glob("*.pb"))
        if not is_graph and not all(any(path.glob(each)) for each in _CHECKPOINT):
            raise _missing(f"{path} not found or some files are missing ")
        shutil.copytree(path, place)
    elif path.is_file() and path.suffix.lower() == ".pb":
        place.mkdir()
        shutil.copyfile(path, place / path.name)
    else:
        raise _missing(f"{path} not found ")


def _missing(what: str) -> ClipperException:
    logger.error("Tensorflow Model: %s", what.rstrip())
    return ClipperException(f"Frozen Tensorflow Model: {what}")
