"""Clusters for tests of servd.clipper: daemons that its managers start in folders of their own."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from servd.clipper import ClipperConnection, LocalContainerManager
from tests.daemon import Daemon, free_port

LARGE = ("torch", "onnx", "onnxruntime", "keras")
collect_ignore = [] if all(map(importlib.util.find_spec, LARGE)) else ["test_large_frameworks.py"]


@pytest.fixture
def place(idle_daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """Return the daemon that managers of this process mean, which nobody has started."""
    for name, value in idle_daemon.env.items():
        if name.startswith("SERVD_"):
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("SERVD_TOKEN", raising=False)
    monkeypatch.delenv("SERVD_ADMIN", raising=False)
    return idle_daemon


@pytest.fixture
def started(place: Daemon) -> Iterator[ClipperConnection]:
    """Yield a connection whose cluster it has started."""
    del place
    connection = ClipperConnection(LocalContainerManager())
    connection.start_clipper()
    yield connection
    connection.stop_all()


@pytest.fixture
def ask(place: Daemon) -> Callable[[ClipperConnection, str, Any], Any]:
    """Return a function that sends a query to where a connection says, and returns its answer."""

    def send(connection: ClipperConnection, path: str, body: Any) -> Any:
        port = int(connection.get_query_addr().rpartition(":")[2])
        other = Daemon(place.data_dir, query_port=port, admin_port=free_port())
        return other.query(path, body)

    return send
