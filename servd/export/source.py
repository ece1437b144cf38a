"""Where an export's registry comes from: the running daemon, or its data directory when it is down.

Nothing is started and nothing is changed: a database is read as a copy.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from model_runtime import manifest as manifests
from model_runtime.bundle import BundleFormatError
from servd.client import find_daemon
from servd.config import Config
from servd.errors import DaemonNotRunningError, StoreError
from servd.export.next_steps import current_versions
from servd.temporary import temporary_folder


def read_registry(config: Config, admin: str | None = None) -> dict[str, Any]:
    """Return the registry as JSON has it (servd.feed.Registered).

    Raises:
        DaemonNotRunningError: no daemon answers, and there is no database to read instead.
        StoreError: the database cannot be read.
    """
    client = find_daemon(config, admin)
    try:
        answer: dict[str, Any] = client.get("/registry")
    except DaemonNotRunningError:
        if admin or not config.database.exists():
            raise
        return _read_database(config)
    return answer


def read_examples(registry: Mapping[str, Any], bundles_dir: Path) -> dict[str, Any]:
    """Return the input that a model's owner gave as an example, by application.

    Nothing for a model without one, and for a bundle that is not on this machine.
    """
    found: dict[str, Any] = {}
    for app in registry["applications"]:
        for version in current_versions(app["name"], registry):
            with suppress(BundleFormatError, OSError):
                example = manifests.read(bundles_dir / str(version.get("bundle"))).example
                if example is not None:
                    found[app["name"]] = example
    return found


def _read_database(config: Config) -> dict[str, Any]:
    from servd.feed import pack_state  # noqa: PLC0415 - with a daemon it is not needed
    from servd.store import Store, check_whole  # noqa: PLC0415
    from servd.witness import Witness  # noqa: PLC0415

    async def load(path: Path) -> Any:
        async with Store(path) as store:
            return await store.load()

    try:
        with temporary_folder("export") as folder, _idle(config):
            copied = _copy(config.database, folder)
            with _named(copied, config.database):
                check_whole(copied, Witness(config.registry_note, lambda: 0))
                return _as_json(pack_state(asyncio.run(load(copied))))
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


def _as_json(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return plain
