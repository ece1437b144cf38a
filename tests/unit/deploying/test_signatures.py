"""What a loaded version says of its inputs: it goes with the version, and may decide the type."""

import pytest

from servd.datatypes import InputType, VersionId
from servd.errors import InvalidValueError, TypeMismatchError
from tests.deploying import play

ROWS = {"input_type": "rows", "fields": {"age": {"type": "integer"}}, "required": ["age"]}
STRINGS = {"input_type": "strings", "value": {"type": "string"}}


def test_what_a_replica_says_of_its_inputs_is_kept(tmp_path):
    """Type and signature are its own where the deployment left the type to it, also on the disk."""

    async def story(d):
        d.stage.said = {"signature": ROWS}
        await d.deploy(d.one, app="a", input_type="auto")
        await d.registry.load()
        version = d.registry.state.versions[VersionId("m", "1")]
        assert version.input_type is d.registry.state.applications["a"].input_type is InputType.ROWS
        assert version.signature.as_json() == ROWS

    play(tmp_path, story)


@pytest.mark.parametrize("said", ["again", "restored", "scaled"])
def test_what_an_older_servd_has_deployed_gets_its_signature(tmp_path, said):
    """As soon as a replica says it: deployed again unchanged, restarted, or with more replicas."""

    async def story(d):
        await d.deploy(d.one, app="a", input_type="strings")
        m1 = VersionId("m", "1")
        assert d.registry.state.versions[m1].signature is None
        await d.supervisor.scale(m1, 0)
        d.stage.said = {"signature": STRINGS}
        if said == "again":
            last = await d.deploy(d.one, app="a", input_type="strings")
            assert (last.event, last.signature) == ("unchanged", STRINGS)
        elif said == "restored":
            await d.deployer.restore(lambda: None)
        else:
            await d.deployer.scale("m", None, 2)
        await d.registry.load()
        assert d.registry.state.versions[m1].signature.as_json() == STRINGS

    play(tmp_path, story)


def test_a_signature_of_another_type_is_not_taken_for_an_older_version(tmp_path):
    """Its application's callers send what it has taken until now."""

    async def story(d):
        await d.deploy(d.one, app="a", input_type="strings")
        await d.supervisor.scale(VersionId("m", "1"), 0)
        d.stage.said = {"signature": ROWS}
        await d.deploy(d.one, app="a", input_type="strings")
        assert d.registry.state.versions[VersionId("m", "1")].signature is None

    play(tmp_path, story)


def test_a_version_may_not_take_something_else_than_its_application(tmp_path):
    """That shows when it has loaded; nothing is changed then, and nothing is left."""

    async def story(d):
        d.stage.said = {"signature": ROWS}
        await d.deploy(d.one, app="a", input_type="auto")
        before = d.registry.state
        d.stage.said = {"signature": STRINGS}
        with pytest.raises(TypeMismatchError, match="'rows'"):
            await d.deploy(d.two, input_type="auto")
        assert d.registry.state is before
        assert d.supervisor.ready_count(VersionId("m", "2")) == 0

    play(tmp_path, story)


def test_a_type_that_nobody_says_is_asked_for(tmp_path):
    """A replica of an image that somebody made need not know signatures."""

    async def story(d):
        with pytest.raises(InvalidValueError, match="does not say what its inputs are"):
            await d.deploy(d.one, input_type="auto")
        assert d.registry.state.versions == {}

    play(tmp_path, story)


def test_the_same_again_is_the_same(tmp_path):
    """A type that is left to the model does not make a deployment another one."""

    async def story(d):
        d.stage.said = {"signature": ROWS}
        await d.deploy(d.one, app="a", input_type="auto")
        assert (await d.deploy(d.one, app="a", input_type="auto")).event == "unchanged"
        assert (await d.deploy(d.one, app="a", input_type="auto", is_cached=False)).event == "live"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("call_ms", "slo_us", "expected_us"),
    [(33.0, None, 100_000), (34.0, None, 200_000), (900.0, None, 5_000_000), (900.0, 7, 7)],
)
def test_a_new_application_gets_an_objective_that_the_model_can_meet(
    tmp_path, call_ms, slo_us, expected_us
):
    """Three calls fit into it, unless the deployer says another one."""

    async def story(d):
        d.stage.said = {"test": {"state": "ok", "call_ms": call_ms}}
        last = await d.deploy(d.one, app="a", slo_us=slo_us)
        assert d.registry.state.applications["a"].slo_us == expected_us
        is_chosen = slo_us is None and expected_us != 100_000
        assert ("--slo sets another" in (last.message or "")) is is_chosen
        again = await d.deploy(d.two, app="a")
        assert d.registry.state.applications["a"].slo_us == expected_us
        assert "--slo" not in (again.message or "")

    play(tmp_path, story)


@pytest.mark.parametrize(("example", "is_kept"), [({"age": 3}, True), ({"age": "3"}, False)])
def test_an_example_that_queries_could_not_have_is_not_told(tmp_path, example, is_kept):
    """What the model has answered is told only where a query for it would reach the model."""

    async def story(d):
        d.stage.said = {"signature": ROWS | {"has_example": True, "example": example}}
        last = await d.deploy(d.one, app="a", input_type="auto")
        assert last.signature.get("example") == (example if is_kept else None)
        version = d.registry.state.versions[VersionId("m", "1")]
        assert version.signature.has_example is is_kept

    play(tmp_path, story)
