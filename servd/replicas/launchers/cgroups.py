"""A control group for each replica, where this process may make one. Used by launchers/process.py.

A process cannot leave its group as it leaves its session, its parent and its environment. So a
group tells exactly what a replica has started, and the kernel ends all of it at once.
"""

import atexit
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from servd.clock import wall_s

PREFIX: Final = "servd-replica-"
_YOUNG_S: Final = 60.0
_CHECKS: Final = 50
_CHECK_S: Final = 0.02


class Group:
    """One group; `end` may be called again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, pid: int) -> None:
        """Put a process in it, with what it will start."""
        with suppress(OSError):
            (self.folder / "cgroup.procs").write_text(str(pid))

    def end(self) -> None:
        """Kill all that is in it."""
        try:
            (self.folder / "cgroup.kill").write_text("1")
        except OSError:  # Linux before 5.14
            with suppress(OSError):
                for pid in map(int, (self.folder / "cgroup.procs").read_text().split()):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def remove_soon(self) -> None:
        """Remove it, now or when a group is made or this process ends: what is in it is ending."""
        if not self.remove():
            _ending.append(self)

    def remove(self) -> bool:
        """Remove it; False while something in it is still ending."""
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


_ending: list[Group] = []
"""Groups that were not empty yet when they were to be removed."""


def _remove_ending() -> None:
    _ending[:] = [group for group in _ending if not group.remove()]


@atexit.register
def _remove_last() -> None:
    for group in _ending:
        _remove_patiently(group)


def _remove_patiently(group: Group) -> None:
    for _ in range(_CHECKS):
        if group.remove():
            return
        time.sleep(_CHECK_S)


def sweep(own: Path, now_s: float) -> None:
    """Remove empty groups that a killed daemon has left and no start has come for.

    Not young ones: another daemon may be about to put its replica in.
    """
    for folder in own.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, or gone
            if now_s - folder.stat().st_ctime > _YOUNG_S:
                folder.rmdir()


def new_group(name: str) -> Group | None:
    """Return a new group below this process' own; None where none can be made."""
    _remove_ending()
    own = group_of("self")
    if own is None:
        return None
    sweep(own, wall_s())
    folder = own / f"{PREFIX}{name}"
    try:
        folder.mkdir()
    except OSError:
        return None
    return Group(folder)


def end_group(folder: str) -> None:
    """End the group that a daemon before this one has made, if it is there."""
    if Path(folder).name.startswith(PREFIX):
        group = Group(Path(folder))
        group.end()
        _remove_patiently(group)


def group_of(pid: int | str) -> Path | None:
    """Return the folder of a process' group in the unified hierarchy; None if there is none."""
    mount = _mount()
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    if mount is None or not paths:
        return None
    return mount / paths[0].lstrip("/")


def _mount() -> Path | None:
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        place, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(place.split()[4].replace("\\040", " "))
    return None
