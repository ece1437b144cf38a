"""The deployer over a real registry and store, with replicas that tests steer."""

import asyncio
import logging

import pytest

from servd.datatypes import DeployRequest, VersionId
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
from servd.logs import audit
from tests.deploying import play
from tests.replicas import GOOD, until, version_of


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


def test_a_failed_deployment_leaves_the_whole_registry(tmp_path):
    """Beside what runs: versions, pointers, links and applications, in memory and on the disk."""

    async def story(d):
        await d.deploy(d.one, app="a")
        before = d.registry.state
        with pytest.raises(LoadFailedError, match="boom"):
            await d.deploy(d.two, app="a", default_output="other", slo_us=5)
        assert d.registry.state == before
        assert [entry for entry in d.stage.log if entry[0] == "apply"][-1] == ("apply", {"m": "1"})
        await d.registry.load()
        assert d.registry.state == before
        assert not d.bundles.path(d.two).exists()
        assert d.bundles.path(d.one).exists()

    play(tmp_path, story, GOOD, ("failed",))


def test_a_failed_load_changes_nothing(tmp_path):
    """After a failed load the registry is as before and no replica is left."""

    async def story(d):
        before = d.registry.state
        with pytest.raises(LoadFailedError, match="boom"):
            await d.deploy(d.one, app="a")
        assert d.registry.state is before
        assert d.supervisor.statuses() == []
        assert ("forget", "m:1") in d.stage.log
        await d.registry.load()
        assert d.registry.state == before

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
        before = d.registry.state
        launches = len(d.stage.handles)
        other = DeployRequest(model="other", bundle=d.one, app="a")
        with pytest.raises(LinkError, match="is already linked to 'a'"):
            await d.deployer.deploy(other, lambda _event: None)
        with pytest.raises(TypeMismatchError, match="'strings'"):
            await d.deploy(d.two, input_type="strings")
        for wrong, words in (
            ({"replicas": 0}, "number of replicas must be 1 to 256"),
            ({"batch_wait_us": -1}, "wait for a batch must not be below 0"),
            ({"max_batch": 0}, "batch size must be positive"),
        ):
            with pytest.raises(InvalidValueError, match=words):
                await d.deploy(d.two, **wrong)
        with pytest.raises(InvalidValueError, match="is not a latency objective"):
            await d.deploy(d.two, app="b", slo_us=0)
        with pytest.raises(BundleError, match="not uploaded"):
            await d.deploy("0" * 32)
        assert len(d.stage.handles) == launches
        assert d.registry.state is before
        await d.registry.load()
        assert d.registry.state == before

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
        with pytest.raises(LoadFailedError, match="boom"):
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
        with pytest.raises(ModelNotFoundError, match="nobody"):
            await d.deployer.scale("nobody", None, 2)

    play(tmp_path, story)


def test_removal_unroutes_first_and_drops_the_files_when_unused(tmp_path):
    """A removed version's replicas end after the route has gone; shared files stay."""

    async def story(d):
        for number in ("1", "2"):
            await d.deploy(d.one, app="a", version=number)
        await d.deployer.remove_version("m", "1", is_forced=False)
        assert d.bundles.has(d.one)
        assert d.stage.handles[0].poll() == 0
        with pytest.raises(ConflictError, match="m:2 is the current version and answers a") as e:
            await d.deployer.remove_version("m", "2", is_forced=False)
        assert e.value.hint == "--force removes it"
        with pytest.raises(ConflictError, match="m answers a"):
            await d.deployer.remove_model("m", is_forced=False)
        await d.deployer.remove_model("m", is_forced=True)
        assert not d.bundles.path(d.one).exists()
        assert d.bundles.has(d.one)  # it comes back when it is asked for
        assert d.registry.state.links == {}
        assert d.supervisor.statuses() == []

    play(tmp_path, story)


