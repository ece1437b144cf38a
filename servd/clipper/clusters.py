"""Which daemon a cluster is. Used by the managers of this package.

A cluster of a name is a daemon on a data directory: on the one that the command line means, where
no cluster of another name has it (until that is ended), else on a folder of its own below. So
scripts and the command line find the same daemon, and several clusters run side by side.
clipper.json in the data directory says which cluster has it.

`stop_all` ends a cluster that a script has started for good: the next `start_clipper` of it is an
empty one, as scripts that are run again expect. `servd start`, in its place, brings all of it back.
"""

import json
import logging
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from servd.client.admin import AdminClient, ApiError, find_daemon
from servd.client.client import Client
from servd.clipper.container_manager import (
    CLIPPER_INTERNAL_MANAGEMENT_PORT,
    CLIPPER_INTERNAL_QUERY_PORT,
)
from servd.clipper.exceptions import ClipperException
from servd.config import Config, load_config
from servd.errors import DaemonNotRunningError, ServdError

logger: Final = logging.getLogger(__name__)

_NOTE: Final = "clipper.json"
_BEFORE: Final = "clipper-before"
_CLUSTERS: Final = "clusters"


def said(error: ServdError) -> ClipperException:
    """Return an error of servd's as Clipper's scripts catch it, with all that it says.

    What the daemon refuses is in the words that Clipper has around its answers; these have one
    status. Hints that are options of the command line are of no use to scripts.
    """
    message = error.message
    if isinstance(error, ApiError) and not error.traceback:
        message = f"Received error status code: 400 and message: {message}"
    hint = "" if error.hint.startswith("--") else error.hint
    parts = (message, error.traceback, hint)
    return ClipperException("\n".join(part.rstrip() for part in parts if part))


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that a script wants."""

    query: int
    admin: int


class Cluster:
    """A daemon, by the name of a cluster. Nothing is asked or started before it is needed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A client of the cluster's daemon.

        Raises:
            ClipperException: a setting is wrong.
        """
        if self._client is None:
            try:
                self._client = self._found()
            except ServdError as error:
                raise said(error) from error
        return self._client

    @property
    def config(self) -> Config:
        """The settings of the daemon's data directory."""
        return self.client.config

    def _found(self) -> Client:
        usual = load_config({}, os.environ, Path.cwd()).data_dir
        own = usual / _CLUSTERS / quote(self.name, safe="")
        note = _read_note(usual)
        is_free = note.get("cluster") in (None, self.name) or "ended" in note
        if is_free and "ended" in _read_note(own, {"ended": None}):
            return Client()
        return Client(data_dir=own)

    def admin(self, timeout_s: float) -> AdminClient:
        """Return a client of the admin API that waits so long for an answer."""
        return find_daemon(self.config, self.client.admin_url, timeout_s)

    def status(self) -> dict[str, Any] | None:
        """Return where the daemon answers and what it is; None where none runs.

        Raises:
            ClipperException: it cannot be asked.
        """
        try:
            found: dict[str, Any] = self.client.admin.get("/status")
        except DaemonNotRunningError:
            return None
        except ServdError as error:
            raise said(error) from error
        return found

    def start(self, wanted: Ports, settings: dict[str, object]) -> None:
        """Start the daemon, on other ports where those are taken.

        Raises:
            ClipperException: it runs already, or cannot be started.
        """
        # Where a cluster of another name has come in between, this one has a folder of its own.
        self._client = None
        if self.status() is not None:
            raise ClipperException(
                f"Cluster {self.name} cannot be started because it already exists. "
                "Please use ClipperConnection.connect() to connect to it."
            )
        config = self.config
        ports = {
            "query_port": _port(wanted.query, config.query_port, CLIPPER_INTERNAL_QUERY_PORT),
            "admin_port": _port(wanted.admin, config.admin_port, CLIPPER_INTERNAL_MANAGEMENT_PORT),
        }
        self._begin_anew()
        try:
            self.client.start(**ports, **settings)
        except ServdError as error:
            raise said(error) from error
        _write_note(config.data_dir, {"cluster": self.name})

    def stop(self, *, is_graceful: bool) -> bool:
        """End the daemon with all replicas; return False where none ran.

        Raises:
            ClipperException: it does not end.
        """
        self._client = None
        try:
            self.client.stop(drain_s=None if is_graceful else 0.0)
        except DaemonNotRunningError:
            return False
        except ServdError as error:
            raise said(error) from error
        config = self.config
        # What others have started, they start again with all that it has.
        if _read_note(config.data_dir).get("cluster") == self.name:
            _write_note(config.data_dir, {"cluster": self.name, "ended": _registry_now(config)})
        return True

    def _begin_anew(self) -> None:
        """Put aside what a cluster had that a script has ended, unless it was used since."""
        config = self.config
        note = _read_note(config.data_dir)
        ended = note.get("ended")
        if not ended or ended != _registry_now(config):
            return
        before = config.data_dir / _BEFORE
        shutil.rmtree(before, ignore_errors=True)
        before.mkdir(mode=0o700)
        beside = [config.database.with_name(config.database.name + end) for end in ("-wal", "-shm")]
        for path in (config.database, *beside, config.registry_note, config.bundles_dir):
            if path.exists():
                path.rename(before / path.name)
        logger.info("[%s] What it had when it was stopped is in %s now", self.name, before)


def address_of(url: str, host: str) -> str:
    """Return "host:port" of a daemon's address, under the name by which a script knows it."""
    return f"{host}:{urlsplit(url).port}"


def _registry_now(config: Config) -> str | None:
    """Return what tells a registry from what it is after a change."""
    try:
        return config.registry_note.read_text("utf-8").strip()
    except OSError:
        return None


def _read_note(folder: Path, usual: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a folder's note says; `usual` where there is none."""
    try:
        found = json.loads((folder / _NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return usual or {}
    return found if isinstance(found, dict) else {}


def _write_note(folder: Path, content: dict[str, Any]) -> None:
    (folder / _NOTE).write_text(json.dumps(content), "utf-8")


def _port(wanted: int, configured: int, usual: int) -> int:
    """Return the port to listen on: what the script says, else what the settings say, else any."""
    port = configured if wanted == usual else wanted
    return port if _is_free(port) else 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
