"""The table of all replicas: brings them up and down, keeps the heartbeat. Used by deployer.py.

Callers see to it that calls for one version do not overlap (deployer.py has a lock per model).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self

import psutil

from model_runtime.attention import Attention
from model_runtime.manifest import WEB_KINDS
from model_runtime.signature import Signature
from servd.clock import Clock
from servd.config import Config
from servd.datatypes import (
    DeployEvent,
    ModelVersion,
    RegistryState,
    ReplicaState,
    ReplicaStatus,
    Variables,
    VersionId,
)
from servd.errors import InvalidValueError, ServdError
from servd.logs.log import log
from servd.replicas.collaborators import Collaborators, Connect, LoadingRoutes, Timings
from servd.replicas.launchers.base import ImageFacts, Launcher, LaunchSpec
from servd.replicas.launchers.orphans import Orphans
from servd.replicas.loading import Report, await_loaded, call_ms_of, signature_of
from servd.replicas.replica import Replica

_MEMORY_KEPT_S: Final = 1.0
_MAX_KEPT: Final = 1024


class Dispatchers(Protocol):
    """What the supervisor uses of `servd.engine.engine.Engine`."""

    def prepare(self, version: ModelVersion) -> LoadingRoutes:
        """Return the dispatcher of a version, made if there is none yet."""


@dataclass(slots=True)
class _Group:
    """The replicas of one version by number."""

    version: ModelVersion
    around: Collaborators
    variables: Variables
    members: dict[int, Replica] = field(default_factory=dict)


class Supervisor:
    """Runs replicas; an async context manager that stops them all at its end.

    `launchers` maps a version's `runtime` to its launcher.
    """

    def __init__(
        self,
        config: Config,
        engine: Dispatchers,
        launchers: Mapping[str, Launcher],
        clock: Clock,
        *,
        connect: Connect,
        timings: Timings | None = None,
    ) -> None:
        self._config = config
        self._engine = engine
        self._launchers = launchers
        self._clock = clock
        self._connect = connect
        self._timings = timings or Timings(
            load_s=config.load_timeout_s,
            test_s=config.test_timeout_s,
            stuck_s=config.predict_timeout_s,
        )
        self._orphans = Orphans(config.run_dir)
        self._figures = _Figures(clock)
        self._groups: dict[VersionId, _Group] = {}
        self._application_of: dict[str, str] = {}
        self._variables: dict[VersionId, Variables] = {}
        self._tasks = asyncio.TaskGroup()
        self._timer: asyncio.Task[None] | None = None
        self._is_closing = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._timer = self._tasks.create_task(self._keep_time(), name="heartbeats")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.stop_all()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._tasks.__aexit__(None, None, None)

    def apply(self, state: RegistryState) -> None:
        """Learn what versions take and have, and which application shows for a model in `statuses`.

        Called after each change.
        """
        self._application_of = {
            model: app for app, models in state.links.items() for model in models
        }
        self._variables = state.variables
        for version_id, group in self._groups.items():
            group.version = state.versions.get(version_id, group.version)

    async def check(self, version: ModelVersion) -> None:
        """Raise where replicas of a version cannot run on this machine. Called at a deployment.

        Raises:
            InvalidValueError: it wants a device that is not here.
        """
        await self._launcher(version.runtime).check(version)

    @asynccontextmanager
    async def prepared(self, version: ModelVersion, report: Report) -> AsyncIterator[None]:
        """Have, for a block, what a version's replicas run in. Called by a deployment.

        `report` hears how its environment is built, where it is.

        Raises:
            ServdError: it cannot be had; says why and what to do.
        """

        def tell(line: str, took_ms: float | None = None) -> None:
            event = DeployEvent(
                event="environment",
                model=version.model,
                version=version.version,
                message=line,
                duration_ms=None if took_ms is None else round(took_ms, 1),
            )
            report(event)

        launcher = self._launcher(version.runtime)
        async with launcher.prepared(version, self._bundle_dir(version), tell):
            yield

    def doing(self) -> dict[VersionId, str]:
        """Return what is done for versions before their replicas can start, by version."""
        told = {each: group.around.launcher.doing(each) for each, group in self._groups.items()}
        return {version_id: text for version_id, text in told.items() if text}

    def _bundle_dir(self, version: ModelVersion) -> Path:
        return self._config.bundles_dir / (version.bundle or "")

    def give(self, version: ModelVersion, variables: Variables) -> None:
        """Have the replicas of a version that is not registered yet get these variables."""
        self._group(version).variables = variables

    async def ensure(
        self, version: ModelVersion, count: int, *, report: Report | None = None, fail_fast: bool
    ) -> None:
        """Bring `count` replicas of a version up and wait until each has loaded or failed.

        With `fail_fast` all must be up: the first failure ends what this call launched. Without
        it, replicas that failed are tried again in the background.

        Raises:
            LoadFailedError: with `fail_fast`, a replica could not be loaded.
            InvalidValueError: no launcher is there for the version's runtime.
        """
        group = self._group(version)
        await self._drop_dead(group, is_impatient=fail_fast)
        launched = [
            self._launch(group, number, is_candidate=fail_fast)
            for number in _free_numbers(group.members, count - len(group.members))
        ]
        is_up = False
        try:
            await self._await_loaded(group, report, fail_fast=fail_fast)
            is_up = True
        finally:
            if fail_fast and not is_up:
                await self._discard(group, launched)

    async def scale(self, version_id: VersionId, count: int) -> None:
        """Have `count` replicas of a version, the highest numbers going first; none stays none.

        Raises:
            LoadFailedError: a new replica could not be loaded; then the number stays.
        """
        group = self._groups.get(version_id)
        if group is None:
            return
        if count > len(group.members):
            await self.ensure(group.version, count, fail_fast=True)
            return
        surplus = [group.members[number] for number in sorted(group.members)[count:]]
        await self._stop(group, surplus, self._config.drain_s)

    async def stop_version(self, version_id: VersionId) -> None:
        """Drain and stop all replicas of a version; nothing happens if it has none."""
        group = self._groups.get(version_id)
        if group is not None:
            await self._stop(group, list(group.members.values()), self._config.drain_s)
            self._groups.pop(version_id, None)

    async def stop_all(self) -> None:
        """Stop everything and launch nothing more. Called when the daemon ends."""
        self._is_closing = True
        async with asyncio.TaskGroup() as stops:
            for _, replica in self._all():
                stops.create_task(replica.stop(0.0))

    def kill(self) -> None:
        """End every replica at once. Called when a second signal forces the daemon down."""
        self._is_closing = True
        for _, replica in self._all():
            replica.kill()

    def ready_count(self, version_id: VersionId) -> int:
        """Return how many replicas of a version are ready."""
        group = self._groups.get(version_id)
        members = group.members.values() if group else ()
        return sum(replica.state is ReplicaState.READY for replica in members)

    def signature(self, version_id: VersionId) -> Signature | None:
        """Return what a replica of a version has said of its inputs and outputs, if one has."""
        return next(filter(None, map(signature_of, self._said(version_id))), None)

    def web(self, version_id: VersionId) -> str | None:
        """Return of which kind of web application a version's replicas say that they are."""
        said = (info.get("web") for info in self._said(version_id))
        return next((str(kind) for kind in said if kind in WEB_KINDS), None)

    def call_ms(self, version_id: VersionId) -> float | None:
        """Return how long one call took when the version was tested, where that is known."""
        return next(filter(None, map(call_ms_of, self._said(version_id))), None)

    def _said(self, version_id: VersionId) -> list[dict[str, Any]]:
        group = self._groups.get(version_id)
        return [replica.info for replica in (group.members.values() if group else ())]

    def log_path(self, version_id: VersionId, replica: int) -> Path:
        """Return the file that holds what a replica prints. Rotated copies end with .1, .2, .3."""
        name = f"{version_id.version}.{replica}.log"
        return self._config.logs_dir / "models" / version_id.model / name

    async def describe_image(
        self, runtime: str, image: str, on_pull: Callable[[], None]
    ) -> ImageFacts:
        """Return what an image's name stands for now; `on_pull` hears where it is pulled first."""
        return await self._launcher(runtime).describe_image(image, on_pull)

    def statuses(self) -> list[ReplicaStatus]:
        """Return one row for each replica, by model, version and number."""
        doing = self.doing()
        rows = [
            self._figures.status(
                replica,
                self._application_of.get(group.version.model),
                doing.get(group.version.id) if replica.state is ReplicaState.STARTING else None,
            )
            for group, replica in self._all()
        ]
        return sorted(rows, key=lambda row: (row.model, row.version, row.replica))

    def _launcher(self, runtime: str) -> Launcher:
        launcher = self._launchers.get(runtime)
        if launcher is None:
            raise InvalidValueError(
                f"'{runtime}' is not a runtime of this daemon",
                hint=f"runtimes are: {', '.join(self._launchers)}",
            )
        return launcher

    def _group(self, version: ModelVersion) -> _Group:
        launcher = self._launcher(version.runtime)
        group = self._groups.get(version.id)
        if group is None:
            around = Collaborators(
                launcher=launcher,
                routes=self._engine.prepare(version),
                connect=self._connect,
                orphans=self._orphans,
                clock=self._clock,
                timings=self._timings,
            )
            variables = self._variables.get(version.id, Variables())
            group = self._groups[version.id] = _Group(version, around, variables)
        return group

    def _launch(self, group: _Group, number: int, *, is_candidate: bool) -> Replica:
        if self._is_closing:
            raise ServdError("the daemon is stopping")
        version = group.version
        spec = LaunchSpec(
            version=version,
            replica=number,
            bundle_dir=self._bundle_dir(version),
            log_path=self.log_path(version.id, number),
            variables=group.variables,
        )
        replica = Replica(spec, group.around, is_candidate=is_candidate)
        group.members[number] = replica
        self._tasks.create_task(replica.run())
        return replica

    async def _await_loaded(self, group: _Group, report: Report | None, *, fail_fast: bool) -> None:
        try:
            async with asyncio.TaskGroup() as waits:
                for replica in group.members.values():
                    waits.create_task(await_loaded(replica, report, fail_fast=fail_fast))
        except ExceptionGroup as failures:
            # Not `except*`: before Python 3.11.4 it wraps what is raised again in a group.
            expected = failures.subgroup(ServdError)
            if expected is None:
                raise
            raise expected.exceptions[0] from None

    async def _drop_dead(self, group: _Group, *, is_impatient: bool) -> None:
        dead = {ReplicaState.FAILED} | ({ReplicaState.BACKOFF} if is_impatient else set())
        gone = [replica for replica in group.members.values() if replica.state in dead]
        await self._stop(group, gone, 0.0)

    async def _discard(self, group: _Group, replicas: list[Replica]) -> None:
        await self._stop(group, replicas, 0.0)
        if not group.members:
            self._groups.pop(group.version.id, None)

    async def _stop(self, group: _Group, replicas: list[Replica], drain_s: float) -> None:
        async with asyncio.TaskGroup() as stops:
            for replica in replicas:
                stops.create_task(replica.stop(drain_s))
        for replica in replicas:
            group.members.pop(replica.spec.replica, None)

    def _all(self) -> Iterator[tuple[_Group, Replica]]:
        for group in list(self._groups.values()):
            for replica in list(group.members.values()):
                yield group, replica

    async def _keep_time(self) -> None:
        attention = Attention(self._clock, self._timings.heartbeat_s)
        while True:
            await asyncio.sleep(self._timings.heartbeat_s)
            missed_s = attention.missed_s()
            for _, replica in self._all():
                if missed_s:
                    replica.excuse(missed_s)
                self._tick(replica)

    def _tick(self, replica: Replica) -> None:
        try:
            replica.tick()
        except Exception:  # noqa: BLE001 - a task boundary: the heartbeat of all others must go on
            log.exception("the heartbeat of %s failed", replica.spec.version.id)


