"""The registry over a real store: its rules, and that memory and disk agree."""

import asyncio
import itertools

import msgspec
import pytest

from servd.datatypes import InputType, VersionId
from servd.errors import (
    ApplicationExistsError,
    ApplicationNotFoundError,
    InvalidNameError,
    InvalidValueError,
    LinkError,
    ModelNotFoundError,
    NotFoundError,
    StoreError,
    TypeMismatchError,
    VersionExistsError,
    VersionNotFoundError,
)
from servd.registry.registry import Registry
from servd.registry.rules import input_type_of
from servd.registry.store import Store
from tests.registered import app, version


@pytest.fixture
def run(tmp_path):
    """Run a scenario over a registry, then check that a fresh one reads the same state."""

    def runner(scenario):
        async def whole():
            async with Store(tmp_path / "r.db") as opened:
                registry = Registry(opened)
                await registry.load()
                await scenario(registry)
                state = registry.state
            async with Store(tmp_path / "r.db") as opened:
                again = Registry(opened)
                await again.load()
            stored = {name: links for name, links in state.links.items() if links}
            assert msgspec.structs.replace(state, links=stored) == again.state
            return state

        return asyncio.run(whole())

    return runner


async def refused(kind, change, message):
    """Check that a change is refused with that very message."""
    with pytest.raises(kind) as caught:
        await change
    assert caught.value.message == message


def test_one_application_is_the_default_until_it_goes(run):
    """Only one that exists is chosen, another in its place; where it is removed there is none."""

    async def scenario(registry):
        await registry.add_application(app("a"))
        assert registry.state.root_app == "a"
        await registry.add_application(app("b"))
        assert registry.state.root_app is None
        with pytest.raises(ApplicationNotFoundError, match="'c'"):
            await registry.set_default("c")
        for name in ("a", "b", "b"):
            await registry.set_default(name)
            assert registry.state.root_app == registry.state.default_app == name
        await registry.remove_application("a")
        assert registry.state.default_app == "b"
        await registry.add_application(app("d"))
        await registry.remove_application("b")
        assert registry.state.default_app is None
        assert registry.state.root_app == "d"
        await registry.add_application(app("b"))
        assert registry.state.root_app is None
        await registry.set_default("d")
        await registry.set_default(None)
        assert registry.state.root_app is None
        await registry.set_default("d")

    assert run(scenario).default_app == "d"


def test_applications_are_added_updated_and_removed(run):
    """An application exists once, can be put in its place, and goes with its links."""

    async def scenario(registry):
        await registry.add_application(app())
        await refused(
            ApplicationExistsError,
            registry.add_application(app()),
            "application 'a' already exists",
        )
        await registry.add_version(version())
        await registry.put_application(app(slo_us=5), "m")
        assert registry.state.applications["a"].slo_us == 5
        assert registry.state.links == {"a": ("m",)}
        await registry.remove_application("a")
        assert registry.state.links == {}
        gone = "Application 'a' does not exist"
        await refused(ApplicationNotFoundError, registry.remove_application("a"), gone)
        await registry.add_application(app())

    assert run(scenario).links == {}


def test_an_application_is_made_with_its_links_or_not_at_all(run):
    """Each link has to keep the rules that it would have to keep later."""

    async def scenario(registry):
        await registry.add_version(version())
        await registry.add_version(version(model="s", input_type=InputType.STRINGS))
        for models, kind in (
            (["nobody"], ModelNotFoundError),
            (["s"], TypeMismatchError),
            (["m", "m"], LinkError),
            (["m", "s"], TypeMismatchError),
        ):
            with pytest.raises(kind, match=f"'{models[-1]}'"):
                await registry.add_application(app(), models)
            assert registry.state.applications == {}
        await registry.add_application(app(), ["m"])

    assert run(scenario).links == {"a": ("m",)}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\x00b", "admin"])
