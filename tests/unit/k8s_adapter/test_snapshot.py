"""Snapshots of a registry: what is read, what is chosen, what is left out."""

from typing import Any

import msgspec
import pytest

from k8s_adapter.errors import UnknownApplicationError
from k8s_adapter.snapshot import Snapshot, read_snapshot, select, warnings_of
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.registry.snapshot import Registered, pack_state


def read(registry: dict[str, Any], **images: str) -> Snapshot:
    """Return a registry's snapshot."""
    return read_snapshot(registry, servd_version="0.1.0", frontend_image="f:1", images=images)


def test_a_daemons_state_is_read():
    """What the daemon tells its frontends is what a snapshot is made of."""
    version = ModelVersion(
        model="sum", version="2", input_type=InputType.DOUBLES, max_batch=8, replicas=3, bundle="b"
    )
    state = RegistryState(
        applications={"app": Application(name="app", input_type=InputType.DOUBLES, slo_us=1000)},
        versions={VersionId("sum", "2"): version},
        current={"sum": "2"},
        links={"app": ("sum",)},
        default_app="app",
    )
    found = read_snapshot(
        msgspec.to_builtins(pack_state(state)),
        servd_version="0.1.0",
        frontend_image="f:1",
        images={"sum:2": "sum:2"},
    )
    assert found.applications[0].models == ("sum",)
    (only,) = found.deployable
    assert (only.key, only.max_batch, only.replicas, only.is_current) == ("sum:2", 8, 3, True)
    assert msgspec.convert(found.registry, Registered) == pack_state(state)


def test_the_default_application_is_exported_where_it_is_among_those_chosen(registry):
    """Paths without a name answer for it on the cluster too; never for one that is not there."""
    names = [app["name"] for app in registry["applications"]]
    found = read({**registry, "default_app": names[0]})
    assert found.registry["default_app"] == names[0]
    assert select(found, [names[0]]).registry["default_app"] == names[0]
    assert "default_app" not in select(found, [names[1]]).registry


def test_routes_are_exported_with_their_applications(registry):
    """In one order, whenever each was added; none to what is left out: it would lead nowhere."""
    names = [app["name"] for app in registry["applications"]]
    rules = [
        {"method": "POST", "path": path, "app": app}
        for path, app in (("/z", names[0]), ("/b", names[1]), ("/a", names[0]))
    ]
    found = read({**registry, "routes": rules})
    assert [rule["path"] for rule in found.registry["routes"]] == ["/a", "/b", "/z"]
    kept = select(found, [names[0]]).registry["routes"]
    assert [rule["path"] for rule in kept] == ["/a", "/z"]
    assert "routes" not in select(found, [names[2]]).registry
    assert "routes" not in read(registry).registry


def test_an_own_image_is_kept(snapshot: Snapshot):
    """A version that was deployed by an image's name is exported with that image."""
    version = snapshot.find_version("prebuilt", "9")
    assert version is not None
    assert version.image == "registry.example:5000/theirs/floats:9"
    assert snapshot.find_version("prebuilt", "10") is None


def test_a_version_that_was_only_registered_is_left_out(registry: dict[str, Any]):
    """A version with neither files nor an image is told of and not deployed."""
    found = read(registry, **{"feature_sum:1": "a:1", "feature_sum:2": "a:2", "images:1": "i:1"})
    assert "Tags:2026.11 is left out: it was only registered" in "\n".join(warnings_of(found))
    assert "Tags:2026.11" not in {version.key for version in found.deployable}


def test_what_is_not_the_same_on_a_cluster_is_told():
    """GPUs without a number, and a current version without replicas, are told of."""
    raw = {"model": "m", "version": "1", "input_type": "any", "gpus": "all", "replicas": 0}
    found = read({"versions": [raw], "current": {"m": "1"}}, **{"m:1": "m:1"})
    gpus, replicas = warnings_of(found)
    assert "one GPU" in gpus
    assert "scaled to 0" in replicas


def test_applications_can_be_chosen(snapshot: Snapshot):
    """An export of one application has the models that it is linked to and no others."""
    found = select(snapshot, ["feature_sum"])
    assert {version.model for version in found.versions} == {"feature_sum"}
    assert [app["name"] for app in found.registry["applications"]] == ["feature_sum"]
    assert found.registry["current"] == {"feature_sum": "2"}
    assert {raw["model"] for raw in found.registry["versions"]} == {"feature_sum"}
    assert found.registry["links"] == {"feature_sum": ["feature_sum"]}


def test_without_a_choice_everything_is_exported(snapshot: Snapshot):
    """No names mean all applications, and the models that no application is linked to."""
    assert select(snapshot, []) is snapshot


@pytest.mark.parametrize(
    ("name", "hint"), [("feature_sun", "did you mean feature_sum?"), ("x", "anything, clicks")]
)
def test_an_unknown_application_is_told_with_the_known(name: str, hint: str, snapshot: Snapshot):
    """A name that no application has is refused with the one that was meant, or with all."""
    with pytest.raises(UnknownApplicationError) as caught:
        select(snapshot, [name])
    assert hint in caught.value.hint
