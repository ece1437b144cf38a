"""A Spark model and a function `func(spark, model, inputs)`: `deploy_pyspark_model`."""

import json
import logging
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
    pyspark_model: Any,
    sc: Any,
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
    deploy_pyspark_model(
        clipper_conn,
        name,
        version,
        input_type,
        func,
        pyspark_model,
        sc,
        base_image,
        labels,
        registry,
        num_replicas,
        batch_size,
        pkgs_to_install,
    )
    clipper_conn.link_model_to_app(name, name)


def deploy_pyspark_model(
    clipper_conn: Any,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[..., Any],
    pyspark_model: Any,
    sc: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
) -> None:
    """Deploy a model of pyspark: of mllib, of ml, or a pipeline; `sc` is the Spark context.

    Raises:
        ClipperException: it is no model of pyspark.
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
        _save(pyspark_model, sc, folder)
        deploy_folder(clipper_conn, wanted, folder)


def _save(model: Any, context: Any, folder: Path) -> None:
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if not kind.startswith("pyspark."):
        raise ClipperException("pyspark_model argument was not a pyspark object")
    bases = (
        framework("pyspark.ml.pipeline").PipelineModel,
        framework("pyspark.ml.base").Model,
    )
    place = str(folder / "pyspark_model_data")
    try:
        if isinstance(model, bases):
            model.save(place)
        else:
            model.save(context, place)
    except Exception as error:
        logger.warning("Error saving spark model: %s", error)
        raise
    (folder / "metadata.json").write_text(json.dumps({"model_class": kind}))
    logger.info("Spark model saved")
