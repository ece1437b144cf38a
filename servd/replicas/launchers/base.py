"""What a launcher is: the seam between a replica's life and where it runs.

Processes and containers differ only here. `replicas/replica.py` calls every method.
"""

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from servd.datatypes import ModelVersion, Variables, VersionId
from servd.replicas.homes import Tell
from servd.replicas.launchers.device_choice import Chosen

_SIGNAL_NOTES = {
    signal.SIGKILL: ": out of memory?",
    signal.SIGSEGV: ": a crash in native code",
    signal.SIGBUS: ": a crash in native code",
    signal.SIGFPE: ": a crash in native code",
    signal.SIGILL: ": an instruction this processor does not have",
    signal.SIGABRT: ": native code gave up",
}


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to launch: one replica of a version, its files, and where its output goes.

    `variables` are what its deployer has set in its environment. `chosen` is what it computes on:
    the launcher of containers says it to the engine so.
    """

    version: ModelVersion
    replica: int
    bundle_dir: Path
    log_path: Path
    variables: Variables = field(default_factory=Variables)
    chosen: Chosen | None = None


class Handle(Protocol):
    """One launched replica. All methods are called by `Replica` in replicas/replica.py."""

    @property
    def pid(self) -> int | None:
        """The process id, for `servd ps`; None where it is no process of this machine."""

    @property
    def address(self) -> str:
        """The ZeroMQ address on which the replica listens."""

    @property
    def end_reason(self) -> str:
        """Why it has ended, where the exit status does not say it; goes on after its name."""

    @property
    def memory_bytes(self) -> int | None:
        """What it uses; None where that is not known, or `pid` tells it."""

    @property
    def device(self) -> str | None:
        """What it was given to compute on ("cpu", "cuda:1"); None where nobody asked for that."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What it may use and by what that is kept, in words; empty: all there is."""

    async def wait(self) -> int:
        """Return the exit status when it has ended; minus the signal's number if one ended it."""

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""

    def terminate(self) -> None:
        """Ask it to drain and end (SIGTERM)."""

    def kill(self) -> None:
        """End it at once, with whatever it started."""

    def cleanup(self) -> None:
        """Remove what it leaves behind: socket, scratch folder, leftover children. Idempotent."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The input type that an image says it takes, if any, and which image it is.

    `digest` is REPOSITORY@sha256:… where a registry has it, else the engine's own id.
    """

    input_type: str | None
    digest: str


class Launcher(Protocol):
    """Starts replicas of one kind of runtime."""

    async def launch(self, spec: LaunchSpec) -> Handle:
        """Start one replica. Called at each start and restart.

        Raises:
            OSError: it cannot be started.
            ServdError: it cannot be started; says what to do.
        """

    async def check(self, version: ModelVersion) -> None:
        """Raise where this machine lacks what a version wants. Called when it is deployed.

        Raises:
            InvalidValueError: it wants a device that is not here.
        """

    def prepared(
        self, version: ModelVersion, bundle_dir: Path, tell: Tell
    ) -> AbstractAsyncContextManager[object]:
        """Have, for a block, what a version's replicas run in. Called when it is deployed.

        `tell` hears of what takes long. Where it is not called before, `launch` does the same.

        Raises:
            ServdError: it cannot be had; says why and what to do.
        """

    def doing(self, version_id: VersionId) -> str | None:
        """Return what is done before a version's replicas can start, where something is."""

    async def describe_image(self, image: str, on_pull: Callable[[], None]) -> ImageFacts:
        """Return what an image's name stands for now. Called when a version is deployed with it.

        `on_pull` is called before it is fetched from a registry, which may take long.

        Raises:
            ServdError: this runtime has no images, or cannot get this one.
        """


def describe_exit(code: int) -> str:
    """Return how a process ended, as "ended (exit 7)" or "ended (killed by signal 9: why)"."""
    if code >= 0:
        return f"ended (exit {code})"
    note = _SIGNAL_NOTES.get(signal.Signals(-code), "") if -code in set(signal.Signals) else ""
    return f"ended (killed by signal {-code}{note})"
