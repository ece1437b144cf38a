"""The deployer over a real registry and store, with replicas that tests steer."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from servd.bundles import BundleStore
from servd.config import Config
from servd.datatypes import DeployRequest, VersionId
from servd.deploy import Deployer
from servd.errors import (
    BundleError,
    ConflictError,
    InvalidValueError,
    LinkError,
    LoadFailedError,
    ModelNotFoundError,
    TypeMismatchError,
    VersionExistsError,
)
from servd.registry import Registry
from servd.store import Store
from tests.replicas import GOOD, Stage, make_bundle, until, version_of


async def _chunks(tar):
    yield tar


@asynccontextmanager
async def a_daemon(tmp_path, *script):
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
        deployer = Deployer(registry, supervisor, stage, bundles, config)
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


def play(tmp_path, story, *script):
    """Run a story against a daemon whose replicas follow the script."""

    async def run():
        async with a_daemon(tmp_path, *script) as d:
            await story(d)

    asyncio.run(run())


def test_a_deploy_counts_versions_and_switches_when_ready(tmp_path):
    """Each deploy makes the next version current; the old one's replicas stay up."""

    async def story(d):
        first = await d.deploy(d.one, app="a")
        assert (first.event, first.version) == ("live", "1")
        assert first.query_url == "http://127.0.0.1:1337/a/predict"
        assert d.registry.state.applications["a"].slo_us == 100_000
        second = await d.deploy(d.two, app="a")
        assert (second.version, d.registry.state.current["m"]) == ("2", "2")
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1

    play(tmp_path, story)


def test_a_failed_load_changes_nothing(tmp_path):
    """After a failed load the registry is as before and no replica is left."""

    async def story(d):
        before = d.registry.state
        with pytest.raises(LoadFailedError, match="boom"):
            await d.deploy(d.one, app="a")
        assert d.registry.state is before
        assert d.supervisor.statuses() == []
        assert ("forget", "m:1") in d.stage.log

    play(tmp_path, story, ("failed",))


def test_a_cancelled_deploy_leaves_nothing(tmp_path):
    """A deployment that is cancelled while its model loads ends its replicas."""

    async def story(d):
        task = asyncio.create_task(d.deploy(d.one))
        await until(lambda: d.stage.connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert d.supervisor.statuses() == []
        assert d.stage.handles[0].poll() is not None
        assert d.registry.state.versions == {}

    play(tmp_path, story, ("loading",))


def test_a_version_with_other_content_is_refused_and_the_same_is_unchanged(tmp_path):
    """Deploying a version again works only where nothing differs, and may add an application."""

    async def story(d):
        await d.deploy(d.one, version="v")
        launches = len(d.stage.handles)
        with pytest.raises(VersionExistsError) as caught:
            await d.deploy(d.two, version="v")
        assert "files differ" in caught.value.hint
        last = await d.deploy(d.one, version="v", app="a")
        assert last.event == "unchanged"
        assert d.registry.state.links == {"a": ("m",)}
        assert len(d.stage.handles) == launches

    play(tmp_path, story)


def test_what_the_rules_refuse_is_refused_before_anything_is_launched(tmp_path):
    """Wrong numbers, types and links cost no launch."""

    async def story(d):
        await d.deploy(d.one, app="a")
        launches = len(d.stage.handles)
        other = DeployRequest(model="other", bundle=d.one, app="a")
        with pytest.raises(LinkError):
            await d.deployer.deploy(other, lambda _event: None)
        with pytest.raises(TypeMismatchError):
            await d.deploy(d.two, input_type="strings")
        for wrong in ({"replicas": 0}, {"batch_wait_us": -1}, {"max_batch": 0}):
            with pytest.raises(InvalidValueError):
                await d.deploy(d.two, **wrong)
        with pytest.raises(InvalidValueError):
            await d.deploy(d.two, app="b", slo_us=0)
        with pytest.raises(BundleError, match="not uploaded"):
            await d.deploy("0" * 32)
        assert len(d.stage.handles) == launches

    play(tmp_path, story)


def test_rollback_goes_to_the_version_before_and_brings_it_up(tmp_path):
    """A version that was scaled to nothing is ready before queries go to it."""

    async def story(d):
        await d.deploy(d.one)
        with pytest.raises(ConflictError, match="no version before"):
            await d.deployer.rollback("m", None)
        await d.deploy(d.two)
        await d.deployer.scale("m", "1", 0)
        assert d.supervisor.ready_count(VersionId("m", "1")) == 0
        assert await d.deployer.rollback("m", None) == "1"
        assert d.registry.state.current["m"] == "1"
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1
        assert d.registry.state.versions[VersionId("m", "1")].replicas == 1

    play(tmp_path, story)


def test_scale_up_that_fails_keeps_the_old_number(tmp_path):
    """A new replica that cannot load changes neither the wish nor the running ones."""

    async def story(d):
        await d.deploy(d.one)
        with pytest.raises(LoadFailedError):
            await d.deployer.scale("m", None, 2)
        assert d.registry.state.versions[VersionId("m", "1")].replicas == 1
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1

    play(tmp_path, story, GOOD, ("failed",))


def test_a_registered_version_has_no_replicas(tmp_path):
    """A containerless model is current at once and cannot be scaled."""

    async def story(d):
        await d.deployer.register_version(version_of(bundle=None, replicas=0))
        with pytest.raises(ConflictError, match="containerless model"):
            await d.deployer.scale("m", None, 2)
        await d.deployer.set_current("m", "1")
        with pytest.raises(ModelNotFoundError):
            await d.deployer.scale("nobody", None, 2)

    play(tmp_path, story)


def test_removal_unroutes_first_and_drops_the_files_when_unused(tmp_path):
    """A removed version's replicas end after the route has gone; shared files stay."""

    async def story(d):
        for _ in range(2):
            await d.deploy(d.one, app="a")
        await d.deployer.remove_version("m", "1", is_forced=False)
        assert d.bundles.has(d.one)
        assert d.stage.handles[0].poll() == 0
        with pytest.raises(ConflictError, match="m:2 is the current version and answers a") as e:
            await d.deployer.remove_version("m", "2", is_forced=False)
        assert e.value.hint == "--force removes it"
        with pytest.raises(ConflictError, match="m answers a"):
            await d.deployer.remove_model("m", is_forced=False)
        await d.deployer.remove_model("m", is_forced=True)
        assert not d.bundles.has(d.one)
        assert d.registry.state.links == {"a": ()}
        assert d.supervisor.statuses() == []

    play(tmp_path, story)


def test_restore_brings_up_what_the_registry_wants(tmp_path):
    """After a start the desired replicas of every version come up; a broken one stops none."""

    async def story(d):
        for number, bundle in (("1", d.one), ("2", d.two), ("3", None)):
            await d.registry.add_version(version_of(number, bundle=bundle))
        await d.deployer.restore()
        assert sorted(s.version for s in d.supervisor.statuses()) == ["1", "2"]
        assert (
            d.supervisor.ready_count(VersionId("m", "2"))
            + d.supervisor.ready_count(VersionId("m", "1"))
            == 1
        )

    play(tmp_path, story, GOOD, ("loading", "failed"))
