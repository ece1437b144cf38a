"""Which files come along that a model opens by name. Used by targets.py.

What the model was seen to open is needed. What its code only names, and what is there, is taken
along where it is small; where it is large it is said.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from model_runtime.uris import path_of
from servd.finding.hints import shown_path
from servd.finding.installed import is_environments, is_left_out
from servd.finding.modules import Modules
from servd.finding.reading import Reading
from servd.quantities import shown_bytes

_NAMED_BYTES: Final = 64 << 20
"""The largest file that comes along only because the code names it."""
_FOLDER_BYTES: Final = 64 << 20
_FOLDER_FILES: Final = 1000
_OPENED_BYTES: Final = 8 << 30
_OPENED_FILES: Final = 5000
_SETTINGS: Final = frozenset({".json", ".yaml", ".yml", ".toml", ".ini", ".cfg"})
_SETTINGS_BYTES: Final = 1 << 20
_PATH: Final = re.compile(r"[\w./-]{0,200}[\w-]\.\w{1,12}")
"""What may be the name of a file in a text."""
_NO_COMPANIONS: Final = (".py", ".pyc", ".bak", ".old", ".orig", ".tmp", ".lock", ".md")
_LINKED_FILES: Final = 20_000
"""So many files of a project are looked at for links."""


@dataclass(slots=True)
class Data:
    """What was found. `hits` counts relative paths by the folder in which they were found.

    `folders` have to be there, whatever is in them: a model goes there, lists them, writes there.
    """

    files: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    hits: dict[Path, int] = field(default_factory=dict)
    too_large: dict[Path, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class DataFinder:
    """Collects the files below some folder that a model opens.

    Args:
        reach: below which a file may be the project's that is asked for by its path.
        area: the project, in which links are looked for.
        bases: the folders that a relative path may start from.
        modules: the code; a folder with code in it is no folder of data.
    """

    def __init__(self, reach: Path, area: Path, bases: Iterable[Path], modules: Modules) -> None:
        self._reach = reach
        self._area = area
        self._bases = list(dict.fromkeys(bases))
        self._modules = modules
        self._entered: dict[Path, list[Path]] = {}
        self._links: dict[str, set[Path]] | None = None
        self.found = Data()

    def add_named(self, readings: Mapping[Path, Reading]) -> None:
        """Take along what the code names."""
        for file, reading in sorted(readings.items()):
            self._add_named_folders(file, reading)
            for text in dict.fromkeys(reading.files):
                for path in self._places(text, file):
                    self._add_named_file(path)
            for text in dict.fromkeys(reading.opened_folders):
                self._add_folders(list(filter(_is_folder, self._places(text, file))))
            for text in dict.fromkeys(reading.patterns):
                self._add_matching(text, file)

    def _add_matching(self, pattern: str, file: Path) -> None:
        """Take along the files that match a pattern, also in a folder of code."""
        folder = os.path.dirname(pattern.partition("*")[0])  # noqa: PTH120
        rest = os.path.relpath(pattern, folder or ".")
        places = [Path(folder)] if folder.startswith("/") else self._places(folder or ".", file)
        for place in places:
            if place == self._reach or self._is_data(place):
                found = [path for path in _matching(place, rest) if path.suffix != ".py"]
                self._add_small(place / rest, found)

    def _add_named_folders(self, file: Path, reading: Reading) -> None:
        """Note the folders that code goes to, which are places for its names, and writes to."""
        for text in dict.fromkeys(reading.entered):
            places = [path for path in self._places(text, file) if _is_folder(path)]
            self.found.folders.update(places)
            self._entered.setdefault(file, []).extend(places)
        for text in dict.fromkeys(map(os.path.dirname, reading.written)):
            self.found.folders.update(filter(_is_folder, self._places(text, file)))

    def add_resources(self) -> None:
        """Take along the files in packages that are asked for by the package's name."""
        for folder in sorted(self._modules.resources):
            files = [path for path in files_below(folder) if path.suffix != ".py"]
            self._add_small(folder, files)

    def add_listed_in(self) -> None:
        """Take along the files that settings name which come along: weights in a config.json."""
        for file in sorted(self.found.files):
            if file.suffix in _SETTINGS and file.stat().st_size <= _SETTINGS_BYTES:
                for text in sorted(set(_PATH.findall(file.read_text("utf-8", "replace")))):
                    for path in self._places(text, file):
                        self._add_named_file(path)

    def add_opened(self, paths: Iterable[str], cwd: Path) -> None:
        """Take along what was opened while the model loaded in the folder `cwd`.

        A path is as it was given to open: relative, or absolute.
        """
        found = set()
        homes = {os.path.realpath(path.parent) for path in self._modules.files}
        for text in paths:
            path = Path(os.path.normpath(cwd / text))
            names = {
                one
                for one in self._names_of(path)
                # A folder of code has its own name in the bundle: no link to it is needed.
                if one == path or one.is_symlink() or os.path.realpath(one.parent) not in homes
            }
            here = {one for one in names if self._is_data(one, is_opened=True)}
            here -= self._modules.files
            found |= here
            if here and not os.path.isabs(text):  # noqa: PTH117 - a text, as the model gave it
                self._hit(cwd)
        size = sum(path.stat().st_size for path in found)
        if len(found) > _OPENED_FILES or size > _OPENED_BYTES:
            self.found.remarks.append(
                f"the model opened {len(found):,} files of the project ({shown_bytes(size)}) while "
                "it was loaded, which is more than is taken along unasked: say which it needs with "
                "--include"
            )
        else:
            self.found.files |= found

    def add_seen(self, paths: Iterable[Path], known: Iterable[Path]) -> None:
        """Take along what somebody opened while the model loaded, most likely the model.

        A file that is there already under the name of a link (or is in `known`) is not new.
        """
        taken = {*self.found.files, *self._modules.files, *known}
        real = {os.path.realpath(path) for path in taken}
        new = [path for path in sorted(paths) if not path.name.startswith(".")]
        self.add_opened((str(path) for path in new if os.path.realpath(path) not in real), Path())

    def add_listed(self, paths: Iterable[str], cwd: Path) -> None:
        """Take along small folders that the model listed."""
        self._add_folders(self._folders_of(paths, cwd))

    def add_used(self, paths: Iterable[str], cwd: Path) -> None:
        """Note folders that the model went to, or wrote to."""
        self.found.folders.update(self._folders_of(paths, cwd))

    def _folders_of(self, paths: Iterable[str], cwd: Path) -> list[Path]:
        """Return the folders of the project among paths."""
        given = (Path(os.path.normpath(cwd / text)) for text in islice(paths, _FOLDER_FILES))
        return [path for path in given if self._is_data(path) and _is_folder(path)]

    def _add_folders(self, folders: Iterable[Path]) -> None:
        for folder in folders:
            self._add_folder(folder)
            # An empty one in place of one that is large would be found, and nothing in it.
            if folder not in self.found.too_large:
                self.found.folders.add(folder)

    def best_base(self) -> Path | None:
        """Return the folder in which most relative paths were found; None for no such path."""
        hits = self.found.hits
        ranked = [base for base in self._bases if hits.get(base)]
        return max(ranked, key=lambda base: hits[base], default=None)

    def _places(self, text: str, file: Path) -> Iterator[Path]:
        """Give where a named path may lie, and count where a relative one does."""
        text = path_of(text) or text
        if not text or "\0" in text or text.startswith("~"):
            return
        if os.path.isabs(text):  # noqa: PTH117
            path = Path(os.path.normpath(text))
            if self._is_data(path):
                yield path
            return
        entered = self._entered.get(file, [])
        for base in dict.fromkeys([*self._bases, file.parent, *entered]):
            path = Path(os.path.normpath(base / text))
            # What is not there may be how the names of some files begin.
            if self._is_data(path) and _exists(path.parent if "/" in text else path):
                if base not in entered and path not in self._modules.files and _exists(path):
                    self._hit(base)
                yield path

    def _hit(self, base: Path) -> None:
        self.found.hits[base] = self.found.hits.get(base, 0) + 1

    def _is_data(self, path: Path, *, is_opened: bool = False) -> bool:
        """Tell whether a path is the project's, and neither hidden nor an environment's."""
        if path == self._reach or path.suffix == ".pyc" or not path.is_relative_to(self._reach):
            return False
        return not is_left_out(path, self._reach, is_opened=is_opened)

    def _names_of(self, path: Path) -> set[Path]:
        """Return under which names of the project an opened file is known.

        Whoever resolves a link before opening it opens what lies elsewhere.
        """
        if not path.is_file():
            return set()
        if self._links is None:
            self._links = _links_below(self._area)
        return self._links.get(os.path.realpath(path), set()) | {path}

    def _add_named_file(self, path: Path) -> None:
        """Take a file along and those that go with it, or the folder of one that may be made."""
        if not _exists(path) and _is_folder(path.parent) and self._is_data(path.parent):
            self.found.folders.add(path.parent)
        for each in [path, *_companions(path)]:
            size = each.stat().st_size if _is_file(each) and self._is_data(each) else None
            if size is None:
                continue
            if size <= _NAMED_BYTES:
                self.found.files.add(each)
            elif each not in self.found.files:
                self.found.too_large[each] = shown_bytes(size)

    def _add_folder(self, folder: Path) -> None:
        """Take a folder's files along unless they are many, or the folder is one of code."""
        if any(file.is_relative_to(folder) for file in self._modules.files):
            return
        self._add_small(folder, files_below(folder))

    def _add_small(self, folder: Path, found: Iterable[Path]) -> None:
        files = [path for path in islice(found, _LINKED_FILES) if _is_file(path)]
        files = [path for path in files if self._is_data(path)]
        size = sum(path.stat().st_size for path in files)
        if len(files) > _FOLDER_FILES or size > _FOLDER_BYTES:
            self.found.too_large[folder] = f"{len(files):,} files, {shown_bytes(size)}"
        else:
            self.found.files.update(files)

    def remarks(self, taken: Collection[Path]) -> list[str]:
        """Return what to say of files that were not taken along after all."""
        return self.found.remarks + [
            f"{shown_path(path, self._bases[0])} ({size}) is named in the code and was not "
            f"taken along, as it is large: --include {shown_path(path, self._bases[0])} takes "
            "it along"
            for path, size in self.found.too_large.items()
            if not any(one.is_relative_to(path) or one.match(str(path)) for one in taken)
        ]


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for a text too long for a name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _companions(path: Path) -> Iterator[Path]:
    """Give the files beside one whose names go on where its own ends.

    Weights of an ONNX or gensim model, the log of a SQLite database, the arrays of a joblib file.
    What is but the beginning of names, as of a checkpoint, is no file itself.
    """
    is_file = _is_file(path)
    if (_exists(path) and not is_file) or path.suffix == ".py":
        return
    marks = "._-" if is_file else "."
    for beside in sorted(_names_in(path.parent)):
        is_further = beside.startswith(path.name) and beside[len(path.name) :][:1] in (*marks,)
        if is_further and not beside.endswith(_NO_COMPANIONS):
            yield path.with_name(beside)


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    """Give the files below a folder that match a pattern; of a large tree those found first."""
    if "**" in pattern:
        name = pattern.rpartition("/")[2]
        found = islice(files_below(folder), _LINKED_FILES)
        return (path for path in found if fnmatch.fnmatch(path.name, name))
    # Not Path.glob, which lists hidden files as well.
    names = islice(glob.iglob(pattern, root_dir=folder), _LINKED_FILES)  # noqa: PTH207
    return (folder / name for name in sorted(names))


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are what is looked at
    except (OSError, ValueError):
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that is too long to be a name
        return False


