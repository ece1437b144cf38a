"""How model_runtime comes into an interpreter in which nothing is installed for it: as one zip.

Used by whoever starts a process of model_runtime. The zip has the package, in pure Python, and the
names of what it may take from servd's own environment where the model's has none of that
(model_runtime/zipped.py). It is written once for each content, and compiled once by each Python
that it runs in; both are put in their place whole.
"""

import functools
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model_runtime.zipped import HOME_NAME
from servd.clock import wall_s
from servd.environments.interpreter import MISLEADING, Interpreter, own
from servd.errors import MachineError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

PACKAGE: Final = "model_runtime"
ADDITIONS: Final = (
    "a2wsgi",
    "click",
    "cloudpickle",
    "h11",
    "typing_extensions",
    "uvicorn",
    "websockets",
)
"""Modules in pure Python that some models need and that servd's environment has: what runs web
applications, and what reads a pickled function."""
_COMPILE_S: Final = 60.0
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_OWNERS_ALONE: Final = 0o700
_OTHERS_WRITE: Final = 0o022
_HALF: Final = ".half-"
_LEFT_S: Final = 3600.0
"""Nobody writes for so long."""
_UNUSED_S: Final = 30 * 86400.0
_TOLD_S: Final = 86400.0
"""How often it is noted that a zip is used."""


def command(
    interpreter: Interpreter,
    module: str = PACKAGE,
    *arguments: str,
    folder: Path | None = None,
) -> list[str]:
    """Return the command that runs a module of model_runtime in an interpreter.

    The zip is kept in `folder`, or in the user's cache where that cannot be written.

    Raises:
        MachineError: it can be written nowhere.
    """
    if interpreter.is_own:
        # -P: the working directory is not searched for modules unless it is named.
        return [str(interpreter.path), "-P", "-m", module, *arguments]
    return [str(interpreter.path), str(_runtime(interpreter, folder)), module, *arguments]


