"""Looks in the project for what a model did not find. Used by targets.py and the command line.

A module or a file that lies there is the user's own: no package index has it.
"""

import os
import re
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from servd.finding.installed import is_left_out, is_too_high

_LOOKED_AT: Final = 20_000
"""Files and folders; a larger project is not searched to its end."""
_LEVELS: Final = 2
_NO_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_NO_FILE: Final = re.compile(r"(?:FileNotFoundError|No such file)\b.*?: b?'([^']+)'")


def find_module(name: str, root: Path) -> Path | None:
    """Return where a top-level module lies: in the project, above it, or beside that."""
    wanted = name.partition(".")[0]
    for path in _around(root):
        is_file = path.name == f"{wanted}.py"
        if is_file or (path.name == wanted and path.is_dir() and any(path.glob("*.py"))):
            return path
    return None


def module_hint(name: str, root: Path, cwd: Path) -> str:
    """Return what to do about a module of the user's that was not found, or an empty text."""
    found = find_module(name, root)
    if found is None:
        return ""
    shown = shown_path(found, cwd)
    return (
        f"{shown} is there, but not where Python would look for it, and was not taken along: "
        f"--include {shown}"
    )


def failure_hint(message: str, root: Path, cwd: Path, taken: frozenset[Path]) -> str:
    """Return what to do about a load that failed for what lies in the project, or an empty text."""
    if (module := _NO_MODULE.search(message)) is not None:
        found = find_module(module[1], root)
        if found is None or found in taken:
            return ""
        shown = shown_path(found, cwd)
        return f"{shown} is there and was not taken along: --include {shown}"
    if (file := _NO_FILE.search(message)) is not None:
        there = _find_file(file[1], root)
        if there is None or there in taken:
            return ""
        shown = shown_path(there, cwd)
        return f"{shown} is there and was not taken along: --include {shown}"
    return ""


def _find_file(text: str, root: Path) -> Path | None:
    """Return a file of the project that ends as a path does that was not found."""
    parts = [part for part in Path(text).parts if part not in ("/", "..", ".")]
    for length in range(len(parts), 0, -1):
        path = root.joinpath(*parts[-length:])
        if path.exists():
            return path
    name = parts[-1] if parts else ""
    return next((path for path in _around(root) if path.name == name), None)


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
    waiting = [root]
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
