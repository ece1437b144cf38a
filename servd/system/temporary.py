"""Temporary folders, and what is said where there is no room for one. Used by the CLI."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from servd.errors import ServdError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class NoRoomError(ServdError):
    """A temporary folder cannot be made, or does not hold what is written into it."""

    code = "no_room"
    status = 507


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Yield a new folder, which is gone afterwards. `purpose` becomes part of its name.

    Raises:
        NoRoomError: it cannot be made or written; names the place and what to set.
    """
    where = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory(prefix=f"servd-{purpose}-") as folder:
            yield Path(folder)
    except OSError as error:
        is_elsewhere = error.filename and not Path(str(error.filename)).is_relative_to(where)
        if error.errno not in _NO_ROOM or (is_elsewhere and error.errno != errno.ENOSPC):
            raise
        raise NoRoomError(
            f"the temporary folder {where} does not take it: {error.strerror}",
            hint="make room there, or set TMPDIR to a folder that has room",
        ) from error
