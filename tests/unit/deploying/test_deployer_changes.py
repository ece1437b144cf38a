"""What every change of what exists has in common: it is checked, shown to all, and told."""

import logging

import pytest

from servd.datatypes import Application, DeployRequest, InputType, VersionId
from servd.errors import InvalidValueError, StoreError, TypeMismatchError
from servd.logs import audit
from servd.replicas.launchers.base import ImageFacts
from tests.deploying import play
from tests.replicas import version_of

APP = Application(name="a", input_type=InputType.DOUBLES, slo_us=1000)


def test_a_change_is_over_when_whoever_answers_queries_has_applied_it(tmp_path):
    """Whatever the change: the next query of who made it is answered by it."""
    settled = []

    async def settle():
        settled.append(1)

    async def story(d):
        async def settles(change):
            before = len(settled)
            await change
            assert len(settled) > before

        deployer = d.deployer
        await settles(deployer.register_application(APP))
        await settles(d.deploy(d.one))
        await settles(deployer.link("a", "m"))
        await settles(deployer.register_version(version_of("2", bundle=None, replicas=0)))
        await settles(deployer.set_current("m", "1"))
        await settles(deployer.scale("m", None, 2))
        await settles(deployer.rollback("m", "2"))
        await settles(deployer.unlink("a", "m"))
        await settles(deployer.remove_version("m", "1", is_forced=False))
        await settles(deployer.remove_model("m", is_forced=True))
        await settles(deployer.remove_application("a"))

    play(tmp_path, story, settled=settle)


def test_a_change_is_shown_to_who_tells_of_replicas_and_in_the_log(tmp_path, caplog):
    """Rows name the application that a model answers, and lines what it was linked to."""

    async def story(d):
        audit.actor.set("uid 7")
        await d.deploy(d.one)
        assert [row.application for row in d.supervisor.statuses()] == [None]
        await d.deployer.register_application(APP, ["m"])
        assert [row.application for row in d.supervisor.statuses()] == ["a"]
        await d.deployer.remove_application("a")
        await d.deployer.register_application(APP)

    with caplog.at_level(logging.INFO, "servd"):
        play(tmp_path, story)
    lines = [r.getMessage() for r in caplog.records if "create" in r.getMessage()]
    assert lines == [
        "create the application a on m, asked by uid 7",
        "create the application a, asked by uid 7",
    ]


def test_a_start_says_whether_there_is_anything_to_bring_up(tmp_path):
    """Only a current version that wants replicas, of which queries are told meanwhile."""

    async def story(d):
        assert d.deployer.await_loads() is False
        await d.deploy(d.one)
        assert d.deployer.await_loads() is True
        assert d.deployer.loading == ["m:1"]
        assert d.stage.loading == {d.deployer}

    play(tmp_path, story)


def test_an_image_is_described_before_it_is_deployed(tmp_path):
    """What its name stands for now becomes the version's, with the input type that it says."""

    async def story(d):
        pulled = []

        async def describe(image, on_pull):
            on_pull()
            return ImageFacts(input_type="strings", digest=f"{image}@sha256:1")

        d.stage.describe_image = describe
        d.supervisor._launchers["docker"] = d.stage
        request = DeployRequest(model="m", image="iris", runtime="docker")
        live = await d.deployer.deploy(request, pulled.append)
        version = d.registry.state.versions[VersionId("m", "1")]
        assert (live.event, version.input_type) == ("live", InputType.STRINGS)
        assert (pulled[0].event, pulled[0].message) == ("pulling", "iris")
        again = await d.deployer.deploy(request, pulled.append)
        assert again.event == "unchanged"
        with pytest.raises(InvalidValueError, match="is not the name of an image"):
            await d.deploy(None, image="a b", runtime="docker")

    play(tmp_path, story)


def test_a_version_is_live_also_where_older_ones_cannot_be_ended(tmp_path, monkeypatch, caplog):
    """That nothing more can be written down is said, and the new version answers."""

    async def story(d):
        for bundle in (d.one, d.two):
            await d.deploy(bundle)

        async def refuse(*_given):
            raise StoreError("the disk is full")

        monkeypatch.setattr(d.registry, "set_replicas", refuse)
        third = await d.deploy(d.one)
        assert (third.event, third.version, third.message) == ("live", "3", None)
        assert d.registry.state.current["m"] == "3"
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1

    play(tmp_path, story)
    assert "older versions of m stay up: the disk is full" in caplog.text


def test_a_version_of_another_type_than_its_application_is_not_even_started(tmp_path):
    """Queries would be refused: nothing is launched for it, and what is current stays so."""

    async def story(d):
        await d.deploy(d.one, input_type="integers")
        await d.deploy(d.two)
        await d.deployer.scale("m", "1", 0)
        await d.deployer.register_application(APP, ["m"])
        launched = len(d.stage.handles)
        with pytest.raises(TypeMismatchError, match="already linked to app 'a'"):
            await d.deployer.rollback("m", "1")
        assert len(d.stage.handles) == launched
        assert d.registry.state.current["m"] == "2"

    play(tmp_path, story)


def test_scaling_down_launches_nothing(tmp_path):
    """Where replicas have failed for good, too: fewer are wanted, not other ones."""

    async def story(d):
        await d.deploy(d.one, replicas=2)
        handles = d.stage.handles
        ensured = []
        real = d.supervisor.ensure

        async def ensure(*given, **more):
            ensured.append(given)
            await real(*given, **more)

        d.supervisor.ensure = ensure
        await d.deployer.scale("m", None, 1)
        assert not ensured
        assert [handle.calls for handle in handles] == [[], ["terminate", "cleanup"]]
        await d.deployer.scale("m", None, 1)
        assert len(ensured) == 1  # what has failed is tried again
        await d.deployer.scale("m", None, 0)
        assert len(ensured) == 1

    play(tmp_path, story)
