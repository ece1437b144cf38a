"""The environments of models: locked once, built once, shared by all that want the same.

`Environments` is what packing, the daemon and the command line use. Below its folder lie the
environments by their keys (`built/`), locks by what was wanted (`locks/`), what comes from no index
(`wheels/`), what builds where there is no uv (`tools/`), and `logs/`.
"""

import builtins
import hashlib
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from servd.clock import monotonic, wall_s
from servd.environments import lines, pythons
from servd.environments.failures import EnvironmentFailedError
from servd.environments.interpreter import Interpreter, InterpreterError, at, own
from servd.environments.lock import Lock, Wanted, check_platform, parse
from servd.environments.running import Report
from servd.environments.shelf import MARK, Shelf
from servd.errors import OF_THE_MACHINE, ConflictError, MachineError, NotFoundError
from servd.quantities import counted

if TYPE_CHECKING:
    from servd.environments.direct import Wheels
    from servd.environments.resolving import Resolver
    from servd.environments.toolbox import Toolbox

UNUSED_S: Final = 7 * 24 * 3600.0
"""How long an environment that no version uses is kept unless somebody prunes."""
_KEY_LETTERS: Final = 16
_WHEELS_S: Final = 3600.0
"""How long a wheel that no lock names is kept: the lock may be on its way."""
_NEVER: Final = ("never", "manual")
_LOCK_NAME: Final = "environment.lock"


