"""Bundles that were saved: loads their services. Used by users' scripts."""

from pathlib import Path
from typing import Any

from model_runtime.bento.exceptions import BentoMLConfigException
from model_runtime.bento.loading import Place, load_class
from servd.bento.saving import save_to_dir
from servd.errors import TargetError
from servd.packing import saved_bundle
from servd.packing.saved_bundle import DESCRIPTION, SavedBundle

__all__ = [
    "described",
    "load_bento_service_api",
    "load_bento_service_class",
    "load_from_dir",
    "save_to_dir",
]


def described(bundle_path: str | Path) -> SavedBundle:
    """Return what a bundle says of itself.

    Raises:
        BentoMLConfigException: there is none, or it is damaged.
    """
    folder = Path(bundle_path).expanduser().resolve()
    if not saved_bundle.is_saved(folder):
        raise BentoMLConfigException(f"{bundle_path} is no saved bundle: it has no {DESCRIPTION}")
    try:
        return saved_bundle.read(folder)
    except TargetError as error:
        hint = f". {error.hint}" if error.hint else ""
        raise BentoMLConfigException(f"{error.message}{hint}") from error


def load_bento_service_class(bundle_path: str | Path) -> Any:
    """Return the class of a bundle's service; an instance of it has the bundle's artifacts.

    Raises:
        BentoMLException: there is none, or it is damaged.
        Exception: whatever its code raises.
    """
    bundle = described(bundle_path)
    place = Place(
        folder=bundle.folder,
        name=bundle.name,
        module=bundle.module.relative_to(bundle.folder).as_posix(),
        version=bundle.version,
        python=bundle.python,
    )
    return load_class(place)


def load_from_dir(bundle_path: str | Path) -> Any:
    """Return the service of a bundle, with its artifacts. See `load_bento_service_class`."""
    return load_bento_service_class(bundle_path)()


def load_bento_service_api(bundle_path: str | Path, api_name: str | None = None) -> Any:
    """Return an API of a bundle's service; None: the first. See `load_bento_service_class`."""
    return load_from_dir(bundle_path).get_inference_api(api_name)
