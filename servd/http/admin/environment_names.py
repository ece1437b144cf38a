"""What the environments of versions are called, for listings. Used by api.py.

A bundle says in its manifest what its model runs in; bundles never change, so it is read once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_runtime.bundle import BundleFormatError
from model_runtime.manifest import read
from servd.datatypes import ModelVersion
from servd.deploying.bundles import BundleStore
from servd.environments import lock as locks
from servd.environments.failures import EnvironmentFailedError
from servd.environments.lock import Lock
from servd.environments.store import Environments
from servd.quantities import counted

_MOST_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What a bundle says: the version of Python, and a lock or the path of the Python."""

    python: str
    place: str
    lock: Lock | None


class EnvironmentNames:
    """Names the environments of versions."""

    def __init__(self, bundles: BundleStore, environments: Environments) -> None:
        self._bundles = bundles
        self._environments = environments
        self._known: dict[str, _Known | None] = {}

    def of(self, version: ModelVersion) -> str | None:
        """Return what a version's environment is called; None where it is servd's own."""
        known = self._said_by(version.bundle) if version.bundle is not None else None
        if known is None:
            return None
        if known.lock is None:
            return f"{known.place} (Python {known.python})"
        name = self._environments.key_of(known.lock) or "to be built"
        return f"{name} (Python {known.python}, {counted(len(known.lock.pins), 'package')})"

    def _said_by(self, digest: str) -> _Known | None:
        if digest not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            try:
                self._known[digest] = _read(self._bundles.path(digest))
            except (BundleFormatError, OSError, EnvironmentFailedError):
                return None  # it is not there, or damaged: asked again when it may be
        return self._known[digest]


def _read(folder: Path) -> _Known | None:
    said = read(folder).environment
    if said is None:
        return None
    if "lock" in said:
        return _Known(said["python"], "", locks.read(folder / said["lock"]))
    path = Path(said["interpreter"])
    folder = path.parents[1]
    # One that is gone is called as it was.
    is_environment = (folder / "pyvenv.cfg").is_file() or not folder.exists()
    return _Known(said["python"], str(folder if is_environment else path), None)
