"""What resolves requirements and installs locks: uv where it is found, else venv and pip.

Used by store.py. Both are asked for the same and read the same settings, which are pip's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from servd.environments import pip_settings
from servd.environments.credentials import has_any
from servd.environments.failures import failure
from servd.environments.interpreter import Interpreter
from servd.environments.lines import Direct, Requirements
from servd.environments.lock import Lock
from servd.environments.pythons import base_of
from servd.environments.running import Outcome, Report, Runner

SETTING: Final = "SERVD_UV"
"""The variable that says where uv is, or that it is not to be used."""
_OFF: Final = frozenset({"0", "no", "off", "false"})
_ASK_S: Final = 10.0
_UV_VERSION: Final = re.compile(r"uv (\d+\.\d+\S*)")
_INDEXES: Final = ("--index-url", "--extra-index-url", "--find-links", "--no-index")
_VARIABLES: Final = {
    "--index-url": "UV_DEFAULT_INDEX",
    "--extra-index-url": "UV_EXTRA_INDEX_URL",
    "--find-links": "UV_FIND_LINKS",
}
_FILLED_IN: Final = re.compile(r"\$\{([A-Z0-9_]+)\}")
_OF_UV: Final = {"--pre": ("--prerelease", "allow"), "--prefer-binary": ()}
_IN_FILES_OF_UV: Final = (*_INDEXES, "--no-binary", "--only-binary")


@dataclass(frozen=True, slots=True)
class Work:
    """One job of a tool: with which interpreter, where its programs run, who is told."""

    interpreter: Interpreter
    runner: Runner
    report: Report

    @property
    def scratch(self) -> Path:
        """The folder for what is wanted meanwhile only."""
        return self.runner.scratch

    def run(
        self, doing: str, command: Sequence[str], extra: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run a program; `doing` is what has failed if it fails.

        Raises:
            EnvironmentFailedError: it ended with an error.
        """
        outcome = self.runner.run(command, self.report, extra)
        if outcome.status:
            tool = "pip" if "pip" in command[2:4] else Path(command[0]).name
            raise failure(doing, tool, outcome, self.runner.log_path)
        return outcome


@dataclass(frozen=True, slots=True)
class Found:
    """One package of a resolution. `place` is where it comes from, of what is in no index."""

    name: str
    version: str = ""
    hashes: tuple[str, ...] = ()
    place: str = ""


class Tool(Protocol):
    """What store.py uses of either. `can_fetch` tells whether it brings Pythons."""

    name: str
    can_fetch: bool

    def fetch(self, version: str, work: Work) -> None:
        """Have a Python of a version fetched, if that can be had: who wants it looks again."""

    def resolve(self, wanted: Requirements, kept: Sequence[str], work: Work) -> list[Found]:
        """Return all packages that are needed; `kept` are lines for wheels that are here."""

    def make(self, folder: Path, work: Work) -> None:
        """Make an empty environment in a folder."""

    def install(self, lock: Lock, wheels: Path, folder: Path, work: Work) -> None:
        """Install a lock into an environment; `wheels` has what comes from no index."""

    def wheel(self, wanted: Direct, options: Sequence[str], into: Path, work: Work) -> None:
        """Build or fetch the wheel of what comes from no index."""


