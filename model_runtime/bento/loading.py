"""Loads the service of a saved bundle. Used by loaders/bento.py, and by servd.bento.load.

What a bundle says of itself is read by who has YAML: servd/packing/saved_bundle.py.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from model_runtime.bento import aliases
from model_runtime.bento.exceptions import BentoMLException
from model_runtime.older import dataclass

ZIPPED = "zipimports"
"""The folder, beside a service's code, of modules in zip files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A service in a bundle. `module` is the file with its class, below `folder`."""

    folder: Path
    name: str
    module: str
    version: str
    python: str = ""


def load_class(place: Place) -> Any:
    """Return the class of a bundle's service, set up to load its artifacts from there.

    Raises:
        BentoMLException: its file has no such class.
        Exception: whatever its code raises.
    """
    aliases.install()
    module = _module(place)
    cls = getattr(module, place.name, None)
    if not isinstance(cls, type):
        raise BentoMLException(f"{place.module} of the bundle has no class {place.name}")
    return type(
        cls.__name__,
        (cls,),
        # The class itself may be the program's own, of which other instances are empty.
        {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
            "_bento_service_bundle_path": str(place.folder),
            "_bento_service_bundle_version": place.version,
            "_bento_service_bundle_python": place.python,
        },
    )


def _module(place: Place) -> Any:
    """Import the file of a service as the module that it was."""
    inner = place.folder / place.name
    zipped = sorted((inner / ZIPPED).glob("*")) if (inner / ZIPPED).is_dir() else []
    sys.path[:0] = [*map(str, zipped), str(inner), str(place.folder)]
    file = place.folder / place.module
    relative = file.relative_to(inner if file.is_relative_to(inner) else place.folder)
    name = ".".join(relative.with_suffix("").parts)
    there = sys.modules.get(name)
    if getattr(there, "__file__", None) == str(file):
        return there
    if there is not None:  # another of that name: a program's own, or of another version
        name = f"{name}_{place.version}".replace(".", "_")
    if "." in name:
        importlib.import_module(name.rpartition(".")[0])
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise BentoMLException(f"{place.module} of the bundle is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
