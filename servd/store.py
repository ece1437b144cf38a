"""The registry's database: one SQLite file, one thread. Used by registry.py only.

A write is one transaction and is on the disk (WAL, synchronous=FULL) when it is acknowledged.
The file is opened exclusively, so a second process that tries gets an error, not a race.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from servd.datatypes import Application, ModelVersion, RegistryState, VersionId
from servd.errors import StoreError

_Result = TypeVar("_Result")
_BUSY_TIMEOUT_S = 2.0
_START_AFRESH = "move it away to start with an empty registry"


class Change(msgspec.Struct, frozen=True):
    """One statement of schema/statements.sql with its parameters."""

    statement: str
    parameters: dict[str, Any]


def put_application(app: Application) -> Change:
    """Return the change that adds or replaces an application."""
    return Change("put_application", msgspec.to_builtins(app))


def delete_application(name: str) -> Change:
    """Return the change that removes an application and its links."""
    return Change("delete_application", {"name": name})


def put_version(version: ModelVersion) -> Change:
    """Return the change that adds or replaces a model version."""
    row = msgspec.to_builtins(version)
    row["labels"] = msgspec.json.encode(version.labels).decode()
    return Change("put_version", row)


def put_source(version_id: VersionId, path: str) -> Change:
    """Return the change that notes which file a new version was deployed from."""
    return Change("put_source", {**version_id._asdict(), "path": path})


def delete_version(version_id: VersionId) -> Change:
    """Return the change that removes a version, and its model's pointer where it points there."""
    return Change("delete_version", version_id._asdict())


def put_current(version_id: VersionId) -> Change:
    """Return the change that makes a version the current one of its model."""
    return Change("put_current", version_id._asdict())


def put_link(application: str, model: str) -> Change:
    """Return the change that links a model to an application."""
    return Change("put_link", {"application": application, "model": model})


def delete_link(application: str, model: str) -> Change:
    """Return the change that removes a link."""
    return Change("delete_link", {"application": application, "model": model})


class Store:
    """The database at `path`, as an async context manager.

    Entering it opens the file and brings its schema up to date.

    Raises:
        StoreError: at entry, load or write; it names the file. A file that is not a sound
            database of a known schema is left untouched.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            await self._run(self._open)
        except BaseException:
            self._executor.shutdown()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._run(self._close)
        if self._executor is not None:
            self._executor.shutdown()

    async def load(self) -> RegistryState:
        """Return everything that is stored, in the order in which it was written."""
        return await self._run(self._load)

    def write(self, changes: Sequence[Change]) -> asyncio.Future[None]:
        """Write all changes or none; when the returned future is done they are on the disk.

        A future and not a coroutine: cancelling who waits does not cancel the write, and the
        registry has to learn how it ended.
        """
        return self._run(lambda: self._write(changes))

    def _run(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _open(self) -> None:
        known = dict(_migrations())
        try:
            if self._path.exists() and self._path.stat().st_size:
                _check_sound(self._path, newest=max(known))
            self._connection = _connect(self._path)
            _migrate(self._connection, known)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreError(
                f"the registry's database {self._path} cannot be opened ({error}); "
                "it is kept as it is",
                hint="stop whatever else uses it, make room or give it back its permissions; "
                f"if it is damaged, {_START_AFRESH}",
            ) from error
        except StoreError:
            self._close()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _load(self) -> RegistryState:
        try:
            return _read_state(self._opened())
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise StoreError(
                f"the registry's database {self._path} cannot be read ({error}); "
                "it is kept as it is",
                hint=f"bring back a copy of it, or {_START_AFRESH}",
            ) from error

    def _write(self, changes: Sequence[Change]) -> None:
        connection = self._opened()
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                connection.execute(_statements()[change.statement], change.parameters)
            connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(
                f"the registry's database {self._path} cannot be written ({error}); "
                "nothing was changed",
                hint="is the disk full or read-only?",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the registry's database {self._path} is closed")
        return self._connection


def read_file(path: Path) -> RegistryState:
    """Return what a registry's file holds, without a daemon and without changing it.

    Called by the CLI where no daemon runs. A file of an older servd is read once a daemon of this
    one has brought it up to date.

    Raises:
        StoreError: it cannot be read, or a daemon has it open.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
            return _read_state(connection)
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise StoreError(
            f"the registry's database {path} cannot be read ({error})",
            hint="servd start    opens it, says what is wrong or brings it up to date",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level None: transactions begin where the code says BEGIN, nowhere else.
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _check_sound(path: Path, *, newest: int) -> None:
    """Raise where the file is damaged or of a newer servd, by a connection that cannot write."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict.splitlines()[-1])
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema > newest:
        raise StoreError(
            f"the registry's database {path} was written by a newer servd (schema {schema}, "
            f"this one knows {newest}); it is kept as it is",
            hint="use the newer servd, or another --data-dir",
        )


def _migrate(connection: sqlite3.Connection, known: dict[int, str]) -> None:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in sorted(known.items()):
        if number > schema:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )


def _migrations() -> Iterator[tuple[int, str]]:
    """Yield the number and the SQL of each schema/NNNN_name.sql."""
    for file in files("servd").joinpath("schema").iterdir():
        number, _, rest = file.name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            yield int(number), file.read_text("utf-8")


@cache
def _statements() -> dict[str, str]:
    text = files("servd").joinpath("schema", "statements.sql").read_text("utf-8")
    parts = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): sql for name, sql in parts}


def _read_state(connection: sqlite3.Connection) -> RegistryState:
    def rows(statement: str) -> Iterable[dict[str, Any]]:
        cursor = connection.execute(_statements()[statement])
        columns = [column[0] for column in cursor.description]
        return (dict(zip(columns, row, strict=True)) for row in cursor)

    applications = [msgspec.convert(row, Application) for row in rows("all_applications")]
    versions = [
        msgspec.convert({**row, "labels": msgspec.json.decode(row["labels"])}, ModelVersion)
        for row in rows("all_versions")
    ]
    links: dict[str, tuple[str, ...]] = {}
    for row in rows("all_links"):
        links[row["application"]] = (*links.get(row["application"], ()), row["model"])
    return RegistryState(
        applications={app.name: app for app in applications},
        versions={version.id: version for version in versions},
        current={row["model"]: row["version"] for row in rows("all_current")},
        links=links,
        sources={
            VersionId(row["model"], row["version"]): row["path"] for row in rows("all_sources")
        },
    )
