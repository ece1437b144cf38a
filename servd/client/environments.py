"""The environments of a daemon, or of its data directory where none runs. Used by `servd env`."""

from typing import Any

import msgspec

from servd.client import calls
from servd.client.admin import find_daemon
from servd.client.calls import Call
from servd.client.registry_reader import read_registry
from servd.config import Config
from servd.datatypes import ModelVersion
from servd.environments.listing import EnvironmentView, Listing
from servd.environments.store import Environments
from servd.errors import DaemonNotRunningError

_TIMEOUT_S = 120.0
"""For gigabytes of small files."""


class EnvironmentsAt:
    """What the settings, or an address, lead to; views are JSON values, as the API has them."""

    def __init__(self, config: Config, admin: str | None) -> None:
        self._config = config
        self._admin = admin

    def all(self) -> Any:
        """Return all."""
        return self._asked(calls.environments(), lambda here, used: here.views(used))

    def show(self, key: str) -> Any:
        """Return the one whose key begins so.

        Raises:
            NotFoundError: there is none.
        """
        return self._asked(calls.environment(key), lambda here, used: here.view(key, used))

    def remove(self, key: str, *, is_forced: bool) -> Any:
        """Remove one; return what it was.

        Raises:
            ConflictError: a version uses it, unless `is_forced`.
        """
        return self._asked(
            calls.delete_environment(key, is_forced=is_forced),
            lambda here, used: here.remove(key, used, is_forced=is_forced),
        )

    def prune(self) -> Any:
        """Remove those that nothing uses; return what they were."""
        return self._asked(calls.prune_environments(), lambda here, used: here.prune(used))

    def _asked(self, call: Call, alone: Any) -> Any:
        """Return what the daemon answers, or what is done without one."""
        try:
            return find_daemon(self._config, self._admin, _TIMEOUT_S).ask(call)
        except DaemonNotRunningError:
            if self._admin:
                raise
        environments = Environments(self._config.environments_dir)
        found: list[EnvironmentView] | EnvironmentView
        found = alone(Listing(environments, self._config.bundles_dir), self._versions())
        return msgspec.to_builtins(found)

    def _versions(self) -> list[ModelVersion]:
        """Return what is registered; nothing where there has never been a daemon."""
        try:
            return [*read_registry(self._config, self._admin).versions.values()]
        except DaemonNotRunningError:
            return []
