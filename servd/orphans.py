"""Records of running replica processes, so that a killed daemon's leftovers can be ended.

A record is a file RUN_DIR/replicas/<pid>.json. Called by servd/replica.py (record, forget) and
by servd/daemon.py at the start (end_orphans).
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from servd.identity import folder_id, is_of

_WAIT_S = 5.0
PARENT_VARIABLE = "SERVD_PARENT_PID"
"""In the environment of each replica, and of what its model starts."""


class Orphans:
    """The folder of records."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "replicas"

    def record(self, pid: int | None) -> None:
        """Note that a replica runs as `pid`, if as a process. Called right after its launch."""
        if pid is None:
            return
        try:
            created = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = {"pid": pid, "create_time": created, "folder_id": folder_id(self._folder)}
        self._path(pid).write_text(json.dumps(record))

    def forget(self, pid: int | None) -> None:
        """Drop the record of a replica that has ended."""
        if pid is not None:
            self._path(pid).unlink(missing_ok=True)

    def end_all(self) -> int:
        """Kill what is left of recorded replicas, wait for it, return how many processes it was.

        That includes processes that their models started. Records that came here with a copy of
        the folder are of the original's replicas, which live on. Blocks for at most five seconds.
        """
        paths = list(self._folder.glob("*.json"))
        created_s = dict(filter(None, map(self._read, paths)))
        living = [process for process in _members(created_s) if _kill(process)]
        psutil.wait_procs(living, timeout=_WAIT_S)
        for path in paths:
            path.unlink(missing_ok=True)
        return len(living)

    def _path(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"

    def _read(self, path: Path) -> tuple[int, float] | None:
        try:
            record = json.loads(path.read_text())
            if not is_of(self._folder, record["folder_id"]):
                return None
            return int(record["pid"]), float(record["create_time"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _members(created_s: Mapping[int, float]) -> Iterator[psutil.Process]:
    """Yield the replicas of these pids and creation times, and what their models started."""
    if not created_s:
        return
    for process in psutil.process_iter():
        try:
            # A replica leads its own session; what its model starts stays in it.
            leader = process.pid if process.pid in created_s else os.getsid(process.pid)
            if leader in created_s and _is_of_replica(process, leader, created_s[leader]):
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
