"""Tells what is installed from what is the user's own. Used by modules.py and targets.py."""

import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

import model_runtime

RUNTIME: Final = "model_runtime"
"""A replica has imported it before it comes to the model: no file of a model can have its name."""
_OWN_PACKAGES: Final = ("servd", RUNTIME, "k8s_adapter")
_INSTALLED_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})
_MARKS: Final = ("pyvenv.cfg", "servd.lock")
"""A folder that has one of these is an environment, or a daemon's data directory."""
_NEVER: Final = frozenset({"node_modules", "__pycache__", ".git", ".hg", ".svn", ".tox"})
_BUILT_IN: Final = frozenset({"built-in", "frozen", None})


@functools.cache
def _folders() -> tuple[Path, ...]:
    """Return the folders of the standard library and of installed packages."""
    texts = {*sysconfig.get_paths().values(), site.getusersitepackages(), *site.getsitepackages()}
    given = [Path(text) for text in texts if {"lib", "lib64"}.intersection(Path(text).parts)]
    return tuple(dict.fromkeys([*given, *(path.resolve() for path in given)]))


@functools.cache
def _own_folders() -> tuple[Path, ...]:
    """Return the folders of the packages that run here.

    By where they lie, not by name: in an editable clone they are files of a project, and another
    project may have a module of the same name.
    """
    parents = {Path(__file__).parents[2], Path(model_runtime.__file__).parents[1]}
    parents |= {parent.resolve() for parent in parents}
    return tuple(parent / name for parent in parents for name in _OWN_PACKAGES)


def is_own(path: Path) -> bool:
    """Tell whether a file or folder is servd's, of which a replica has what it needs."""
    return any(path.is_relative_to(folder) for folder in _own_folders())


@functools.cache
def _distributed() -> frozenset[str]:
    """Return the top-level modules that distributions brought, wherever they lie."""
    return frozenset(importlib.metadata.packages_distributions())


def is_environment(path: Path) -> bool:
    """Tell whether a file or folder is of an environment or a tool, and not of a project."""
    if _INSTALLED_FOLDERS.intersection(path.parts) or _NEVER.intersection(path.parts):
        return True
    if is_own(path):
        return True
    # Debian's Python says that its packages lie in /usr/local/lib, as may a project.
    return any(path.is_relative_to(folder) for folder in _folders())


def is_left_out(path: Path, root: Path, *, is_opened: bool = False) -> bool:
    """Tell whether a path below `root` is hidden, of a tool, or in an environment of its own.

    So is what lies in a daemon's data directory: replicas open their files there all the time.
    A hidden file that the model was seen to open (`is_opened`) is not left out.
    """
    inner = path.relative_to(root)
    if is_own(path):
        return True
    if not is_opened and any(part.startswith(".") for part in inner.parts):
        return True
    if _NEVER.intersection(inner.parts) or _INSTALLED_FOLDERS.intersection(inner.parts):
        return True
    above = (folder for folder in (path, *path.parents) if folder != root)
    inside = (folder for folder in above if folder.is_relative_to(root))
    # Not Path.exists, which raises where a name is longer than any can be: texts of the code are
    # tried as names.
    return any(
        os.path.exists(folder / mark)  # noqa: PTH110
        for folder in inside
        for mark in _MARKS
    )


@functools.cache
def is_installed(name: str) -> bool:
    """Tell whether a top-level module is Python's, or came with a distribution."""
    if name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return True
    spec = _spec(name)
    if spec is None:
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    if spec.origin in _BUILT_IN and not spec.submodule_search_locations:
        return True
    if any(is_environment(Path(place)) for place in places if place not in _BUILT_IN):
        return True
    return name in _distributed()


def is_built_in(name: str) -> bool:
    """Tell whether Python has a module in itself: it looks for that in no folder."""
    importers = (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter)
    return any(importer.find_spec(name) is not None for importer in importers)


def is_installed_from(name: str, place: Path) -> bool:
    """Tell whether a top-level module that is installed lies in a place: of an editable install."""
    spec = _spec(name)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    real = Path(os.path.realpath(place))
    found = (Path(os.path.realpath(each)) for each in places if each not in _BUILT_IN)
    return any(real in (each, each.parent) for each in found)


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        module = sys.modules.get(name)
        return None if module is None else importlib.machinery.ModuleSpec(name, None, origin="")


def extra_folders() -> list[Path]:
    """Return the folders of the user's own modules that the environment names (PYTHONPATH)."""
    entries = [Path(entry).absolute() for entry in sys.path[1:] if entry]
    return [path for path in entries if path.is_dir() and not is_environment(path)]


def is_too_high(folder: Path) -> bool:
    """Tell whether a folder is no project's: the root, a home, or that of temporary files."""
    try:
        home = Path.home().resolve()
    except RuntimeError:
        home = folder.parent
    temporary = Path(tempfile.gettempdir()).resolve()
    return folder in {Path(folder.anchor), home, temporary, *temporary.parents, *home.parents}
