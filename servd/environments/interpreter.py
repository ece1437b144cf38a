"""A Python interpreter of this machine and what is installed for it, servd's own or any other.

Used by whoever finds, packs, tries or launches models. What is installed is read from folders: no
process is started for it, and nothing is imported. To learn of an interpreter it is asked once.
"""

import functools
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from servd.errors import ServdError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

OLDEST: Final = (3, 9)
"""The oldest Python that runs models."""
MISLEADING: Final = frozenset(
    {
        "PYTHONEXECUTABLE",
        "PYTHONHOME",
        "PYTHONPLATLIBDIR",
        "PYTHONSTARTUP",
        "__PYVENV_LAUNCHER__",
    }
)
"""Variables that say where one interpreter has its files: another must not be told them."""
_ASK_S: Final = 30.0
_MARK: Final = "servd-asks:"
_PLACES: Final = ("bin/python", "bin/python3")
_MODULE_ENDINGS: Final = (".py", ".pyc", ".so", ".pyd")

# It is to be understood by any Python, as also one that is too old is to say so.
_QUESTION: Final = f"""
import sys
sys.path[:] = [each for each in sys.path if each]
import json, os, sysconfig
version = "%d.%d.%d" % sys.version_info[:3]
stdlib = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
names = set(sys.builtin_module_names) | set(getattr(sys, "stdlib_module_names", ()))
if not hasattr(sys, "stdlib_module_names"):
    for folder in stdlib + [os.path.join(each, "lib-dynload") for each in stdlib]:
        if os.path.isdir(folder):
            names.update(each.split(".")[0] for each in os.listdir(folder))
    names -= set(["site-packages", "dist-packages", "__pycache__", "lib-dynload"])
for name, module in list(sys.modules.items()):
    if name.startswith("__editable__"):
        names.update(key.split(".")[0] for key in getattr(module, "MAPPING", ()))
print("{_MARK}" + json.dumps({{
    "path": sys.executable, "version": version, "prefix": sys.prefix,
    "base_prefix": getattr(sys, "base_prefix", sys.prefix),
    "tag": getattr(getattr(sys, "implementation", None), "cache_tag", None) or "",
    "abi": sysconfig.get_config_var("SOABI") or "", "sys_path": sys.path, "stdlib": stdlib,
    "modules": sorted(names),
}}))
"""


class InterpreterError(ServdError):
    """What should be a Python interpreter is none that models can run in."""

    code = "bad_interpreter"
    status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python program, and the environment that it is of.

    `path` is absolute and as it was given, as a virtual environment's Python is a link. `tag` is
    what compiled files have in their names ("cpython-312"), `abi` what extension modules have
    ("cpython-312-x86_64-linux-gnu"). `prefix` is the environment's folder, `base_prefix` where the
    Python lies that it was made of. `sys_path` has the folders of what is installed: neither the
    standard library nor PYTHONPATH. `is_own` tells servd's own.
    """

    path: Path
    version: str
    tag: str
    abi: str
    prefix: Path
    base_prefix: Path
    sys_path: tuple[Path, ...]
    is_own: bool = False
    modules: frozenset[str] = field(default=frozenset(), repr=False)
    """Top-level modules that lie in no folder of `sys_path`: Python's, and editable installs."""

    @property
    def series(self) -> tuple[int, int]:
        """What is told apart by more than mended faults: (3, 12)."""
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    @property
    def is_environment(self) -> bool:
        """Whether it is of a virtual environment, and not a Python that was installed."""
        return self.prefix != self.base_prefix

    def version_of(self, distribution: str) -> str | None:
        """Return the version of a distribution that is installed there; None where it is not."""
        wanted = _normal(distribution)
        for each in self._distributions(name=distribution):
            if _normal(each.metadata["Name"] or "") == wanted:
                return each.version
        return None

    def has_module(self, top: str) -> bool:
        """Tell whether a top-level module can be imported there."""
        return top in self.modules or any(_lies_in(folder, top) for folder in self.sys_path)

    def distributions_of(self, top: str) -> tuple[str, ...]:
        """Return the names of the distributions that brought a top-level module, sorted."""
        return _owners(self.sys_path, _changes(self.sys_path)).get(top, ())

    def _distributions(self, **given: Any) -> Iterator["Distribution"]:
        yield from _distributions_in(self.sys_path, **given)


