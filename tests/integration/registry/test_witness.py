"""A registry that has lost changes is known for one, whatever became of its database."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.resources import files

import pytest

from servd.datatypes import Application, InputType
from servd.errors import LostChangesError, StoreError
from servd.registry import store
from servd.registry.store import Store, check_whole
from servd.registry.witness import Tally, Witness


def app(number):
    """Return the change that adds an application of that number."""
    return store.put_application(Application(name=f"a{number}", input_type=InputType.ANY, slo_us=1))


def witness_of(path, *, bundles=0, is_forced=False):
    """Return the witness of a database, beside it."""
    return Witness(path.with_name("registry.json"), lambda: bundles, is_forced=is_forced)


async def change(path, count, first=0, **settings):
    """Open a registry, make changes, and return which applications it holds and if it is whole."""
    async with Store(path, witness_of(path, **settings)) as opened:
        for number in range(first, first + count):
            await opened.write([app(number)])
        return sorted((await opened.load()).applications), opened.is_whole


def of(*numbers):
    """Return the names of applications."""
    return [f"a{number}" for number in numbers]


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.integration.registry import test_witness as t

async def main(path):
    async with t.Store(path, t.witness_of(path)) as opened:
        for number in range(3):
            await opened.write([t.app(number)])
        os._exit(9)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def path(tmp_path):
    """Return the database of a registry of three changes whose daemon was killed."""
    found = tmp_path / "r.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(found)], check=False)
    assert done.returncode == 9
    return found


def wal_of(path):
    """Return the write-ahead log, which holds all that a killed daemon has written."""
    return path.with_name(f"{path.name}-wal")


def _lose(path):
    path.unlink()
    wal_of(path).unlink()


def _empty(path, size=0):
    path.write_bytes(b"x" * size)
    wal_of(path).unlink()


def _take_an_older_copy(path):
    asyncio.run(change(path, 0))
    shutil.copy(path, path.with_suffix(".old"))
    asyncio.run(change(path, 2, first=3))
    path.with_suffix(".old").replace(path)


def _take_another(path):
    other = path.with_name("other")
    other.mkdir()
    asyncio.run(change(other / "r.db", 9))
    wal_of(path).unlink()
    (other / "r.db").replace(path)


def _break_the_logs_header(path):
    with wal_of(path).open("r+b") as file:
        file.write(b"X" * 16)


def _break_the_logs_middle(path):
    with wal_of(path).open("r+b") as file:
        file.seek(wal_of(path).stat().st_size - 4000)
        file.write(os.urandom(2000))


def _lose_the_log(path):
    wal_of(path).unlink()


LOSSES = {
    "moved away": (_lose, "had taken 3 changes, 0 are found"),
    "0 bytes": (_empty, "had taken 3 changes, 0 are found"),
    "1 byte": (lambda path: _empty(path, 1), "had taken 3 changes, 0 are found"),
    "older copy": (_take_an_older_copy, "had taken 5 changes, 3 are found"),
    "another registry": (_take_another, r"had taken 3 changes, .*another one \(9 changes\)"),
    "log's header": (_break_the_logs_header, "had taken 3 changes, 0 are found"),
    "log's middle": (_break_the_logs_middle, "had taken 3 changes, 2 are found"),
    "log lost": (_lose_the_log, "had taken 3 changes, 0 are found"),
}


def bytes_of(path):
    """Return what the database and its log hold; SQLite may make an empty log by reading."""
    found = {file.name: file.read_bytes() for file in (path, wal_of(path)) if file.exists()}
    return {name: content for name, content in found.items() if content}


@pytest.mark.parametrize("kind", LOSSES)
def test_lost_changes_are_said_with_figures_and_nothing_is_touched(path, kind):
    """Each way to lose some is refused, twice; not one byte changes, and a reader says so too."""
    damage, words = LOSSES[kind]
    damage(path)
    before = bytes_of(path)
    for _ in range(2):
        with pytest.raises(LostChangesError, match=words) as caught:
            asyncio.run(change(path, 0, bundles=2))
        assert "--force" in caught.value.hint
        assert bytes_of(path) == before
    if before:
        with pytest.raises(LostChangesError, match=words):
            check_whole(path, witness_of(path))


@pytest.mark.parametrize("kind", LOSSES)
def test_a_forced_start_goes_on_with_what_is_there_and_keeps_a_copy(path, kind):
    """It is not whole and collects nothing; an older copy is older than it from then on."""
    LOSSES[kind][0](path)
    before = bytes_of(path)
    _, is_whole = asyncio.run(change(path, 1, first=20, is_forced=True))
    assert not is_whole
    kept = {file.name: file.read_bytes() for file in path.parent.glob("*.before-force-*/*")}
    assert kept == before
    found, is_whole = asyncio.run(change(path, 0))
    assert "a20" in found
    assert is_whole
    assert witness_of(path).read().changes > 3


def test_the_good_database_back_is_whole(path):
    """A refused start takes nothing from who repairs it."""
    good = bytes_of(path)
    _lose(path)
    with pytest.raises(LostChangesError, match="is not whole: it had taken 3 changes, 0 are found"):
        asyncio.run(change(path, 0))
    for name, content in good.items():
        path.with_name(name).write_bytes(content)
    assert asyncio.run(change(path, 0)) == (of(0, 1, 2), True)


def test_a_damaged_database_is_refused_and_moved_aside_when_forced(path):
    """What is no database at all cannot be gone on with: the registry begins empty."""
    asyncio.run(change(path, 0))
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="kept as it is") as caught:
        asyncio.run(change(path, 0))
    assert "--force" in caught.value.hint
    assert asyncio.run(change(path, 0, is_forced=True)) == ([], False)
    (kept,) = path.parent.glob("*.before-force-*/r.db")
    assert kept.read_bytes() == b"no database" * 1000


def test_a_note_that_is_behind_is_no_loss(path):
    """A kill between the commit and the note, and one that could not be written."""
    identity = witness_of(path).read().identity
    witness_of(path).note(Tally(identity, 1))
    assert asyncio.run(change(path, 1, first=3)) == (of(0, 1, 2, 3), True)
    assert witness_of(path).read() == Tally(identity, 4)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b'{"identity":1}'])
def test_without_a_readable_note_a_registry_is_served_and_not_trusted(path, content):
    """As after an older servd: nothing is collected on its word, until the next start."""
    note = path.with_name("registry.json")
    note.unlink()
    if content is not None:
        note.write_bytes(content)
    assert asyncio.run(change(path, 0)) == (of(0, 1, 2), False)
    assert asyncio.run(change(path, 0)) == (of(0, 1, 2), True)


def test_an_empty_registry_beside_bundles_is_refused_without_a_note_too(tmp_path):
    """A servd that kept no note has left them; without any, it is a new data directory."""
    with pytest.raises(LostChangesError, match=r"bundles are there \(2\)"):
        asyncio.run(change(tmp_path / "r.db", 0, bundles=2))
    assert not (tmp_path / "r.db").exists()
    assert asyncio.run(change(tmp_path / "r.db", 0)) == ([], True)


def test_a_registry_from_before_changes_were_counted_is_taken_over(tmp_path):
    """It is counted from then on; put back later, it is older than what is known."""
    path = tmp_path / "r.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in ("0001_registry", "0002_batching", "0003_containers"):
            connection.executescript(
                files("servd.registry").joinpath("schema", f"{number}.sql").read_text()
            )
        connection.execute("PRAGMA user_version = 3")
    old = path.read_bytes()
    assert asyncio.run(change(path, 1, bundles=2)) == (of(0), False)
    path.write_bytes(old)
    with pytest.raises(LostChangesError, match="older database"):
        asyncio.run(change(path, 0))


def test_a_note_that_cannot_be_written_does_not_undo_the_change(tmp_path, caplog):
    """The change is on the disk already; that the note is not is logged."""
    path = tmp_path / "r.db"
    (tmp_path / "registry.json").mkdir()
    assert asyncio.run(change(path, 1)) == (of(0), True)
    assert "registry.json cannot be written" in caplog.text


@pytest.mark.parametrize("kind", ["removed", "replaced", "folder removed"])
def test_a_database_that_is_taken_away_while_it_is_open_takes_no_change(tmp_path, kind):
    """A change that could not be found again is refused; put back, it goes on."""
    folder = tmp_path / "d"
    folder.mkdir()
    path = folder / "r.db"

    async def story():
        async with Store(path, witness_of(path)) as opened:
            await opened.write([app(0)])
            await opened.check_in_place()
            if kind == "folder removed":
                folder.rename(tmp_path / "away")
            else:
                path.rename(folder / "away")
            if kind == "replaced":
                path.write_bytes(b"")
            with pytest.raises(StoreError, match="removed or replaced"):
                await opened.write([app(1)])
            with pytest.raises(StoreError, match="queries go on"):
                await opened.check_in_place()
            assert sorted((await opened.load()).applications) == of(0)
            if kind == "folder removed":
                (tmp_path / "away").rename(folder)
            else:
                (folder / "away").replace(path)
            await opened.write([app(2)])
            return await opened.load()

    assert sorted(asyncio.run(story()).applications) == of(0, 2)
