"""Records of running replica processes, so that a killed daemon's leftovers can be ended.

A record is a file RUN_DIR/replicas/<pid>.json. Called by replicas/replica.py (record, forget), by
aftermath.py when the daemon was killed, and by processes/daemon.py at the next start.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil

from model_runtime.contract import PARENT_VARIABLE
from servd.replicas.launchers.cgroups import PREFIX, end_group, group_of
from servd.system.identity import folder_id, is_of, process_id

_WAIT_S = 5.0
NAME_VARIABLE = "SERVD_REPLICA_ID"
"""In the environment of each replica, and of what its model starts."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of what a replica has started: its name, and its group if any."""

    pid: int
    created_s: float = msgspec.field(name="create_time")
    folder_id: str
    name: str = ""
    group: str = ""
    daemon: str = ""


class Orphans:
    """The folder of records."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "replicas"

    def record(self, pid: int | None) -> None:
        """Note that a replica runs as `pid`, if as a process. Called right after its launch."""
        if pid is None:
            return
        try:
            created_s = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        group = group_of(pid)
        record = _Record(
            pid=pid,
            created_s=created_s,
            folder_id=folder_id(self._folder),
            name=_name_of(pid),
            group=str(group) if group is not None and group.name.startswith(PREFIX) else "",
            daemon=process_id(os.getpid()) or "",
        )
        self._path(pid).write_bytes(msgspec.json.encode(record))

    def forget(self, pid: int | None) -> None:
        """Drop the record of a replica that has ended."""
        if pid is not None:
            self._path(pid).unlink(missing_ok=True)

    def end_all(self, of: str | None = None) -> int:
        """Kill what is left of recorded replicas, wait for it, return how many processes it was.

        That includes processes that their models started. Records that came here with a copy of
        the folder are of the original's replicas, which live on. With `of` only the replicas of the
        daemon of that identity are meant: another may have started meanwhile. Blocks for at most
        five seconds.
        """
        paths = list(self._folder.glob("*.json"))
        read = {path: self._read(path) for path in paths}
        if of is not None:
            read = {path: one for path, one in read.items() if one is not None and one.daemon == of}
        records = list(filter(None, read.values()))
        living = [process for process in _members(records) if _kill(process)]
        psutil.wait_procs(living, timeout=_WAIT_S)
        for record in records:
            end_group(record.group)
        for path in read:
            path.unlink(missing_ok=True)
        return len(living)

    def _path(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"

    def _read(self, path: Path) -> _Record | None:
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except (OSError, ValueError):
            return None
        return record if is_of(self._folder, record.folder_id) else None


def _name_of(pid: int) -> str:
    with suppress(psutil.Error):
        return psutil.Process(pid).environ().get(NAME_VARIABLE, "")
    return ""


def _members(records: Collection[_Record]) -> Iterator[psutil.Process]:
    """Yield the replicas of these records, and what their models started."""
    if not records:
        return
    created_s = {record.pid: record.created_s for record in records}
    names = {record.name for record in records} - {""}
    for process in psutil.process_iter():
        try:
            # A replica leads its own session; most of what its model starts stays in it.
            leader = process.pid if process.pid in created_s else os.getsid(process.pid)
            is_member = leader in created_s and _is_of_replica(process, leader, created_s[leader])
            if is_member or process.environ().get(NAME_VARIABLE) in names:
                yield process
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or is somebody else's


def _is_of_replica(process: psutil.Process, leader: int, created_s: float) -> bool:
    # A process id is used again by strangers; with its creation time it is unique.
    if process.pid == leader:
        return process.create_time() == created_s
    return process.create_time() >= created_s and PARENT_VARIABLE in process.environ()


def _kill(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.Error:
        return False
    return True
