"""The registry's database file."""

import asyncio
import os
import sqlite3
import threading
from contextlib import closing, suppress
from importlib.resources import files
from pathlib import Path

import pytest

from model_runtime.signature import Signature
from servd.datatypes import (
    Application,
    Batching,
    InputType,
    ModelVersion,
    RegistryState,
    RouteRule,
    VersionId,
)
from servd.errors import StoreError
from servd.registry import store
from servd.registry.store import Store

APP = Application(name="a", input_type=InputType.DOUBLES, slo_us=100_000, default_output="-1.0")
VERSION = ModelVersion(
    model="m",
    version="1",
    input_type=InputType.DOUBLES,
    labels=("x", "y"),
    batching=Batching.QUANTILE,
    bundle="ab" * 16,
    replicas=2,
    created_s=1.5,
    runtime="docker",
    image="registry.example/m:1",
    memory_bytes=2 * 1024**3,
    cpus=1.5,
    gpus="device=0,1",
    signature=Signature(input_type="doubles", value={"type": "array", "minItems": 4}),
    is_cached=False,
)
ROUTE = RouteRule(method="POST", path="/score", app="a", takes="X", gives="s", is_batch=True)
EVERYTHING = [
    store.put_application(APP),
    store.put_version(VERSION),
    store.put_current(VERSION.id),
    store.put_link("a", "m"),
    store.put_route(ROUTE),
]


async def load(path):
    """Return what a store on the file holds."""
    async with Store(path) as opened:
        return await opened.load()


async def write(path, changes):
    """Write changes by a store of its own."""
    async with Store(path) as opened:
        await opened.write(changes)


def test_a_new_file_is_an_empty_registry(tmp_path):
    """A database that did not exist is made and holds nothing."""
    assert asyncio.run(load(tmp_path / "r.db")) == RegistryState()


def test_what_was_written_is_read_back(tmp_path):
    """Every field of an application, a version, a pointer, a link and a route comes back."""
    asyncio.run(write(tmp_path / "r.db", EVERYTHING))
    assert asyncio.run(load(tmp_path / "r.db")) == RegistryState(
        applications={"a": APP},
        versions={VERSION.id: VERSION},
        current={"m": "1"},
        links={"a": ("m",)},
        routes={"POST /score": ROUTE},
    )


def test_removals_take_what_hangs_on_them(tmp_path):
    """An application goes with its links and routes, a version with the pointer to it."""
    removals = [store.delete_application("a"), store.delete_version(VersionId("m", "1"))]
    asyncio.run(write(tmp_path / "r.db", EVERYTHING + removals))
    assert asyncio.run(load(tmp_path / "r.db")) == RegistryState()


def test_a_link_outlives_its_models_versions(tmp_path):
    """Removing a model's version leaves the link, as Clipper does."""
    asyncio.run(write(tmp_path / "r.db", [*EVERYTHING, store.delete_version(VERSION.id)]))
    assert asyncio.run(load(tmp_path / "r.db")).links == {"a": ("m",)}


def test_a_failed_write_changes_nothing(tmp_path):
    """When one change of several is refused, none is written and the store goes on working."""

    async def scenario():
        async with Store(tmp_path / "r.db") as opened:
            with pytest.raises(StoreError, match=r"r\.db"):
                await opened.write([store.put_application(APP), store.put_link("nobody", "m")])
            assert await opened.load() == RegistryState()
            await opened.write([store.put_application(APP)])

    asyncio.run(scenario())
    assert asyncio.run(load(tmp_path / "r.db")).applications == {"a": APP}


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    """SQLite's "database or disk is full" is a StoreError and what was there stays."""

    async def scenario():
        async with Store(tmp_path / "r.db") as opened:
            await opened._run(lambda: opened._connection.execute("PRAGMA max_page_count=1"))
            big = Application(
                name="big", input_type=InputType.ANY, slo_us=1, default_output="x" * 100_000
            )
            with pytest.raises(StoreError, match=r"r\.db.*full"):
                await opened.write([store.put_application(big)])
            return await opened.load()

    assert asyncio.run(scenario()) == RegistryState()


def test_a_number_that_sqlite_cannot_hold_is_refused(tmp_path):
    """A whole number beyond 64 bits is an error of the write, not of the thread."""
    app = Application(name="a", input_type=InputType.ANY, slo_us=2**70)
    with pytest.raises(StoreError, match="too large to convert"):
        asyncio.run(write(tmp_path / "r.db", [store.put_application(app)]))


def test_a_folder_that_does_not_exist_is_an_error_that_names_the_file(tmp_path):
    """A database that cannot be opened is told as such."""
    with pytest.raises(StoreError, match=r"gone/r\.db cannot be opened"):
        asyncio.run(load(tmp_path / "gone" / "r.db"))


def sound_file(path):
    """Make a database of many pages and return its bytes."""
    asyncio.run(write(path, EVERYTHING))
    many = [
        store.put_application(
            Application(name=f"a{n}", input_type=InputType.ANY, slo_us=1, default_output="x" * 999)
        )
        for n in range(100)
    ]
    asyncio.run(write(path, many))
    return path.read_bytes()