class Uv:
    """uv, which is one program."""

    can_fetch = True

    def __init__(self, path: Path, version: str, environ: Mapping[str, str], pip: "Pip") -> None:
        self.name = f"uv {version}"
        self._path = str(path)
        self._environ = environ
        self._pip = pip

    def resolve(self, wanted: Requirements, kept: Sequence[str], work: Work) -> list[Found]:
        """Return all packages that are needed."""
        lines = [*_in_file(wanted.options, _IN_FILES_OF_UV), *wanted.named, *kept]
        command = ["pip", "compile", _written(work, "requirements.txt", lines)]
        command += ["--python", str(work.interpreter.path), "--generate-hashes", "--no-header"]
        command += ["--no-annotate", "--quiet", "--output-file", str(work.scratch / "resolved.txt")]
        command += [*_on_line(wanted.options), *self._flags()]
        if wanted.constraints:
            command += ["--constraint", _written(work, "constraints.txt", wanted.constraints)]
        work.run(
            f"the requirements do not resolve for Python {work.interpreter.version}",
            [self._path, *command],
            self._settings(),
        )
        return list(_compiled((work.scratch / "resolved.txt").read_text("utf-8")))

    def make(self, folder: Path, work: Work) -> None:
        """Make an empty environment in a folder."""
        command = ["venv", "--quiet", "--no-project", "--no-config", "--allow-existing"]
        command += ["--python", str(base_of(work.interpreter)), str(folder)]
        work.run("the environment cannot be made", [self._path, *command], self._settings())

    def install(self, lock: Lock, wheels: Path, folder: Path, work: Work) -> None:
        """Install a lock into an environment."""
        options = lock.settings or lock.options
        lines = [*_in_file(options, _IN_FILES_OF_UV), f"--find-links={wheels}"]
        lines += [*lock.hashed, *lock.unhashed]
        command = ["pip", "install", "--no-deps", "--python", str(folder / "bin" / "python")]
        command += ["--requirement", _written(work, "lock.txt", lines), *_on_line(options)]
        command += self._flags()
        if not self._is_linkable(folder):
            command += ["--link-mode", "copy"]
        work.run("the packages cannot be installed", [self._path, *command], self._settings())

    def wheel(self, wanted: Direct, options: Sequence[str], into: Path, work: Work) -> None:
        """Build or fetch the wheel of what comes from no index."""
        if wanted.folder is None:
            self._pip.wheel(wanted, options, into, work)
            return
        command = ["build", "--wheel", "--out-dir", str(into), "--no-create-gitignore"]
        told = _as_variables(options, self._environ)
        flags = [*_as_flags(options, told), *self._flags()]
        command += ["--python", str(base_of(work.interpreter)), *dict.fromkeys(flags)]
        work.run(
            f"{wanted.place} cannot be built ({wanted.where})",
            [self._path, *command, wanted.place],
            self._settings() | told,
        )

    def fetch(self, version: str, work: Work) -> None:
        """Have a Python of a version fetched, if that can be had: who wants it looks again."""
        command = [self._path, "python", "install", "--no-bin", version]
        outcome = work.runner.run(command, work.report, self._settings())
        if outcome.status:
            work.report(f"uv has no Python {version}")

    def _flags(self) -> list[str]:
        told = pip_settings.settings(self._environ)
        return ["--no-index"] if pip_settings.asks_no_index(told) else []

    def _settings(self) -> dict[str, str]:
        told = pip_settings.for_uv(pip_settings.settings(self._environ), self._environ)
        return told | _cache_of_uv(self._environ, self._pip.folder.parent)

    def _is_linkable(self, folder: Path) -> bool:
        """Whether files of uv's cache can be links in the environment."""
        cache = Path(self._settings().get("UV_CACHE_DIR") or _usual_cache(self._environ))
        try:
            return next(
                each for each in (cache, *cache.parents) if each.exists()
            ).stat().st_dev == (folder.stat().st_dev)
        except (OSError, StopIteration):
            return False


class Pip:
    """Python's own venv, and pip, which lies in an environment beside, one an interpreter.

    `prepared` returns its command for an interpreter, and makes that environment if it has to.
    """

    name = "pip"
    can_fetch = False

    def __init__(self, folder: Path, prepared: Callable[[Work], list[str]]) -> None:
        self.folder = folder
        self._prepared = prepared

    def fetch(self, version: str, work: Work) -> None:
        """Fetch nothing: pip has no Pythons."""

    def resolve(self, wanted: Requirements, kept: Sequence[str], work: Work) -> list[Found]:
        """Return all packages that are needed."""
        told = work.scratch / "report.json"
        lines = [*_in_file(wanted.options, None), *wanted.named, *kept]
        command = ["install", "--dry-run", "--ignore-installed", "--no-user", "--report", str(told)]
        command += ["--requirement", _written(work, "requirements.txt", lines)]
        if wanted.constraints:
            command += ["--constraint", _written(work, "constraints.txt", wanted.constraints)]
        work.run(
            f"the requirements do not resolve for Python {work.interpreter.version}",
            [*self._prepared(work), *command],
        )
        return [_reported(each) for each in json.loads(told.read_text("utf-8"))["install"]]

    def make(self, folder: Path, work: Work) -> None:
        """Make an empty environment in a folder."""
        command = [str(base_of(work.interpreter)), "-m", "venv", "--without-pip", str(folder)]
        work.run("the environment cannot be made", command)

    def install(self, lock: Lock, wheels: Path, folder: Path, work: Work) -> None:
        """Install a lock into an environment."""
        options = _in_file(lock.settings or lock.options, None)
        prepared = self._prepared(work)
        pip = prepared[: prepared.index("pip") + 1]  # which may be told of another Python
        pip += ["--python", str(folder / "bin" / "python")]
        # pip wants all of one call to have hashes, or none.
        for name, pins in (("hashed.txt", lock.hashed), ("unhashed.txt", lock.unhashed)):
            if pins:
                lines = _written(work, name, [*options, f"--find-links={wheels}", *pins])
                command = ["install", "--no-deps", "--no-compile", "--no-user", "-r", lines]
                work.run("the packages cannot be installed", [*pip, *command])

    def wheel(self, wanted: Direct, options: Sequence[str], into: Path, work: Work) -> None:
        """Build or fetch the wheel of what comes from no index."""
        line = f"{wanted.place} ; {wanted.marker}" if wanted.marker else wanted.place
        line += "".join(f" --hash={each}" for each in wanted.hashes)
        lines = _written(work, "direct.txt", [*_in_file(options, None), line])
        command = ["wheel", "--no-deps", "--wheel-dir", str(into), "--requirement", lines]
        shown = work.runner.secrets.hide(wanted.place)
        doing = f"{shown} cannot be built ({wanted.where})"
        work.run(doing, [*self._prepared(work), *command])


