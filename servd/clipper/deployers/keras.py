"""A Keras model and a function `func(model, inputs)`: `deploy_keras_model`."""

import json
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


def create_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    func: Callable[..., Any],
    model_path_or_object: Any,
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
    deploy_keras_model(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        model_path_or_object,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_keras_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    model_path_or_object: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a model of Keras: the object, or the path of a file that it was saved as.

    Raises:
        ClipperException: it is neither, or cannot be saved or loaded.
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
        _save(model_path_or_object, folder)
        deploy_folder(clipper_conn, wanted, folder)


def _save(model: Any, folder: Path) -> None:
    keras = framework("keras")
    backend: Any = getattr(keras, "backend", None)
    if hasattr(backend, "backend"):
        (folder / "keras.json").write_text(json.dumps({"backend": backend.backend()}))
    if isinstance(model, keras.Model):
        # The format of before knows fewer kinds of layers; older Keras knows no other.
        is_new = int(str(getattr(keras, "__version__", "2")).partition(".")[0]) >= 3
        model.save(str(folder / f"keras_model.{'keras' if is_new else 'h5'}"))
        return
    path = Path(str(model))
    if not path.is_file():
        raise ClipperException(
            f"{model} should be wither a Keras Model object or a saved Model ('.h5')"
        )
    ending = ".keras" if path.suffix == ".keras" else ".h5"
    try:
        shutil.copy(path, folder / f"keras_model{ending}")
    except OSError as error:
        logger.error("Error copying keras model: %s", error)  # noqa: TRY400 - it is raised
        raise