def with_a_null_that_must_not_be(path):
    """Return a database that SQLite reads without an error, and of which a row breaks its table."""
    strict, loose = "slo_us INTEGER NOT NULL", "slo_us INTEGER"
    for old, new in ((strict, loose), (loose, strict)):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            if new == strict:
                connection.execute("UPDATE applications SET slo_us = NULL")
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE sqlite_master SET sql = replace(sql, ?, ?)", (old, new))
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["garbage", "truncated", "header", "pages", "null"])
def test_a_damaged_file_is_refused_and_kept(tmp_path, damage):
    """Garbage, a cut file or broken pages stop the start; not one byte of the file changes."""
    path = tmp_path / "r.db"
    content = sound_file(path)
    damaged = {
        "garbage": b"this is no database" * 500,
        "truncated": content[: len(content) // 2],
        "header": os.urandom(100) + content[100:],
        "pages": content[:4096] + b"\xff" * (len(content) - 4096),
        "null": with_a_null_that_must_not_be(path),
    }[damage]
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"r\.db cannot be opened.*kept as it is") as caught:
        asyncio.run(load(path))
    assert caught.value.hint
    assert path.read_bytes() == damaged


def test_a_row_that_makes_no_sense_is_refused(tmp_path):
    """A sound database with an input type that nobody knows is an error that names the file."""
    path = tmp_path / "r.db"
    asyncio.run(write(path, EVERYTHING))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE applications SET input_type = 'colours'")
    with pytest.raises(StoreError, match=r"r\.db cannot be read") as caught:
        asyncio.run(load(path))
    assert "move it away" in caught.value.hint


def test_a_registry_of_the_first_schema_is_brought_up_to_date(tmp_path):
    """Versions that were there before controllers could be chosen have the one there was."""
    path = tmp_path / "r.db"
    first = files("servd.registry").joinpath("schema", "0001_registry.sql").read_text()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{first}; PRAGMA user_version = 1;")
        connection.execute(
            "INSERT INTO versions VALUES "
            "('m', '1', 'doubles', '[]', 'c', 'd', -1, 0, NULL, 'process', 1, 1.5)"
        )
        connection.commit()
    state = asyncio.run(load(path))
    assert [version.batching for version in state.versions.values()] == [Batching.AIMD]


def test_a_newer_schema_is_refused_and_kept(tmp_path):
    """A database of a newer servd is not opened, and not changed."""
    path = tmp_path / "r.db"
    asyncio.run(write(path, EVERYTHING))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 99"):
        asyncio.run(load(path))
    assert path.read_bytes() == before


def test_a_second_writer_is_refused(tmp_path, monkeypatch):
    """While one store is open, another on the same file gets an error; the first goes on."""
    monkeypatch.setattr(store, "_BUSY_TIMEOUT_S", 0.05)

    async def scenario():
        async with Store(tmp_path / "r.db") as first:
            await first.write(EVERYTHING)
            with pytest.raises(StoreError, match="locked"):
                async with Store(tmp_path / "r.db"):
                    pass
            await first.write([store.delete_application("a")])

    asyncio.run(scenario())
    assert asyncio.run(load(tmp_path / "r.db")).applications == {}


def test_a_closed_store_says_so(tmp_path):
    """Reading from a store that was never entered is a StoreError."""
    with pytest.raises(StoreError, match="closed"):
        asyncio.run(Store(tmp_path / "r.db").load())


def own_threads():
    """Return the threads that a store has started."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("store")]


def open_files(path):
    """Return how many of this process's descriptors are of a database."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            found += str(descriptor.readlink()).startswith(str(path))
    return found


def test_a_store_that_was_left_holds_nothing(tmp_path):
    """Its thread has ended and its file is closed, so another process may open it at once."""
    path = tmp_path / "r.db"

    async def story():
        async with Store(path) as opened:
            await opened.write(EVERYTHING)
            assert len(own_threads()) == 1
            assert open_files(path) >= 1
        assert own_threads() == []
        assert open_files(path) == 0

    asyncio.run(story())


@pytest.mark.parametrize("fault", ["damage", "newer"])
def test_a_store_that_cannot_be_opened_holds_nothing(tmp_path, fault, monkeypatch):
    """Neither a thread nor the file, which somebody may want to repair; then it opens."""
    path = tmp_path / "r.db"
    asyncio.run(write(path, EVERYTHING))
    with monkeypatch.context() as patch:
        if fault == "damage":
            patch.setattr(store, "_migrate", refuse)
        else:
            patch.setattr(store, "_migrations", lambda: iter([(1, "")]))
        with pytest.raises(StoreError, match=r"r\.db"):
            asyncio.run(load(path))
    assert own_threads() == []
    assert open_files(path) == 0
    assert asyncio.run(load(path)).links == {"a": ("m",)}


def refuse(*_args):
    """Fail as SQLite does where a file is damaged."""
    raise sqlite3.DatabaseError("the script says so")


def test_every_statement_has_a_name_of_its_own():
    """What stands before the first name is a comment; each statement is complete."""
    statements = store._statements()
    text = files("servd.registry").joinpath("schema", "statements.sql").read_text("utf-8")
    assert len(statements) == text.count("-- name: ")
    for name, sql in statements.items():
        assert name.isidentifier()
        assert sqlite3.complete_statement(sql), name