def test_names_that_cannot_be_are_refused(run, name):
    """Of applications, and, but for those that only an application cannot have, of versions."""

    async def scenario(registry):
        with pytest.raises(InvalidNameError, match="application name"):
            await registry.add_application(app(name))
        if name != "admin":
            for made in (version(name), version(model=name)):
                with pytest.raises(InvalidNameError, match=r"(model name|version)"):
                    await registry.add_version(made)
        with pytest.raises(InvalidNameError, match="label"):
            await registry.add_version(version(labels=("a,b",)))
        assert registry.state.applications == registry.state.versions == {}

    run(scenario)


def test_a_new_version_is_current(run):
    """Adding a version makes it current, and stamps it."""

    async def scenario(registry):
        await registry.add_version(version("1"))
        await registry.add_version(version("2"))
        await refused(
            VersionExistsError,
            registry.add_version(version("1")),
            "model with name 'm' and version '1' already exists",
        )

    state = run(scenario)
    assert state.current == {"m": "2"}
    assert all(found.created_s > 0 for found in state.versions.values())


@pytest.mark.parametrize("size", [0, -2])
def test_a_batch_size_is_positive_or_adaptive(run, size):
    """0 and negative numbers but -1 are refused."""

    async def scenario(registry):
        with pytest.raises(InvalidValueError, match="DEFAULT_BATCH_SIZE, which is -1"):
            await registry.add_version(version(max_batch=size))

    run(scenario)


def test_any_registered_version_can_become_current(run):
    """The pointer goes back and forth, and not to what does not exist."""

    async def scenario(registry):
        await refused(
            ModelNotFoundError,
            registry.set_current("m", "1"),
            "Cannot set version for nonexistent model 'm'",
        )
        await registry.add_version(version("1"))
        await registry.add_version(version("2"))
        await registry.set_current("m", "1")
        await refused(
            VersionNotFoundError,
            registry.set_current("m", "9"),
            "Cannot set non-existent version '9' for model with name 'm'",
        )

    assert run(scenario).current == {"m": "1"}


def test_a_removed_current_version_leaves_no_current_one(run):
    """The pointer falls to none, the link stays, and the next version is current again."""

    async def scenario(registry):
        await registry.add_application(app())
        await registry.add_version(version("1"))
        await registry.add_version(version("2"))
        await registry.add_link("a", "m")
        await registry.remove_version("m", "2")
        assert registry.state.current == {}
        assert registry.state.links == {"a": ("m",)}
        assert input_type_of(registry.state, "m") is InputType.DOUBLES
        await refused(
            VersionNotFoundError,
            registry.remove_version("m", "2"),
            "model with name 'm' and version '2' does not exist",
        )
        await registry.add_version(version("3"))

    assert run(scenario).current == {"m": "3"}


def test_a_link_needs_both_ends_of_one_type_and_is_the_only_one(run):
    """The link rules apply in Clipper's order and words."""

    async def scenario(registry):
        link = registry.add_link
        await refused(ApplicationNotFoundError, link("a", "m"), "No app with name 'a' exists.")
        await registry.add_application(app())
        await refused(ModelNotFoundError, link("a", "m"), "No model with name 'm' exists.")
        await registry.add_version(version(input_type=InputType.STRINGS))
        await refused(
            TypeMismatchError,
            link("a", "m"),
            "Model with name 'm' has incompatible input_type 'strings'. "
            "Requested app to link to has input_type 'doubles'.",
        )
        await registry.add_version(version(model="m0"))
        await registry.add_version(version(model="m1"))
        await link("a", "m0")
        await refused(
            LinkError, link("a", "m0"), "The model with name 'm0' is already linked to 'a'"
        )
        await refused(LinkError, link("a", "m1"), "A model with name m0 is already linked to 'a'")

    assert run(scenario).links == {"a": ("m0",)}


def test_links_are_removed(run):
    """Only a link that exists can be removed."""

    async def scenario(registry):
        unlink = registry.remove_link
        await refused(ApplicationNotFoundError, unlink("a", "m"), "No app with name a exists.")
        await registry.add_application(app())
        await refused(
            NotFoundError,
            unlink("a", "m"),
            "Cannot remove nonexistent link between app a and model m",
        )
        await registry.add_version(version())
        await registry.add_link("a", "m")
        await unlink("a", "m")
        await registry.add_link("a", "m")

    assert run(scenario).links == {"a": ("m",)}