def own() -> Interpreter:
    """Return the interpreter that servd runs in; nobody is asked."""
    return _own(tuple(sys.path), os.environ.get("PYTHONPATH", ""))


def at(place: Path) -> Interpreter:
    """Return the interpreter at a path: a Python, or the folder of an environment.

    It is asked once, and again when something was installed or it was replaced.

    Raises:
        InterpreterError: there is none, it does not start, or it is too old.
    """
    path = _program(Path(os.path.abspath(place.expanduser())))  # noqa: PTH100 - a link stays one
    if path in _own_programs():
        return own()
    known = _asked.get(path)
    state = _state(path, known[1].sys_path if known else ())
    if known is not None and known[0] == state:
        return known[1]
    found = _understood(path, _ask(path, os.environ))
    if found.version == own().version and _is_same(found.prefix, own().prefix):
        return own()
    _asked[path] = (_state(path, found.sys_path), found)
    return found


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


_State = tuple[tuple[int, int], ...]
_asked: Final[dict[Path, tuple[_State, Interpreter]]] = {}


@functools.lru_cache(maxsize=4)
def _own(path: tuple[str, ...], pythonpath: str) -> Interpreter:
    return Interpreter(
        path=Path(sys.executable),
        version=platform.python_version(),
        tag=sys.implementation.cache_tag or "",
        abi=str(sysconfig.get_config_var("SOABI") or ""),
        prefix=Path(sys.prefix),
        base_prefix=Path(sys.base_prefix),
        sys_path=_installed(path, _stdlib(), pythonpath),
        is_own=True,
        modules=frozenset(sys.stdlib_module_names).union(sys.builtin_module_names, _editable()),
    )


@functools.cache
def _own_programs() -> frozenset[Path]:
    """Return the paths by which servd's own interpreter is called."""
    folder = Path(sys.prefix, "bin")
    series = f"python{sys.version_info.major}.{sys.version_info.minor}"
    names = ("python", "python3", series)
    return frozenset({Path(sys.executable), *(folder / name for name in names)})


def _stdlib() -> list[str]:
    return [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]


