"""The registry's database: one SQLite file, one thread. Used by registry.py only.

A write is one transaction and is on the disk (WAL, synchronous=FULL) when it is acknowledged.
The file is opened exclusively, so a second process that tries gets an error, not a race.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from servd.clock import wall_s
from servd.datatypes import (
    Application,
    ModelVersion,
    RegistryState,
    RouteRule,
    Variables,
    VersionId,
)
from servd.errors import StoreError
from servd.logs.log import log
from servd.registry.witness import Tally, Witness

_Result = TypeVar("_Result")
_BUSY_TIMEOUT_S = 2.0
_TALLY_SCHEMA = 4
"""The first schema that counts changes."""

_START_AFRESH = "begin with an empty registry: servd start --force"


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


def put_default(name: str | None) -> Change:
    """Return the change that makes an application the default one; None: there is none."""
    return Change("delete_default", {}) if name is None else Change("put_default", {"name": name})


def put_version(version: ModelVersion) -> Change:
    """Return the change that adds or replaces a model version."""
    row = msgspec.to_builtins(version)
    row["labels"] = msgspec.json.encode(version.labels).decode()
    if version.signature is not None:
        row["signature"] = msgspec.json.encode(version.signature.as_json()).decode()
    return Change("put_version", row)


def put_source(version_id: VersionId, path: str) -> Change:
    """Return the change that notes which file a new version was deployed from."""
    return Change("put_source", {**version_id._asdict(), "path": path})


def put_variables(version_id: VersionId, variables: Variables) -> list[Change]:
    """Return the changes that keep the variables of a new version."""
    return [
        Change("put_variable", {**version_id._asdict(), "name": name, "value": value})
        for name, value in variables.items()
    ]


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


def put_route(rule: RouteRule) -> Change:
    """Return the change that adds a route."""
    return Change("put_route", msgspec.to_builtins(rule))


def delete_route(rule: RouteRule) -> Change:
    """Return the change that removes a route."""
    return Change("delete_route", {"method": rule.method, "path": rule.path})


class Store:
    """The database at `path`, as an async context manager.

    Entering it opens the file and brings its schema up to date. `witness` knows how many changes
    it should have; without one any number will do.

    Raises:
        LostChangesError: at entry: it has fewer.
        StoreError: at entry, load or write; it names the file. A file that is not a sound
            database of a known schema is left untouched.
    """

    def __init__(self, path: Path, witness: Witness | None = None) -> None:
        self.is_whole = False
        """Whether, since it was opened, it is known to hold every change that it ever took."""
        self._path = path
        self._witness = witness
        self._file: tuple[int, int] | None = None
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

    async def __aexit__(self, *exc_info: object) -> None:
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

    async def check_in_place(self) -> None:
        """Raise StoreError where the file is not any more what was opened: no change can be kept.

        Called before a change begins that starts more than a write.
        """
        await self._run(self._check_in_place)

    def _open(self) -> None:
        try:
            self._open_checked()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreError(
                f"the registry's database {self._path} cannot be opened ({error}); "
                "it is kept as it is",
                hint="stop whatever else uses it, make room or give it back its permissions; "
                f"if it is damaged, bring back a copy of it, or {_START_AFRESH}",
            ) from error
        except StoreError:
            self._close()
            raise

    def _open_checked(self) -> None:
        known = dict(_migrations())
        before = self._inspect(newest=max(known))
        noted = self._witness.read() if self._witness else None
        self.is_whole = self._witness is not None and self._witness.check(self._path, before)
        if not self.is_whole and self._witness is not None and self._witness.is_forced:
            _keep_aside(self._path)
        self._connection = connection = _connect(self._path)
        _migrate(connection, known)
        if not self.is_whole and noted is not None:
            # Whatever is noted is behind it from now on, also what a copy of then would hold.
            connection.execute(_statements()["count_on"], {"changes": noted.changes})
        found = self._path.stat()
        self._file = found.st_dev, found.st_ino
        self._note(_read_tally(connection))

    def _inspect(self, *, newest: int) -> Tally | None:
        """Return how far a database is that was there before, or None; nothing is changed."""
        if not self._path.exists() or not self._path.stat().st_size:
            return None
        try:
            return _inspect(self._path, newest=newest)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) or self._witness is None:
                raise
            if not self._witness.is_forced:
                raise
            log.warning("the registry's database %s is damaged: %s", self._path, error)
            _keep_aside(self._path, is_moved=True)
            return None

    def _note(self, tally: Tally) -> None:
        if self._witness is not None:
            self._witness.note(tally)

    def _check_in_place(self) -> None:
        try:
            found = self._path.stat()
            is_there = (found.st_dev, found.st_ino) == self._file
        except OSError:
            is_there = False
        if not is_there:
            raise StoreError(
                f"the registry's database {self._path} was removed or replaced while the daemon "
                "runs: nothing is changed any more, queries go on",
                hint="put the data directory back, or end this daemon and start another",
            )

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
                hint=f"bring back a copy of it, or move it away and {_START_AFRESH}",
            ) from error

    def _write(self, changes: Sequence[Change]) -> None:
        connection = self._opened()
        self._check_in_place()
        try:
            if connection.in_transaction:  # it could not be rolled back when it failed
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            for change in changes:
                connection.execute(_statements()[change.statement], change.parameters)
            connection.execute(_statements()["count_change"])
            tally = _read_tally(connection)
            connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError, ValueError) as error:
            # A text that is not Unicode, a number beyond 64 bits: SQLite's module says so itself.
            _roll_back(connection)
            raise StoreError(
                f"the registry's database {self._path} cannot be written ({error}); "
                "nothing was changed",
                hint="is the disk full or read-only?",
            ) from error
        self._note(tally)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"the registry's database {self._path} is closed")
        return self._connection


def check_whole(path: Path, witness: Witness) -> None:
    """Raise LostChangesError where a file holds fewer changes than are known; nothing is changed.

    Called by the CLI where no daemon runs.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with closing(_read_only(path)) as connection:
            witness.check(path, _find_tally(connection))
    except sqlite3.Error as error:
        raise StoreError(
            f"the registry's database {path} cannot be read ({error})",
            hint="servd start    opens it, says what is wrong or brings it up to date",
        ) from error