def test_a_model_that_is_removed_takes_its_links_along_and_no_others(run):
    """They do not come back with another model of its name."""

    async def scenario(registry):
        for model in ("m", "n"):
            await registry.add_version(version(model=model))
        for name, model in (("a", "m"), ("b", "n"), ("c", "m")):
            await registry.add_application(app(name), [model])
        await registry.remove_model("m")
        await registry.add_version(version())

    assert run(scenario).links == {"b": ("n",)}


def test_a_linked_model_keeps_its_type(run):
    """Neither a new version, a rollback nor a changed application may break a link's type."""

    async def scenario(registry):
        await registry.add_version(version("1", input_type=InputType.STRINGS))
        await registry.add_version(version("2"))
        await registry.add_application(app())
        await registry.add_link("a", "m")
        message = (
            "Model with name 'm' is already linked to app 'a' using input type 'doubles'. The "
            "input type you provided for a new version of the model, 'strings', is not compatible."
        )
        await refused(TypeMismatchError, registry.set_current("m", "1"), message)
        new = version("3", input_type=InputType.STRINGS)
        await refused(TypeMismatchError, registry.add_version(new), message)
        with pytest.raises(TypeMismatchError, match="bytes"):
            await registry.put_application(app(input_type=InputType.BYTES), "m")

    assert run(scenario).current == {"m": "2"}


def test_desired_replicas_are_kept(run):
    """The wanted number of replicas of a version is stored; below 0 is refused."""

    async def scenario(registry):
        await registry.add_version(version())
        await registry.set_replicas("m", "1", 0)
        assert registry.state.versions[VersionId("m", "1")].replicas == 0
        await registry.set_replicas("m", "1", 4)
        with pytest.raises(InvalidValueError, match="-1 is not a number of replicas"):
            await registry.set_replicas("m", "1", -1)
        with pytest.raises(VersionNotFoundError, match="version '2' does not exist"):
            await registry.set_replicas("m", "2", 1)

    assert run(scenario).versions[VersionId("m", "1")].replicas == 4


def test_a_failed_write_leaves_memory_as_it_was(tmp_path):
    """When the disk refuses a change, the state is the one from before."""

    async def scenario():
        async with Store(tmp_path / "r.db") as opened:
            registry = Registry(opened)
            await opened._run(lambda: opened._connection.execute("PRAGMA query_only=1"))
            before = registry.state
            with pytest.raises(StoreError, match="readonly database"):
                await registry.add_application(app())
            assert registry.state is before

    asyncio.run(scenario())


def test_a_cancelled_change_is_whole(run):
    """Who stops waiting for a change stops nothing: it is on the disk and in memory."""

    async def scenario(registry):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(registry.add_application(app()))
            await asyncio.sleep(0)
            task.cancel()
        assert task.cancelled()
        assert "a" in registry.state.applications

    run(scenario)


def test_changes_made_at_once_all_count(run):
    """Concurrent mutators run one after another and lose nothing."""

    async def scenario(registry):
        await asyncio.gather(*(registry.add_application(app(f"a{n}")) for n in range(50)))
        await asyncio.gather(*(registry.remove_application(f"a{n}") for n in range(25)))

    assert len(run(scenario).applications) == 25


def test_subscribers_hear_of_each_change_in_order(run, caplog):
    """Once, after it is kept, also of what was cancelled; not of what was refused."""
    heard = []

    def confused(_before, _after):
        raise LookupError("what is that?")

    async def scenario(registry):
        registry.subscribe(confused)
        registry.subscribe(lambda before, after: heard.append((before, after)))
        states = [registry.state]
        for number in range(3):
            await registry.add_application(app(f"a{number}"))
            states.append(registry.state)
        with pytest.raises(ApplicationExistsError, match="a1"):
            await registry.add_application(app("a1"))
        task = asyncio.create_task(registry.remove_application("a0"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        states.append(registry.state)
        assert heard == list(itertools.pairwise(states))

    run(scenario)
    assert "a change of the registry was not taken note of: LookupError" in caplog.text
