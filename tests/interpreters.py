"""Real Python interpreters of this machine, by their series, for tests that need another's."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MINE = f"{sys.version_info.major}.{sys.version_info.minor}"
SERIES = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


@functools.cache
def find(series: str) -> Path | None:
    """Return a Python of a series ("3.12"; also one that is too old), or None: none is here."""
    for path in _candidates(series):
        if path.is_file() and _series_of(path) == series:
            return path
    return None


def others() -> list[str]:
    """Return the series that are here and that models may run in, but for servd's own.

    Where there is no other it is servd's own: an environment of it is another environment still.
    """
    found = [series for series in SERIES if series != MINE and find(series) is not None]
    return found or [MINE]


def too_old(folder: Path, series: str) -> Path:
    """Return a Python of a series before those that models run in, or what says that it is one."""
    found = find(series)
    if found is not None:
        return found
    stand_in = folder / f"python{series}"
    version = ", ".join(series.split("."))
    code = f"import sys; sys.version_info = ({version}, 18)"
    stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} "$1" "{code}\n$2"\n')
    stand_in.chmod(0o755)
    return stand_in


def make_environment(folder: Path, series: str) -> Path:
    """Make a virtual environment that holds nothing, not even pip; return its Python."""
    python = find(series)
    assert python is not None
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    return folder / "bin" / "python"


def _candidates(series: str) -> Iterator[Path]:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    yield from sorted(versions.glob(f"{series}.*/bin/python"))
    named = shutil.which(f"python{series}")
    if named is not None:
        yield Path(named)
    if series == MINE:
        yield Path(sys.executable)


def _series_of(path: Path) -> str:
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run(
        [path, "-c", question], capture_output=True, text=True, timeout=30, check=False
    )
    return asked.stdout.strip()
