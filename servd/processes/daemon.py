"""The composition root: builds the daemon's parts, starts, drains and stops them.

`serve` is called by `servd run` (cli/run.py).
"""

import asyncio
import errno
import functools
import json
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from servd import __version__
from servd.clock import monotonic, wall_s
from servd.config import Config
from servd.datatypes import DOCKER, PROCESS
from servd.deploying.bundles import BundleStore
from servd.deploying.deployer import Deployer
from servd.environments.listing import Listing
from servd.environments.store import Environments
from servd.errors import ServdError, StartError
from servd.http.admin.server import AdminServer
from servd.logs import log
from servd.logs.copier import LogCopier
from servd.processes import lifecycle
from servd.processes.instance import (
    clear_leftovers,
    close_folders,
    close_to_others,
    locked,
    make_folders,
    write_info,
)
from servd.processes.query_side import Door, begin_answering
from servd.quantities import counted
from servd.registry.registry import Registry
from servd.registry.store import Store
from servd.registry.witness import Witness
from servd.replicas.homes import Homes
from servd.replicas.launchers.aftermath import aftermath
from servd.replicas.launchers.base import Launcher, LaunchSpec
from servd.replicas.launchers.docker import DockerLauncher
from servd.replicas.launchers.orphans import Orphans
from servd.replicas.launchers.process import Around, ProcessLauncher
from servd.replicas.supervisor import Supervisor
from servd.system import descriptors
from servd.system.devices import Devices
from servd.system.identity import folder_id, process_id
from servd.system.offspring import offspring
from servd.system.ports import base_url, resolve_ports

READY_VARIABLE = "SERVD_READY_FD"
SWEEP_EVERY_S = 600.0


async def serve(config: Config, *, is_forced: bool = False) -> int:
    """Run a daemon until a signal or the admin API stops it; return the exit code.

    With `is_forced` it starts on a registry that has lost changes, too.

    Raises:
        ServdError: it cannot start; the waiting `servd start` has been told why.
    """
    handshake = Handshake(os.environ.get(READY_VARIABLE))
    try:
        return await Daemon(config, handshake, is_forced=is_forced).run()
    except ServdError as error:
        handshake.say(json.dumps({"error": error.message, "hint": error.hint}))
        raise
    except OSError as error:
        where = error.filename or config.data_dir
        refusal = StartError(
            f"the daemon cannot run: {where}: {error.strerror or error}",
            hint="make room, or give another folder: --data-dir DIR"
            if error.errno == errno.ENOSPC
            else "",
        )
        handshake.say(json.dumps({"error": refusal.message, "hint": refusal.hint}))
        raise refusal from error


class Handshake:
    """The pipe on which a `servd start` waits; says one thing, once."""

    def __init__(self, descriptor: str | None) -> None:
        self._descriptor = int(descriptor) if descriptor else None
        if self._descriptor is not None:
            # Front-end processes start before it is closed, and would keep it open for ever.
            os.set_inheritable(self._descriptor, False)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits: the daemon runs in the background."""
        return self._descriptor is not None

    def say(self, text: str) -> None:
        """Write a line and close the pipe; nothing happens the second time."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            # Whoever waited may have been interrupted.
            with suppress(OSError), os.fdopen(descriptor, "w") as pipe:
                pipe.write(f"{text}\n")


