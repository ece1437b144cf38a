"""Where the registry comes from for who is not the daemon: asked of one, or read where none is."""

import asyncio
import fcntl
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from servd.client.registry_reader import read_registry
from servd.config import Config
from servd.datatypes import Application, Batching, InputType, ModelVersion, VersionId
from servd.errors import DaemonNotRunningError, ServdError, StoreError
from servd.registry.snapshot import pack_state
from servd.registry.store import Store, put_application, put_current, put_link, put_version
from tests.fake_admin import FakeAdmin
from tests.unit.registry.test_store import EVERYTHING, VERSION, load, write


@pytest.fixture
def config(tmp_path):
    """Return the settings of a data directory whose daemon is down."""
    return Config(data_dir=tmp_path / "data")


async def fill(config):
    """Write one application and its model."""
    version = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES, bundle="0" * 32)
    app = Application(name="a", input_type=InputType.DOUBLES, slo_us=1000)
    config.data_dir.mkdir()
    async with Store(config.database) as store:
        await store.write(
            [
                put_version(version),
                put_current(version.id),
                put_application(app),
                put_link("a", "m"),
            ]
        )


def test_the_database_is_read_and_left_alone(config):
    """The answer is what a daemon would have given; no file is added or changed."""
    asyncio.run(fill(config))
    before = {path.name: path.read_bytes() for path in config.data_dir.iterdir()}
    found = read_registry(config)
    assert found.current == {"m": "1"}
    assert found.links == {"a": ("m",)}
    assert found.applications["a"].slo_us == 1000
    assert {path.name: path.read_bytes() for path in config.data_dir.iterdir()} == before


def test_no_daemon_and_no_database(config):
    """There is nothing to read, so a daemon is what is missing."""
    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers at"):
        read_registry(config)


def test_another_machine_s_daemon_is_not_replaced_by_files_here(config):
    """Where an address was given, its daemon has to answer."""
    asyncio.run(fill(config))
    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers at"):
        read_registry(config, "unix:/nowhere/admin.sock")


def test_a_daemon_that_does_not_answer_yet_is_waited_for(config):
    """While a daemon holds the data directory its files are not read behind its back."""
    asyncio.run(fill(config))
    with config.lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="does not answer yet"):
            read_registry(config)
    assert read_registry(config).current == {"m": "1"}


def test_a_damaged_database_is_named(config):
    """A file that is no database is refused as at a start, and kept."""
    config.data_dir.mkdir()
    config.database.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="database") as refused:
        read_registry(config)
    assert str(config.database) in refused.value.message
    assert config.database.read_bytes().startswith(b"no database")


def test_a_database_of_an_older_servd_is_read(config):
    """It is brought up to date in a copy; the file itself waits for its daemon."""
    config.data_dir.mkdir()
    first = next(Path(str(files("servd"))).glob("registry/schema/0001_*.sql"))
    connection = sqlite3.connect(config.database)
    connection.executescript(first.read_text())
    connection.execute(
        "INSERT INTO versions (model, version, input_type, labels, container_name, "
        "model_data_path, max_batch, batch_wait_us, bundle, runtime, replicas, created_s) "
        "VALUES ('m', '1', 'doubles', '[]', '', '', -1, 0, NULL, 'process', 1, 0.0)"
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    before = config.database.read_bytes()
    assert read_registry(config).versions[VersionId("m", "1")].batching is Batching.AIMD
    assert config.database.read_bytes() == before


def test_what_a_killed_daemon_left_is_read(config):
    """Also what is in the write-ahead log only; the next daemon finds it there."""
    config.data_dir.mkdir()
    source = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.registry import test_store as t\n"
        "async def main():\n"
        "    async with t.Store(Path(sys.argv[1])) as store:\n"
        "        await store.write(t.EVERYTHING)\n"
        "        os._exit(9)\n"
        "asyncio.run(main())"
    )
    killed = subprocess.run([sys.executable, "-c", source, str(config.database)], check=False)
    assert killed.returncode == 9
    left = {path.name: path.read_bytes() for path in config.data_dir.iterdir()}
    assert f"{config.database.name}-wal" in left
    found = read_registry(config)
    assert found.versions == {VERSION.id: VERSION}
    assert {path.name: path.read_bytes() for path in config.data_dir.iterdir()} == left
    assert asyncio.run(load(config.database)) == found


def test_the_daemon_s_answer_is_what_its_database_holds(config):
    """Whoever asks gets one typed form, limits of containers and defaults with it."""
    config.data_dir.mkdir()
    asyncio.run(write(config.database, EVERYTHING))
    stored = read_registry(config)
    told = msgspec.to_builtins(pack_state(stored))
    with closing(FakeAdmin(config.admin_socket)) as admin:
        admin.answers["GET /registry"] = (200, told)
        assert read_registry(config) == stored
    assert stored.versions[VERSION.id].memory_bytes == 2 * 1024**3
    assert asyncio.run(load(config.database)) == stored


def test_an_answer_that_is_no_registry_is_refused(config):
    """A daemon of another servd may know what this one does not: it is said where."""
    config.data_dir.mkdir()
    with closing(FakeAdmin(config.admin_socket)) as admin:
        admin.answers["GET /registry"] = (200, {"versions": [{"model": "m", "version": 1}]})
        with pytest.raises(ServdError, match=r"not one that this servd knows.*versions\[0\]"):
            read_registry(config)
