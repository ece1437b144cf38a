"""Which loaded modules are the user's own files, and where they were imported from.

Used by discover.py.
"""

import site
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

_MARKERS: Final = ("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", ".git")
_INSTALLED_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})


def project_root(file: Path) -> Path:
    """Return the nearest folder above a file that looks like a project, else the file's folder.

    Never the root of the file system or a home folder because of a marker there.
    """
    home = _home()
    for folder in file.parents:
        if folder == home or folder == Path(folder.anchor):
            break
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return file.parent


def _home() -> Path | None:
    """Return the user's home folder, if there is one."""
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None


def find(loaded: Mapping[str, ModuleType], root: Path) -> dict[str, Path]:
    """Return name and file of the loaded modules under `root` that are not installed ones."""
    installed = _installed_folders(root)
    local = {}
    for name, module in loaded.items():
        text = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(text, str):
            continue
        path = Path(text).resolve()
        if path.is_relative_to(root) and not _is_installed(path, root, installed):
            local[name] = path
    return local


def _installed_folders(root: Path) -> list[Path]:
    """Return the folders of the standard library and of installed packages.

    One that the project itself is in says nothing about the project's files.
    """
    texts = {*sysconfig.get_paths().values(), site.getusersitepackages(), *site.getsitepackages()}
    folders = [Path(text).resolve() for text in texts]
    kept = ("lib", "lib64")
    return [
        f for f in folders if f not in {root, *root.parents} and any(k in f.parts for k in kept)
    ]


def _is_installed(path: Path, root: Path, installed: list[Path]) -> bool:
    """Tell whether a file below the root belongs to an environment and not to the project."""
    inner = path.relative_to(root)
    if _INSTALLED_FOLDERS.intersection(inner.parts) or any(map(path.is_relative_to, installed)):
        return True
    folders = [folder for folder in path.parents if folder.is_relative_to(root) and folder != root]
    return any((folder / "pyvenv.cfg").exists() for folder in folders)


def import_folders(local: Mapping[str, Path], file: Path) -> list[Path]:
    """Return the folders that must be on `sys.path` for local modules to have the same names.

    The folder of the deployed file is the first.
    """
    folders = [file.parent]
    for name, path in sorted(local.items()):
        folder = _import_folder(name, path)
        if folder is not None and folder not in folders:
            folders.append(folder)
    return folders


def _import_folder(name: str, path: Path) -> Path | None:
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
