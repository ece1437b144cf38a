"""A deployer over a real registry and store, with replicas that tests steer."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from servd.config import Config
from servd.datatypes import DeployRequest
from servd.deploying.bundles import BundleStore
from servd.deploying.deployer import Deployer, at_once
from servd.registry.registry import Registry
from servd.registry.store import Store
from tests.replicas import Stage, make_bundle


async def _chunks(tar):
    yield tar


@asynccontextmanager
async def a_daemon(tmp_path, *script, settled=at_once):
    """Yield a deployer with its parts and two uploaded bundles."""
    config = Config(data_dir=tmp_path)
    stage = Stage(*script)
    bundles = BundleStore(config.bundles_dir)
    digests = []
    for name in ("one", "two"):
        digest, tar = make_bundle(tmp_path / name, f"def f(x): return {name!r}")
        assert await bundles.add(digest, _chunks(tar))
        digests.append(digest)
    async with Store(tmp_path / "db") as store, stage.supervisor(config) as supervisor:
        registry = Registry(store)
        await registry.load()
        deployer = Deployer(registry, supervisor, stage, bundles, config, settled=settled)
        yield SimpleNamespace(
            deployer=deployer,
            registry=registry,
            supervisor=supervisor,
            stage=stage,
            bundles=bundles,
            one=digests[0],
            two=digests[1],
            deploy=lambda bundle, **more: deployer.deploy(
                DeployRequest(model="m", bundle=bundle, **more), lambda _event: None
            ),
        )


def play(tmp_path, story, *script, settled=at_once):
    """Run a story against a daemon whose replicas follow the script."""

    async def run():
        async with a_daemon(tmp_path, *script, settled=settled) as d:
            await story(d)

    asyncio.run(run())
