"""Steps that end-to-end tests share: deploy, look at replicas, ask the admin API, wait."""

import contextlib
import http.client
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tests.daemon import Daemon

MODELS = Path(__file__).parents[1] / "models"

_Value = TypeVar("_Value")


@contextlib.contextmanager
def running_daemon(settings: str = "") -> Iterator[Daemon]:
    """Run a daemon whose servd.toml holds `settings`; all that it started ends with the block."""
    with fresh_daemon(settings) as daemon:
        daemon.start()
        yield daemon


@contextlib.contextmanager
def fresh_daemon(settings: str = "") -> Iterator[Daemon]:
    """Like `running_daemon`, but the daemon has not been started."""
    # Short, as the path of a unix socket is limited to 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    daemon = Daemon(data_dir=folder / "data")
    daemon.data_dir.mkdir()
    (daemon.data_dir / "servd.toml").write_text(settings)
    try:
        yield daemon
        daemon.stop()
        daemon.check_logs()
    finally:
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


def deploy(daemon: Daemon, target: str, *args: str) -> None:
    """Run `servd deploy` and insist that it worked; a bare `x.py` is one of tests/models."""
    path = target if "/" in target else str(MODELS / target)
    done = daemon.cli("deploy", path, *args)
    assert done.returncode == 0, f"servd deploy {target} failed:\n{done.stdout}{done.stderr}"


def write_model(daemon: Daemon, name: str, text: str) -> str:
    """Write a model's file beside the data directory and return its path."""
    path = daemon.data_dir.parent / name
    path.write_text(text)
    return str(path)


def admin(
    daemon: Daemon, method: str, path: str, body: Any = None, *, timeout_s: float = 30.0
) -> tuple[int, Any]:
    """Ask the admin API over TCP; return the status and the answer, as JSON where it is JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.admin_port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def replicas(daemon: Daemon, model: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of `servd ps`, of one model or of all."""
    status, rows = admin(daemon, "GET", "/api/v1/replicas")
    assert status == 200
    return [row for row in rows if model in (None, row["model"])]


def ready(daemon: Daemon, model: str) -> list[dict[str, Any]]:
    """Return the rows of a model's replicas that are ready."""
    return [row for row in replicas(daemon, model) if row["state"] == "ready"]


def until(check: Callable[[], _Value], what: str, timeout_s: float = 10.0) -> _Value:
    """Call `check` until it returns something true, and return that; fail after the timeout."""
    end_s = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)
    return found


def runtime_processes(data_dir: Path) -> list[psutil.Process]:
    """Return every living replica process of a data directory, whoever its parent is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            is_ours = any(str(data_dir) in word for word in words)
            if "model_runtime" in words and is_ours and process.status() != "zombie":
                found.append(process)
    return found
