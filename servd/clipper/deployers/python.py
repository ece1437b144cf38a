"""A function, with what it closes over: `deploy_python_closure`."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from servd.clipper.deployers.deployer_utils import Wanted, deploy_folder, saved

logger: Final = logging.getLogger(__name__)


def create_endpoint(
    clipper_conn: Any,
    name: str,
    input_type: str,
    func: Callable[..., Any],
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
    deploy_python_closure(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_python_closure(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a function that takes a list of inputs and returns a list of as many texts.

    Raises:
        ClipperException: it has no pickle, or cannot be loaded; the message says why.
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
        logger.info("Python closure saved")
        deploy_folder(clipper_conn, wanted, folder)
