"""Where the files of a bundle lie: to each other as they do in the project. Used by targets.py."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LEVELS: Final = 6
"""What lies further above the project than that comes from elsewhere."""
OUTSIDE: Final = "outside"
"""The folder of a bundle for modules that lie elsewhere, as PYTHONPATH has them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`root` is the folder whose inside a bundle shows; `outside` are others, each by its name."""

    root: Path
    outside: tuple[tuple[Path, str], ...] = ()

    def name_of(self, path: Path) -> str:
        """Return the name of a file or folder in the bundle.

        Raises:
            ValueError: it lies in none of the folders.
        """
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix()
        for folder, name in self.outside:
            if path.is_relative_to(folder):
                return f"{name}/{path.relative_to(folder).as_posix()}".removesuffix("/.")
        raise ValueError(f"{path} is outside the project {self.root}")


def plan_layout(root: Path, folders: Sequence[Path], files: Iterable[Path]) -> Layout:
    """Return the layout of files that lie in a project, above it, and below import folders."""
    top = root
    outside: list[Path] = []
    for path in [*folders, *sorted({file.parent for file in files})]:
        common = Path(os.path.commonpath([top, path]))
        if len(root.parts) - len(common.parts) <= _LEVELS and common != Path(common.anchor):
            top = common
        elif not any(path.is_relative_to(folder) for folder in outside):
            outside.append(path)
    named = [(folder, f"{OUTSIDE}/{number}") for number, folder in enumerate(outside)]
    return Layout(top, tuple(named))
