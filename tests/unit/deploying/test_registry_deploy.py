"""Deployments as one change of the registry."""

import asyncio

import pytest

from servd.datatypes import InputType
from servd.errors import (
    InvalidNameError,
    InvalidValueError,
    LinkError,
    TypeMismatchError,
    VersionExistsError,
)
from servd.registry.registry import Registry
from servd.registry.store import Store
from tests.registered import app, version


@pytest.fixture
def run(tmp_path):
    """Run a scenario over a registry and return the state that a fresh one then reads."""

    def runner(scenario):
        async def whole():
            async with Store(tmp_path / "r.db") as opened:
                registry = Registry(opened)
                await scenario(registry)
            async with Store(tmp_path / "r.db") as opened:
                return await opened.load()

        return asyncio.run(whole())

    return runner


def test_a_deployment_is_one_change(run):
    """A deployment adds the version, makes the application and links it; again it only updates."""

    async def scenario(registry):
        seen = []
        await registry.commit_deploy(version("1"), app())
        seen.append(registry.state)
        await registry.commit_deploy(version("2"), app(slo_us=7))
        await registry.commit_deploy(version("1", model="other"), None)
        assert seen[0].links == registry.state.links == {"a": ("m",)}

    state = run(scenario)
    assert state.current == {"m": "2", "other": "1"}
    assert state.applications["a"].slo_us == 7


@pytest.mark.parametrize(
    ("wanted", "application", "kind"),
    [
        (version("1", model="m+"), app("b"), InvalidNameError),
        (version("1+"), app("b"), InvalidNameError),
        (version("2"), app("b+"), InvalidNameError),
        (version("2"), app("api"), InvalidNameError),
        (version("2"), app("b", slo_us=0), InvalidValueError),
        (version("2"), app("b", input_type=InputType.ANY), TypeMismatchError),
        (version("1", model="other"), app(), LinkError),
        (version("1"), None, VersionExistsError),
    ],
)
def test_a_refused_deployment_changes_nothing(run, wanted, application, kind):
    """Where any rule refuses a part of a deployment, the state stays the same object."""

    async def scenario(registry):
        await registry.commit_deploy(version("1"), app())
        before = registry.state
        with pytest.raises(kind) as refused:
            await registry.commit_deploy(wanted, application)
        assert type(refused.value) is kind
        assert registry.state is before

    run(scenario)


def test_what_clipper_named_can_be_deployed_to(run):
    """A model and an application with names of the looser rule take servd's deployments."""

    async def scenario(registry):
        await registry.add_application(app("a+"))
        await registry.add_version(version(model="m+"))
        await registry.commit_deploy(version("2", model="m+"), app("a+"))

    assert run(scenario).links == {"a+": ("m+",)}
