"""A control group for each replica, where this process may make one. Used by launchers/process.py.

A process cannot leave its group as it leaves its session, its parent and its environment. So a
group tells exactly what a replica has started, and the kernel ends all of it at once.
"""

import atexit
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from servd.clock import wall_s

PREFIX: Final = "servd-replica-"
OWN: Final = "servd-daemon"
"""The group that this process moves to where the one above is to limit its children: in the
hierarchy a group has processes or children that are limited, not both."""
MEMORY: Final = "memory"
CPU: Final = "cpu"
_PERIOD_US: Final = 100_000
_LEAST_US: Final = 1_000
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

    def limit_memory(self, size: int) -> bool:
        """Let it use that much memory, and no swap; return whether the kernel holds to that."""
        with suppress(OSError):  # a kernel without swap has no such file
            self._write("memory.swap.max", "0")
        return self._try("memory.max", str(size))

    def limit_cpus(self, cpus: float) -> bool:
        """Let it use so much processor time a second; return whether the kernel holds to that."""
        quota_us = max(_LEAST_US, round(cpus * _PERIOD_US))
        return self._try("cpu.max", f"{quota_us} {_PERIOD_US}")

    def has_run_out(self) -> bool:
        """Whether the kernel has killed something in it for its memory."""
        try:
            lines = (self.folder / "memory.events").read_text().split("\n")
        except OSError:
            return False
        counts = dict(line.split() for line in lines if line)
        return int(counts.get("oom_kill", 0)) > 0

    def _try(self, name: str, text: str) -> bool:
        try:
            self._write(name, text)
        except OSError:
            return False
        return True

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        descriptor = os.open(path, os.O_WRONLY)  # never made: the kernel has it, or there is none
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

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
    own = _base()
    if own is None:
        return None
    sweep(own, wall_s())
    folder = own / f"{PREFIX}{name}"
    try:
        folder.mkdir()
    except OSError:
        return None
    return Group(folder)


def why_unlimited(wanted: Collection[str]) -> str:
    """Have new groups be limited by these controllers; return why they cannot be, or ""."""
    base = _base()
    if base is None:
        return "this machine has no unified control groups"
    try:
        return _enable(base, wanted)
    except OSError as error:
        return f"{base} is not servd's to change ({error.strerror})"


def _enable(base: Path, wanted: Collection[str]) -> str:
    given = (base / "cgroup.controllers").read_text().split()
    lacking = sorted(set(wanted) - set(given))
    if lacking:
        which = "controller" if len(lacking) == 1 else "controllers"
        return f"{base} was not given the {which} {' and '.join(lacking)}"
    control = base / "cgroup.subtree_control"
    missing = set(wanted) - set(control.read_text().split())
    if not missing:
        return ""
    text = " ".join(f"+{name}" for name in sorted(missing))
    with suppress(OSError):  # the root of all groups may have processes and limited children
        control.write_text(text)
        return ""
    if strangers := _strangers(base):
        return f"processes that are not servd's are in {base} (pid {strangers[0]})"
    own = Group(base / OWN)
    own.folder.mkdir(exist_ok=True)
    for pid in _members(base):
        own.add(pid)
    control.write_text(text)
    atexit.register(_move_back, base, wanted)
    return ""


def _move_back(base: Path, controllers: Collection[str]) -> None:
    """Leave the group as it was found: who starts this again may join no group with such children.

    Called at the end of this process, when replicas have ended.
    """
    _remove_last()
    with suppress(OSError):
        (base / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in controllers))
        for pid in _members(base / OWN):
            Group(base).add(pid)
        (base / OWN).rmdir()


def _members(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


def _strangers(folder: Path) -> list[int]:
    """Return the processes of a group that are not this one and do not come from it."""
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    return [pid for pid in _members(folder) if pid not in own]


def _base() -> Path | None:
    """Return the group below which replicas have theirs."""
    own = group_of("self")
    return own.parent if own is not None and own.name == OWN else own


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
