"""One attempt of a replica to load its model; in words why it failed. Used by replica.py."""

import asyncio
import re
from contextlib import suppress
from typing import Any, Final

from model_runtime import protocol
from model_runtime.contract import REPLICA_PORT
from servd.clock import Clock
from servd.errors import LACKED, LoadFailedError, ServdError
from servd.logs.log import tail
from servd.registry.limits import over_limit
from servd.replicas.collaborators import Timings
from servd.replicas.launchers.base import LaunchSpec, describe_exit
from servd.replicas.launchers.container_options import NO_PROTOCOL_HINT

_TAIL_LINES = 20


_OF_MEMORY: Final = re.compile(r"\bMemoryError\b|\[Errno 12\]|Cannot allocate memory")
_LACKED: Final = re.compile(
    rf"\[Errno (?:{'|'.join(map(str, sorted(LACKED)))})\]|\bMemoryError$|\bMemoryError: "
    r"|can't start new thread|Cannot allocate memory",
    re.MULTILINE,
)


class LoadAttempt:
    """What is known of the load that goes on: its phase, since when, and its failure."""

    def __init__(self, spec: LaunchSpec, clock: Clock, times: Timings) -> None:
        self._spec = spec
        self._contact_s = min(times.contact_s, times.load_s)
        self._clock = clock
        self._limits_s = {protocol.LOADING: times.load_s, protocol.TESTING: times.test_s}
        self._reported = asyncio.Event()
        self.failure: LoadFailedError | None = None
        self.begin()

    def begin(self) -> None:
        """Start over. Called before each launch."""
        self._phase = protocol.LOADING
        self._begun_s = self._phase_since_s = self._clock()
        self._log_start = self._log_size()
        self.failure = None
        self._is_unlaunched = False
        self._is_heard = False
        self._reported.clear()

    def excuse(self, missed_s: float) -> None:
        """Count nothing of a time in which this process stood still."""
        self._phase_since_s += missed_s

    def on_launched(self) -> None:
        """Count the time from here: an image may have had to come first."""
        self._begun_s = self._phase_since_s = self._clock()

    @property
    def age_s(self) -> float:
        """Seconds since the launch."""
        return self._clock() - self._begun_s

    def on_state(self, state: str, info: dict[str, Any]) -> None:
        """Take a STATE that is not ready: loading, testing or failed."""
        self._is_heard = True
        if state == protocol.FAILED:
            self._on_failed(info.get("error") or {})
        elif state != self._phase and state in self._limits_s:
            self._phase = state
            self._phase_since_s = self._clock()

    def on_misfit(self, fault: str) -> None:
        """Note that what has loaded is not the version's; `fault` goes on after a replica's name.

        It is ended for that, whatever it says next.
        """
        self.failure = LoadFailedError(
            f"{self._spec.version.id}: its replica {fault}",
            hint="a model must not change its own files, nor somebody else an image of servd's; "
            "deploy it again",
        )

    def is_overdue(self, report_s: float) -> bool:
        """Tell whether its process is to be killed, and make that the failure if none is known."""
        waited_s = self._clock() - self._phase_since_s
        if self.failure is not None:
            return waited_s > report_s
        if self._spec.version.is_contained and not self._is_heard:
            return self._is_mute(waited_s)
        limit_s = self._limits_s[self._phase]
        if waited_s <= limit_s:
            return False
        if self._phase == protocol.LOADING:
            text = f"loading took longer than {limit_s:g} s"
            hint = "raise SERVD_LOAD_TIMEOUT if the model needs longer"
        else:
            text = f"the test call did not return within {limit_s:g} s"
            hint = (
                "raise SERVD_TEST_TIMEOUT if one call may take that long; if not, --example gives "
                "it another input, and --skip-test does without"
            )
        self.failure = LoadFailedError(
            f"{self._spec.version.id} hangs: {text}", traceback=self._last_lines(), hint=hint
        )
        return True

    def _is_mute(self, waited_s: float) -> bool:
        if waited_s <= self._contact_s:
            return False
        self.failure = LoadFailedError(
            f"{self._spec.version.id}: its container runs, but nothing in it answered servd's "
            f"protocol on port {REPLICA_PORT} within {self._contact_s:g} s",
            traceback=self._last_lines(),
            hint=NO_PROTOCOL_HINT,
        )
        return True

    async def reported(self, timeout_s: float) -> None:
        """Return when the replica has reported its failure, or after the timeout."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._reported.wait(), timeout_s)

    def on_launch_error(self, error: OSError | ServdError) -> None:
        """Note that there is not even a process or a container."""
        self._is_unlaunched = True
        hint, traceback = "look at the daemon's log:    servd logs daemon", ""
        if isinstance(error, ServdError):
            hint, traceback = error.hint, error.traceback or self._last_lines()
        self.failure = LoadFailedError(
            f"{self._spec.version.id} cannot be started: {error}", hint=hint, traceback=traceback
        )

    @property
    def is_of_the_machine(self) -> bool:
        """Whether it failed for what the machine lacked, which may be there the next time.

        That is where not even a process could be made, and where its report or its last lines
        speak of descriptors, processes, memory or room.
        """
        if self._is_unlaunched:
            return True
        known = self.failure
        said = f"{known.message}\n{known.traceback}" if known else self._last_lines()
        if self._spec.version.memory_bytes is not None and _OF_MEMORY.search(said):
            return False  # it has the same limit the next time
        return _LACKED.search(said) is not None

    def died(self, code: int, reason: str = "") -> LoadFailedError:
        """Return the failure of a process that ended while loading without a report.

        `reason` goes on after the version's name, in place of the exit status.
        """
        # A test call that ends the process at once leaves no time to tell that it had begun.
        doing = "loading or answering the test call"
        if self._phase == protocol.TESTING:
            doing = "answering the test call"
        return LoadFailedError(
            f"{self._spec.version.id} {reason or describe_exit(code)} while {doing}",
            traceback=self._last_lines(),
            hint="what it printed is above" if self._last_lines() else "",
        )

    def died_serving(self, how: str) -> LoadFailedError:
        """Return the error of a process that ended while it was ready.

        `how` goes on after the version's name.
        """
        return LoadFailedError(f"{self._spec.version.id} {how}", traceback=self._last_lines())

    def _on_failed(self, error: dict[str, Any]) -> None:
        if self.failure is None:
            self._phase_since_s = self._clock()
            failure = LoadFailedError(
                str(error.get("message") or f"{self._spec.version.id} could not be loaded"),
                traceback=str(error.get("traceback") or ""),
                hint=str(error.get("hint") or ""),
            )
            if self._is_out_of_memory(failure):
                failure = self._out_of_memory(failure)
            self.failure = failure
        self._reported.set()

    def _is_out_of_memory(self, failure: LoadFailedError) -> bool:
        """Tell whether it was its own limit that a load failed for."""
        if self._spec.version.memory_bytes is None:
            return False
        return _OF_MEMORY.search(f"{failure.message}\n{failure.traceback}") is not None

    def _out_of_memory(self, failure: LoadFailedError) -> LoadFailedError:
        limit = over_limit(self._spec.version.memory_bytes or 0)
        doing = "answering the test call" if self._phase == protocol.TESTING else "loading"
        return LoadFailedError(
            f"{self._spec.version.id} is {limit}, and it asked for more while {doing}",
            traceback=failure.traceback,
            hint="--memory with more, or a smaller model",
        )

    def _last_lines(self) -> str:
        return "\n".join(tail(self._spec.log_path, _TAIL_LINES, start=self._log_start))

    def _log_size(self) -> int:
        try:
            return self._spec.log_path.stat().st_size
        except OSError:
            return 0
