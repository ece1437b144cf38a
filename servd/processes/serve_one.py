"""The composition root of `servd serve-one`: one model version answers queries on one port.

Engine, supervisor and query server as in the daemon, without a registry on the disk, without the
admin API. What a standalone image runs, as process 1 of its container. Called by the verb's body.
"""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from model_runtime.signature import Signature
from servd import __version__
from servd.clock import monotonic
from servd.config import Config
from servd.datatypes import (
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    ReplicaState,
    RouteRule,
)
from servd.deploying.plan import unsaid
from servd.engine.engine import Engine
from servd.engine.rpc import connector
from servd.errors import LoadFailedError, ServdError
from servd.http.query.server import QueryServer
from servd.logs import log
from servd.logs.copier import LogCopier
from servd.processes import lifecycle
from servd.processes.instance import close_to_others, make_folders
from servd.replicas.homes import Homes
from servd.replicas.launchers.aftermath import aftermath
from servd.replicas.launchers.process import Around, ProcessLauncher
from servd.replicas.supervisor import Supervisor
from servd.system import descriptors
from servd.system.offspring import offspring
from servd.system.ports import base_url, probe

Result = TypeVar("Result")

WATCH_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class OneModel:
    """What is served. `applications` answer at `/NAME/predict`, the first at `/predict` too.

    `routes` are further paths of theirs. Where the type `is_open`, the model says what it
    takes when it has been loaded.
    """

    version: ModelVersion
    applications: tuple[Application, ...]
    bundle_dir: Path
    is_open: bool = False
    routes: tuple[RouteRule, ...] = ()

    def settled(self, signature: Signature | None, web: str | None) -> "OneModel":
        """Return it with what the loaded model says of its inputs and outputs, or of its kind.

        Raises:
            InvalidValueError: it does not say what it takes, and nobody else did.
        """
        kind = self.version.input_type
        if self.is_open:
            if signature is None:
                raise unsaid(self.version.id)
            kind = InputType.parse(signature.input_type)
        version = msgspec.structs.replace(
            self.version, input_type=kind, signature=signature, web=web
        )
        applications = (msgspec.structs.replace(app, input_type=kind) for app in self.applications)
        return replace(self, version=version, applications=tuple(applications))

    @property
    def paths(self) -> list[str]:
        """Where it answers, with the method where that is a route's."""
        last = "predict" if self.version.web is None else ""
        own = [f"/{last}", *(f"/{app.name}/{last}" for app in self.applications)]
        return [*own, *(rule.name for rule in self.routes)]

    @property
    def state(self) -> RegistryState:
        """It as a registry would hold it."""
        version = self.version
        return RegistryState(
            applications={app.name: app for app in self.applications},
            versions={version.id: version},
            current={version.model: version.version},
            links={app.name: (version.model,) for app in self.applications},
            default_app=self.applications[0].name,
            routes={rule.name: rule for rule in self.routes},
        )


async def serve_one(one: OneModel, config: Config, environ: Mapping[str, str]) -> int:
    """Serve until a signal; return the exit code.

    Raises:
        ServdError: the port is taken, or LoadFailedError: the model does not load.
    """
    return await _Server(one, config, environ).run()


