"""Which environments there are, who uses them, and which may go. Used by the daemon and the CLI.

A version uses the environment of the lock in its bundle, unless it runs in containers.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from model_runtime.bundle import LOCK_NAME
from servd.datatypes import ModelVersion
from servd.environments import lock as locks
from servd.environments.failures import EnvironmentFailedError
from servd.environments.store import UNUSED_S, Environment, Environments
from servd.errors import ConflictError

_MAX_KNOWN: Final = 4096


class EnvironmentView(msgspec.Struct, frozen=True, kw_only=True):
    """An environment that was built for models.

    `state` is "ready", or "building", of which only the key and the place are known. `packages` are
    versions by names, `tool` is what has built it, `used_by` the versions that run in it. Times are
    Unix times in seconds; `used_s` is when it was last wanted.
    """

    key: str
    state: str
    path: str
    log: str
    python: str = ""
    packages: dict[str, str] = {}
    size_bytes: int = 0
    tool: str = ""
    built_s: float = 0.0
    used_s: float = 0.0
    took_s: float = 0.0
    used_by: tuple[str, ...] = ()


class Listing:
    """The environments of a data directory, with the versions that use them. All methods block."""

    def __init__(self, environments: Environments, bundles_dir: Path) -> None:
        self._environments = environments
        self._bundles_dir = bundles_dir
        self._known: dict[str, str | None] = {}

    def views(self, versions: Iterable[ModelVersion]) -> list[EnvironmentView]:
        """Return all, those that are being built last."""
        users = self._users(versions)
        ready = [self._view(each, users) for each in self._environments.list()]
        building = [
            EnvironmentView(
                key=key,
                state="building",
                path=str(self._environments.folder_of(key)),
                log=str(self._environments.log_of(key)),
            )
            for key in self._environments.being_built()
        ]
        return ready + building

    def view(self, prefix: str, versions: Iterable[ModelVersion]) -> EnvironmentView:
        """Return the one whose key begins so.

        Raises:
            NotFoundError: there is none.
            ConflictError: there are several.
        """
        return self._view(self._environments.named(prefix), self._users(versions))

    def remove(
        self, prefix: str, versions: Iterable[ModelVersion], *, is_forced: bool
    ) -> EnvironmentView:
        """Remove the one whose key begins so; return what it was.

        Raises:
            NotFoundError: there is none.
            ConflictError: a version uses it, unless `is_forced`; or a deployment does right now.
        """
        found = self.view(prefix, versions)
        if found.used_by and not is_forced:
            raise ConflictError(
                f"the environment {found.key} is used by {', '.join(found.used_by)}",
                hint=f"servd env rm {found.key} --force    removes it all the same: running "
                "replicas go on, and the next launch builds it anew",
            )
        self._environments.remove(found.key)
        return found

    def prune(
        self, versions: Iterable[ModelVersion], *, unused_s: float = 0.0
    ) -> list[EnvironmentView]:
        """Remove those that no version and no deployment uses; return what they were."""
        users = self._users(versions)
        removed = self._environments.prune(users, unused_s=unused_s)
        return [self._view(each, users) for each in removed]

    def tend(self, versions: Iterable[ModelVersion]) -> list[EnvironmentView]:
        """Remove those that no version has used for long. Called by the daemon now and then."""
        kept = list(versions)
        self._environments.touch(self._users(kept))
        return self.prune(kept, unused_s=UNUSED_S)

    def _view(self, found: Environment, users: dict[str, list[str]]) -> EnvironmentView:
        told: dict[str, Any] = {
            name: getattr(found, name) for name in ("key", "tool", "built_s", "used_s", "took_s")
        }
        return EnvironmentView(
            **told,
            state="ready",
            path=str(found.folder),
            log=str(found.log_path),
            python=found.lock.python,
            packages=found.lock.pins,
            size_bytes=found.size_bytes,
            used_by=tuple(users.get(found.lock.digest, ())),
        )

    def _users(self, versions: Iterable[ModelVersion]) -> dict[str, list[str]]:
        """Return the versions that use an environment, by the digest of its lock."""
        found: dict[str, list[str]] = {}
        for version in versions:
            digest = None if version.is_contained else self._lock_of(version.bundle)
            if digest is not None:
                found.setdefault(digest, []).append(str(version.id))
        return found

    def _lock_of(self, bundle: str | None) -> str | None:
        """Return the digest of the lock in a bundle, which never changes."""
        if bundle is None or bundle in self._known:
            return self._known.get(bundle or "")
        path = self._bundles_dir / bundle / LOCK_NAME
        try:
            digest = locks.read(path).digest if path.exists() else None
        except EnvironmentFailedError:
            return None
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        if (self._bundles_dir / bundle).is_dir():
            self._known[bundle] = digest
        return digest
