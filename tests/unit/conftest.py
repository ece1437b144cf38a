"""Fixtures of the unit tests: of the client and of the command line; and what all of them keep."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_admin import FakeAdmin


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