def quiet(_line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One that is whole. `used_s` is when it was last wanted (Unix time), `took_s` its building."""

    key: str
    folder: Path
    lock: Lock
    tool: str
    built_s: float
    used_s: float
    took_s: float
    size_bytes: int
    log_path: Path


class Environments:
    """The environments in a folder. All methods block; any number of processes may use one folder.

    `environ` are the variables that builders have, which say which index is asked.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._environ = dict(os.environ if environ is None else environ)
        self._shelf = Shelf(folder / "built", _is_sound)
        self._logs = folder / "logs"
        self._used: dict[str, builtins.list[int]] = {}
        self._guard = threading.Lock()

    # A daemon whose models need no environments has no use for what makes them.

    @cached_property
    def _toolbox(self) -> "Toolbox":
        from servd.environments.toolbox import Toolbox  # noqa: PLC0415 - as above

        return Toolbox(self.folder / "tools", self._logs, self._environ)

    @cached_property
    def _wheels(self) -> "Wheels":
        from servd.environments.direct import Wheels  # noqa: PLC0415 - as above

        return Wheels(self.folder / "wheels")

    @cached_property
    def _resolver(self) -> "Resolver":
        from servd.environments.resolving import Resolver  # noqa: PLC0415 - as above

        return Resolver(self.folder / "locks", self._toolbox, self._wheels, self._environ)

    def lock(self, wanted: Wanted, report: Report = quiet) -> Lock:
        """Return the exact requirements of what is wanted; the same as the last time it was.

        Raises:
            EnvironmentFailedError: there is no such Python, or the requirements do not resolve.
            InterpreterError: the path of a Python is none.
        """
        with self._writing():
            interpreter = self.interpreter(wanted.python, report)
            asked = lines.read(wanted.requirements, wanted.folder)
            name = self._resolver.name_of(wanted, asked, interpreter)
            if name is None:
                return self._resolver.resolve(wanted, asked, interpreter, report)
            with self._shelf.alone(f"lock-{name}", lambda: report("the same is being resolved")):
                lock = self._resolver.remembered(name, asked)
                if lock is None:
                    lock = self._resolver.resolve(wanted, asked, interpreter, report)
                    self._resolver.remember(name, lock)
                return lock

    def ensure(self, lock: Lock, report: Report = quiet) -> Interpreter:
        """Return the interpreter of a lock's environment, which is built if it is not there.

        It is not removed while this process lives, or until `release`.

        Raises:
            EnvironmentFailedError: it cannot be built; then nothing of it is left.
        """
        with self._writing():
            key = self.key_of(lock)
            if key is not None:
                self._use(lock, key)
                if self._shelf.is_whole(key):
                    return at(self._shelf.path(key))
                self.release(lock)
            check_platform(lock)
            base = self._base(lock, report)
            key = _key(lock, base)
            self._use(lock, key)
            try:
                self._shelf.make(
                    key,
                    lambda folder: self._build(lock, base, folder, report),
                    lambda: report("another deployment builds the same environment: waiting"),
                )
                return at(self._shelf.path(key))
            except BaseException:
                self.release(lock)
                raise

    @contextmanager
    def using(self, lock: Lock, report: Report = quiet) -> Iterator[Interpreter]:
        """Have a lock's environment, as `ensure` does, until the end of the block."""
        interpreter = self.ensure(lock, report)
        try:
            yield interpreter
        finally:
            self.release(lock)

    def release(self, lock: Lock) -> None:
        """Let the environment of a lock be removed again: once for each `ensure`."""
        with self._guard:
            held = self._used.get(lock.digest, [])
            if held:
                os.close(held.pop())

    def find(self, lock: Lock) -> Interpreter | None:
        """Return the interpreter of a lock's environment; None where it is not built, or broken."""
        key = self.key_of(lock)
        if key is None:
            return None
        try:
            return at(self._shelf.path(key))
        except InterpreterError:
            return None

    def key_of(self, lock: Lock) -> str | None:
        """Return the key of a lock's environment; None where it is not built."""
        keys = self._shelf.whole()
        return next((key for key in keys if self._shelf.note(key).get("lock") == lock.digest), None)

    def interpreter(self, python: str | None, report: Report = quiet) -> Interpreter:
        """Return the interpreter that a version, a path or nothing (servd's own) means.

        Raises:
            EnvironmentFailedError: there is none; names those that there are.
            InterpreterError: what is at the path is none.
        """
        if python is None:
            return own()
        version = pythons.version_of(python)
        if version is None:
            return at(Path(python))
        pythons.check_version(version)
        found = pythons.find(version, self._environ) or self._fetched(version, report)
        if found is None:
            listed = ", ".join(each.version for each in pythons.known(self._environ))
            raise EnvironmentFailedError(
                f"there is no Python {version} on this machine",
                hint=f"here are: {listed}; `uv python install {version}` or `pyenv install "
                f"{version}` brings it, and --python PATH names one that lies elsewhere",
            )
        return found

    def folder_of(self, key: str) -> Path:
        """Return where the environment of a key is, or is being built."""
        return self._shelf.path(key)

    def log_of(self, key: str) -> Path:
        """Return where all is that its builder has said."""
        return self._logs / f"{key}.log"

    def list(self) -> builtins.list[Environment]:
        """Return all that are whole, by when they were built."""
        found = (self.show(key) for key in self._shelf.whole())
        return sorted((each for each in found if each), key=lambda each: each.built_s)

    def being_built(self) -> builtins.list[str]:
        """Return the keys of those that somebody builds now."""
        return self._shelf.being_made()

    def show(self, key: str) -> Environment | None:
        """Return one of them; None where there is none of that key."""
        folder, note = self._shelf.path(key), self._shelf.note(key)
        try:
            lock = parse((folder / _LOCK_NAME).read_text("utf-8"), str(folder / _LOCK_NAME))
            used_s = (folder / MARK).stat().st_mtime
        except (OSError, UnicodeDecodeError, EnvironmentFailedError):
            return None
        return Environment(
            key=key,
            folder=folder,
            lock=lock,
            tool=str(note.get("tool", "")),
            built_s=float(note.get("built_s", 0.0)),
            used_s=used_s,
            took_s=float(note.get("took_s", 0.0)),
            size_bytes=_size_of(folder),
            log_path=self.log_of(key),
        )

    def named(self, prefix: str) -> Environment:
        """Return the environment whose key begins so.

        Raises:
            NotFoundError: there is none.
            ConflictError: there are several.
        """
        keys = [key for key in self._shelf.whole() if prefix and key.startswith(prefix)]
        found = self.show(keys[0]) if len(keys) == 1 else None
        if len(keys) > 1:
            raise ConflictError(f"several environments begin with {prefix}: {', '.join(keys)}")
        if found is None:
            raise NotFoundError(
                f"there is no environment {prefix}", hint="servd env ls    lists them"
            )
        return found

    def remove(self, key: str) -> None:
        """Remove an environment, and forget that its lock answers to anything.

        Raises:
            ConflictError: a deployment uses it right now.
        """
        found = self.show(key)
        if not self._shelf.remove(key):
            raise ConflictError(
                f"the environment {key} is used by a deployment right now",
                hint="wait until that is done",
            )
        if found is not None:
            self._resolver.forget([found.lock.digest])
        self.log_of(key).unlink(missing_ok=True)

    def prune(self, used: Collection[str], *, unused_s: float = 0.0) -> builtins.list[Environment]:
        """Remove those whose locks' digests are not in `used`; return what was removed.

        None that a deployment uses, and none that was wanted in the last `unused_s`. What only
        they needed goes with them: remembered locks, wheels, logs.
        """
        before_s = wall_s() - unused_s
        removed: builtins.list[Environment] = []
        if not self.folder.is_dir():
            return removed
        self.tidy()
        for each in self.list():
            is_wanted = each.lock.digest in used or each.used_s > before_s
            if not is_wanted and self._shelf.remove(each.key):
                removed.append(each)
        self._resolver.forget([each.lock.digest for each in removed])
        self._clear_beside()
        return removed

    def touch(self, used: Collection[str]) -> None:
        """Note that these locks' environments are wanted. Called by the daemon now and then."""
        for each in self.list():
            if each.lock.digest in used:
                self._shelf.touch(each.key)

    def end(self) -> None:
        """End what builds and resolves here, at once: who waits for it fails, and cleans up."""
        self._toolbox.end()

    def tidy(self) -> builtins.list[str]:
        """Remove what killed builders have left; return the keys of half environments."""
        if not self.folder.is_dir():
            return []
        self._toolbox.tidy()
        for path in (*self.folder.glob("locks/*.new"), *self.folder.glob("wheels/*/*.new")):
            with suppress(OSError):
                if path.stat().st_mtime < wall_s() - _WHEELS_S:  # nobody writes for so long
                    path.unlink()
        return self._shelf.tidy()

    def _base(self, lock: Lock, report: Report) -> Interpreter:
        """Return the Python that a lock's environment is made of: of its version, or its series.

        Raises:
            EnvironmentFailedError: there is none.
        """
        named = _at(Path(lock.interpreter)) if lock.interpreter else None
        if named is not None and named.version == lock.python:
            return named
        exact = pythons.find(lock.python, self._environ)
        if exact is not None:
            return exact
        series = ".".join(lock.python.split(".")[:2])
        found = self.interpreter(series, report)
        report(f"Python {lock.python} is not on this machine: {found.version} is taken")
        return found

    def _fetched(self, version: str, report: Report) -> Interpreter | None:
        """Return a Python that uv has fetched; None where it has not."""
        tool = self._toolbox.tool(report)
        if not tool.can_fetch or self._environ.get("UV_PYTHON_DOWNLOADS") in _NEVER:
            return None
        with self._toolbox.work(f"python-{version}", own(), report, ()) as work:
            report(f"there is no Python {version} here: uv is asked to fetch it")
            tool.fetch(version, work)
        return pythons.find(version, self._environ)

    def _build(
        self, lock: Lock, base: Interpreter, folder: Path, report: Report
    ) -> Mapping[str, Any]:
        begun_s = monotonic()
        self.tidy()  # what a killed command has left is not for a daemon's start to wait for
        tool = self._toolbox.tool(report)
        count = counted(len(lock.pins), "package")
        report(f"building an environment of {count} for Python {base.version} with {tool.name}")
        texts = [*lock.settings, *lock.options]
        with self._toolbox.work(folder.name, base, report, texts) as work:
            wheels = work.scratch / "wheels"
            self._wheels.gather(lock, wheels)
            tool.make(folder, work)
            if lock.pins:
                tool.install(lock, wheels, folder, work)
        (folder / _LOCK_NAME).write_text(lock.text, "utf-8")
        found = at(folder)
        took_s = monotonic() - begun_s
        report(f"built the environment {folder.name} in {took_s:.1f} s")
        return {
            "lock": lock.digest,
            "python": found.version,
            "made_of": str(found.base_prefix),
            "tool": tool.name,
            "built_s": wall_s(),
            "took_s": round(took_s, 3),
            **_installed(found, folder),
        }

    def _clear_beside(self) -> None:
        """Remove wheels and logs that nothing needs any more."""
        whole = self.list()
        locks = [*(each.lock for each in whole), *self._resolver.locks()]
        self._wheels.prune(locks, before_s=wall_s() - _WHEELS_S)
        known = {each.log_path for each in whole}
        for path in self._logs.glob("*.log"):
            with suppress(OSError):
                if path not in known and path.stat().st_mtime < wall_s() - UNUSED_S:
                    path.unlink()

    def _use(self, lock: Lock, key: str) -> None:
        held = self._shelf.use(key)
        with self._guard:
            self._used.setdefault(lock.digest, []).append(held)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what this machine refuses in words that say where."""
        try:
            yield
        except OSError as error:
            if error.errno not in OF_THE_MACHINE:
                raise
            raise MachineError(error) from error


def _key(lock: Lock, base: Interpreter) -> str:
    """Return the key of an environment: of its lock and of the Python that it is made of."""
    parts = (lock.text, base.version, base.abi, str(pythons.base_of(base)))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_KEY_LETTERS]


def _installed(interpreter: Interpreter, folder: Path) -> dict[str, Any]:
    """Return how many distributions are in an environment, and in which folder of it."""
    sites = [each for each in interpreter.sys_path if each.is_relative_to(folder)]
    site = sites[0] if sites else folder
    return {"site": str(site.relative_to(folder)), "packages": _count(site)}


def _is_sound(folder: Path, note: Mapping[str, Any]) -> bool:
    """Tell whether an environment still has its Python and all of its distributions."""
    site = folder / str(note.get("site", ""))
    return (folder / "bin" / "python").exists() and _count(site) >= note.get("packages", 0)


def _count(site: Path) -> int:
    return sum(1 for _ in site.glob("*.dist-info"))


def _at(path: Path) -> Interpreter | None:
    with suppress(InterpreterError):
        return at(path)
    return None


def _size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - of thousands
    return total
