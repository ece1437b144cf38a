"""Looks in the project for what a model did not find. Used by targets.py and the command line.

A module or a file that lies there is the user's own: no package index has it.
"""

import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from servd.finding.installed import is_left_out, is_too_high

_LOOKED_AT: Final = 20_000
"""Files and folders; a larger project is not searched to its end."""
_LEVELS: Final = 2
_MOST_SHOWN: Final = 5
_NO_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_OTHER_MODULE: Final = re.compile(
    r"ImportError: cannot import name '\w+' from '([\w.]+)'"
    r"|AttributeError: module '([\w.]+)' has no attribute"
    r"|ModuleNotFoundError: No module named '([\w.]+)\.\w+'; '[\w.]+' is not a package"
    r"|AttributeError: Can't get attribute '[\w.]+' on <module '([\w.]+)'"
)
"""A module of that name was there, and is not the one that was meant, or not as it was."""
_MISSED: Final = re.compile(
    r"FileNotFoundError|No such file|not found|n't found|not exist|n't exist"
    r"|(?:un|not |n't )able to .{0,20}open|(?:not|n't) (?:be )?open|[Oo]pen\w* .{0,200}fail"
    r"|[Ff]ail\w* to (?:open|load|read)|load\w* .{0,200}fail"
    r"|[Nn]ot a (?:valid )?(?:file|local folder)"
)
"""What libraries say of a file that is not there; each has words of its own."""
_NAMED: Final = re.compile(
    r"""(\S+) is not a local folder|['"]([^'"]{1,300})['"]"""
    r"|([\w./~+-]*\w\.[A-Za-z]\w{0,11})\b|([\w.~+-]*/[\w./~+-]+)"
)
"""What may be a path in a message: in quotes, with an ending, or with a slash."""
_DATABASE: Final = re.compile(r"unable to open database file")
_DATABASES: Final = frozenset({".db", ".db3", ".sqlite", ".sqlite3"})


def find_modules(name: str, root: Path) -> list[Path]:
    """Return where a module lies: in the project, above it, or beside that; the nearest first.

    Of a dotted name that lies nowhere, what comes before its last dot.
    """
    around = [path for path in _around(root) if path.suffix == ".py" or path.is_dir()]
    parts = name.split(".")
    while parts:
        found = [path for path in around if _is_module(path, parts)]
        if found:
            return list(dict.fromkeys(found))
        parts.pop()
    return []


def _is_module(path: Path, parts: list[str]) -> bool:
    """Tell whether a file or folder is a module, by its name and those of the folders above."""
    above = list(path.parts[-len(parts) : -1])
    if above != parts[:-1]:
        return False
    if path.name == f"{parts[-1]}.py":
        return True
    return path.name == parts[-1] and path.is_dir() and any(path.glob("*.py"))


def module_hint(name: str, root: Path, cwd: Path, taken: Collection[Path] = ()) -> str:
    """Return what to do about a module of the user's that was not found, or an empty text."""
    found = find_modules(name, root)
    if any(_is_taken(path, taken) for path in found):
        return ""
    return _not_taken(found, cwd, "there, but not where Python would look for it, and")


def target_hint(message: str, root: Path, cwd: Path, taken: Collection[Path]) -> str:
    """Return what to do about a target that did not load in its project, or an empty text.

    `taken` is what would have come along.
    """
    if (module := _NO_MODULE.search(message)) is not None:
        hint = module_hint(module[1], root, cwd, taken)
        if hint:
            return hint
    if (module := _OTHER_MODULE.search(message)) is not None:
        return _chosen(_name_in(module), root, cwd, taken)
    shown = [shown_path(path, cwd) for path in _missed_files(message, root)]
    if not shown:
        return ""
    is_are = "is" if len(shown) == 1 else "are"
    return (
        f"{_listed(shown)} {is_are} there, but not where the code looks: deploy from the folder in "
        "which the name that it gives is right, or open it relative to __file__"
    )