def test_restore_brings_up_what_the_registry_wants(tmp_path):
    """After a start the desired replicas of every version come up; a broken one stops none."""

    async def story(d):
        for number, bundle in (("1", d.one), ("2", d.two), ("3", None)):
            await d.registry.add_version(version_of(number, bundle=bundle))
        assert d.deployer.to_load() == set()  # what is current was only registered
        await d.deployer.restore(lambda: None)
        assert sorted(s.version for s in d.supervisor.statuses()) == ["1", "2"]
        assert (
            d.supervisor.ready_count(VersionId("m", "2"))
            + d.supervisor.ready_count(VersionId("m", "1"))
            == 1
        )

    play(tmp_path, story, GOOD, ("loading", "failed"))


def test_a_start_is_over_when_the_current_versions_have_loaded_or_failed(tmp_path):
    """Which is told once, whatever older versions do."""

    async def story(d):
        for model, number in (("m", "1"), ("m", "2"), ("n", "1"), ("o", "1")):
            await d.registry.add_version(version_of(number, model=model, bundle=d.one))
        assert d.deployer.to_load() == {("m", "2"), ("n", "1"), ("o", "1")}
        told = []
        restoring = asyncio.create_task(d.deployer.restore(lambda: told.append(True)))
        # The current ones come first; m:1 waits for its turn behind m:2.
        await until(lambda: len(d.stage.connections) == 3)
        d.stage.owners[0].on_replica_state("ready", {})
        d.stage.owners[2].on_replica_state("ready", {})
        await until(lambda: d.supervisor.ready_count(VersionId("o", "1")))
        assert told == []
        await until(lambda: d.deployer.loading == ["n:1"])
        d.stage.handles[1].end(3)
        await until(lambda: told)
        assert d.deployer.loading == []
        await until(lambda: len(d.stage.connections) >= 4)
        assert not restoring.done()
        d.stage.owners[3].on_replica_state("ready", {})
        await restoring
        assert told == [True]

    play(tmp_path, story, ("loading",))


def test_the_same_content_again_is_no_new_version(tmp_path):
    """Nothing is launched; what belongs to the application, and the replicas, are applied."""

    async def story(d):
        await d.deploy(d.one, app="a")
        again = await d.deploy(d.one, app="a", slo_us=7)
        assert (again.event, again.version) == ("unchanged", "1")
        assert "already deployed as m:1" in again.message
        assert len(d.stage.handles) == 1
        assert d.registry.state.applications["a"].slo_us == 7
        await d.deploy(d.one, replicas=2)
        assert d.supervisor.ready_count(VersionId("m", "1")) == 2
        assert (await d.deploy(d.one)).version == "1"
        assert d.registry.state.versions[VersionId("m", "1")].replicas == 2
        other = await d.deploy(d.one, max_batch=4)
        assert (other.event, other.version) == ("live", "2")

    play(tmp_path, story)


def test_the_same_content_again_says_what_it_changes_all_the_same(tmp_path):
    """An objective, a default output, a number of replicas, a link; else nothing."""

    async def story(d):
        await d.deploy(d.one, app="a")
        known = "already deployed as m:1: the same files and options"
        assert (await d.deploy(d.one, app="a")).message == known
        changed = await d.deploy(d.one, app="a", default_output="-1", slo_us=7000, replicas=2)
        assert changed.message == (
            f"{known}; it has 2 replicas now; "
            "the default output of a is -1 now (there was none); "
            "the objective of a is 7 ms now (was 100 ms)"
        )
        again = await d.deploy(d.one, app="a", default_output="-2")
        assert again.message == f"{known}; the default output of a is -2 now (was -1)"
        assert (await d.deploy(d.one, app="b")).message == f"{known}; the application b is new"
        await d.deployer.unlink("b", "m")
        linked = await d.deploy(d.one, app="b")
        assert linked.message == f"{known}; the application b is answered by it now"

    play(tmp_path, story)


def test_the_same_content_again_brings_up_what_is_down(tmp_path):
    """A current version without replicas answers once it is deployed again."""

    async def story(d):
        await d.deploy(d.one, app="a")
        await d.deployer.scale("m", None, 0)
        assert (await d.deploy(d.one, app="a")).event == "unchanged"
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1

    play(tmp_path, story)