class _Server:
    """One `servd serve-one`: `run` is its life."""

    def __init__(self, one: OneModel, config: Config, environ: Mapping[str, str]) -> None:
        self._one = one
        self._config = config
        self._environ = environ
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._supervisor: Supervisor | None = None

    async def run(self) -> int:
        config = self._config
        probe(config.bind, config.query_port, "--port")
        users_mask = close_to_others()
        descriptors.raise_limit()
        make_folders(config)
        _link_bundle(self._one, config)
        async with AsyncExitStack() as stack:
            path = config.logs_dir / "daemon.log"
            stack.callback(log.release, log.configure(path, config.log_level, to_stderr=True))
            stack.callback(log.log.info, "stopped")
            stack.enter_context(aftermath(config.run_dir))
            stack.callback(offspring.end_all)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._on_signal)
            await self._serve(stack, users_mask)
        return 0

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._force.set()
            if self._supervisor is not None:
                self._supervisor.kill()
        self._stop.set()

    async def _serve(self, stack: AsyncExitStack, users_mask: int) -> None:
        config = self._config
        engine = await stack.enter_async_context(
            Engine(config.cache_bytes, monotonic, config.predict_timeout_s)
        )
        copier = LogCopier(config.logs_dir / "models")
        stack.callback(copier.copy)
        launchers = {
            "process": ProcessLauncher(
                config.run_dir,
                self._environ,
                users_mask,
                around=Around(
                    scratch_dir=config.scratch_dir,
                    carrier=config.carrier,
                    homes=Homes(is_image=True),
                ),
            )
        }
        supervisor = Supervisor(
            config, engine, launchers, monotonic, connect=connector(engine.context, monotonic)
        )
        self._supervisor = await stack.enter_async_context(supervisor)
        self._apply(engine, supervisor)
        server = QueryServer(engine, config)
        server.is_ready = False
        await stack.enter_async_context(server)
        failure = await self._live(engine, server, supervisor, copier)
        if failure is not None:
            raise failure

    async def _live(
        self, engine: Engine, server: QueryServer, supervisor: Supervisor, copier: LogCopier
    ) -> ServdError | None:
        """Load, serve and drain; return why it could not be loaded or ended, if it did."""
        async with asyncio.TaskGroup() as tasks:
            others: list[asyncio.Task[Any]] = [
                tasks.create_task(copier.run()),
                tasks.create_task(offspring.keep_reaping()),
            ]
            stopping = tasks.create_task(self._stop.wait())
            others.append(stopping)
            failure = await self._unless(
                stopping, tasks.create_task(self._load(engine, supervisor))
            )
            if failure is None and not stopping.done():
                self._announce(server)
                failure = await self._unless(
                    stopping, tasks.create_task(self._watch(server, supervisor))
                )
            if failure is None:
                await self._drain(server)
            for task in others:
                task.cancel()
        return failure

    async def _unless(
        self, stopping: asyncio.Task[Any], work: asyncio.Task[Result]
    ) -> Result | None:
        """Return what a task returns, unless it is to stop first: then it is cancelled."""
        await asyncio.wait({stopping, work}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        return None

    def _apply(self, engine: Engine, supervisor: Supervisor) -> None:
        state = self._one.state
        engine.apply(state)
        supervisor.apply(state)

    async def _load(self, engine: Engine, supervisor: Supervisor) -> ServdError | None:
        version = self._one.version
        missing = [name for name in version.env_vars if name not in self._environ]
        if missing:
            log.log.warning(
                "%s was deployed with variables that are not set here: %s",
                version.id,
                ", ".join(missing),
            )
        try:
            await supervisor.check(version)
            await supervisor.ensure(version, version.replicas, fail_fast=True)
            signature = supervisor.signature(version.id) or version.signature
            self._one = self._one.settled(signature, supervisor.web(version.id))
        except ServdError as error:
            return error
        self._apply(engine, supervisor)
        return None

    def _announce(self, server: QueryServer) -> None:
        lifecycle.freeze()
        base = base_url(self._config.bind, server.port)
        log.log.info(
            "servd %s serves %s at %s: %s",
            __version__,
            self._one.version.id,
            base,
            " and ".join(self._one.paths),
        )

    async def _drain(self, server: QueryServer) -> None:
        log.log.info("stopping: %g s to answer what is open", self._config.drain_s)
        server.is_ready = False
        await lifecycle.close(server)
        await lifecycle.unless_forced(server.drain(self._config.drain_s), self._force)

    async def _watch(self, server: QueryServer, supervisor: Supervisor) -> ServdError:
        """Keep what probers are told true; return what ended the last replica for good."""
        version_id = self._one.version.id
        while True:
            # Nobody signals a replica's state; a prober asks every few seconds.
            server.is_ready = supervisor.ready_count(version_id) > 0
            statuses = supervisor.statuses()
            if statuses and all(status.state is ReplicaState.FAILED for status in statuses):
                return LoadFailedError(
                    f"{version_id} has failed for good: {statuses[0].last_error}"
                )
            await asyncio.sleep(WATCH_EVERY_S)


def _link_bundle(one: OneModel, config: Config) -> None:
    """Put the bundle where the supervisor looks for it."""
    (config.bundles_dir / (one.version.bundle or "")).symlink_to(one.bundle_dir.absolute())
