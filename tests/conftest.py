"""Fixtures shared by all tests."""

import gc
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.fake_admin import FakeAdmin
from tests.measuring import pytest_runtest_protocol
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

# A shell's background has SIGINT ignored, and processes inherit that, those of tests too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of processes start here. Each would compile every module that it imports anew where the
# environment asks for no byte code, as images of containers do.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What runs pytest in a folder of its own has pyproject.toml's options not: these plugins would take
# three times as long to be imported as all else.
_UNUSED = "-p no:schemathesis -p no:faker -p no:anyio"
os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} {_UNUSED}"

collect_ignore = [] if importlib.util.find_spec("bentoml") else ["e2e/test_bento_sdk.py"]
"""What is tried with BentoML itself, which wants more packages than servd and all its tests."""

__all__ = [
    "collect_ignore",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the slow tests begin first, each worker with its share of them.

    pytest-xdist gives each worker as many tests, one after the other in their order, and who has
    none left others': a slow one that begins last would be waited for alone. It runs nothing
    where a test has another name in each process.
    """
    unsteady = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unsteady:
        raise pytest.UsageError(f"give its parameters ids without addresses: {unsteady[0]}")
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = [item for item in items if not item.get_closest_marker("slow")]
    size = -(-len(items) // workers)
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        first = slow[worker::workers]
        ordered += first + others[: max(size - len(first), 0)]
        del others[: max(size - len(first), 0)]
    items[:] = ordered + others


def pytest_collection_finish() -> None:
    """Have Python look for no garbage in what was imported and collected, thousands of tests.

    It stays to the end anyway, and an eighth of the unit tests' time was spent on looking.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def idle_daemon() -> Iterator[Daemon]:
    """Yield a daemon that has not been started; whatever the test starts is ended."""
    # Short, as the path of a unix socket is limited to 107 characters and tmp_path is long.
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    daemon = Daemon(data_dir=folder / "data")
    try:
        yield daemon
        daemon.stop()
        daemon.check_logs()
    finally:
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def daemon(idle_daemon: Daemon) -> Daemon:
    """Return a running daemon."""
    idle_daemon.start()
    return idle_daemon


@pytest.fixture(autouse=True)
def _working_directory() -> Iterator[None]:
    """Come back from where a test went: a model that is loaded here takes the process along."""
    folder = Path.cwd()
    yield
    os.chdir(folder)


@pytest.fixture
def data_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a data directory with a path short enough for sockets, which SERVD_DATA_DIR names."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    for name in ("SERVD_TOKEN", "SERVD_ADMIN", "SERVD_QUERY_PORT", "SERVD_ADMIN_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SERVD_DATA_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def admin(data_dir: Path) -> Iterator[FakeAdmin]:
    """Yield an admin API on the data directory's socket."""
    fake = FakeAdmin(data_dir / "run" / "admin.sock")
    yield fake
    fake.close()
