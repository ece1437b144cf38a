"""What is known of the registry apart from its database: registry.json in the data directory.

It names the registry to which the bundles belong, and how many changes that had when it last took
one. A database with fewer is an older copy, or has lost some: servd does not start on it unless it
is told to, and no bundle is collected on its word. Used by store.py and daemon.py.

A change is written to the database first, so that a kill between both leaves a note that is behind,
never one that promises what is not there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from servd.errors import LostChangesError
from servd.logs.log import log
from servd.quantities import counted

_NOTE_BYTES: Final = 128


class Tally(msgspec.Struct, frozen=True):
    """Which registry, and how many changes it has taken. An empty identity: none was known yet."""

    identity: str
    changes: int


@dataclass(frozen=True, slots=True)
class Witness:
    """The note at `path`. `count_bundles` says how many bundles the registry may speak of.

    With `is_forced`, a registry that has lost changes is taken as it is.
    """

    path: Path
    count_bundles: Callable[[], int]
    is_forced: bool = False

    def check(self, database: Path, found: Tally | None) -> bool:
        """Return whether a registry is known to be whole. None stands for no database.

        Raises:
            LostChangesError: it is not, and that was not forced.
        """
        known = self.read()
        loss = _loss(known, found, self.count_bundles())
        if not loss:
            # Without a note, as after an older servd, what is there cannot be told from what was.
            return known is not None or found is None
        message = f"the registry in {database} is not whole: {loss}"
        if not self.is_forced:
            raise LostChangesError(message)
        log.warning("%s; started with --force", message)
        return False

    def read(self) -> Tally | None:
        """Return what is noted; None where nothing is, or it cannot be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Tally)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("%s cannot be read: %s", self.path, error)
            return None

    def note(self, tally: Tally) -> None:
        """Note how far the registry is, on the disk.

        In place, and always as long: less than a sector is written whole or not at all, and a new
        file for each change would cost three times what the change itself does. What cannot be
        noted is logged: the change is on the disk already.
        """
        content = msgspec.json.encode(tally).ljust(_NOTE_BYTES)
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, content, 0)
                if os.fstat(descriptor).st_size != len(content):
                    os.ftruncate(descriptor, len(content))
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("%s cannot be written: %s", self.path, error.strerror or error)


def _loss(known: Tally | None, found: Tally | None, bundles: int) -> str:
    """Return what a registry lacks, in words; an empty text where nothing is missed."""
    if known is None:
        # Of a servd that kept no note; all that tells of a registry then is what it deployed.
        is_lost = found is None and bundles
        return f"it is empty, and bundles are there ({bundles})" if is_lost else ""
    lack = _lack(known, found)
    return f"it had taken {counted(known.changes, 'change')}, {lack}" if lack else ""


def _lack(known: Tally, found: Tally | None) -> str:
    if found is None:
        return "0 are found (there is no database, or an empty one)" if known.changes else ""
    if not found.identity:
        return "and this is an older database, from before they were counted"
    if found.identity != known.identity:
        return f"and this is another one ({counted(found.changes, 'change')})"
    return f"{found.changes} are found" if found.changes < known.changes else ""
