"""Copies the code of a service into its bundle: its module, and those of the user's that it needs.

Used by saving.py. A class that was typed in has no file: it is written by value, and a file is made
that reads it.
"""

import inspect
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from model_runtime.bento.exceptions import BentoMLException
from model_runtime.local_modules import import_folder
from servd.client import pickling
from servd.errors import TargetError
from servd.finding.modules import ModuleFinder
from servd.finding.needs import versions_of
from servd.packing.pickle_scan import scan

_TYPED_IN: Final = '''"""The service {name}, typed in: its code is in {pickle}, beside this."""

import pickle
from pathlib import Path

with Path(__file__).with_name("{pickle}").open("rb") as file:
    {name} = pickle.load(file)
'''
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """The module of a service in a bundle: its name, and its file below the service's folder.

    `packages` are those that it imports, with their versions.
    """

    name: str
    file: str
    packages: dict[str, str]


def copy(cls: type, inner: Path) -> Module:
    """Copy the code of a service into its folder of the bundle.

    Raises:
        BentoMLException: a module of the user's lies where it cannot be imported from.
        TargetError: a class that was typed in holds what cannot be written.
    """
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    is_there = file is not None and getattr(module, cls.__name__, None) is not None
    if is_there and Path(str(file)).is_file() and _has(Path(str(file)), cls):
        made = _of_file(module, Path(str(file)).absolute(), inner)
    else:
        made = _typed_in(cls, inner)
    # Each folder with code is a package, as BentoML has it; the service's own gets its file later.
    for path in [*inner.rglob("*.py")]:
        for folder in path.relative_to(inner).parents[:-1]:
            (inner / folder / "__init__.py").touch()
    return made


def _has(file: Path, cls: type) -> bool:
    """Tell whether a file has a class's code: a program's `__main__` may be another."""
    try:
        return Path(inspect.getsourcefile(cls) or "").samefile(file)
    except (OSError, TypeError):
        return False


def _of_file(module: Any, file: Path, inner: Path) -> Module:
    spec = getattr(module, "__spec__", None)
    name = module.__name__ if spec is None else spec.name
    if name == "__main__":
        name = file.stem
    finder = _finder(file, name)
    finder.add_target()
    _add_pickled(finder, inner)
    root = import_folder(name, file) or file.parent
    _copy_found(finder, root, file.parent, inner)
    return Module(name=name, file=file.relative_to(root).as_posix(), packages=_packages(finder))


def _typed_in(cls: type, inner: Path) -> Module:
    name = _WORDS.sub("_", cls.__name__).lower()
    with (inner / f"{name}.pkl").open("wb") as content:
        needed = pickling.write(cls, content, cls.__name__)
    text = _TYPED_IN.format(name=cls.__name__, pickle=f"{name}.pkl")
    (inner / f"{name}.py").write_text(text, "utf-8")
    finder = _finder(Path.cwd() / f"{name}.py", name)
    for each in sorted(needed.modules - {"__main__", cls.__module__}):
        finder.add_module(each)
    _add_pickled(finder, inner)
    _copy_found(finder, Path.cwd(), Path.cwd(), inner)
    return Module(name=name, file=f"{name}.py", packages=_packages(finder))


def _finder(file: Path, name: str) -> ModuleFinder:
    root = import_folder(name, file) or file.parent
    return ModuleFinder(file, root, Path.cwd())


def _add_pickled(finder: ModuleFinder, inner: Path) -> None:
    """Take along the modules whose classes are in artifacts."""
    for path in sorted((inner / "artifacts").glob("*.pkl")):
        try:
            scanned = scan(path)
        except TargetError:
            continue  # an artifact of another kind, which has a file of that name
        for name in scanned.modules:
            finder.add_module(name)


def _packages(finder: ModuleFinder) -> dict[str, str]:
    return versions_of(finder.found.installed - {"servd", "bentoml"})


def _copy_found(finder: ModuleFinder, root: Path, own: Path, inner: Path) -> None:
    """Copy modules to where they are imported from, with the service's folder on sys.path."""
    found = {root, *finder.folders}
    if root != own:
        # The module is in a package: its own folder is none that anything is imported from.
        found -= {own}
    folders = sorted(found, key=lambda each: -len(each.parts))
    for path in sorted(finder.found.files):
        if not path.is_file():
            continue
        base = next((each for each in folders if path.is_relative_to(each)), None)
        if base is None:
            raise BentoMLException(f"{path} is in no folder that modules are imported from")
        target = inner / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
