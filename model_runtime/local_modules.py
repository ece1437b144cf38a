"""Where a module lies, by its name and its file. Used by loaders/python.py, and by the finder
that makes bundles: a file must have the same name there and here.
"""

from __future__ import annotations

import ast
from pathlib import Path


def package_folder(file: Path) -> Path | None:
    """Return the outermost package that a file is in; None where it stands alone.

    That is as far up as there is an __init__.py, and as the file's own relative imports reach:
    Python takes a folder without an __init__.py for a package as well.
    """
    level = relative_level(file)
    outermost = None
    folder = file.parent
    while folder.name.isidentifier() and ((folder / "__init__.py").is_file() or level > 0):
        outermost = folder
        folder = folder.parent
        level -= 1
    return outermost


def relative_level(file: Path) -> int:
    """Return the most dots of a relative import in a Python file; 0 for none."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return 0  # whoever imports it hears what is wrong
    return max((n.level for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)), default=0)


def import_folder(name: str, path: Path) -> Path | None:
    """Return the folder from which a file has this module name; None if the name is made up."""
    parts = name.split(".")
    stem = path.name.partition(".")[0]
    at = path.parent
    if stem == "__init__":
        at = at.parent if path.parent.name == parts[-1] else at
    elif stem != parts[-1]:
        return None
    for part in reversed(parts[:-1]):
        if at.name != part:
            return None
        at = at.parent
    return at
