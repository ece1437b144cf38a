"""One replica in a container. Made by launchers/docker.py, used by replicas/replica.py.

A thread of its own copies what it prints and waits for its end; all other calls of the engine are
made by the launcher's threads, as the event loop must not wait for an engine.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_runtime.contract import REPLICA_PORT
from servd.clock import monotonic
from servd.errors import ServdError
from servd.logs.log import log
from servd.logs.model_log import ModelLog
from servd.replicas.launchers.base import LaunchSpec
from servd.replicas.launchers.container_options import end_reason, exit_code, limits_in_words

if TYPE_CHECKING:
    from servd.replicas.launchers.docker_engine import Ended, Engine, Started

_ASK_AGAIN_S = 1.0
_MEMORY_AGE_S = 1.0

Submit = Callable[[Callable[[], object]], None]
"""Runs a call of the engine in one of the launcher's threads; its errors are logged there."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended: a status as a process has it, and a reason where that does not say it."""

    code: int
    reason: str = ""


class ContainerHandle:
    """One container. `watch` begins the thread; it ends with the container."""

    def __init__(
        self, engine: "Engine", started: "Started", spec: LaunchSpec, submit: Submit
    ) -> None:
        self._engine = engine
        self._started = started
        self._spec = spec
        self._submit = submit
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._is_lost = threading.Event()
        self._is_removed = False
        self._memory: int | None = None
        self._memory_asked_s = 0.0

    def watch(self) -> None:
        """Begin to copy what it prints and to wait for its end. Called once."""
        threading.Thread(target=self._watch, name="servd-container", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """Its main process on this machine, where the engine runs here."""
        return self._started.pid

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"tcp://{self._started.ip_address}:{REPLICA_PORT}"

    @property
    def end_reason(self) -> str:
        """Why it ended, where its status does not say it."""
        return self._exit.result().reason if self._exit.done() else ""

    @property
    def memory_bytes(self) -> int | None:
        """What it uses, as known when this was last asked; None where that is not known yet."""
        now_s = monotonic()
        if not self._exit.done() and now_s - self._memory_asked_s >= _MEMORY_AGE_S:
            self._memory_asked_s = now_s
            self._submit(self._ask_memory)
        return self._memory

    @property
    def device(self) -> str | None:
        """What it was given to compute on."""
        return None if self._spec.chosen is None else str(self._spec.chosen)

    @property
    def limits(self) -> tuple[str, ...]:
        """What it may use."""
        return limits_in_words(self._spec.version)

    async def wait(self) -> int:
        """Return the exit status when it has ended."""
        return (await asyncio.shield(self._exit)).code

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._exit.result().code if self._exit.done() else None

    def terminate(self) -> None:
        """Ask it to drain and end."""
        if not self._exit.done():
            self._submit(lambda: self._engine.signal(self._started.container_id, signal.SIGTERM))

    def kill(self) -> None:
        """End it at once."""
        if not self._exit.done():
            self._submit(self._kill)

    def cleanup(self) -> None:
        """Remove it."""
        if not self._is_removed:
            self._is_removed = True
            self._submit(lambda: self._engine.remove(self._started.container_id))

    def _kill(self) -> None:
        try:
            self._engine.signal(self._started.container_id, signal.SIGKILL)
        except ServdError:
            # Nobody can tell of its end any more; who waits for it must not wait for ever.
            self._is_lost.set()
            self._tell(Exit(-signal.SIGKILL, "was given up: the container engine does not answer"))
            raise

    def _ask_memory(self) -> None:
        self._memory = self._engine.memory_bytes(self._started.container_id)

    def _watch(self) -> None:
        try:
            copy_output(self._started, self._spec)
            ended = self._ended()
        except Exception as error:  # noqa: BLE001 - a thread's boundary: who waits has to be told
            log.exception("watching %s failed", self._spec.version.id)
            self._tell(Exit(-signal.SIGKILL, f"could not be watched: {error}"))
        else:
            if ended is not None:
                reason = end_reason(self._spec, ended.status, is_oom=ended.is_oom)
                self._tell(Exit(exit_code(ended.status), reason))

    def _ended(self) -> "Ended | None":
        """Return how it ended; None where it was given up."""
        while not self._is_lost.is_set():
            try:
                return self._engine.wait(self._started.container_id)
            except ServdError:
                # The engine is being restarted, say: the container may well live on.
                self._is_lost.wait(_ASK_AGAIN_S)
        return None

    def _tell(self, ended: Exit) -> None:
        def tell() -> None:
            if not self._exit.done():
                self._exit.set_result(ended)

        with suppress(RuntimeError):  # the loop has ended with the daemon
            self._loop.call_soon_threadsafe(tell)


def copy_output(started: "Started", spec: LaunchSpec) -> None:
    """Append to a replica's log what its container prints, until it ends or its engine hangs up."""
    model_log = ModelLog(spec.log_path, secrets=spec.variables.secrets)
    try:
        for chunk in started.output:
            model_log.feed(chunk)
            model_log.rest()
    except OSError as error:  # also what the SDK's HTTP library raises
        log.warning("the output of %s broke off: %s", started.container_id[:12], error)
    finally:
        model_log.close()
