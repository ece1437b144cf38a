"""Finds the user's own modules that a file or a pickle needs, as Python would. Used by targets.py.

Modules are looked for where Python looks when the file is run (its folder, the project's, what
sys.path is given in the code), and then in the folders above, from where the code was run when
it worked. What is installed is left to the environment.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model_runtime.local_modules import import_folder, package_folder
from servd.finding.installed import (
    RUNTIME,
    Installed,
    is_built_in,
    is_environment,
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
    tops: dict[str, Path] = field(default_factory=dict)
    """Where the top-level modules lie that are imported by name."""
    clashes: set[Path] = field(default_factory=set)
    """What has the name of the runtime, which a replica imports first."""
    hidden: set[Path] = field(default_factory=set)
    """What has the name of something installed, which Python finds first."""
    doubles: dict[Path, list[Path]] = field(default_factory=dict)
    """What was taken of several of one name, and the others."""
    readings: dict[Path, Reading] = field(default_factory=dict)
    resources: set[Path] = field(default_factory=set)
    """Folders of packages whose other files the code asks for."""


class ModuleFinder:
    """Follows imports from a file to all local modules behind it.

    Args:
        file: the target, under the name by which it was asked for.
        root: the project's folder.
        cwd: where the user is.
        included: modules that the user named, which may lie where Python would not look.
        installed: what the environment has.
    """

    def __init__(
        self,
        file: Path,
        root: Path,
        cwd: Path,
        included: Iterable[Path] = (),
        installed: Installed | None = None,
    ) -> None:
        self._file = file
        self._installed = installed or Installed()
        self._root = root
        self._cwd = cwd
        self.found = Modules()
        real = Path(os.path.realpath(file)).parent
        self._front = list(dict.fromkeys([file.parent, real, root]))
        self._included = sorted(path for path in included if path.suffix == ".py")
        self.further = list(dict.fromkeys(map(_folder_of, self._included)))
        self._chosen: list[Path] = []
        others = [root / "src", *self.further, *self._installed.extra_folders()]
        if file.is_relative_to(cwd):
            others.insert(0, cwd)
        self._others = list(dict.fromkeys(others))
        self._last = list(_above(file.parent, root))
        self._waiting: list[Path] = []

    @property
    def search(self) -> tuple[list[Path], list[Path]]:
        """The folders that go before Python's own on sys.path, and those that go behind."""
        first = list(dict.fromkeys([*self._front, *self._chosen]))
        found = [folder for folder in self.found.folders if folder not in first]
        return first, list(dict.fromkeys([*found, *_existing(self._others)]))

    @property
    def folders(self) -> list[Path]:
        """The folders that modules of the bundle are imported from, in the order of the search."""
        order = [*self._front, *self._chosen, *self._others, *self._last]
        places = {folder: number for number, folder in reversed([*enumerate(order)])}
        found = sorted(self.found.folders, key=lambda folder: places.get(folder, len(order)))
        return list(dict.fromkeys([*found, *self.further]))

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
        if not top.isidentifier() or is_built_in(top):
            return False
        if self._take_regular(self._front, one) or self._take_included(one):
            return True
        if self._installed.is_pythons(top):
            return False
        near = [*self._front, *self._others]
        if self._installed.has(top):
            self._note_hidden(top)
            if not self._take_spread(near, one):
                self.found.installed.add(top)
                return False
        elif not (
            self._take_regular(self._others, one)
            or self._take_spread(near, one)
            or self._take_regular(self._last, one)
            or self._take_spread(self._last, one)
        ):
            self.found.missing.add(top)
            return False
        return True

    def _take_regular(self, folders: list[Path], one: Import) -> bool:
        """Take a module or a package with __init__.py along from the first folder that has it."""
        top, *_ = parts = one.name.split(".")
        there = [folder for folder in folders if _is_regular(folder / top, folder)]
        if not there:
            return False
        folder = there[0]
        # Of the folders beside the file the first is meant, as for any script; but an included file
        # was meant, too.
        others = [] if folders is self._front else [_place(at / top) for at in there[1:]]
        self._note_doubles(_place(folder / top), [*others, *self._included_as(top)])
        self.found.tops[top] = _place(folder / top)
        if top == RUNTIME:
            self.found.clashes.add(_place(folder / top))
        self._use(folder)
        if _is_package(folder / top):
            self._add_package(folder / top)
        self._add_chain(folder, parts, is_whole=one.is_prefix)
        return True

    def _take_spread(self, folders: list[Path], one: Import) -> bool:
        """Take a module along of a package without __init__.py, which may lie in several folders.

        Python looks in all of them. Where it has such a package installed, too, only what is found
        here is local.
        """
        top, *parts = one.name.split(".")
        spread = [folder for folder in folders if _is_namespace(folder / top, folder)]
        is_found = self._follow_spread([folder / top for folder in spread], parts, one.is_prefix)
        if not spread or (self._installed.has(top) and not is_found):
            return False
        for folder in spread:
            self._use(folder)
        return True

    def _follow_spread(self, places: list[Path], parts: list[str], is_whole: bool) -> bool:  # noqa: FBT001
        """Add the files of a module below a package that lies in some places; False for none."""
        for at, part in enumerate(parts):
            for place in places:
                if _is_package(place / part) or _module_file(place / part) is not None:
                    self._add_chain(place, parts[at:], is_whole)
                    return True
            places = [place / part for place in places if (place / part).is_dir()]
        for place in places if is_whole else ():
            self._add_package(place)
        return is_whole and bool(places)

    def _take_included(self, one: Import) -> bool:
        """Take a module that the user has named, under the name that the code has for it."""
        for name in (one.name, one.name.rpartition(".")[0]):
            found = self._included_as(name)
            if not found:
                continue
            path, *others = found
            folder = found[path]
            self._note_doubles(path, others)
            self._use(folder)
            if self._installed.has(name.partition(".")[0]):
                self._chosen.append(folder)
            self._enqueue(path)
            return True
        return False

    def _included_as(self, name: str) -> dict[Path, Path]:
        """Return the files that the user named which a module's name can mean, with its folder."""
        found = {path: import_folder(name, path) for path in self._included if name}
        return {
            path: folder
            for path, folder in found.items()
            if folder is not None and not _is_package(folder)
        }

    def _note_doubles(self, place: Path, others: Iterable[Path]) -> None:
        """Note which others have the name of a module that is taken."""
        rest = [other for other in others if other not in (place, place / "__init__.py")]
        if rest:
            self.found.doubles[place] = rest

    def _note_hidden(self, top: str) -> None:
        """Note a module of the user's that an installed one of the same name comes before."""
        for folder in self._others:
            place = _place(folder / top)
            if _is_regular(folder / top, folder) and not self._installed.is_from(top, place):
                (self.found.clashes if top == RUNTIME else self.found.hidden).add(place)

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
            if _is_package(at):
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
        if _is_package(folder):
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


def _existing(folders: Iterable[Path]) -> list[Path]:
    return [folder for folder in folders if folder.is_dir()]


def _folder_of(path: Path) -> Path:
    """Return the folder from which an included module is imported by its own name."""
    folder = path.parent
    while _is_package(folder):
        folder = folder.parent
    return folder


def _place(path: Path) -> Path:
    """Return the file of a module, or the folder of a package."""
    return path if _is_package(path) else _module_file(path) or path


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file()


def _is_regular(path: Path, folder: Path) -> bool:
    """Tell whether there is a module, or a package with __init__.py, of the user's own."""
    if not (_is_package(path) or _module_file(path) is not None):
        return False
    return not (is_left_out(path, folder) or is_environment(path))


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


def _is_namespace(path: Path, folder: Path) -> bool:
    """Tell whether a folder without __init__.py is a package: it has modules, here or below."""
    if _is_package(path) or not path.is_dir() or next(package_files(path), None) is None:
        return False
    return not (is_left_out(path, folder) or is_environment(path))


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
