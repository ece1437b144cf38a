"""`servd.local()`: a daemon of one's own for as long as it is needed, in a temporary folder.

Used by tests and notebooks, and by servd.testing.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from servd.client.client import Client
from servd.client.spawn import start_daemon
from servd.errors import DaemonNotRunningError

_WATCH = 'read -r _; kill -9 "$0" 2>/dev/null; sleep 0.2; rm -rf "$1"'
"""Reads until whoever started it has closed its end, or has ended: then the daemon goes, too."""


@contextmanager
def local(*, timeout_s: float = 30.0, **settings: Any) -> Iterator[Client]:
    """Yield a client of a daemon that is ended, with all that it has, at the end of the block.

    It listens on free ports of loopback, and SERVD_* variables do not count. It also ends where
    this process is killed.

    Args:
        timeout_s: of the client.
        settings: those of `servd start`, as in `local(frontends=2, load_timeout="5s")`.

    Raises:
        StartError: it could not be started; the message says why.
        ConfigError: a setting is wrong.
    """
    # Short, as the path of a unix socket is limited to 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="servd-"))
    client = Client(data_dir=folder / "data", timeout_s=timeout_s)
    try:
        given = {"query_port": 0, "admin_port": 0, "drain": "1s"} | settings
        status, _ = start_daemon(client.config, given, environ=_own_environment())
        with _watched(int(status["pid"]), folder):
            try:
                yield client
            finally:
                with suppress(DaemonNotRunningError):
                    client.stop()
    finally:
        client.close()
        shutil.rmtree(folder, ignore_errors=True)


def _own_environment() -> dict[str, str]:
    """Return this process's environment without what is meant for other daemons."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SERVD_")}


@contextmanager
def _watched(pid: int, folder: Path) -> Iterator[None]:
    """Have the daemon end where this process does not come to the end of the block."""
    command = ["/bin/sh", "-c", _WATCH, str(pid), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watch:
        try:
            yield
        finally:
            watch.kill()