def _editable() -> Iterator[str]:
    """Yield the modules that setuptools' editable installs find by a mapping."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            yield from (key.partition(".")[0] for key in getattr(module, "MAPPING", ()))


def _installed(
    path: Iterable[str], stdlib: Iterable[str], pythonpath: str = ""
) -> tuple[Path, ...]:
    """Return the folders of a search path in which things are installed."""
    left_out = {Path(each) for each in stdlib}
    left_out |= {folder / "lib-dynload" for folder in left_out}
    left_out |= {Path(each).absolute() for each in pythonpath.split(os.pathsep) if each}
    folders = (Path(each) for each in path if each)
    kept = (each for each in folders if each not in left_out and each.suffix != ".zip")
    return tuple(dict.fromkeys(kept))


def _program(place: Path) -> Path:
    """Return the Python program of a place.

    Raises:
        InterpreterError: there is nothing that could be one.
    """
    path = place
    if place.is_dir():
        inside = [place / name for name in _PLACES]
        path = next((each for each in inside if os.path.lexists(each)), inside[0])
        if not os.path.lexists(path):
            raise InterpreterError(
                f"{place} is no Python environment: it has no {_PLACES[0]}",
                hint=f"python3 -m venv {place}    makes one",
            )
    if path.is_symlink() and not path.exists():
        raise _without_base(path)
    if not path.exists():
        raise InterpreterError(
            f"there is no Python at {path}",
            hint="name a Python program, or the folder of an environment",
        )
    if path.is_dir() or not os.access(path, os.X_OK):
        raise InterpreterError(
            f"{path} is no program: it may not be executed",
            hint="name another Python, or give this one its rights back; a file system that is "
            "mounted with noexec runs none",
        )
    return path


def _without_base(path: Path) -> InterpreterError:
    """Return the error of an environment whose Python was removed or moved."""
    folder = path.parent.parent
    return InterpreterError(
        f"the Python of the environment {folder} is gone: {path} is a link to "
        f"{os.path.realpath(path)}",
        hint=f"python3 -m venv --clear {folder}    makes the environment anew; then install in it "
        "what was in it",
    )


def _ask(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what an interpreter tells of itself.

    Raises:
        InterpreterError: it does not start, or is none.
    """
    # The variables of the user's own packages stay: a model there has them too.
    env = {key: text for key, text in environ.items() if key not in MISLEADING}
    env.pop("PYTHONPATH", None)
    try:
        asked = subprocess.run(
            [path, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            env=env,
            timeout=_ASK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InterpreterError(f"{path} says nothing within {_ASK_S:g} s") from None
    except OSError as error:
        raise InterpreterError(f"{path} does not start: {error.strerror or error}") from error
    lines = asked.stdout.decode(errors="replace").splitlines()
    answers = [line for line in lines if line.startswith(_MARK)]
    if not answers:
        words = asked.stderr.decode(errors="replace").strip()
        told = f": {words.splitlines()[-1]}" if words else ""
        raise InterpreterError(f"{path} is no Python that works{told}", traceback=words[-2000:])
    answer: dict[str, Any] = json.loads(answers[-1].removeprefix(_MARK))
    return answer


def _understood(path: Path, told: Mapping[str, Any]) -> Interpreter:
    """Return the interpreter that an answer describes.

    Raises:
        InterpreterError: it is too old.
    """
    version = str(told["version"])
    if tuple(int(each) for each in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(str(each) for each in OLDEST)
        raise InterpreterError(
            f"{path} is Python {version}, which is too old: models run in {oldest} and later",
            hint=f"make an environment of a later Python; servd's own is {sys.executable}",
        )
    # What a version manager puts in a program's place decides by the folder in which it is called.
    executable = Path(told["path"] or path)
    return Interpreter(
        path=executable if executable.is_absolute() and executable.exists() else path,
        version=version,
        tag=told["tag"],
        abi=told["abi"],
        prefix=Path(told["prefix"]),
        base_prefix=Path(told["base_prefix"]),
        sys_path=_installed(told["sys_path"], told["stdlib"]),
        modules=frozenset(told["modules"]),
    )


def _state(path: Path, folders: Iterable[Path]) -> _State:
    """Return what changes when an interpreter is replaced, or something is installed in it."""
    return _changes((path, path.parent.parent / "pyvenv.cfg", *folders))


def _changes(paths: Iterable[Path]) -> _State:
    changes = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            changes.append((0, 0))
        else:
            changes.append((status.st_ino, status.st_mtime_ns))
    return tuple(changes)


def _lies_in(folder: Path, top: str) -> bool:
    """Tell whether a module lies in a folder, for whichever Python it was compiled."""
    if not top.isidentifier():
        return False
    if (folder / top).is_dir():
        return True
    if any((folder / f"{top}{ending}").is_file() for ending in _MODULE_ENDINGS):
        return True
    return any(folder.glob(f"{top}.*.so"))


@functools.lru_cache(maxsize=16)
def _owners(folders: tuple[Path, ...], state: _State) -> dict[str, tuple[str, ...]]:
    """Return the names of distributions by the top-level modules that they brought."""
    del state  # of the folders: what was found counts for this one
    found: dict[str, set[str]] = {}
    for each in _distributions_in(folders):
        name = each.metadata["Name"]
        for top in _tops(each) if name else ():
            found.setdefault(top, set()).add(name)
    return {top: tuple(sorted(names)) for top, names in found.items()}


def _distributions_in(folders: Iterable[Path], **given: Any) -> Iterable["Distribution"]:
    """Return what is installed in folders."""
    from importlib.metadata import distributions  # noqa: PLC0415 - a daemon seldom asks

    return distributions(path=[str(folder) for folder in folders], **given)


def _tops(distribution: "Distribution") -> set[str]:
    """Return the top-level modules of a distribution."""
    told = distribution.read_text("top_level.txt")
    if told is not None and told.split():
        return set(told.split())
    names = {file.parts[0].partition(".")[0] for file in distribution.files or () if file.parts}
    return {name for name in names if name.isidentifier()}


def _normal(name: str) -> str:
    """Return a distribution's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
