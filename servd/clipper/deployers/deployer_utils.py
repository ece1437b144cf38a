"""What all deployers do: save the function, then have it built and deployed."""

import importlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from servd.clipper.exceptions import ClipperException
from servd.clipper.saved_objects import save

logger: Final = logging.getLogger(__name__)

DEFAULT_IMAGE: Final = "default"


def serialize_object(obj: Any) -> bytes:
    """Return the pickle of an object, of classes and functions of scripts by value.

    Raises:
        ClipperException: something in it has no pickle; the message says what.
    """
    try:
        text: bytes = importlib.import_module("cloudpickle").dumps(obj)
    except Exception as error:
        raise ClipperException(f"{obj!r:.80} cannot be pickled: {error}") from error
    return text


def save_python_function(name: str, func: Callable[..., Any]) -> str:
    """Save a function in a new temporary folder, as func.pkl, with what it needs of the script's
    own modules and files; return the folder.

    Raises:
        ClipperException: it has no pickle; the message has the path to what is in the way.
    """
    del name
    folder = Path(tempfile.mkdtemp(suffix="clipper")).absolute()
    logger.info("Saving function to %s", folder)
    try:
        save(func, folder, "func.pkl")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    logger.info("Serialized and supplied predict function")
    return str(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What every deployer is told of a model, besides the model."""

    name: str
    version: str | int
    input_type: str
    base_image: str | None
    labels: Sequence[str] | None
    registry: str | None
    num_replicas: int
    batch_size: int
    pkgs_to_install: Sequence[str] | None


@contextmanager
def saved(wanted: Wanted, func: Callable[..., Any]) -> Iterator[Path]:
    """Save a function, yield the folder for what goes beside it, and remove it at the end."""
    folder = save_python_function(wanted.name, func)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def deploy_folder(clipper_conn: Any, wanted: Wanted, folder: Path) -> None:
    """Build the image of a folder and deploy it."""
    base_image = wanted.base_image
    if base_image in (None, DEFAULT_IMAGE):
        major, minor = sys.version_info[:2]
        logger.info("Using Python %d.%d base image", major, minor)
        base_image = DEFAULT_IMAGE
    clipper_conn.build_and_deploy_model(
        wanted.name,
        wanted.version,
        wanted.input_type,
        str(folder),
        base_image,
        wanted.labels,
        wanted.registry,
        wanted.num_replicas,
        wanted.batch_size,
        wanted.pkgs_to_install,
    )


def framework(name: str) -> Any:
    """Return a framework's module, which is imported here and not before.

    Raises:
        ClipperException: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        top = name.partition(".")[0]
        raise ClipperException(
            f"{top} cannot be imported: {error}. What to do: pip install {top}"
        ) from error
