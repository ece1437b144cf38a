"""What `servd deploy` is pointed at: `file.py:name`, `file.py` or a pickle. Used by bundling.py.

A Python file is loaded in a fresh process (model_runtime/discover.py), a pickle is only read.
"""

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from model_runtime.local_modules import project_root
from servd.errors import TargetError, did_you_mean
from servd.pickle_scan import PickleScan, distribution, scan

PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".joblib")
"""Distributions that are called otherwise than the module they bring."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file, and the name of an object in it where one was given."""

    path: Path
    object: str | None

    @property
    def is_pickle(self) -> bool:
        """Whether it is a pickled model."""
        return self.path.suffix in PICKLE_ENDINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a target turned out to be. `files` are absolute paths below `root`."""

    root: Path
    files: tuple[Path, ...]
    kind: str
    object: str | None
    sys_path: tuple[str, ...] = (".",)
    input_type: str | None = None
    as_lists: bool = False
    row_items: int | None = None
    python: str = ""
    packages: dict[str, str]
    remarks: tuple[str, ...] = ()
    summary: str = ""


def parse_target(text: str) -> Target:
    """Return the file and the object that a TARGET names.

    Raises:
        TargetError: it has none of the forms, or there is no such file.
    """
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py"):
        file, name = text, ""
    target = Target(_path(file), name or None)
    if target.path.suffix != ".py" and not target.is_pickle:
        raise TargetError(
            f"'{text}' is not something to deploy",
            hint="deploy file.py:function, file.py:Class, or a .pkl, .pickle or .joblib file",
        )
    if target.path.exists() and not target.path.is_file():
        raise TargetError(f"{file} is not a file", hint="deploy a Python file or a pickle")
    if not target.path.is_file():
        folder = target.path.parent
        there = folder.iterdir() if folder.is_dir() else ()
        near = [path.name for path in there if path.is_file()]
        raise TargetError(f"there is no file {file}", hint=did_you_mean(target.path.name, near))
    return target


def _path(file: str) -> Path:
    """Return the path of a file; a pickle keeps the name of a link that leads to it."""
    path = Path(file)
    is_pickle = path.suffix in PICKLE_ENDINGS
    return path.parent.resolve() / path.name if is_pickle else path.resolve()


def find(target: Target, timeout_s: float = 120.0) -> Found:
    """Return what a target is and which files and packages it needs.

    A Python file may take `timeout_s` to load.

    Raises:
        TargetError: it cannot be deployed; the message says why.
    """
    if target.is_pickle:
        return _find_pickle(target.path)
    name = target.object or _only_object(target.path, timeout_s)
    found = _discover(target.path, name, timeout_s)
    return Found(
        root=Path(found["root"]),
        files=tuple(Path(path) for path in found["modules"]),
        kind=found["kind"],
        object=name,
        sys_path=tuple(found["sys_path"]),
        input_type=found["input_type"],
        as_lists=found["as_lists"],
        python=found["python"],
        packages=found["packages"],
    )


def _only_object(path: Path, timeout_s: float) -> str:
    """Return the one function or class that a file defines."""
    found = _discover(path, None, timeout_s)
    names = [*found["functions"], *found["classes"]]
    if len(names) == 1:
        return str(names[0])
    if not names:
        raise TargetError(f"{path.name} defines no public function and no class")
    commands = ", ".join(f"{path.name}:{name}" for name in names)
    raise TargetError(
        f"{path.name} defines {len(names)} functions and classes: {', '.join(names)}",
        hint=f"say which one to deploy: {commands}",
    )


def _discover(path: Path, name: str | None, timeout_s: float) -> dict[str, Any]:
    # -P: the working directory is not searched for modules, as it will not be in a replica.
    command = [sys.executable, "-P", "-m", "model_runtime.discover", str(path)]
    # Files and not pipes: a process that the model starts would hold a pipe open for ever.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            [*command, name] if name else command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TargetError(
                f"{path.name} was still loading after {timeout_s:g} s",
                hint="does it wait for something, or work at its top level? "
                "SERVD_LOAD_TIMEOUT gives it more time",
            ) from error
        finally:
            _end_group(process)
        return _discovered(path, code, _content(output), _content(messages))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process with whatever it started; it leads its own group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _discovered(path: Path, code: int, output: bytes, messages: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError as error:
        text = messages.decode("utf-8", "replace").strip()
        raise TargetError(
            f"{path.name} ended the process that loaded it ({_ending(code)})",
            traceback="\n".join(text.splitlines()[-10:]),
        ) from error
    if "error" in found:
        raise _refusal(path, found)
    return found


def _ending(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _refusal(path: Path, found: dict[str, Any]) -> TargetError:
    problem = found["error"]
    hint = problem.get("hint") or ""
    if hint.startswith("did you mean "):
        name = hint.removeprefix("did you mean ").rstrip("?")
        hint += f"   servd deploy {path.name}:{name}"
    return TargetError(problem["message"], hint=hint, traceback=problem.get("traceback") or "")


def _find_pickle(path: Path) -> Found:
    scanned = scan(path)
    root = project_root(path)
    local = {name: _local_files(path.parent, name) for name in scanned.frameworks}
    needed = [name for name in scanned.frameworks if not local[name]]
    _check_installed(path.name, needed)
    files = {path, *(file for files in local.values() for file in files)}
    folder = path.parent.relative_to(root).as_posix()
    return Found(
        root=root,
        files=tuple(sorted(files)),
        kind="pickle",
        object=None,
        sys_path=tuple(dict.fromkeys((folder, "."))),
        row_items=scanned.row_items,
        packages=_versions(scanned, needed),
        remarks=tuple(_remarks(path.name, scanned)),
        summary=_summary(scanned),
    )


def packages_of_pickle(path: Path) -> dict[str, str]:
    """Return the packages that a pickle needs, where it is one: it comes along with a Python file.

    What only unpickles it need not import them, so nothing else tells of them.
    """
    try:
        scanned = scan(path)
    except TargetError:
        return {}
    needed = [name for name in scanned.frameworks if _is_installed(name)]
    return _versions(scanned, needed)


def _local_files(folder: Path, name: str) -> list[Path]:
    """Return the files of a module that lies beside the pickle and is not installed."""
    if _is_installed(name):
        return []
    if (folder / f"{name}.py").is_file():
        return [folder / f"{name}.py"]
    package = folder / name
    return sorted(package.rglob("*.py")) if (package / "__init__.py").is_file() else []


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        return True


def _check_installed(file: str, modules: list[str]) -> None:
    missing = [distribution(name) for name in modules if not _is_installed(name)]
    if missing:
        is_are = "is" if len(missing) == 1 else "are"
        raise TargetError(
            f"{file} needs {' and '.join(missing)}, which {is_are} not installed",
            hint=f"pip install {' '.join(missing)}",
        )


def _versions(scanned: PickleScan, modules: list[str]) -> dict[str, str]:
    """Return the versions the model was made with, or else the installed ones."""
    versions = {}
    for name in map(distribution, modules):
        installed = _installed_version(name)
        if installed:
            versions[name] = installed
    if scanned.sklearn_version:
        versions["scikit-learn"] = scanned.sklearn_version
    return versions


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _remarks(file: str, scanned: PickleScan) -> list[str]:
    """Return what may go wrong at the load, to be said before it."""
    remarks = []
    made_with, installed = scanned.sklearn_version, _installed_version("scikit-learn")
    if made_with and installed and made_with != installed:
        remarks.append(f"model was made with scikit-learn {made_with}, this is {installed}")
    if scanned.is_python2:
        remarks.append(f"{file} was written by Python 2; it may not load in Python 3")
    if scanned.needs_main:
        remarks.append(
            f"{file} needs a class or function of the script that wrote it (__main__), "
            "which is not in the file: move it to a module beside the pickle"
        )
    return remarks


def _summary(scanned: PickleScan) -> str:
    words = [f"pickle protocol {scanned.protocol}"]
    if scanned.compression:
        words.append(scanned.compression)
    main = [name for name in scanned.frameworks if name not in ("numpy", "joblib", "scipy")]
    for name in main[:1]:
        version = scanned.sklearn_version if name == "sklearn" else None
        words.append(f"{distribution(name)} {version}" if version else distribution(name))
    return ", ".join(words)
