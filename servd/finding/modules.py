"""Finds the user's own modules that a file or a pickle needs, as Python would. Used by targets.py.

Modules are looked for where Python looks when the file is run (its folder, the project's, what
sys.path is given in the code), and then in the folders above, from where the code was run when
it worked. What is installed is left to the environment.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model_runtime.local_modules import import_folder, package_folder
from servd.finding.installed import (
    extra_folders,
    is_environment,
    is_installed,
    is_left_out,
    is_too_high,
)
from servd.finding.reading import Import, Reading, read

_ENDINGS: Final = (".py", ".so", ".pyd")
_WHOLE_FILES: Final = 400
_WHOLE_BYTES: Final = 8 << 20
"""A package up to this size comes along whole: what it imports by a computed name is there."""
_LEVELS: Final = 4
"""So many folders above the file are looked in for a module that is found nowhere else."""


@dataclass(slots=True)
class Modules:
    """What was found. `folders` are those that must be on sys.path, the file's own first."""

    files: set[Path] = field(default_factory=set)
    folders: list[Path] = field(default_factory=list)
    installed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    readings: dict[Path, Reading] = field(default_factory=dict)
    resources: set[Path] = field(default_factory=set)
    """Folders of packages whose other files the code asks for."""


class ModuleFinder:
    """Follows imports from a file to all local modules behind it.

    Args:
        file: the target, under the name by which it was asked for.
        root: the project's folder.
        cwd: where the user is.
        further: folders of modules that the user named, which Python would not look in.
    """

    def __init__(self, file: Path, root: Path, cwd: Path, further: Iterable[Path] = ()) -> None:
        self._file = file
        self._root = root
        self._cwd = cwd
        self.found = Modules()
        real = Path(os.path.realpath(file)).parent
        self._front = list(dict.fromkeys([file.parent, real, root]))
        others = [root / "src", *further, *extra_folders()]
        if file.is_relative_to(cwd):
            others.insert(0, cwd)
        self._others = list(dict.fromkeys(others))
        self._last = list(_above(file.parent, root))
        self._waiting: list[Path] = []

    @property
    def search(self) -> tuple[list[Path], list[Path]]:
        """The folders that go before Python's own on sys.path, and those that go behind."""
        found = [folder for folder in self.found.folders if folder not in self._front]
        return self._front, list(dict.fromkeys([*found, *self._existing(self._others)]))

    def add_file(self, path: Path) -> None:
        """Take a file along, and what it imports."""
        self._enqueue(path)
        self._follow()

    def add_target(self) -> None:
        """Take the target along, and its package."""
        self._use(self._file.parent)
        self.add_file(self._file)
        outermost = package_folder(self._file)
        if outermost is not None:
            self._use(outermost.parent)
            self._add_package(outermost)

    def add_module(self, name: str) -> bool:
        """Take a module along that something names; False where it is not one of the user's."""
        is_local = self._find(Import(name))
        self._follow()
        return is_local

    def add_loaded(self, name: str, path: Path) -> None:
        """Take along what a run has imported under a name."""
        folder = import_folder(name, path)
        if folder is not None:
            self._use(folder)
            top = folder / name.partition(".")[0]
            if top.is_dir():
                self._add_package(top)
        self.add_file(path)

    def _follow(self) -> None:
        while self._waiting:
            path = self._waiting.pop()
            reading = self.found.readings[path] = read(path, self._cwd)
            for text in reading.folders:
                self._add_folder(path, text)
            for one in reading.imports:
                if one.level:
                    self._find_relative(path, one)
                else:
                    self._find(one)
            for name in reading.resources:
                self._add_resources(path, name)

    def _add_resources(self, file: Path, name: str) -> None:
        """Note the folder of a package whose files are asked for; import the package."""
        if not name:
            self.found.resources.add(file.parent)
            return
        before = set(self.found.folders)
        if self._find(Import(name)) or before != set(self.found.folders):
            places = (folder.joinpath(*name.split(".")) for folder in self.found.folders)
            self.found.resources.update(place for place in places if place.is_dir())

    def _add_folder(self, file: Path, text: str) -> None:
        """Look in a folder that the code puts on sys.path, too."""
        bases = (self._cwd, file.parent, self._root)
        places = (Path(os.path.normpath(base / text)) for base in bases)
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None or is_environment(folder) or folder == Path(folder.anchor):
            return
        if folder not in self._front and folder not in self._others:
            self._others.insert(0, folder)

    def _find(self, one: Import) -> bool:
        """Find an absolute import where Python would; tell whether it is local."""
        top = one.name.partition(".")[0]
        if not top.isidentifier() or _is_python(top):
            return False
        for folders in (self._front, self._others, self._last):
            if folders is not self._front and is_installed(top):
                break
            for folder in self._existing(folders):
                if self._take(folder, one):
                    return True
        (self.found.installed if is_installed(top) else self.found.missing).add(top)
        return False

    def _take(self, folder: Path, one: Import) -> bool:
        """Take a module along that lies below a folder; False where there is none."""
        parts = one.name.split(".")
        top = folder / parts[0]
        is_regular = (top / "__init__.py").is_file() or _module_file(top) is not None
        if not is_regular and (is_installed(parts[0]) or not _is_namespace(top)):
            return False
        if is_left_out(top, folder) or is_environment(top):
            return False
        self._use(folder)
        if top.is_dir() and (top / "__init__.py").is_file():
            self._add_package(top)
        self._add_chain(folder, parts, is_whole=one.is_prefix)
        return True

    def _find_relative(self, file: Path, one: Import) -> None:
        """Find `from ..b import c`: by folders, whatever the package is called."""
        folder = file.parent
        for _ in range(one.level - 1):
            folder = folder.parent
        if not is_too_high(folder):
            self._add_chain(folder, one.name.split(".") if one.name else [], one.is_prefix)

    def _add_chain(self, folder: Path, parts: list[str], is_whole: bool) -> None:  # noqa: FBT001
        """Add the files on the way from a folder to a module; a name in one ends it."""
        at = folder
        for part in parts:
            at = at / part
            file = _module_file(at)
            if (at / "__init__.py").is_file():
                self._enqueue(at / "__init__.py")
            elif file is not None:
                self._enqueue(file)
                return
            elif not at.is_dir():
                return
        if is_whole:
            self._add_package(at)

    def _add_package(self, folder: Path) -> None:
        """Take a package along whole unless it is large; then what is imported of it."""
        if (folder / "__init__.py").is_file():
            self._enqueue(folder / "__init__.py")
        files = list(package_files(folder))
        if len(files) <= _WHOLE_FILES and sum(f.stat().st_size for f in files) <= _WHOLE_BYTES:
            # Not read: what nothing imports must not bring more along.
            self.found.files.update(files)

    def _enqueue(self, path: Path) -> None:
        if path in self.found.readings or path in self._waiting:
            return
        self.found.files.add(path)
        if path.suffix == ".py":
            self._waiting.append(path)

    def _use(self, folder: Path) -> None:
        if folder not in self.found.folders:
            self.found.folders.append(folder)

    def _existing(self, folders: Iterable[Path]) -> list[Path]:
        return [folder for folder in folders if folder.is_dir()]


