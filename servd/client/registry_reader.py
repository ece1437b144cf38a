"""The registry without being the daemon: asked of one that runs, or read where none does.

Used by the verbs that build and export. Nothing is started and nothing is changed: a database is
read as a copy.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from servd.client import calls
from servd.client.admin import find_daemon
from servd.config import Config
from servd.datatypes import RegistryState, Variables
from servd.errors import DaemonNotRunningError, ServdError, StoreError
from servd.registry.snapshot import Registered, unpack_state, version_id
from servd.system.temporary import temporary_folder


def read_registry(config: Config, admin: str | None = None) -> RegistryState:
    """Return what the daemon has registered, or what its data directory says if it is down.

    Raises:
        DaemonNotRunningError: no daemon answers, and there is no database to read instead.
        StoreError: the database cannot be read.
        ServdError: the daemon's answer is no registry.
    """
    try:
        answer = find_daemon(config, admin).get("/registry")
    except DaemonNotRunningError:
        if admin or not config.database.exists():
            raise
        return _read_database(config)
    try:
        return unpack_state(msgspec.convert(answer, Registered))
    except msgspec.ValidationError as error:
        raise ServdError(
            f"the daemon's registry is not one that this servd knows: {error}",
            hint="are both of the same version? servd status, servd --version",
        ) from error


def read_all(config: Config, admin: str | None = None) -> RegistryState:
    """Return the same with the values of variables, which a daemon tells on its own machine only.

    Raises:
        ServdError: as `read_registry`, or the daemon does not tell them.
    """
    return with_values(read_registry(config, admin), config, admin)


def with_values(state: RegistryState, config: Config, admin: str | None) -> RegistryState:
    """Return what was read, with the values of variables.

    Raises:
        ServdError: the daemon does not tell them.
    """
    named = [version.id for version in state.versions.values() if version.env_vars]
    if all(each in state.variables for each in named):
        return state
    answer = find_daemon(config, admin).ask(calls.variables())
    told = msgspec.convert(answer, dict[str, dict[str, str]])
    variables = {version_id(key): Variables(values) for key, values in told.items()}
    return msgspec.structs.replace(state, variables=variables)


def _read_database(config: Config) -> RegistryState:
    from servd.registry.store import Store, check_whole  # noqa: PLC0415 - with a daemon it is not needed
    from servd.registry.witness import Witness  # noqa: PLC0415

    async def load(path: Path) -> RegistryState:
        async with Store(path) as store:
            return await store.load()

    try:
        with temporary_folder("registry") as folder, _idle(config):
            copied = _copy(config.database, folder)
            with _named(copied, config.database):
                check_whole(copied, Witness(config.registry_note, lambda: 0))
                return asyncio.run(load(copied))
    except OSError as error:
        raise StoreError(
            f"the registry's database {config.database} cannot be read: {error.strerror}",
            hint="it was not changed",
        ) from error


def _copy(database: Path, folder: Path) -> Path:
    """Copy a database with its log, which a killed daemon leaves behind."""
    for path in (database, database.with_name(f"{database.name}-wal")):
        if path.exists():
            shutil.copyfile(path, folder / path.name)
    return folder / database.name


@contextmanager
def _named(copied: Path, database: Path) -> Iterator[None]:
    """Let an error name the database, not the copy that is gone when it is read."""
    try:
        yield
    except StoreError as error:
        message = error.message.replace(str(copied), str(database))
        raise StoreError(message, hint=error.hint) from error


@contextmanager
def _idle(config: Config) -> Iterator[None]:
    """Keep daemons off the data directory meanwhile; refuse where one is at work on it."""
    if not config.lock_file.exists():
        yield
        return
    lock = os.open(config.lock_file, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StoreError(
            f"a daemon runs on {config.data_dir} but does not answer yet",
            hint="try again in a moment: servd status",
        ) from None
    finally:
        os.close(lock)
