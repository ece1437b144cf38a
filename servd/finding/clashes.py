"""Modules of the user's whose names stand for others as well. Used by needs.py and targets.py.

Python imports one module of a name, and which one is decided by where it looks first. Where that
may not be the one that was meant it is said, with what chooses another.
"""

from collections.abc import Collection
from pathlib import Path

from servd.errors import TargetError
from servd.finding.hints import shown_path
from servd.finding.installed import RUNTIME
from servd.finding.modules import Modules


def refuse_clashes(modules: Modules, cwd: Path) -> None:
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


def name_remarks(
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


def taken_name_hint(message: str, modules: Modules, before: Collection[str], cwd: Path) -> str:
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
