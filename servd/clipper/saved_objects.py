"""Writes functions and models of a script into the folder that an image is made of, with the
script's own modules and files that they need. Used by the deployers and by model_images.py.

They are found as the client finds them for an object that it deploys (servd/client/objects.py).
"""

import json
import platform
import shutil
import types
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from servd.client import objects, pickling
from servd.clipper.clusters import said
from servd.clipper.exceptions import ClipperException
from servd.errors import ServdError
from servd.finding.needs import Place
from servd.packing.made import find_made
from servd.packing.targets import Found, Made, Target

MODULES: Final = "modules"
"""The folder of modules and files, beside what was pickled."""
_NOTE: Final = "modules.json"
_BUFFER_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Beside:
    """What lies beside pickles: where modules are found, the folder to run in, folders to make,
    the packages that are imported, the Python that wrote them. Paths are below `MODULES`.
    """

    sys_path: list[str] = field(default_factory=list)
    cwd: str | None = None
    folders: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    python: str = ""

    def add(self, found: Found) -> None:
        """Add what one more object needs."""
        self.sys_path += [each for each in found.sys_path if each not in self.sys_path]
        self.folders += [each for each in found.folders if each not in self.folders]
        self.packages |= found.packages
        self.cwd = self.cwd or found.cwd


def read_beside(folder: Path) -> Beside:
    """Return what is noted in a folder; nothing where nothing is."""
    try:
        return Beside(**json.loads((folder / _NOTE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Beside()


def save(value: Any, folder: Path, name: str) -> None:
    """Write an object into a folder under that name, and what it needs beside it.

    Raises:
        ClipperException: it cannot be written, or needs what is nowhere; the message has the path
            to what is in the way.
    """
    try:
        found = _written(value, folder / name)
    except ServdError as error:
        raise said(error) from error
    beside = read_beside(folder)
    try:
        if _copied(found, folder):
            beside.add(found)
        beside.packages |= found.packages
        beside.python = platform.python_version()
        (folder / _NOTE).write_text(json.dumps(asdict(beside)), "utf-8")
    except OSError as error:
        raise ClipperException(f"{error.filename} cannot be copied: {error.strerror}") from error


def _written(value: Any, content: Path) -> Found:
    own = objects.name_of(value)
    with content.open("wb", buffering=_BUFFER_BYTES) as file:
        needed = pickling.write(value, file, f"'{own}'")
    if isinstance(value, types.FunctionType):
        pickling.check_names(value, needed)
    made = Made(
        content=content,
        kind="function",
        name=own,
        modules=tuple(sorted(needed.modules - {"__main__", objects.own_module_of(value)})),
        loaded=objects.loaded_files(needed),
        texts=tuple(sorted(needed.texts)),
    )
    # Where its file would be, if it had one of its own; there is none.
    path = objects.folder_of(value) / content.name
    return find_made(Target(path, own, made), made, Place(cwd=Path.cwd()))


def _copied(found: Found, folder: Path) -> bool:
    """Copy the files that an object needs; return whether there are any."""
    names = {path: found.layout.name_of(path) for path in found.files if path.is_file()}
    for path, name in names.items():
        copy = folder / MODULES / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return bool(names)