def failure_hint(message: str, root: Path, cwd: Path, taken: Collection[Path]) -> str:
    """Return what to do about a replica that failed for what lies in the project, or an empty text.

    `taken` is what it was given.
    """
    if (module := _NO_MODULE.search(message)) is not None:
        found = find_modules(module[1], root)
        if not any(_is_taken(path, taken) for path in found):
            return _not_taken(found, cwd, "there and")
    if (module := _OTHER_MODULE.search(message)) is not None:
        return _chosen(_name_in(module), root, cwd, taken)
    files = [path for path in _missed_files(message, root) if not _is_taken(path, taken)]
    return _not_taken(files, cwd, "there and")


def _name_in(match: re.Match[str]) -> str:
    """Return the module that a message names in one of several ways."""
    return str(next(filter(None, match.groups())))


def _is_taken(path: Path, taken: Collection[Path]) -> bool:
    """Tell whether a file came along, or anything of a folder."""
    return path in taken or any(one.is_relative_to(path) for one in taken)


def _not_taken(found: list[Path], cwd: Path, how: str) -> str:
    """Return the hint for what lies in these places and did not come along."""
    shown = [shown_path(path, cwd) for path in found]
    if len(shown) < 2:
        return "".join(f"{one} is {how} was not taken along: --include {one}" for one in shown)
    return (
        f"{_listed(shown)} are {how} none was taken along: --include the one that is meant, "
        f"for example --include {shown[0]}"
    )


def _chosen(name: str, root: Path, cwd: Path, taken: Collection[Path]) -> str:
    """Return the hint for a module of which several lie there and the wrong one may have come."""
    found = find_modules(name, root)
    came = [shown_path(path, cwd) for path in found if _is_taken(path, taken)]
    others = [shown_path(path, cwd) for path in found if not _is_taken(path, taken)]
    if not others:
        return ""
    where = f"{_listed(came)} was taken along" if came else "none of the project was taken along"
    is_are = "is" if len(others) == 1 else "are"
    return (
        f"for {name} {where}; of that name {is_are} also {_listed(others)}. --include {others[0]} "
        "takes that, unless there is one beside the deployed file, which comes first: rename it"
    )


def _listed(shown: list[str]) -> str:
    more = len(shown) - _MOST_SHOWN
    return ", ".join([*shown[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def _missed_files(message: str, root: Path) -> list[Path]:
    """Return the files and folders of the project of which a message says that they are missed."""
    if _MISSED.search(message) is None:
        return []
    if _DATABASE.search(message) is not None:
        return [path for path in _around(root) if path.suffix in _DATABASES]
    for match in _NAMED.finditer(message):
        found = _find_files(next(filter(None, match.groups())), root)
        if found:
            return found
    return []


def _find_files(text: str, root: Path) -> list[Path]:
    """Return the files of the project that end as a path does that was not found."""
    parts = [part for part in Path(text).parts if part not in ("/", "..", ".", "~")]
    if not parts or "\0" in text:
        return []
    for length in range(len(parts), 0, -1):
        path = root.joinpath(*parts[-length:])
        # Not Path.exists, which raises where a name is longer than any can be.
        if os.path.exists(path):  # noqa: PTH110
            return [path]
    return list(dict.fromkeys(path for path in _around(root) if path.name == parts[-1]))


def shown_path(path: Path, cwd: Path) -> str:
    """Return a path as one would type it in a folder, on a command line."""
    is_near = path.is_relative_to(cwd.parent)
    return shlex.quote(os.path.relpath(path, cwd) if is_near else str(path))


def _around(root: Path) -> Iterator[Path]:
    """Give what lies below a project, nearest first, then what lies beside it and above it."""
    yield from islice(_below(root), _LOOKED_AT)
    for above in root.parents[:_LEVELS]:
        if is_too_high(above):
            return
        yield from islice(_below(above, 2), _LOOKED_AT)


def _below(root: Path, levels: int = 16) -> Iterator[Path]:
    waiting: Iterable[Path] = [root]
    for _ in range(levels):
        here, waiting = waiting, []
        for folder in here:
            try:
                inside = sorted(folder.iterdir())
            except OSError:
                continue
            for path in inside:
                if is_left_out(path, folder):
                    continue
                yield path
                if path.is_dir() and not path.is_symlink():
                    waiting.append(path)