def _is_python(top: str) -> bool:
    """Tell whether a module is Python's own: those are there before a model's folder is."""
    return top in sys.stdlib_module_names


def _above(folder: Path, root: Path) -> Iterator[Path]:
    """Give the folders above a file, and `src` in them, that may be where it was run."""
    for above in (folder, *folder.parents)[: _LEVELS + 1]:
        if is_too_high(above):
            return
        yield above
        yield above / "src"
    if root not in folder.parents:
        yield root


def _module_file(path: Path) -> Path | None:
    """Return the file of the module at a path without an ending."""
    plain = path.with_name(f"{path.name}.py")
    if plain.is_file():
        return plain
    compiled = path.parent.glob(f"{path.name}.*") if path.parent.is_dir() else ()
    endings = (".so", ".pyd")
    return next((found for found in sorted(compiled) if found.suffix in endings), None)


def _is_namespace(folder: Path) -> bool:
    """Tell whether a folder without __init__.py is a package: it has modules, here or below."""
    return folder.is_dir() and next(package_files(folder), None) is not None


def package_files(folder: Path) -> Iterator[Path]:
    """Give the modules below a folder, through links, each folder once."""
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        here = Path(at)
        folders[:] = sorted(name for name in folders if not is_left_out(here / name, here))
        for name in sorted(names):
            path = here / name
            if path.suffix in _ENDINGS and path.is_file():
                yield path
