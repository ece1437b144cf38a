"""Ends logs of replicas that nobody will have again. Used by deployer.py, in threads.

A removed version's logs go with it. Those of a version that never went live stay for a while, as
they say why.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.datatypes import VersionId

KEEP_S: Final = 7 * 24 * 3600.0
"""How long the logs of what is not registered stay after the last line."""

_NAME: Final = re.compile(r"(?P<version>.+)\.\d+\.log(\.\d+)?")


def remove_logs(folder: Path, version_id: VersionId) -> None:
    """Remove the logs of a version below the folder of all models' logs."""
    for path, owner in _logs(folder / version_id.model):
        if owner == version_id:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # other versions have theirs there
        (folder / version_id.model).rmdir()


def sweep_logs(folder: Path, known: Collection[VersionId], now_s: float) -> int:
    """Remove the logs of versions that are not known and have said nothing for long; count them.

    `now_s` is the time of day, as files have it.
    """
    count = 0
    for model in list(folder.iterdir()) if folder.is_dir() else []:
        for path, owner in list(_logs(model)):
            with suppress(OSError):
                if owner not in known and now_s - path.stat().st_mtime > KEEP_S:
                    path.unlink()
                    count += 1
        # Not one in which a replica that is being launched makes its log at this moment.
        with suppress(OSError):
            if now_s - model.stat().st_mtime > KEEP_S:
                model.rmdir()
    return count


def _logs(folder: Path) -> Iterator[tuple[Path, VersionId]]:
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        match = _NAME.fullmatch(path.name)
        if match is not None:
            yield path, VersionId(folder.name, match["version"])
