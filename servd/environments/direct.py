"""Wheels of what comes from no index: of folders, files, repositories and addresses.

They are built or fetched once, when a lock is made, and kept by their content, so that what the
lock says can be installed again when the folder has changed or the address is gone. Used by
resolving.py and building.py.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servd.environments.failures import EnvironmentFailedError
from servd.environments.lines import Direct, Requirements, normal
from servd.environments.lock import Lock
from servd.environments.tools import Tool, Work

_MAX_FILES: Final = 20_000
_MAX_BYTES: Final = 64 << 20
_SKIPPED: Final = frozenset(
    {"__pycache__", "build", "dist", "node_modules", "venv", "env", ".venv", ".git", ".tox"}
)
_COMMIT: Final = re.compile(r"@[0-9a-f]{40}(?:#|$)")


@dataclass(frozen=True, slots=True)
class Kept:
    """A wheel that is kept."""

    path: Path
    digest: str

    @property
    def name(self) -> str:
        """The distribution's name."""
        return normal(self.path.name.split("-")[0])

    @property
    def pin(self) -> str:
        """Its line in a lock."""
        return f"{self.name}=={self.path.name.split('-')[1]} \\\n    --hash=sha256:{self.digest}"


class Wheels:
    """A folder of wheels, each in one that is named by its SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, wanted: Direct, requirements: Requirements, tool: Tool, work: Work) -> Kept | None:
        """Return the wheel of what comes from no index; None where its marker excludes it.

        Raises:
            EnvironmentFailedError: it cannot be built or fetched.
        """
        path = Path(wanted.place)
        if path.suffix == ".whl" and "://" not in wanted.place and not wanted.marker:
            kept = self.keep(path)
            if wanted.hashes and f"sha256:{kept.digest}" not in wanted.hashes:
                raise EnvironmentFailedError(
                    f"{path} has the hash sha256:{kept.digest}, which is none of those that its "
                    f"line allows ({wanted.where})",
                    hint="a file is not the one that was pinned: pin another, or bring that one",
                )
            return kept
        into = work.scratch / "wheel"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        tool.wheel(wanted, requirements.indexes, into, work)
        made = sorted(into.glob("*.whl"))
        if not made and not wanted.marker:
            raise EnvironmentFailedError(
                f"{work.runner.secrets.hide(wanted.place)} made no wheel ({wanted.where})",
                hint=f"all that was said is in {work.runner.log_path}",
            )
        return self.keep(made[0]) if made else None

    def keep(self, path: Path) -> Kept:
        """Take a wheel's file over; equal ones are kept once."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        target = self.folder / digest / path.name
        if not target.is_file():
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = target.with_suffix(f".{os.getpid()}.new")
            try:
                shutil.copyfile(path, draft)
                draft.replace(target)
            finally:
                draft.unlink(missing_ok=True)
        return Kept(target, digest)

    def find(self, digest: str, name: str) -> Path | None:
        """Return where a wheel is; None where it is not here."""
        path = self.folder / digest / name
        return path if path.is_file() else None

    def has_all(self, lock: Lock) -> bool:
        """Tell whether the wheels of a lock are here."""
        return all(self.find(digest, name) for digest, name in lock.wheels.items())

    def gather(self, lock: Lock, into: Path) -> None:
        """Put the wheels of a lock together in a folder.

        Raises:
            EnvironmentFailedError: one is not here.
        """
        into.mkdir(exist_ok=True)
        for digest, name in lock.wheels.items():
            path = self.find(digest, name)
            if path is None:
                raise EnvironmentFailedError(
                    f"{name} is not here: it was made of a folder, a file or a repository on the "
                    "machine where the model's environment was locked",
                    hint="deploy the model again from there, or put the package on an index",
                )
            shutil.copyfile(path, into / name)

    def prune(self, used: Iterable[Lock], *, before_s: float) -> None:
        """Remove the wheels that no lock names and that are older (Unix time)."""
        wanted = {digest for lock in used for digest in lock.wheels}
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            if folder.name not in wanted and folder.stat().st_mtime < before_s:
                shutil.rmtree(folder, ignore_errors=True)


def fingerprint(wanted: Direct) -> str | None:
    """Return what changes when what comes from no index does; None where that cannot be told."""
    if wanted.folder is not None:
        return _of_folder(wanted.folder)
    path = Path(wanted.place)
    if "://" not in wanted.place and path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    is_repository = wanted.place.partition("://")[0].partition("+")[2] != ""
    return wanted.place if not is_repository or _COMMIT.search(wanted.place) else None


def _of_folder(folder: Path) -> str | None:
    total = hashlib.sha256()
    count, size = 0, 0
    for path in _sources(folder):
        count, size = count + 1, size + path.stat().st_size
        if count > _MAX_FILES or size > _MAX_BYTES:
            return None
        content = hashlib.sha256(path.read_bytes()).digest()
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + content)
    return total.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    """Yield the files of a project, but what tools have made of it."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not _is_made(Path(place, each)))
        yield from (Path(place, each) for each in sorted(names) if Path(place, each).is_file())


def _is_made(folder: Path) -> bool:
    return (
        folder.name in _SKIPPED
        or folder.name.endswith(".egg-info")
        or (folder / "pyvenv.cfg").exists()
    )