def test_a_file_of_the_same_name_does_not_replace_the_model_of_another(tmp_path):
    """Unless the name was given, or it is the same file; the registry stays as it is."""

    async def story(d):
        implied = {"is_name_given": False, "app": "a"}
        await d.deploy(d.one, source="/A/model.pkl", **implied)
        before = d.registry.state
        with pytest.raises(
            ConflictError, match=r"from /A/model\.pkl, and this is /B/mod"
        ) as refused:
            await d.deploy(d.two, source="/B/model.pkl", **implied)
        assert "--name m the next version" in refused.value.hint
        assert d.registry.state is before
        # The same content is the same model, wherever it lies.
        assert (await d.deploy(d.one, source="/B/model.pkl", **implied)).event == "unchanged"
        assert (await d.deploy(d.two, source="/A/model.pkl", **implied)).version == "2"
        assert (await d.deploy(d.one, source="/B/model.pkl", app="a")).version == "3"
        sources = {v.version: path for v, path in d.registry.state.sources.items()}
        assert sources == {"1": "/A/model.pkl", "2": "/A/model.pkl", "3": "/B/model.pkl"}
        before = d.registry.state
        await d.registry.load()
        assert d.registry.state == before

    play(tmp_path, story)


def test_the_last_two_versions_stay_warm(tmp_path):
    """Older ones end, which is said; a rollback to one starts it first."""

    async def story(d):
        await d.deploy(d.one)
        second = await d.deploy(d.two)
        assert second.message is None
        third = await d.deploy(d.one)
        assert third.message == "m:1 stopped; servd rollback m 1    starts it again"
        await d.deployer.tidy("m")
        ready = {n: d.supervisor.ready_count(VersionId("m", n)) for n in "123"}
        assert ready == {"1": 0, "2": 1, "3": 1}
        await d.deployer.rollback("m", "1")
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1
        # The one that was current before is kept, not the newest.
        await d.deploy(d.two)
        await d.deployer.tidy("m")
        assert {s.version for s in d.supervisor.statuses()} == {"1", "4"}

    play(tmp_path, story)


def test_what_is_wanted_again_before_it_is_tidied_stays(tmp_path):
    """A rollback between a deployment and its tidying up keeps the version's replicas."""

    async def story(d):
        for bundle in (d.one, d.two, d.one):
            await d.deploy(bundle)
        await d.deployer.rollback("m", "1")
        await d.deployer.tidy("m")
        assert d.supervisor.ready_count(VersionId("m", "1")) == 1

    play(tmp_path, story)


def test_each_change_and_each_failure_is_a_line_in_the_log(tmp_path, caplog):
    """With what was changed, by whom, and why it failed."""

    async def story(d):
        audit.actor.set("uid 7")
        await d.deploy(d.one, app="a")
        await d.deployer.scale("m", None, 2)
        with pytest.raises(ConflictError, match="m has no version before 1"):
            await d.deployer.rollback("m", None)
        await d.deployer.unlink("a", "m")
        await d.deployer.link("a", "m")
        await d.deployer.remove_application("a")
        await d.deployer.remove_model("m", is_forced=False)
        with pytest.raises(LoadFailedError, match="boom"):
            await d.deploy(d.two)

    with caplog.at_level(logging.INFO, "servd"):
        play(tmp_path, story, GOOD, GOOD, ("failed",))
    lines = [r.getMessage() for r in caplog.records if "asked by uid 7" in r.getMessage()]
    assert lines == [
        "deploy m:1, asked by uid 7",
        "scale m to 2, asked by uid 7",
        "roll m back, asked by uid 7: failed: m has no version before 1",
        "unlink m from a, asked by uid 7",
        "link m to a, asked by uid 7",
        "remove the application a, asked by uid 7",
        "remove the model m, asked by uid 7",
        "deploy m:1, asked by uid 7: failed: boom",
    ]
    assert {r.levelname for r in caplog.records if "failed" in r.getMessage()} == {"WARNING"}