def _read_only(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)


def _roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed; where SQLite has ended it itself, nothing is left to do."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level None: transactions begin where the code says BEGIN, nowhere else.
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA foreign_keys=ON")
    # Values of variables that are not registered any more do not stay in free pages.
    connection.execute("PRAGMA secure_delete=ON")
    return connection


def _inspect(path: Path, *, newest: int) -> Tally | None:
    """Return how far a sound file is, by a connection that cannot write; None: it is empty.

    Raises where the file is damaged or of a newer servd.
    """
    with closing(_read_only(path)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict.splitlines()[-1])
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if schema <= newest:
            return _find_tally(connection)
    raise StoreError(
        f"the registry's database {path} was written by a newer servd (schema {schema}, "
        f"this one knows {newest}); it is kept as it is",
        hint="use the newer servd, or another --data-dir",
    )


def _find_tally(connection: sqlite3.Connection) -> Tally | None:
    """Return how far a database of any schema is; None: it has none."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema >= _TALLY_SCHEMA:
        return _read_tally(connection)
    return Tally("", 0) if schema else None


def _read_tally(connection: sqlite3.Connection) -> Tally:
    found = connection.execute(_statements()["tally"]).fetchone()
    if found is None:
        raise sqlite3.DatabaseError("the registry's identity is missing")
    return Tally(*found)


def _keep_aside(path: Path, *, is_moved: bool = False) -> None:
    """Keep what a forced start goes over: a copy of the database and its log."""
    moment = datetime.fromtimestamp(wall_s(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = path.with_name(f"{path.name}.before-force-{moment}")
    for suffix in ("", "-wal"):
        file = path.with_name(path.name + suffix)
        if file.exists() and file.stat().st_size:
            folder.mkdir(mode=0o700, exist_ok=True)
            shutil.copy2(file, folder / file.name)
        if is_moved:
            file.unlink(missing_ok=True)
    if is_moved:
        path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    if folder.is_dir():
        log.warning("the database of before is kept in %s", folder)


def _migrate(connection: sqlite3.Connection, known: dict[int, str]) -> None:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in sorted(known.items()):
        if number > schema:
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )


def _migrations() -> Iterator[tuple[int, str]]:
    """Yield the number and the SQL of each schema/NNNN_name.sql."""
    for file in files("servd.registry").joinpath("schema").iterdir():
        number, _, rest = file.name.partition("_")
        if number.isdigit() and rest.endswith(".sql"):
            yield int(number), file.read_text("utf-8")


@cache
def _statements() -> dict[str, str]:
    text = files("servd.registry").joinpath("schema", "statements.sql").read_text("utf-8")
    parts = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): sql for name, sql in parts}


def _read_version(row: dict[str, Any], variables: Variables) -> ModelVersion:
    row["env_vars"] = tuple(variables)
    row["labels"] = msgspec.json.decode(row["labels"])
    row["is_cached"] = bool(row["is_cached"])
    if row["signature"] is not None:
        row["signature"] = msgspec.json.decode(row["signature"])
    return msgspec.convert(row, ModelVersion)


def _read_route(row: dict[str, Any]) -> RouteRule:
    return msgspec.convert({**row, "is_batch": bool(row["is_batch"])}, RouteRule)


def _read_state(connection: sqlite3.Connection) -> RegistryState:
    def rows(statement: str) -> Iterable[dict[str, Any]]:
        cursor = connection.execute(_statements()[statement])
        columns = [column[0] for column in cursor.description]
        return (dict(zip(columns, row, strict=True)) for row in cursor)

    applications = [msgspec.convert(row, Application) for row in rows("all_applications")]
    variables: dict[VersionId, Variables] = {}
    for row in rows("all_variables"):
        own = variables.setdefault(VersionId(row["model"], row["version"]), Variables())
        own[row["name"]] = row["value"]
    versions = [
        _read_version(row, variables.get(VersionId(row["model"], row["version"]), Variables()))
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
        default_app=next((row["name"] for row in rows("all_defaults")), None),
        routes={rule.name: rule for rule in map(_read_route, rows("all_routes"))},
        variables=variables,
    )
