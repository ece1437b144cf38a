"""Finds a Python of a version on this machine: servd's own, on the PATH, pyenv's, uv's, conda's.

Used by store.py. An interpreter is asked what it is (interpreter.py) only where its place says that
it could be the one.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import OLDEST, Interpreter, InterpreterError, at, own

NEWEST: Final = (3, 14)
"""The newest Python that model_runtime is known to run in."""
_VERSION: Final = re.compile(r"(?:python|cpython-?)?(\d+(?:\.\d+){0,2})$", re.IGNORECASE)
_NAME: Final = re.compile(r"python(\d+\.\d+)$")
_FOLDER: Final = re.compile(r"(?:cpython-)?(\d+\.\d+\.\d+)(?:[-+].*)?$")
_USUAL: Final = ("/usr/local/bin", "/usr/bin", "/opt/python/bin")


def version_of(text: str) -> str | None:
    """Return the version that a text means: "3.12", "python3.12"; None where it is a path."""
    found = _VERSION.fullmatch(text.strip())
    return found[1] if found else None


def check_version(version: str) -> None:
    """Refuse a version in which no model can run.

    Raises:
        EnvironmentFailedError: it is too old, or no version.
    """
    numbers = tuple(int(each) for each in version.split("."))
    if (numbers + OLDEST[len(numbers) :])[:2] < OLDEST:
        oldest, newest = (".".join(map(str, each)) for each in (OLDEST, NEWEST))
        raise EnvironmentFailedError(
            f"Python {version} is too old: models run in Python {oldest} to {newest}",
            hint=f"--python {newest}, or any between",
        )


def find(version: str, environ: Mapping[str, str]) -> Interpreter | None:
    """Return an interpreter of a version, "3", "3.12" or "3.12.1"; None where there is none.

    Of several the one that comes first: servd's own, then by where it lies.
    """
    return next((each for each in _suiting(version, environ)), None)


def known(environ: Mapping[str, str]) -> list[Interpreter]:
    """Return the interpreters that models can run in, one a version."""
    found = {each.version: each for each in _suiting("3", environ)}
    return sorted(found.values(), key=lambda each: _numbers(each.version))


def base_of(interpreter: Interpreter) -> Path:
    """Return the Python that environments of an interpreter are made of, with links followed.

    That of a virtual environment is a link to it, and the environment may go before those.
    """
    if interpreter.is_own:
        return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
    return Path(os.path.realpath(interpreter.path))


def _suiting(version: str, environ: Mapping[str, str]) -> Iterator[Interpreter]:
    seen: set[str] = set()
    if _suits(own().version, version):
        yield own()
    for path in _candidates(version, environ):
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        with suppress(InterpreterError):
            found = at(path)
            if _suits(found.version, version):
                yield found


def _suits(found: str, wanted: str) -> bool:
    return found == wanted or found.startswith(f"{wanted}.")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


def _candidates(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the programs whose place says that they may be of a version."""
    folders = [Path(each) for each in environ.get("PATH", "").split(os.pathsep) if each]
    shims = _pyenv(environ) / "shims"
    folders = [folder for folder in folders if folder != shims]
    yield from _named(version, dict.fromkeys([*folders, *map(Path, _USUAL)]))
    for place in _installations(environ):
        yield from _versioned(version, place)
    yield from _of_conda(environ)
    for folder in folders:  # `python3` may be anything
        for name in ("python3", "python"):
            if (folder / name).is_file():
                yield folder / name


def _named(version: str, folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the programs that have a version in their name: python3.12."""
    for folder in folders:
        with suppress(OSError):
            for path in sorted(folder.glob("python3.*"), reverse=True):
                found = _NAME.fullmatch(path.name)
                if found and (_suits(found[1], version) or _suits(version, found[1])):
                    yield path


def _versioned(version: str, place: Path) -> Iterator[Path]:
    """Yield the programs of the folders of a place that have versions in their names."""
    with suppress(OSError):
        named = [(each, _FOLDER.match(each.name)) for each in place.iterdir()]
        suiting = [(each, found[1]) for each, found in named if found]
        for folder, number in sorted(suiting, key=lambda each: _numbers(each[1]), reverse=True):
            if _suits(number, version):
                yield folder / "bin" / "python3"


def _installations(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders in which version managers keep a folder a Python."""
    home = Path(environ.get("HOME") or "/nonexistent")
    yield _pyenv(environ) / "versions"
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    yield Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    yield home / ".asdf" / "installs" / "python"
    yield data / "mise" / "installs" / "python"


def _pyenv(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME") or "/nonexistent", ".pyenv"))


def _of_conda(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the Pythons of conda's environments, as conda lists them."""
    home = Path(environ.get("HOME") or "/nonexistent")
    places = [environ.get("CONDA_PREFIX", "")]
    with suppress(OSError, UnicodeDecodeError):
        places += (home / ".conda" / "environments.txt").read_text("utf-8").splitlines()
    places += [str(home / name) for name in ("miniconda3", "miniforge3", "anaconda3", "mambaforge")]
    for place in filter(None, places):
        path = Path(place, "bin", "python")
        if path.is_file():
            yield path
