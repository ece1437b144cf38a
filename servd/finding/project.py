"""The folder that a deployed file belongs to. Used by targets.py."""

from pathlib import Path
from typing import Final

from servd.finding.installed import is_too_high

_MARKERS: Final = ("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", ".git")


def project_root(file: Path) -> Path:
    """Return the nearest folder above a file that looks like a project, else the file's folder.

    Never the root of the file system or a home folder because of a marker there.
    """
    for folder in file.parents:
        if is_too_high(folder):
            break
        if is_marked(folder):
            return folder
    return file.parent


def is_marked(folder: Path) -> bool:
    """Tell whether a folder looks like a project's."""
    return any((folder / marker).exists() for marker in _MARKERS)