def _links_below(area: Path) -> dict[str, set[Path]]:
    """Return the files of a project whose names are links, or lead through one, by real path."""
    found: dict[str, set[Path]] = {}
    left = _LINKED_FILES
    for at, folders, names in _walk(area):
        # What an environment has, ten thousands of files, is the project's under no name.
        folders[:] = [name for name in folders if not is_environments(name)]
        if at != str(area) and is_environments("", names):
            folders.clear()
            continue
        is_led_to = os.path.realpath(at) != at
        for name in names[:left]:
            path = os.path.join(at, name)  # noqa: PTH118
            if is_led_to or os.path.islink(path):  # noqa: PTH114
                found.setdefault(os.path.realpath(path), set()).add(Path(path))
        left -= len(names)
        if left <= 0:
            break
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Give the files below a folder under the names that lead there, through links.

    A link that leads back to a folder on the way is not followed; dangling links are given too.
    """
    for at, _, names in _walk(folder):
        here = Path(at)
        yield from (here / name for name in names)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Give each folder at and below one as `os.walk` does, in order, through links but not back."""
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not leads_back(os.path.join(at, name)))  # noqa: PTH118
        yield at, folders, sorted(names)


def leads_back(path: str | Path) -> bool:
    """Tell whether a path is a link to a folder that it lies in itself."""
    if not os.path.islink(path):  # noqa: PTH114 - of many texts, of which hardly any is one
        return False
    return os.path.realpath(path) in {os.path.realpath(folder) for folder in Path(path).parents}
