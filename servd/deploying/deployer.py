"""Every change of what exists, by whatever API: check, bring up, write down, switch over.

Called by http/admin, and by processes/daemon.py for `restore`. After each change the engine and the
supervisor are shown the registry's new state.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from model_runtime.manifest import WEB_KINDS
from servd.clock import wall_s
from servd.config import Config
from servd.datatypes import (
    DeployEvent,
    DeployRequest,
    ModelVersion,
    RegistryState,
    Variables,
    VersionId,
)
from servd.deploying.applications import Applications, at_once
from servd.deploying.asked import check_container, check_replicas, check_web
from servd.deploying.bundles import BundleStore
from servd.deploying.plan import (
    Plan,
    as_web,
    changes_beside,
    chosen_objective,
    find_runnable,
    learnt,
    plan_deploy,
    previous_version,
    settle,
    to_retire,
)
from servd.errors import ModelNotFoundError, NotFoundError, ServdError, StoreError
from servd.logs import audit
from servd.logs.log import log
from servd.logs.old_logs import remove_logs, sweep_logs
from servd.registry import rules
from servd.registry.registry import Registry
from servd.replicas.launchers.base import ImageFacts
from servd.replicas.loading import Report
from servd.replicas.supervisor import Dispatchers, Supervisor
from servd.system.ports import base_url

_RESTORE_AT_ONCE = 4
"""Versions brought up at the same time at the daemon's start: more only compete for processors."""


class QueryEngine(Dispatchers, Protocol):
    """What a deployer uses of `servd.engine.engine.Engine`."""

    def apply(self, state: RegistryState) -> None:
        """Route queries by this state from now on."""

    def forget(self, version_id: VersionId) -> None:
        """Drop a version's dispatcher and what is cached of it."""


