"""All that a target needs of its project, found once: code, data, packages, where they lie.

Used by targets.py: reading the code comes first, then the fresh process that loads it tells what
only a run tells, and then what is new is read in turn.

Python imports one module of a name, and which one is decided by where it looks first. Where that
may not be the one that was meant it is said, with what chooses another.
"""

import os
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from model_runtime.local_modules import import_folder
from servd.environments.interpreter import Interpreter, own
from servd.errors import TargetError
from servd.finding.data import DataFinder
from servd.finding.hints import shown_path
from servd.finding.installed import RUNTIME, Installed, is_environment, is_left_out, is_too_high
from servd.finding.layout import Layout, plan_layout
from servd.finding.loading import Heard, Load, load
from servd.finding.modules import ModuleFinder, Modules
from servd.finding.reading import Reading

_LEVELS: Final = 2
_MARKERS: Final = ("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", ".git")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a target is deployed from, and what it is to run in.

    `cwd` is where the user is; `included` are files to take along because the user said so.
    `interpreter` is that of the model's environment, `variables` are its deployer's.
    """

    cwd: Path
    included: frozenset[Path] = frozenset()
    interpreter: Interpreter = field(default_factory=own)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


class Needs:
    """Finds what one file needs. `file` is absolute, under the name by which it was asked for.

    `content` is what to load in its place, where it is not there itself.
    """

    def __init__(self, file: Path, place: Place, content: Path | None = None) -> None:
        self._file = file
        self._content = content or file
        self._place = place
        self.root = project_root(file)
        self.area = _area(self.root, place.cwd)
        self.installed = Installed(place.interpreter)
        self.modules = ModuleFinder(file, self.root, place.cwd, place.included, self.installed)
        self._bases = list(dict.fromkeys([place.cwd, file.parent, self.root]))
        reach = _reach(self.area, self.root)
        self.data = DataFinder(reach, self.area, self._bases, self.modules.found)
        self._read: set[Path] = set()
        self._own: set[str] = set()
        self._before: Collection[str] = ()
        self._beside: frozenset[Path] = frozenset()

    def load(self, what: Load, timeout_s: float) -> Heard:
        """Load the target in the first folder in which it finds the files that it opens.

        Raises:
            TargetError: it did not end in time, ended the process, or has a name that is taken.
        """
        _refuse_clashes(self.modules.found, self._place.cwd)
        heard: list[Heard] = []
        bases = [self.data.best_base() or self._bases[0], *self._bases]
        for cwd in dict.fromkeys(bases):
            heard.append(load(replace(what, cwd=cwd), timeout_s))
            error = heard[-1].error
            if error is None or not error.get("is_file"):
                self._learn(heard[-1], cwd)
                return heard[-1]
        self._learn(heard[0], bases[0])
        return heard[0]

    def what(
        self,
        object_: str | None = None,
        method: str = "predict",
        parameters: Mapping[str, Any] | None = None,
    ) -> Load:
        """Return how to load the target."""
        first, last = self.modules.search
        return Load(
            interpreter=self._place.interpreter,
            variables=self._place.variables,
            file=self._content,
            cwd=self._place.cwd,
            area=self.area,
            object=object_,
            method=method,
            parameters=parameters or {},
            first=first,
            last=last,
        )

    def read_data(self) -> None:
        """Take along what the code names that was found since the last time."""
        readings = self.modules.found.readings
        self.data.add_named({p: r for p, r in readings.items() if p not in self._read})
        self._read |= readings.keys()
        self.data.add_resources()
        self.data.add_listed_in()

    def add_running(self, loaded: Mapping[str, Path]) -> None:
        """Take along what a running program has imported of the user's, by name and file."""
        for name, path in sorted(loaded.items()):
            if self._is_own(name, path):
                self._own.add(name.partition(".")[0])
                self.modules.add_loaded(name, path)

    def add_texts(self, texts: Iterable[str]) -> None:
        """Take along the files that are called as some texts of the code are."""
        there = [text for text in texts if any(_is_file(base / text) for base in self._bases)]
        self.data.add_named({self._file: Reading(files=there)})

    def add_files(self, files: Iterable[Path]) -> None:
        """Take along files of which the target itself says that it needs them."""
        self._beside |= frozenset(files)

    def _learn(self, heard: Heard, cwd: Path) -> None:
        """Take along what a run has imported and opened."""
        self._before = heard.before
        for name, text in sorted(heard.modules.items()):
            path = Path(text)
            if path == self._file or self._is_own(name, path):
                self._own.add(name.partition(".")[0])
                self.modules.add_loaded(name, path)
        first, last = self.modules.search
        searched = {*first, *last}
        self.data.add_opened(heard.opened, cwd)
        told = {Path(os.path.normpath(cwd / text)) for text in (*heard.written, *heard.own)}
        self.data.add_seen(heard.seen - told, self._place.included)
        listed = (t for t in heard.listed if Path(os.path.normpath(cwd / t)) not in searched)
        self.data.add_listed(listed, cwd)
        self.data.add_used(heard.entered, cwd)
        self.data.add_used(map(os.path.dirname, heard.written), cwd)

    def _is_own(self, name: str, path: Path) -> bool:
        """Tell whether an imported module is the user's own, and not of an environment."""
        if is_environment(path) or not path.is_file():
            return False
        if path.is_relative_to(self.area):
            return not is_left_out(path, self.area, is_opened=True)
        folder = import_folder(name, path)
        temporary = Path(tempfile.gettempdir()).resolve()
        is_made = path.is_relative_to(temporary) and not self.root.is_relative_to(temporary)
        is_hidden = any(part.startswith(".") for part in path.parts)
        return folder is not None and not (
            is_made or is_hidden or self.installed.has(name.partition(".")[0])
        )

    def files(self) -> set[Path]:
        """Return everything that comes along."""
        found = {self._file, *self._beside, *self.modules.found.files, *self.data.found.files}
        return found | self._place.included

    def name_hint(self, message: str, before: Collection[str]) -> str:
        """Return what to say of a failure for a name that is another's in a replica."""
        return _taken_name_hint(message, self.modules.found, before, self._place.cwd)

    def remarks(self) -> tuple[str, ...]:
        """Return what was not taken along and may be needed, or may not be what was meant."""
        place = self._place
        names = _name_remarks(self.modules.found, self._before, place.included, place.cwd)
        return (*names, *self.data.remarks(self.files()))

    def layout(self) -> Layout:
        """Return where it lies in the bundle.

        Raises:
            TargetError: something that was to be included is not of the project.
        """
        folders = [*self.modules.folders, *sorted(self._folders())]
        layout = plan_layout(self.root, folders, self.files())
        for path in sorted(self._place.included):
            if path.suffix != ".py" and not path.is_relative_to(layout.root):
                raise TargetError(
                    f"--include {path}: it is outside the project {self.root}",
                    hint="a bundle keeps the places of the files to each other: put it, or a link "
                    "to it, into the project",
                )
        return layout

    def sys_path(self, layout: Layout) -> tuple[str, ...]:
        """Return the folders of the bundle that modules are imported from."""
        return tuple(layout.name_of(folder) for folder in self.modules.folders)

    def cwd(self, layout: Layout) -> str:
        """Return the folder of the bundle in which the model runs."""
        return layout.name_of(self._cwd())

    def folders(self, layout: Layout) -> tuple[str, ...]:
        """Return the folders of the bundle that have to be there, where it has no file in them."""
        filled = {folder for path in self.files() for folder in path.parents}
        return tuple(sorted(layout.name_of(folder) for folder in self._folders() - filled))

    def _folders(self) -> set[Path]:
        return {*self.data.found.folders, self._cwd()}

    def _cwd(self) -> Path:
        found = self.data.best_base()
        if found is not None:
            return found
        is_inside = any(path.suffix != ".py" for path in self._place.included)
        is_project = self._place.cwd.is_relative_to(self.area)
        return self._place.cwd if is_inside and is_project else self._file.parent

    def packages(self, told: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Return the distributions behind what was imported, and what the code may yet import."""
        others = [owners for top, owners in told.items() if top not in self._own]
        pins = {name: version for owners in others for name, version in owners.items()}
        rest = self.modules.found.installed - told.keys() - self._own
        return pins | self.installed.versions_of(rest)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file() and path.suffix != ".py"
    except (OSError, ValueError):  # a text that is no name
        return False


def versions_of(modules: Iterable[str]) -> dict[str, str]:
    """Return what brought some modules in servd's own environment, with the versions."""
    return Installed().versions_of(modules)


def installed_version(name: str) -> str | None:
    """Return the version of a distribution in servd's own environment."""
    return Installed().version_of(name)


def _area(root: Path, cwd: Path) -> Path:
    """Return below which a file counts as the project's.

    Where nothing marks a project, that is where the user is, if the file is below.
    """
    is_above = root.is_relative_to(cwd) and not is_too_high(cwd)
    return cwd if is_above and not _is_marked(root) else root


def _reach(area: Path, root: Path) -> Path:
    """Return below which a file is taken along that the model asks for by its path.

    Where nothing marks a project, what lies beside the file's folder may belong to it as well.
    """
    above = [] if _is_marked(root) else root.parents[:_LEVELS]
    for folder in above:
        if is_too_high(folder):
            break
        area = folder if area.is_relative_to(folder) else area
    return area


def project_root(file: Path) -> Path:
    """Return the nearest folder above a file that looks like a project, else the file's folder.

    Never the root of the file system or a home folder because of a marker there.
    """
    for folder in file.parents:
        if is_too_high(folder):
            break
        if _is_marked(folder):
            return folder
    return file.parent


def _is_marked(folder: Path) -> bool:
    """Tell whether a folder looks like a project's."""
    return any((folder / marker).exists() for marker in _MARKERS)


def _refuse_clashes(modules: Modules, cwd: Path) -> None:
    """Refuse a module that has the runtime's name.

    Raises:
        TargetError: there is one, and the code imports it.
    """
    for path in sorted(modules.clashes):
        raise TargetError(
            f"{shown_path(path, cwd)} cannot be imported in a replica: {RUNTIME} is the name of "
            "the program that runs the model there",
            hint="rename it, and in what imports it",
        )


def _name_remarks(
    modules: Modules, before: Collection[str], included: Collection[Path], cwd: Path
) -> list[str]:
    """Return what to say of names that stand for several modules.

    `before` are the top-level modules that a replica has imported before it comes to the model,
    `included` what the user has named.
    """
    remarks = []
    for path in sorted(modules.hidden - modules.files):
        shown = shown_path(path, cwd)
        remarks.append(
            f"{shown} is not what `import {path.stem}` gives: a package that is installed has that "
            f"name and comes first. --include {shown} takes yours"
        )
    remarks += [_double(path, modules, included, cwd) for path in sorted(modules.doubles)]
    remarks += [_taken(name, modules, cwd) for name in sorted(modules.tops.keys() & set(before))]
    return remarks


def _taken_name_hint(message: str, modules: Modules, before: Collection[str], cwd: Path) -> str:
    """Return what to say of a failure that names a module which is another in a replica."""
    taken = modules.tops.keys() & set(before)
    return next((_taken(name, modules, cwd) for name in taken if f"'{name}'" in message), "")


def _taken(name: str, modules: Modules, cwd: Path) -> str:
    return (
        f"{shown_path(modules.tops[name], cwd)} is not what `import {name}` gives in a replica, "
        "which has imported another module of that name before: rename it"
    )


def _double(path: Path, modules: Modules, included: Collection[Path], cwd: Path) -> str:
    """Return what to say of a module that was taken where others have its name."""
    others = modules.doubles[path]
    shown = ", ".join(shown_path(other, cwd) for other in others)
    is_are = "is" if len(others) == 1 else "are"
    is_all_there = set(others) <= set(included)
    how = "Rename one of them" if is_all_there else "--include chooses"
    return (
        f"`import {path.stem}` was taken to mean {shown_path(path, cwd)}; of that name {is_are} "
        f"also {shown}. {how}"
    )