class Daemon:
    """One daemon: `run` is its life."""

    def __init__(self, config: Config, handshake: Handshake, *, is_forced: bool = False) -> None:
        self._is_forced = is_forced
        self._is_whole = False
        self._is_loaded = False
        self._config = config
        self._handshake = handshake
        self._drain_s = config.drain_s
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._supervisor: Supervisor | None = None
        self._copier: LogCopier | None = None
        self._stop_copying: Callable[[], object] = lambda: None
        self._users_mask = 0
        self._environments = Environments(config.environments_dir)
        self._tend: Callable[[], object] = lambda: None

    async def run(self) -> int:
        """Start, serve until told to stop, drain, stop."""
        self._users_mask = close_to_others()
        descriptors.raise_limit()
        make_folders(self._config)
        async with AsyncExitStack() as stack:
            stack.callback(os.umask, self._users_mask)
            stack.enter_context(locked(self._config))
            handlers = log.configure(
                self._config.logs_dir / "daemon.log",
                self._config.log_level,
                to_stderr=not self._handshake.is_wanted,
            )
            stack.callback(log.release, handlers)
            stack.callback(log.log.info, "stopped")
            stack.enter_context(aftermath(self._config.run_dir))
            stack.callback(offspring.end_all)
            close_folders(self._config)
            self._config = resolve_ports(self._config)
            await asyncio.to_thread(self._end_orphans)
            stack.callback(self._config.info_file.unlink, missing_ok=True)
            door, deployer = await self._build(stack)
            if not deployer.await_loads():
                self._on_loaded(door)
            self._announce()
            await self._serve(door, deployer)
        return 0

    def _on_loaded(self, door: Door) -> None:
        """Have probers told that queries are welcome."""
        self._is_loaded = True
        door.set_ready()

    @property
    def _is_ready(self) -> bool:
        return self._is_loaded and not self._stop.is_set()

    def shut_down(self, drain_s: float | None) -> None:
        """Begin to stop; the second time, without waiting. Called by signals and the admin API."""
        if self._stop.is_set():
            self._force.set()
            if self._supervisor is not None:
                self._supervisor.kill()
            return
        if drain_s is not None:
            self._drain_s = drain_s
        self._stop.set()

    async def _build(self, stack: AsyncExitStack) -> tuple[Door, Deployer]:
        # What is entered last ends first: the doors, then the replicas, then the store.
        config = self._config
        bundles = BundleStore(config.bundles_dir)
        witness = Witness(config.registry_note, bundles.count, is_forced=self._is_forced)
        store = await stack.enter_async_context(Store(config.database, witness))
        registry = Registry(store)
        await registry.load()
        listing = Listing(self._environments, config.bundles_dir)
        self._tend = lambda: _tend(listing, registry)
        self._is_whole = store.is_whole
        await _check_bundles(registry, bundles, is_whole=store.is_whole)
        answering = await begin_answering(config, stack)
        if not self._handshake.is_wanted:
            self._copier = LogCopier(config.logs_dir / "models", is_labelled=True)
            stack.callback(self._copier.copy)
        engine = answering.engine
        launchers = await self._launchers(stack)
        supervisor = await stack.enter_async_context(
            Supervisor(config, engine, launchers, monotonic, connect=answering.connect)
        )
        self._supervisor = supervisor
        deployer = Deployer(
            registry, supervisor, engine, bundles, config, settled=answering.settled
        )
        deployer.apply()
        await stack.enter_async_context(
            AdminServer(
                *(deployer, registry, supervisor, answering.figures, bundles, config),
                shutdown=self.shut_down,
                is_ready=lambda: self._is_ready,
            )
        )
        door = await stack.enter_async_context(answering.open_door())
        return door, deployer

    async def _launchers(self, stack: AsyncExitStack) -> dict[str, Launcher]:
        config = self._config
        images = functools.partial(_ensure_image, config)
        devices = Devices(os.environ)
        processes = ProcessLauncher(
            config.run_dir,
            os.environ,
            self._users_mask,
            around=Around(
                scratch_dir=config.scratch_dir,
                carrier=config.carrier,
                devices=devices,
                homes=await stack.enter_async_context(Homes(self._environments)),
            ),
        )
        containers = await stack.enter_async_context(DockerLauncher(config, images, devices))
        return {PROCESS: processes, DOCKER: containers}

    def _end_orphans(self) -> None:
        count = Orphans(self._config.run_dir).end_all()
        if count:
            which = counted(count, "process", "processes")
            log.log.warning("ended %s that a killed daemon left behind", which)
        clear_leftovers(self._config)
        for key in self._environments.tidy():
            log.log.warning("removed the environment %s, which was left half built", key)

    def _announce(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shut_down, None)
        info = self._info()
        write_info(self._config.info_file, info)
        lifecycle.freeze()
        log.log.info("servd %s answers at %s", __version__, info["query_url"])
        self._handshake.say("ready")

    def _info(self) -> dict[str, Any]:
        config = self._config
        return {
            "pid": os.getpid(),
            "process_id": process_id(os.getpid()),
            "data_dir_id": folder_id(config.data_dir),
            "version": __version__,
            "query_url": base_url(config.bind, config.query_port),
            "admin_url": base_url(config.bind, config.admin_port),
            "admin_socket": str(config.admin_socket),
            "started_s": wall_s(),
        }

    async def _serve(self, door: Door, deployer: Deployer) -> None:
        async with asyncio.TaskGroup() as tasks:
            tending = [
                tasks.create_task(_restore(deployer, functools.partial(self._on_loaded, door)))
            ]
            tending.append(tasks.create_task(offspring.keep_reaping()))
            if self._is_whole:
                tending.append(tasks.create_task(_sweep(deployer, self._tend)))
            if self._copier is not None:
                copying = tasks.create_task(self._copier.run())
                self._stop_copying = copying.cancel
            await self._stop.wait()
            log.log.info("stopping: %g s to answer what is open", self._drain_s)
            for task in tending:
                task.cancel()
            door.stop_accepting()
            await lifecycle.unless_forced(door.drain(self._drain_s), self._force)
            self._stop_copying()


def _ensure_image(config: Config, client: Any, spec: LaunchSpec) -> str:
    from servd.imaging import replica_image as images  # noqa: PLC0415 - wanted for containers only

    additions = images.additions_of(config)
    return images.ensure_image(config.base_image, client, spec, additions, config.environments_dir)


async def _check_bundles(registry: Registry, bundles: BundleStore, *, is_whole: bool) -> None:
    """Say which bundles are missing; throw away those that a whole registry does not know."""
    missing = await bundles.missing(registry.bundles)
    for version in registry.state.versions.values():
        if version.bundle in missing:
            log.log.error(
                "the bundle %s of %s is missing: servd deploy brings it again",
                version.bundle,
                version.id,
            )
    if is_whole:
        await bundles.collect(registry.bundles)


def _tend(listing: Listing, registry: Registry) -> None:
    for each in listing.tend(registry.state.versions.values()):
        log.log.info("removed the environment %s, which no version has used for a week", each.key)


async def _sweep(deployer: Deployer, tend: Callable[[], object]) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await deployer.sweep()
            await asyncio.to_thread(tend)
        except Exception:  # noqa: BLE001 - a task boundary: the daemon serves without
            log.log.exception("looking for unused bundles and environments failed")


async def _restore(deployer: Deployer, on_loaded: Callable[[], None]) -> None:
    try:
        await deployer.restore(on_loaded)
    except Exception:  # noqa: BLE001 - a task boundary: the daemon serves without
        log.log.exception("bringing the replicas up failed")
        on_loaded()