class Deployer(Applications):
    """Changes what exists. One change of a model at a time; others go on beside it.

    `settled` returns when whoever answers queries has applied what `engine.apply` was given.
    """

    def __init__(
        self,
        registry: Registry,
        supervisor: Supervisor,
        engine: QueryEngine,
        bundles: BundleStore,
        config: Config,
        *,
        settled: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        super().__init__(registry, settled)
        self._supervisor = supervisor
        self._engine = engine
        self._bundles = bundles
        self._config = config
        self._loading: set[VersionId] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        registry.subscribe(self._on_change)

    def apply(self) -> None:
        """Show the registry's state to the engine and the supervisor. Called at the start."""
        self._engine.apply(self._registry.state)
        self._supervisor.apply(self._registry.state)

    def _on_change(self, _before: RegistryState, _after: RegistryState) -> None:
        self.apply()

    async def deploy(self, request: DeployRequest, report: Report) -> DeployEvent:
        """Make a new version live; return the last event, which is live or unchanged.

        `report` hears of pulling, of starting (which carries the version's number) and of each
        loaded replica. Nothing is changed where an error is raised.

        Raises:
            ServdError: a rule refuses it, or LoadFailedError: a replica could not be loaded.
        """
        with audit.change(f"deploy {request.model}") as told:
            await self._registry.check_writable()
            async with self._lock(request.model):
                try:
                    return await self._deploy(request, report, told)
                finally:
                    await self._throw_away(request.bundle)

    async def _deploy(
        self, request: DeployRequest, report: Report, told: audit.Described
    ) -> DeployEvent:
        image = await self._image(request, report)
        declared = await self._declared_type(request, image)
        digest = image.digest if image else None
        plan = plan_deploy(self._registry.state, request, declared, digest)
        told.text = f"deploy {plan.version.id}"
        if plan.is_known:
            return await self._deploy_known(plan)
        version = plan.version
        await self._supervisor.check(version)
        report(DeployEvent(event="starting", model=version.model, version=version.version))
        before = self._registry.state.current.get(version.model)
        with self._bundles.pinned(request.bundle or ""):
            # How long that takes is no part of the time that a model has to load.
            async with self._supervisor.prepared(version, report):
                settled = await self._go_live(plan, request, report)
        chosen = chosen_objective(plan, settled, self._supervisor.call_ms(version.id))
        retired = await self._retire(version.model, before)
        return self._last_event("live", settled, "; ".join(filter(None, (chosen, retired))) or None)

    async def tidy(self, model: str) -> None:
        """End the replicas of a model's versions that want none any more. Called after a deploy.

        Apart from it, as what they still answer may take as long as a drain does.
        """
        async with self._lock(model):
            for version in list(self._registry.state.versions.values()):
                if version.model == model and version.is_runnable and not version.replicas:
                    await self._supervisor.scale(version.id, 0)

    async def sweep(self) -> None:
        """Throw away what was uploaded and is not deployed, and logs of what is not registered.

        Called by the daemon now and then.
        """
        await self._bundles.sweep(self._registry.bundles)
        known = set(self._registry.state.versions)
        await asyncio.to_thread(sweep_logs, self._logs_dir, known, wall_s())

    async def register_version(self, version: ModelVersion) -> None:
        """Register a version without running it, and make it current (Clipper's add_model)."""
        with audit.change(f"register {version.id}"):
            async with self._lock(version.model):
                await self._registry.add_version(version)
                await self._settled()

    async def set_current(self, model: str, version: str) -> None:
        """Make a version current once it has a ready replica; one without files at once."""
        with audit.change(f"make {model}:{version} current"):
            async with self._lock(model):
                await self._switch(model, version)

    async def rollback(self, model: str, version: str | None) -> str:
        """Make a version current, by default the one before the current; return which it is."""
        with audit.change(f"roll {model} back") as told:
            async with self._lock(model):
                if version is None:
                    self._check_model(model)
                    version = previous_version(self._registry.state, model)
                told.text = f"roll {model} back to {version}"
                await self._switch(model, version)
                return version

    async def scale(self, model: str, version: str | None, count: int) -> None:
        """Have `count` replicas of a version, by default the current one.

        Returns when new ones are ready, or the surplus has answered what it had and ended.
        """
        with audit.change(f"scale {model}{f':{version}' if version else ''} to {count}"):
            check_replicas(count)
            await self._registry.check_writable()
            async with self._lock(model):
                found = find_runnable(self._registry.state, self._find_id(model, version))
                await self._scale(found, count)

    async def remove_version(self, model: str, version: str, *, is_forced: bool) -> None:
        """Remove a version: it gets no new query, answers those it has, then ends.

        Raises:
            ConflictError: unless `is_forced`, it is the current one.
        """
        with audit.change(f"remove {model}:{version}"):
            async with self._lock(model):
                found = rules.find_version(self._registry.state, VersionId(model, version))
                if not is_forced:
                    rules.check_version_unused(self._registry.state, found.id)
                await self._registry.remove_version(model, version)
                await self._settled()
                await self._end(found)

    async def remove_model(self, model: str, *, is_forced: bool) -> None:
        """Remove a model: its links and its versions.

        Raises:
            ConflictError: unless `is_forced`, it answers an application.
        """
        with audit.change(f"remove the model {model}"):
            async with self._lock(model):
                self._check_model(model)
                if not is_forced:
                    rules.check_model_unused(self._registry.state, model)
                gone = [v for v in self._registry.state.versions.values() if v.model == model]
                await self._registry.remove_model(model)
                await self._settled()
                for version in gone:
                    await self._end(version)

    def to_load(self) -> set[VersionId]:
        """Return the current versions that want replicas: what a start has to bring up first."""
        state = self._registry.state
        ids = (VersionId(model, version) for model, version in state.current.items())
        return {
            version_id
            for version_id in ids
            if (found := state.versions.get(version_id)) and found.is_runnable and found.replicas
        }

    @property
    def loading(self) -> list[str]:
        """The current versions that this daemon's start has not brought up yet."""
        return sorted(map(str, self._loading))

    def await_loads(self) -> bool:
        """Note what a start has to bring up first, and tell queries; return whether anything is."""
        self._loading = self.to_load()
        for version_id in self._loading:
            self._mark_loading(version_id, is_loading=True)
        return bool(self._loading)

    def _mark_loading(self, version_id: VersionId, *, is_loading: bool) -> None:
        version = self._registry.state.versions.get(version_id)
        if version is not None:  # it may be removed meanwhile
            self._engine.prepare(version).mark_loading(self, is_loading=is_loading)

    async def restore(self, on_loaded: Callable[[], None]) -> None:
        """Bring up the replicas that the registry wants. Runs beside the serving daemon.

        `on_loaded` is called once each current version has loaded or failed to. One that hangs
        fails when its time to load has passed, so that this is never waited for in vain.
        """
        places = asyncio.Semaphore(_RESTORE_AT_ONCE)
        state = self._registry.state
        self.await_loads()
        awaited = self._loading
        # What is queried most likely comes first.
        wanted = sorted(state.versions, key=lambda v: state.current.get(v.model) != v.version)

        async def bring_up(version_id: VersionId) -> None:
            await self._restore_one(version_id, places)
            if version_id in awaited:
                awaited.remove(version_id)
                self._mark_loading(version_id, is_loading=False)
                if not awaited:
                    on_loaded()

        async with asyncio.TaskGroup() as tasks:
            for version_id in wanted:
                tasks.create_task(bring_up(version_id))

    async def _image(self, request: DeployRequest, report: Report) -> ImageFacts | None:
        """Return which image the name in a request stands for now: it may be given to another."""
        if request.image is None:
            return None
        check_container(request)
        event = DeployEvent(event="pulling", model=request.model, message=request.image)
        on_pull = functools.partial(report, event)
        return await self._supervisor.describe_image(request.runtime, request.image, on_pull)

    async def _declared_type(self, request: DeployRequest, image: ImageFacts | None) -> str | None:
        """Return the input type that what is deployed says it takes."""
        if request.bundle is not None:
            manifest = await self._bundles.manifest(request.bundle)
            if manifest.kind in WEB_KINDS:
                check_web(request, manifest.kind)
            return manifest.input_type
        if image is None or request.input_type is not None:
            return request.input_type
        return image.input_type

    async def _go_live(self, plan: Plan, request: DeployRequest, report: Report) -> Plan:
        version, variables = plan.version, Variables(sorted(request.env_vars.items()))
        try:
            self._supervisor.give(version, variables)
            await self._supervisor.ensure(version, version.replicas, report=report, fail_fast=True)
            signature = self._supervisor.signature(version.id)
            call_ms = None if request.slo_us is not None else self._supervisor.call_ms(version.id)
            plan = settle(self._registry.state, plan, signature, call_ms)
            plan = as_web(plan, self._supervisor.web(version.id))
            await self._registry.commit_deploy(plan.version, plan.app, request.source, variables)
        finally:
            # Not by the exception: a deployment that is cancelled while it is written is live.
            if version.id in self._registry.state.versions:
                await self._settled()
            else:
                await self._supervisor.stop_version(version.id)
                self._engine.forget(version.id)
        return plan

    async def _retire(self, model: str, before: str | None) -> str | None:
        """Want no replicas any more of versions that are out of use; say which."""
        state, warm = self._registry.state, self._config.warm_versions
        names = to_retire(state, model, before, warm)
        try:
            for name in names:
                await self._registry.set_replicas(model, name, 0)
        except StoreError as error:
            # The new version is live and stays so.
            log.warning("older versions of %s stay up: %s", model, error.message)
            return None
        if not names:
            return None
        await self._settled()
        listed = ", ".join(f"{model}:{name}" for name in names)
        kept = "versions of a model stay up" if warm > 1 else "version of a model stays up"
        log.info("%s stopped: the last %d %s", listed, warm, kept)
        return f"{listed} stopped; servd rollback {model} {names[-1]}    starts it again"

    async def _scale(self, found: ModelVersion, count: int) -> None:
        if count and count >= found.replicas:
            # The same number too: replicas that had failed for good are launched again.
            await self._supervisor.ensure(found, count, fail_fast=True)
            await self._learn(found.id)
        await self._registry.set_replicas(found.model, found.version, count)
        await self._settled()
        if count < found.replicas:
            await self._supervisor.scale(found.id, count)

    async def _learn(self, version_id: VersionId) -> None:
        """Keep what a loaded version says of its inputs, where an older servd has deployed it."""
        found = self._registry.state.versions[version_id]
        told = learnt(found, self._supervisor.signature(version_id))
        if told is not None and told.signature is not None:
            await self._registry.set_signature(version_id, told.signature)
            await self._settled()

    async def _deploy_known(self, plan: Plan) -> DeployEvent:
        app, version = plan.app, plan.version
        if plan.is_current:
            await self._scale(version, plan.replicas or max(1, version.replicas))
        changed = changes_beside(self._registry.state, plan)
        if app is not None:
            state = self._registry.state
            is_linked = plan.version.model in state.links.get(app.name, ())
            if not is_linked or state.applications.get(app.name) != app:
                await self._registry.put_application(app, plan.version.model)
                await self._settled()
        known = f"already deployed as {version.id}: the same files and options"
        message = self._not_current(version.id) or known
        now = replace(plan, version=self._registry.state.versions[version.id])
        return self._last_event("unchanged", now, "; ".join([message, *changed]))

    def _last_event(self, event: str, plan: Plan, message: str | None) -> DeployEvent:
        app = plan.app.name if plan.app else None
        base = base_url(self._config.bind, self._config.query_port)
        signature, web = plan.version.signature, plan.version.web
        return DeployEvent(
            event=event,
            model=plan.version.model,
            version=plan.version.version,
            app=app,
            query_url=f"{base}/{app}/{'' if web else 'predict'}" if app else None,
            slo_ms=None
            if app is None or web
            else self._registry.state.applications[app].slo_us / 1000,
            web=web,
            message=message,
            signature=None if signature is None else signature.as_json(),
        )

    def _not_current(self, version_id: VersionId) -> str | None:
        current = self._registry.state.current.get(version_id.model)
        if current == version_id.version:
            return None
        return f"{version_id} exists and is not current: servd rollback {' '.join(version_id)}"

    async def _switch(self, model: str, version: str) -> None:
        await self._registry.check_writable()
        state = self._registry.state
        found = rules.find_for_pointer(state, model, version)
        rules.check_linked_type(state, found)
        wanted = None
        if found.is_runnable:
            wanted = max(1, found.replicas)
            if self._supervisor.ready_count(found.id) < wanted:
                await self._supervisor.ensure(found, wanted, fail_fast=True)
        await self._registry.set_current(model, version, replicas=wanted)
        await self._settled()

    async def _end(self, version: ModelVersion) -> None:
        await self._supervisor.stop_version(version.id)
        self._engine.forget(version.id)
        await self._throw_away(version.bundle)
        await asyncio.to_thread(remove_logs, self._logs_dir, version.id)

    @property
    def _logs_dir(self) -> Path:
        return self._config.logs_dir / "models"

    async def _throw_away(self, bundle: str | None) -> None:
        """Throw a bundle away that no version uses."""
        if bundle is not None and bundle not in self._registry.bundles:
            await self._bundles.remove(bundle)

    async def _restore_one(self, version_id: VersionId, places: asyncio.Semaphore) -> None:
        async with places, self._lock(version_id.model):
            version = self._registry.state.versions.get(version_id)
            if version is None or not version.is_runnable or not version.replicas:
                return
            try:
                await self._supervisor.ensure(version, version.replicas, fail_fast=False)
                await self._learn(version_id)
            except ServdError as error:
                log.error("%s is not brought up: %s", version_id, error.message)

    def _find_id(self, model: str, version: str | None) -> VersionId:
        self._check_model(model)
        current = version or self._registry.state.current.get(model)
        if current is None:
            raise NotFoundError(f"{model} has no current version", hint="name a version")
        return VersionId(model, current)

    def _check_model(self, model: str) -> None:
        known = rules.model_names(self._registry.state)
        if model not in known:
            raise ModelNotFoundError(model, known)

    def _lock(self, model: str) -> asyncio.Lock:
        return self._locks.setdefault(model, asyncio.Lock())
