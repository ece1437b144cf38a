"""Saves a service: its code, its artifacts and what describes them, in BentoML 0.13's layout.

Used by `BentoService.save`. A bundle appears in its place whole, or not at all.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from model_runtime.bento.exceptions import BentoMLException
from model_runtime.bento.service.artifacts.common import PickleArtifact
from servd.bento import code, described
from servd.client import pickling
from servd.errors import ServdError

logger: Final = logging.getLogger("servd.bento")

_HOME: Final = "BENTOML_HOME"


def repository() -> Path:
    """Return the folder of saved bundles."""
    home = os.environ.get(_HOME) or "~/bentoml"
    return Path(os.path.expandvars(home)).expanduser().absolute() / "repository"


def save_in_repository(
    service: Any, yatai_url: str | None, version: str | None, labels: dict[str, str] | None
) -> str:
    """Save a service under its name and version; return the path. See `BentoService.save`."""
    if yatai_url is not None:
        raise BentoMLException(
            f"there are no servers of bundles such as {yatai_url}: save() keeps them in "
            f"{repository()}, or below {_HOME}"
        )
    _set_version(service, version)
    place = repository() / service.name / service.version
    if place.exists():
        raise BentoMLException(f"there is a bundle of {service.tag} already: {place}")
    _make(place.parent)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".saving-") as folder:
        made = Path(folder) / "bundle"
        made.mkdir()
        _write(service, made, labels)
        made.rename(place)
    _tell(service, place)
    return str(place)


def save_in(service: Any, folder: Path, version: str | None) -> None:
    """Save a service in a folder. See `BentoService.save_to_dir`."""
    folder = folder.expanduser()
    if not folder.is_dir():
        raise BentoMLException(f"the folder {folder} is not there")
    _set_version(service, version)
    if (folder / service.name).exists():
        raise BentoMLException(f"there is a bundle of {service.name} in {folder} already")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as inner:
        _write(service, Path(inner), None)
        for path in Path(inner).iterdir():
            path.replace(folder / path.name)
    _tell(service, folder)


def save(
    bento_service: Any,
    base_path: str | None = None,
    version: str | None = None,
    labels: dict[str, str] | None = None,
) -> str:
    """Save a service in the repository, or in NAME/VERSION below another folder."""
    if base_path is None:
        return save_in_repository(bento_service, None, version, labels)
    _set_version(bento_service, version)
    place = Path(base_path).expanduser().absolute() / bento_service.name / bento_service.version
    _make(place)
    save_in(bento_service, place, None)
    return str(place)


def save_to_dir(bento_service: Any, path: str | Path, version: str | None = None) -> None:
    """Save a service in a folder. See `BentoService.save_to_dir`."""
    save_in(bento_service, Path(path), version)


def _set_version(service: Any, version: str | None) -> None:
    if version is not None:
        service.set_version(version)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BentoMLException(f"{folder} cannot be made: {error.strerror}") from error


def _tell(service: Any, place: Path) -> None:
    if not logger.hasHandlers():
        # Scripts see what BentoML shows them; whoever has set up logging decides himself.
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s - %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    logger.info("BentoService bundle '%s' created at: %s", service.tag, place)


def _write(service: Any, folder: Path, labels: dict[str, str] | None) -> None:
    """Write a bundle into an empty folder.

    Raises:
        BentoMLException: it cannot be written.
    """
    service.artifacts.check_ready()
    inner = folder / service.name
    try:
        inner.mkdir()
        _save_artifacts(service, inner)
        module = code.copy(type(service), inner)
        described.write(service, folder, module, labels)
        _copy_pages(service, inner)
    except OSError as error:
        raise BentoMLException(
            f"{service.name} cannot be saved: {error.filename}: {error.strerror}"
        ) from error
    except ServdError as error:
        hint = f". {error.hint}" if error.hint else ""
        raise BentoMLException(f"{service.name} cannot be saved: {error.message}{hint}") from error


def _save_artifacts(service: Any, inner: Path) -> None:
    """Write the artifacts; of one that cannot be, say what in it is in the way."""
    try:
        service.artifacts.save(inner)
    except BentoMLException:
        for name, artifact in service.artifacts.items():
            if isinstance(artifact, PickleArtifact):
                with tempfile.TemporaryFile() as file:
                    pickling.write(artifact.get(), file, f"the artifact '{name}'")
        raise


def _copy_pages(service: Any, inner: Path) -> None:
    pages = service._web_static_content  # noqa: SLF001 - as the decorator sets it
    if pages is None:
        return
    if not Path(pages).is_dir():
        raise BentoMLException(f"@web_static_content names {pages}, which is no folder")
    shutil.copytree(pages, inner / "web_static_content")