def _free_numbers(taken: Mapping[int, object], count: int) -> list[int]:
    found: list[int] = []
    number = 0
    while len(found) < count:
        if number not in taken:
            found.append(number)
        number += 1
    return found


class _Figures:
    """The rows of `servd ps`; a process's memory is read at most once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memory: dict[int, tuple[float, int | None]] = {}

    def status(self, replica: Replica, application: str | None, doing: str | None) -> ReplicaStatus:
        """Return the row of a replica; `application` is one that its model is linked to.

        `doing` is what is done before it can start.
        """
        connection = replica.connection
        window = connection.counters.window(self._clock()) if connection else None
        return ReplicaStatus(
            application=application,
            model=replica.spec.version.model,
            version=replica.spec.version.version,
            replica=replica.spec.replica,
            state=replica.state,
            pid=replica.pid,
            restarts=replica.restarts,
            requests_per_s=window.queries_per_s if window else 0.0,
            p50_ms=window.p50_ms if window else None,
            p99_ms=window.p99_ms if window else None,
            mean_batch=window.mean_batch if window else None,
            memory_bytes=self._memory_of(replica),
            runtime=replica.spec.version.runtime,
            test_ms=call_ms_of(replica.info),
            device=replica.device,
            limits=replica.limits,
            doing=doing,
            last_error=replica.failure.message if replica.failure else replica.last_death or None,
        )

    def _memory_of(self, replica: Replica) -> int | None:
        # A container's main process may only be the parent of the one that holds the model.
        if replica.pid is None or replica.spec.version.is_contained:
            return replica.memory_bytes
        return self._memory_bytes(replica.pid)

    def _memory_bytes(self, pid: int) -> int | None:
        now_s = self._clock()
        kept = self._memory.get(pid)
        if kept is not None and now_s - kept[0] < _MEMORY_KEPT_S:
            return kept[1]
        if len(self._memory) >= _MAX_KEPT:
            self._memory.clear()
        try:
            size: int | None = psutil.Process(pid).memory_info().rss
        except psutil.Error:
            size = None
        self._memory[pid] = (now_s, size)
        return size
