"""Where the registry of an export comes from when no daemon answers."""

import asyncio
import fcntl
import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest

from model_runtime.manifest import Manifest, write
from servd.config import Config
from servd.datatypes import Application, InputType, ModelVersion
from servd.errors import DaemonNotRunningError, StoreError
from servd.export.source import read_examples, read_registry
from servd.store import Store, put_application, put_current, put_link, put_version


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
    assert found["current"] == {"m": "1"}
    assert found["links"] == {"a": ["m"]}
    assert found["applications"][0]["slo_us"] == 1000
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
    assert read_registry(config)["current"] == {"m": "1"}


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
    first = next(Path(str(files("servd"))).glob("schema/0001_*.sql"))
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
    assert read_registry(config)["versions"][0]["batching"] == "aimd"
    assert config.database.read_bytes() == before


def test_examples_are_those_of_the_bundles_that_are_here(tmp_path):
    """An application whose bundle is elsewhere, or has no example, has none."""
    for digest, example in (("a" * 32, [1, 2]), ("b" * 32, None)):
        (tmp_path / digest / "files").mkdir(parents=True)
        (tmp_path / digest / "files" / "f.py").touch()
        made = Manifest(loader="python", file="f.py", kind="function", object="f", example=example)
        write(made, tmp_path / digest)
    names = {"one": "a" * 32, "none": "b" * 32, "gone": "c" * 32}
    registry = {
        "applications": [{"name": name} for name in names],
        "versions": [
            {"model": name, "version": "1", "bundle": digest} for name, digest in names.items()
        ],
        "current": dict.fromkeys(names, "1"),
        "links": {name: [name] for name in names},
    }
    assert read_examples(registry, tmp_path) == {"one": [1, 2]}