def variables(interpreter: Interpreter, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment a process of an interpreter is to have.

    One that is not servd's own is not led to servd's own files, and finds its own programs first.
    """
    if interpreter.is_own:
        return dict(environ)
    kept = {key: text for key, text in environ.items() if key not in MISLEADING}
    folders = [each for each in kept.pop("PYTHONPATH", "").split(os.pathsep) if each]
    users = [each for each in folders if not _is_servds(Path(each))]
    if users:
        kept["PYTHONPATH"] = os.pathsep.join(users)
    kept.pop("VIRTUAL_ENV", None)
    if (interpreter.prefix / "conda-meta").is_dir():
        kept["CONDA_PREFIX"] = str(interpreter.prefix)
    elif interpreter.is_environment:
        kept["VIRTUAL_ENV"] = str(interpreter.prefix)
    programs = str(interpreter.path.parent)
    path = [each for each in kept.get("PATH", os.defpath).split(os.pathsep) if each != programs]
    kept["PATH"] = os.pathsep.join([programs, *path])
    return kept


def _is_servds(folder: Path) -> bool:
    """Tell whether a folder of PYTHONPATH is there for servd, and not for models."""
    mine = own()
    return folder in mine.sys_path or (folder / "servd" / "environments").is_dir()


# --- the zip ---


def _runtime(interpreter: Interpreter, folder: Path | None) -> Path:
    """Return the zip for an interpreter, which is written if it is missing."""
    from zipfile import is_zipfile  # noqa: PLC0415 - a daemon without such environments has no use for it

    content = _content()
    stem = f"runtime-{hashlib.sha256(content).hexdigest()[:16]}"
    for place in _places(folder):
        source, compiled = place / f"{stem}.zip", place / f"{stem}-{interpreter.tag}.zip"
        if is_zipfile(compiled):
            _note_use(compiled)
            return compiled
        try:
            if not (source.is_file() and source.stat().st_size == len(content)):
                _put(source, content)
        except OSError as error:
            refused = error
            continue
        return compiled if _compile(interpreter, source, compiled) else source
    raise MachineError(refused)


def _note_use(path: Path) -> None:
    with suppress(OSError):
        if path.stat().st_mtime < wall_s() - _TOLD_S:
            os.utime(path)


def _places(folder: Path | None) -> Iterator[Path]:
    """Yield folders for the zip: one is enough that can be written, or has it."""
    if folder is not None:
        yield folder
    from platformdirs import user_cache_path  # noqa: PLC0415 - as above

    with suppress(RuntimeError):  # a user without a home
        yield user_cache_path("servd") / "runtime"
    yield _shared()


def _shared() -> Path:
    """Return a folder below that of temporary files that is this user's alone."""
    place = Path(tempfile.gettempdir(), f"servd-runtime-{os.geteuid()}")
    with suppress(OSError):
        place.mkdir(mode=_OWNERS_ALONE)
        return place
    with suppress(OSError):
        status = place.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if is_ours and not status.st_mode & _OTHERS_WRITE:
            return place
    return Path(tempfile.mkdtemp(prefix="servd-runtime-"))


def _put(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(mode=_OWNERS_ALONE, parents=True, exist_ok=True)
    _sweep(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_HALF, delete=False) as file:
        try:
            file.write(content)
            _settle(file.fileno(), file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _sweep(folder: Path) -> None:
    """Remove what killed ones left half written, and what only older versions of servd used."""
    for pattern, kept_s in ((f"{_HALF}*", _LEFT_S), ("runtime-*.zip", _UNUSED_S)):
        for path in folder.glob(pattern):
            with suppress(OSError):
                if path.stat().st_mtime < wall_s() - kept_s:
                    path.unlink()


def _settle(descriptor: int, name: str, path: Path) -> None:
    """Put a written file in its place, when the disk has it."""
    os.fsync(descriptor)
    Path(name).replace(path)


def _compile(interpreter: Interpreter, source: Path, path: Path) -> bool:
    """Have an interpreter compile the zip; where it cannot, it runs from the sources."""
    with (
        suppress(OSError, subprocess.SubprocessError),
        tempfile.NamedTemporaryFile(dir=path.parent, prefix=_HALF, delete=False) as file,
    ):
        try:
            module = f"{PACKAGE}.compiling"
            subprocess.run(
                [interpreter.path, source, module, source, str(file.fileno()), path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=[file.fileno()],
                env=variables(interpreter, os.environ),
                timeout=_COMPILE_S,
                check=True,
            )
            _settle(file.fileno(), file.name, path)
        finally:
            Path(file.name).unlink(missing_ok=True)
        return True
    return False


@functools.cache
def _content() -> bytes:
    """Return the zip: the same bytes for the same package in the same environment.

    Nothing in it is compressed, as not every Python can undo that.
    """
    import zipfile  # noqa: PLC0415 - as above
    from importlib import resources  # noqa: PLC0415 - as above

    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        package = resources.files(PACKAGE)
        for name, source in sorted(_sources(package, PACKAGE)):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), source)
        main = (package / "zipped.py").read_bytes()
        archive.writestr(zipfile.ZipInfo("__main__.py", _EPOCH), main)
        home = json.dumps(_additions(own()), sort_keys=True)
        archive.writestr(zipfile.ZipInfo(HOME_NAME, _EPOCH), home)
    return written.getvalue()


def _sources(folder: "Traversable", name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each Python file."""
    for each in folder.iterdir():
        if each.is_dir() and each.name.isidentifier() and each.name != "__pycache__":
            yield from _sources(each, f"{name}/{each.name}")
        elif each.name.endswith(".py"):
            yield f"{name}/{each.name}", each.read_bytes()


def _additions(mine: Interpreter) -> dict[str, dict[str, object]]:
    """Return where servd's own environment has what models may take from it."""
    found: dict[str, dict[str, object]] = {}
    for name in ADDITIONS:
        for folder in mine.sys_path:
            if (folder / name).is_dir() or (folder / f"{name}.py").is_file():
                found[name] = {"folder": str(folder), "python": _oldest(name)}
                break
    return found


def _oldest(distribution: str) -> Sequence[int]:
    """Return the oldest Python that a distribution of servd's own environment is for."""
    from importlib.metadata import PackageNotFoundError, metadata  # noqa: PLC0415 - as above

    try:
        told = metadata(distribution)["Requires-Python"] or ""
    except PackageNotFoundError:
        return sys.version_info[:2]
    found = re.search(r">=\s*(\d+)\.(\d+)", told)
    return [int(part) for part in found.groups()] if found else [3]
