"""The life of one replica, as a state machine. Made and run by supervisor.py.

`run` is the life: launch, wait for the end, wait the backoff, launch again. All other changes of
state come from outside while `run` waits: `on_replica_state` (what the replica says), `tick` (what
it does not say in time) and `stop`. Those only end the process; `run` sees its end.
"""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from model_runtime import protocol
from model_runtime.contract import EXIT_LOAD_FAILED
from servd.datatypes import GONE, OTHER, End, ReplicaState
from servd.engine.rpc import ReplicaConnection
from servd.errors import LoadFailedError, ServdError
from servd.logs.log import log, note
from servd.replicas.announced import other_files
from servd.replicas.collaborators import Collaborators, LoadingRoutes
from servd.replicas.homes import tell_nobody
from servd.replicas.launchers.base import Handle, LaunchSpec, describe_exit
from servd.replicas.link import Link
from servd.replicas.load import LoadAttempt
from servd.system.patience import patiently

_DRAIN_CHECK_S = 0.01


class Replica:
    """One replica of a version: at most one process at a time, launched again when it dies.

    With `is_candidate` a death before it was ever ready is final. `last_death` says how its last
    process ended, also when the next one is ready.
    """

    def __init__(self, spec: LaunchSpec, around: Collaborators, *, is_candidate: bool) -> None:
        self.spec = spec
        self.state = ReplicaState.STARTING
        self.restarts = 0
        self.failure: LoadFailedError | None = None
        self.last_death = ""
        self.info: dict[str, Any] = {}
        self.load_s = 0.0
        self._around = around
        self._times = around.timings
        self._is_candidate = is_candidate
        self._handle: Handle | None = None
        self._attempt = LoadAttempt(spec, around.clock, around.timings)
        self._link: Link[LoadingRoutes] | None = None
        self._has_been_ready = False
        self._ready_since_s: float | None = None
        self._deaths = 0
        self._fruitless_deaths = 0
        self._waited_s = 0.0
        self._has_answered = False
        self._killed_for = ""
        self._how = ""
        self._launching: asyncio.Timeout | None = None
        self._oldest_batch: object = None
        self._oldest_since_s = 0.0
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def connection(self) -> ReplicaConnection | None:
        """The connection to its process while there is one."""
        return self._link.connection if self._link else None

    @property
    def pid(self) -> int | None:
        """The process id while there is a process."""
        return self._handle.pid if self._handle else None

    @property
    def memory_bytes(self) -> int | None:
        """What it uses, where its process id does not tell it."""
        return self._handle.memory_bytes if self._handle else None

    @property
    def device(self) -> str | None:
        """What it was given to compute on, where that was asked for."""
        return self._handle.device if self._handle else None

    @property
    def limits(self) -> tuple[str, ...]:
        """What it may use and by what that is kept, in words."""
        return self._handle.limits if self._handle else ()

    async def loaded(self) -> None:
        """Return when it is ready for the first time. Called by `Supervisor.ensure`.

        Raises:
            LoadFailedError: its first load failed, or it was stopped before.
        """
        await self._settled.wait()
        if not self._has_been_ready:
            raise self.failure or LoadFailedError(f"{self._name} was stopped while loading")

    async def run(self) -> None:
        """Live until stopped or failed. The supervisor runs this as a task; it never raises."""
        try:
            while not self._stop.is_set() and await self._live_once():
                self.restarts += 1
            if self._stop.is_set():
                self.state = ReplicaState.STOPPED
        except Exception:  # noqa: BLE001 - a task boundary: one life must not end the daemon
            log.exception("the life of %s ended by a fault of servd", self._name)
            self.state = ReplicaState.FAILED
        finally:
            self._settled.set()
            self._ended.set()

    async def stop(self, drain_s: float) -> None:
        """Drain, then TERM, wait and KILL. Returns when it has ended; idempotent."""
        self._stop.set()
        if self._launching is not None:
            # An image, or the packages of an environment, may be on their way for minutes.
            self._launching.reschedule(asyncio.get_running_loop().time())
        if self._handle is not None and self.state is ReplicaState.STARTING:
            self._handle.kill()  # it has nothing in flight
        elif self._handle is not None:
            self.state = ReplicaState.DRAINING
            await self._drain(drain_s)
            await self._terminate()
        await self._ended.wait()
        self.state = ReplicaState.STOPPED

    def kill(self) -> None:
        """End it at once. Called when a second signal forces the daemon down."""
        self._stop.set()
        if self._handle is not None:
            self._handle.kill()

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take what a STATE message says. Called by the connection."""
        if self._handle is None or self.state in (ReplicaState.DRAINING, ReplicaState.STOPPED):
            return
        if self.spec.variables:
            told = {name: info[name] for name in ("error", "test") if name in info}
            info = info | self.spec.variables.hide(told)
        if state == protocol.READY:
            self._on_said_ready(info)
        elif state == protocol.DRAINING:
            self._on_draining()
        elif self.state is ReplicaState.STARTING:
            self._attempt.on_state(state, info)
            if self._attempt.failure is not None:
                self.failure = self._attempt.failure
                self._settled.set()

    def tick(self) -> None:
        """Send a heartbeat and act on silence. Called by the supervisor's timer."""
        link = self._link
        if link is None or self._handle is None:
            return
        link.connection.heartbeat()
        if self.state is not ReplicaState.STARTING:
            self._watch(link)
        elif self._attempt.is_overdue(self._times.report_s):
            self._handle.kill()

    def _watch(self, link: Link[LoadingRoutes]) -> None:
        now_s = self._around.clock()
        if self._is_stuck(link.connection):
            self._kill_for(f"was killed: one call of the model took over {self._times.stuck_s:g} s")
        elif self.state is ReplicaState.READY and link.is_silent(now_s):
            self.state = ReplicaState.UNHEALTHY
            link.leave(now_s)
        elif self.state is ReplicaState.UNHEALTHY:
            silent_s = link.silence_s(now_s)
            if silent_s > self._times.unhealthy_s:
                self._kill_for(f"was killed: it was silent for {silent_s:.0f} s")
            elif not link.is_silent(now_s):
                self._on_ready()

    def excuse(self, missed_s: float) -> None:
        """Count nothing against it of a time in which this process stood still.

        Called by the supervisor's timer, before `tick`.
        """
        self._attempt.excuse(missed_s)
        self._oldest_since_s += missed_s
        if self._link is not None:
            self._link.excuse(missed_s)

    def _is_stuck(self, connection: ReplicaConnection) -> bool:
        # Since it became the oldest, not since it was sent: it may have waited for another.
        now_s = self._around.clock()
        oldest = next(iter(connection.owed()), None)
        if oldest != self._oldest_batch:
            self._oldest_batch = oldest
            self._oldest_since_s = now_s
        return oldest is not None and now_s - self._oldest_since_s > self._times.stuck_s

    def _kill_for(self, reason: str) -> None:
        self._killed_for = reason
        if self._handle is not None:
            self._handle.kill()

    @property
    def _name(self) -> str:
        return f"{self.spec.version.id} replica {self.spec.replica}"

    async def _live_once(self) -> bool:
        """Launch it and wait for its end and the backoff; return whether to launch it again."""
        self.state = ReplicaState.STARTING
        self._ready_since_s = None
        self._has_answered = False
        self._killed_for = self._how = ""
        self._oldest_batch = None
        self._attempt.begin()
        self._around.routes.mark_loading(self, is_loading=True)
        try:
            code = await self._run_process()
        except (OSError, ServdError) as error:
            self._attempt.on_launch_error(error)
            code = EXIT_LOAD_FAILED
        finally:
            self._around.routes.mark_loading(self, is_loading=False)
        if self._stop.is_set():
            return False
        self._on_death(code)
        if self.state is ReplicaState.FAILED:
            return False
        self._waited_s = self._times.backoff_s(self._deaths)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._waited_s)
        return not self._stop.is_set()

    async def _run_process(self) -> int:
        handle = await self._launch()
        self._handle = handle
        self._attempt.on_launched()
        self._around.orphans.record(self._leader(handle))
        connection = self._around.connect(handle.address, self)
        link = self._link = Link(self._around.routes, self._name, self._times.silent_s)
        try:
            link.open(connection)
            if self._stop.is_set():  # stopped while it was being launched
                handle.kill()
            code = await handle.wait()
            self._how = self._killed_for or handle.end_reason or describe_exit(code)
            link.detach(End(self._how))
            if code == EXIT_LOAD_FAILED and self.state is ReplicaState.STARTING:
                # Its report may still be on the way: the exit and the socket race.
                await self._attempt.reported(self._times.report_s)
            return code
        finally:
            if handle.poll() is None:
                handle.kill()
            link.close(GONE)
            self._has_answered = connection.counters.queries > 0
            self._link = self._handle = None
            handle.cleanup()
            self._around.orphans.forget(self._leader(handle))

    async def _launch(self) -> Handle:
        launcher, spec = self._around.launcher, self.spec
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None) as self._launching:
                    if spec.version.is_contained:
                        return await launcher.launch(spec)
                    prepared = launcher.prepared(spec.version, spec.bundle_dir, tell_nobody)
                    await stack.enter_async_context(prepared)
            finally:
                self._launching = None
            return await launcher.launch(spec)

    def _leader(self, handle: Handle) -> int | None:
        # Containers are found by their labels; their process ids may be of another machine.
        return None if self.spec.version.is_contained else handle.pid

    def _on_said_ready(self, info: dict[str, Any]) -> None:
        fault = other_files(self.spec.version, info)
        if not fault:
            # Of its signature it speaks once, not in every heartbeat.
            said = {"signature": self.info["signature"]} if "signature" in self.info else {}
            self.info = said | info
            self._on_ready()
        elif self._link is not None and not self._killed_for:
            self._link.complain(fault)
            self._link.detach(OTHER)
            if self.state is ReplicaState.STARTING:
                self._attempt.on_misfit(fault)
            self._kill_for(f"was ended: it {fault}")

    def _on_ready(self) -> None:
        if self._link is not None:
            self._link.attach()
        if self.state is ReplicaState.STARTING:
            self._ready_since_s = self._around.clock()
            self._has_been_ready = True
            self.failure = None
            self.load_s = self._attempt.age_s
            self._around.routes.mark_loading(self, is_loading=False)
            log.info("%s is ready after %.2f s", self._name, self.load_s)
        self.state = ReplicaState.READY
        self._settled.set()

    def _on_draining(self) -> None:
        # Somebody else told it to end. It is launched again once it has.
        if self._link is not None:
            self._link.drain()
        self.state = ReplicaState.DRAINING

    def _on_death(self, code: int) -> None:
        ready_s = self._ready_since_s
        if ready_s is None:
            self.failure = self._attempt.failure or self._attempt.died(code, self._how)
        else:
            self.failure = self._attempt.died_serving(f"{self._how} while serving")
            self._forget_deaths(self._around.clock() - ready_s)
        self._deaths += 1
        # Queries that kill it must not end it for good: what answers others is worth its restarts.
        # Nor must what the machine lacks, which may be there again.
        is_excused = ready_s is None and self._attempt.is_of_the_machine
        if not is_excused:
            self._fruitless_deaths = 0 if self._has_answered else self._fruitless_deaths + 1
        self.last_death = self.failure.message
        log.warning("%s: %s", self._name, self.failure.message)
        note(self.spec.log_path, f"servd: {self._name} {self._how or 'could not be started'}")
        is_final = self._fruitless_deaths >= self._times.max_deaths
        if is_final or (self._is_candidate and not self._has_been_ready):
            self.state = ReplicaState.FAILED
        else:
            self.state = ReplicaState.BACKOFF
        self._settled.set()

    def _forget_deaths(self, served_s: float) -> None:
        """Begin anew with the backoff after a life that was worth its start."""
        if served_s >= self._times.stable_s:
            self._deaths = self._fruitless_deaths = 0
        elif self._has_answered and served_s >= self._waited_s + self.load_s:
            # It answered for longer than it was away. One that dies of each query that comes, and
            # so is away for longer than it answers, goes on to wait ever longer.
            self._deaths = 0

    async def _drain(self, drain_s: float) -> None:
        link = self._link
        if link is None or not link.is_attached:
            return
        link.drain()

        async def drained() -> None:
            # Only while it drains: a replica that is idle is not polled.
            while link.is_attached and len(link.connection.unanswered()):  # noqa: ASYNC110
                await asyncio.sleep(_DRAIN_CHECK_S)

        await patiently(drain_s, drained)

    async def _terminate(self) -> None:
        if self._handle is None:
            return
        self._handle.terminate()
        has_ended = await patiently(self._times.term_s, self._ended.wait)
        if not has_ended and self._handle is not None:
            self._handle.kill()
