"""Fixtures shared by all tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]


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
