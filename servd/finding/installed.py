"""Tells what is installed from what is the user's own. Used by all that finds what a model needs.

What is installed is a matter of the environment that the model is to run in: `Installed` asks its
interpreter. Where a file lies that is no project's can be told of any.
"""

import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import itertools
import os
import re
import site
import sys
import sysconfig
import tempfile
from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

import model_runtime
from model_runtime.contract import distribution
from servd.environments.interpreter import Interpreter, own

RUNTIME: Final = "model_runtime"
"""A replica has imported it before it comes to the model: no file of a model can have its name."""
_OWN_PACKAGES: Final = ("servd", RUNTIME, "k8s_adapter")
_INSTALLED_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})
_MARKS: Final = ("pyvenv.cfg", "servd.lock")
"""A folder that has one of these is an environment, or a daemon's data directory."""
_NEVER: Final = frozenset({"node_modules", "__pycache__", ".git", ".hg", ".svn", ".tox"})
_BUILT_IN: Final = frozenset({"built-in", "frozen", None})
_LIBRARIES: Final = frozenset({"lib", "lib64"})
_STANDARD: Final = re.compile(r"(python|pypy)3\.\d+t?")
"""The folder in one of `_LIBRARIES` that has the standard library of some Python."""


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
    if _is_of_some_python(path):
        return True
    # Debian's Python says that its packages lie in /usr/local/lib, as may a project.
    return any(path.is_relative_to(folder) for folder in _folders())


def _is_of_some_python(path: Path) -> bool:
    """Tell whether a path goes through the standard library of a Python, whichever it is."""
    parts = path.parts
    return any(
        folder in _LIBRARIES and _STANDARD.fullmatch(inner)
        for folder, inner in itertools.pairwise(parts)
    )


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


def is_environments(name: str, inside: Container[str] = ()) -> bool:
    """Tell by its name, and what is inside, whether whatever is below a folder is left out."""
    is_tools = name in _NEVER or name in _INSTALLED_FOLDERS
    return is_tools or any(mark in inside for mark in _MARKS)


class Installed:
    """What an interpreter has beside the user's own modules."""

    def __init__(self, interpreter: Interpreter | None = None) -> None:
        self.interpreter = interpreter or own()

    def has(self, name: str) -> bool:
        """Tell whether a top-level module is Python's, or came with a distribution."""
        if self.interpreter.is_own:
            return is_installed(name)
        known = self.interpreter
        apart = tuple(each for each in known.sys_path if is_environment(each))
        return replace(known, sys_path=apart).has_module(name) or bool(known.distributions_of(name))

    def is_pythons(self, name: str) -> bool:
        """Tell whether a top-level module is of the standard library."""
        if self.interpreter.is_own:
            return name in sys.stdlib_module_names
        return replace(self.interpreter, sys_path=()).has_module(name)

    def is_from(self, name: str, place: Path) -> bool:
        """Tell whether a module that is installed lies in a place: of an editable install."""
        real = os.path.realpath(place)
        if self.interpreter.is_own:
            found = _places_of(name)
        else:
            found = [folder / name for folder in self.interpreter.sys_path]
            found += [folder / f"{name}.py" for folder in self.interpreter.sys_path]
        return any(real in (path, os.path.dirname(path)) for path in map(os.path.realpath, found))  # noqa: PTH120

    def extra_folders(self) -> list[Path]:
        """Return the folders of the user's own modules that the environment names (PYTHONPATH)."""
        entries = [Path(entry).absolute() for entry in sys.path[1:] if entry]
        if not self.interpreter.is_own:
            named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            entries = [Path(entry).absolute() for entry in named if entry]
            entries += self.interpreter.sys_path
        return [path for path in entries if path.is_dir() and not is_environment(path)]

    def version_of(self, name: str) -> str | None:
        """Return the version of a distribution; None where it is not installed."""
        return next(iter(self._distribution(name).values()), None)

    def versions_of(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the distributions that brought some top-level modules, with their versions."""
        pins: dict[str, str] = {}
        for module in sorted(modules):
            found = self._distribution(distribution(module))
            if not found:
                for name in self.interpreter.distributions_of(module):
                    found |= self._distribution(name)
            pins |= found
        return pins

    def _distribution(self, name: str) -> dict[str, str]:
        """Return the name that a distribution has for itself, and its version; else nothing."""
        # Of servd's own also what PYTHONPATH brings, as ever.
        is_own = self.interpreter.is_own
        path = sys.path if is_own else [str(folder) for folder in self.interpreter.sys_path]
        found = importlib.metadata.distributions(name=name, path=path)
        return next(({str(each.metadata["Name"]): each.version} for each in found), {})


@functools.cache
def is_installed(name: str) -> bool:
    """Tell whether a top-level module is servd's own Python's, or came with a distribution."""
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


def _places_of(name: str) -> list[Path]:
    """Return where a top-level module lies that is installed here."""
    spec = _spec(name)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    return [Path(each) for each in places if each is not None and each not in _BUILT_IN]


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        module = sys.modules.get(name)
        return None if module is None else importlib.machinery.ModuleSpec(name, None, origin="")


def is_too_high(folder: Path) -> bool:
    """Tell whether a folder is no project's: the root, a home, or that of temporary files."""
    try:
        home = Path.home().resolve()
    except RuntimeError:
        home = folder.parent
    temporary = Path(tempfile.gettempdir()).resolve()
    return folder in {Path(folder.anchor), home, temporary, *temporary.parents, *home.parents}