def find_uv(environ: Mapping[str, str], report: Report) -> tuple[Path, str] | None:
    """Return the uv that is to be used, and its version; None where there is none that works."""
    said = environ.get(SETTING, "")
    if said.lower() in _OFF:
        return None
    path = shutil.which(said or "uv", path=environ.get("PATH"))
    places = [Path(sys.executable).with_name("uv")]
    places += [Path(environ["HOME"], ".local/bin/uv")] if environ.get("HOME") else []
    usable = [each for each in places if os.access(each, os.X_OK)]
    if path is None and (said or not usable):
        if said:
            report(f"there is no uv at {said} ({SETTING}): pip is used")
        return None
    found = Path(path or usable[0])
    version, fault = _asked(found)
    if fault:
        report(f"{found} does not work ({fault}): pip is used")
        return None
    return found, version


def _asked(path: Path) -> tuple[str, str]:
    """Return uv's version, or what is wrong with it."""
    try:
        asked = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(getattr(error, "strerror", None) or "it does not answer")
    found = _UV_VERSION.search(asked.stdout.decode(errors="replace"))
    if asked.returncode or found is None:
        words = asked.stderr.decode(errors="replace").strip().splitlines()
        return "", words[-1] if words else f"it ended with {asked.returncode}"
    return found[1], ""


def _written(work: Work, name: str, lines: Sequence[str]) -> str:
    path = work.scratch / name
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def _in_file(options: Sequence[str], known: tuple[str, ...] | None) -> list[str]:
    """Return the options that may stand in a file of requirements; all of them for pip."""
    return [
        each.replace("=", " ", 1)
        for each in options
        if known is None or each.split("=", 1)[0] in known
    ]


def _on_line(options: Sequence[str]) -> list[str]:
    """Return the options that uv takes on its command line only."""
    flags: list[str] = []
    for each in options:
        name, _, value = each.partition("=")
        if name == "--trusted-host":
            flags += ["--allow-insecure-host", value]
        elif name not in _IN_FILES_OF_UV:
            flags += _OF_UV.get(name, ())
    return flags


def _as_flags(options: Sequence[str], told: Mapping[str, str]) -> list[str]:
    """Return the options by which uv finds what a build needs, but for what variables tell it."""
    names = {each for each in _INDEXES if _VARIABLES.get(each) not in told}
    return [each for each in options if each.split("=", 1)[0] in names]


def _as_variables(options: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for what has a name or a password in it.

    Command lines are for everybody to read, and ${NAME} is filled in by uv in files only.
    """
    found = {}
    for name, variable in _VARIABLES.items():
        given = (each.partition("=")[2] for each in options if each.startswith(f"{name}="))
        values = [_FILLED_IN.sub(lambda it: environ.get(it[1], it[0]), each) for each in given]
        if any(map(has_any, values)):
            found[variable] = pip_settings.joined(variable, values)
    return found


def _compiled(text: str) -> "list[Found]":
    """Return what uv has resolved, of the file that it has written."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        plain = line.partition(" #")[0].strip()
        if not plain or plain.startswith(("#", "--")):
            continue
        words = plain.removeprefix("-e ").split()
        hashes = tuple(each.removeprefix("--hash=") for each in words if each.startswith("--hash="))
        bare = " ".join(each for each in words if not each.startswith("--hash="))
        name, is_pinned, version = bare.partition("==")
        if is_pinned:
            found.append(Found(name.strip(), version.partition(";")[0].strip(), hashes))
        else:
            named, is_placed, place = bare.partition(" @ ")
            found.append(Found(named if is_placed else "", place=place if is_placed else bare))
    return found


def _reported(told: Mapping[str, Any]) -> Found:
    """Return one package of pip's report."""
    source, metadata = told["download_info"], told["metadata"]
    hashes = (source.get("archive_info") or {}).get("hashes") or {}
    place = ""
    if told.get("is_direct"):
        vcs = source.get("vcs_info")
        inside = f"#subdirectory={source['subdirectory']}" if source.get("subdirectory") else ""
        place = source["url"]
        if vcs:
            place = f"{vcs['vcs']}+{place}@{vcs['commit_id']}{inside}"
    pairs = tuple(f"{name}:{digest}" for name, digest in sorted(hashes.items()))
    return Found(metadata["name"], metadata["version"], pairs, place)


def _usual_cache(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME") or "/nonexistent"
    return Path(environ.get("XDG_CACHE_HOME") or Path(home, ".cache"), "uv")


def _cache_of_uv(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return where uv keeps what it has fetched, where its usual place cannot be written."""
    if environ.get("UV_CACHE_DIR") or environ.get("UV_NO_CACHE"):
        return {}
    usual = _usual_cache(environ)
    lowest = next((each for each in (usual, *usual.parents) if each.exists()), Path("/"))
    return {} if os.access(lowest, os.W_OK | os.X_OK) else {"UV_CACHE_DIR": str(folder / "cache")}
