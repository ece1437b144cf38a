# ruff: noqa: D102 - the stand-ins have the methods of the parts they stand for
"""An admin server over a real registry, store, bundle store and engine, with no replicas.

The deployer is a stand-in for deploying/deployer.py that changes the registry and launches nothing.
"""

import asyncio
import shutil
from contextlib import asynccontextmanager

import aiohttp
import pytest

from model_runtime.manifest import Manifest
from servd.config import Config
from servd.datatypes import DeployEvent, VersionId
from servd.deploying.bundles import BundleStore
from servd.deploying.plan import plan_deploy, previous_version
from servd.engine.engine import Engine
from servd.http.admin.openapi import PREFIX
from servd.http.admin.server import AdminServer
from servd.registry import rules
from servd.registry.registry import Registry
from servd.registry.store import Store
from servd.system.ports import resolve_ports
from tests.openapi_answers import check

MANIFEST = Manifest(loader="python", file="func.py", kind="function", object="f")


class StandInDeployer:
    """The methods of Deployer over a registry. `gate` holds deployments until it is set."""

    def __init__(self, registry, engine):
        self.registry = registry
        self.engine = engine
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure = None
        self.loading = []

    async def _change(self, change):
        await change
        self.engine.apply(self.registry.state)

    async def register_application(self, app, models=()):
        await self._change(self.registry.add_application(app, models))

    async def remove_application(self, name):
        await self._change(self.registry.remove_application(name))

    async def set_default(self, name):
        await self._change(self.registry.set_default(name))

    async def add_route(self, rule):
        await self._change(self.registry.add_route(rule))

    async def remove_route(self, method, path):
        await self._change(self.registry.remove_route(method, path))

    async def link(self, app, model):
        await self._change(self.registry.add_link(app, model))

    async def unlink(self, app, model):
        await self._change(self.registry.remove_link(app, model))

    async def register_version(self, version):
        await self._change(self.registry.add_version(version))

    async def set_current(self, model, version):
        await self._change(self.registry.set_current(model, version))

    async def rollback(self, model, version):
        version = version or previous_version(self.registry.state, model)
        await self.set_current(model, version)
        return version

    async def scale(self, model, version, count):
        await self._change(self.registry.set_replicas(model, version, count))

    async def remove_version(self, model, version, *, is_forced):
        if not is_forced:
            rules.check_version_unused(self.registry.state, VersionId(model, version))
        await self._change(self.registry.remove_version(model, version))

    async def remove_model(self, model, *, is_forced):
        if not is_forced:
            rules.check_model_unused(self.registry.state, model)
        for version_id in list(self.registry.state.versions):
            if version_id.model == model:
                await self.remove_version(*version_id, is_forced=True)

    async def tidy(self, model):
        pass

    async def deploy(self, request, report):
        plan = plan_deploy(self.registry.state, request, MANIFEST.input_type)
        version = plan.version
        report(DeployEvent(event="starting", model=version.model, version=version.version))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        await self._change(self.registry.commit_deploy(version, plan.app))
        return DeployEvent(event="live", model=version.model, version=version.version)


class StandInSupervisor:
    """Replicas as a list."""

    def __init__(self, config):
        self.rows = []
        self.config = config

    def statuses(self):
        return self.rows

    def doing(self):
        return {}

    def log_path(self, version_id: VersionId, replica):
        name = f"{version_id.version}.{replica}.log"
        return self.config.logs_dir / "models" / version_id.model / name


class Parts:
    """A running server and a client of it; `call` sends a request and returns (status, answer)."""

    def __init__(self, server, client, base):
        self.server = server
        self.client = client
        self.base = base
        self.deployer = server.deployer
        self.registry = server.registry
        self.supervisor = server.supervisor
        self.config = server.config

    async def call(self, method, path, body=None, **more):
        """Send a body (bytes as they are, all else as JSON); JSON answers come decoded."""
        if body is not None:
            more["data" if isinstance(body, bytes) else "json"] = body
        async with self.client.request(method, self.base + path, **more) as answer:
            if path.startswith(PREFIX):
                content = await answer.read()
                check(method, path, answer.status, answer.content_type, content)
            if path.startswith("/api") and answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    async def clipper(self, call, **body):
        """Call Clipper's API; return (status, text)."""
        return await self.call("POST", f"/admin/{call}", body)


@asynccontextmanager
async def running(folder, *, shutdown=lambda _drain: None, is_ready=lambda: True, **settings):
    """Yield the parts of an admin server on free ports."""
    folder.mkdir(exist_ok=True)
    config = resolve_ports(Config(data_dir=folder, query_port=0, admin_port=0, **settings))
    async with Store(config.database) as store, Engine(1024 * 1024) as engine:
        registry = Registry(store)
        await registry.load()
        server = AdminServer(
            StandInDeployer(registry, engine),
            registry,
            StandInSupervisor(config),
            engine,
            BundleStore(config.bundles_dir),
            config,
            shutdown,
            is_ready,
        )
        base = f"http://127.0.0.1:{config.admin_port}"
        try:
            async with server, aiohttp.ClientSession() as client:
                yield Parts(server, client, base)
        finally:
            # With a long test path it is not below the test's folder.
            shutil.rmtree(config.run_dir, ignore_errors=True)


def scenario(folder, steps, **settings):
    """Run `steps(parts)` against a server."""

    async def whole():
        async with asyncio.timeout(20), running(folder, **settings) as parts:
            return await steps(parts)

    return asyncio.run(whole())


@pytest.fixture(name="scenario")
def _scenario():
    """Return the function that runs steps against a server."""
    return scenario
