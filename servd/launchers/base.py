"""What a launcher is: the seam between a replica's life and where it runs.

Processes and containers differ only here. `servd/replica.py` calls every method.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servd.datatypes import ModelVersion

_SIGNAL_NOTES = {
    signal.SIGKILL: " (out of memory?)",
    signal.SIGSEGV: " (a crash in native code)",
    signal.SIGBUS: " (a crash in native code)",
    signal.SIGILL: " (an instruction this processor does not have)",
    signal.SIGABRT: " (native code gave up)",
}


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to launch: one replica of a version, its files, and where its output goes."""

    version: ModelVersion
    replica: int
    bundle_dir: Path
    log_path: Path


class Handle(Protocol):
    """One launched replica. All methods are called by `Replica` in servd/replica.py."""

    @property
    def pid(self) -> int:
        """The process id, for `servd ps`."""
        ...

    @property
    def address(self) -> str:
        """The ZeroMQ address on which the replica listens."""
        ...

    async def wait(self) -> int:
        """Return the exit status when it has ended; minus the signal's number if one ended it."""
        ...

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        ...

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        ...

    def terminate(self) -> None:
        """Ask it to drain and end (SIGTERM)."""
        ...

    def kill(self) -> None:
        """End it at once, with whatever it started."""
        ...

    def cleanup(self) -> None:
        """Remove what it leaves behind: socket, scratch folder, leftover children. Idempotent."""
        ...


class Launcher(Protocol):
    """Starts replicas of one kind of runtime."""

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start one replica. Called at each start and restart.

        Raises:
            OSError: it cannot be started.
        """
        ...


def describe_exit(code: int) -> str:
    """Return an exit status in words, for people: "killed by SIGKILL (out of memory?)"."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code)
    except ValueError:
        return f"killed by signal {-code}"
    return f"killed by {name.name}{_SIGNAL_NOTES.get(name, '')}"
