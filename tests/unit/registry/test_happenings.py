"""What a change of the registry, or of the replicas, is told as."""

from msgspec.structs import replace

from servd.datatypes import (
    Application,
    InputType,
    ModelVersion,
    RegistryState,
    ReplicaState,
    ReplicaStatus,
    VersionId,
)
from servd.registry.happenings import of_registry, of_replicas, replicas_of

APP = Application(name="a", input_type=InputType.DOUBLES, slo_us=1000)
ONE = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES)
TWO = replace(ONE, version="2")
EMPTY = RegistryState()
FULL = RegistryState(
    applications={"a": APP},
    versions={VersionId("m", "1"): ONE},
    current={"m": "1"},
    links={"a": ("m",)},
)


def told(before, now):
    """Return what is told, as short texts."""
    return [
        " ".join(filter(None, [each.event, each.app, each.model, each.version, each.before]))
        for each in of_registry(before, now)
    ]


def test_what_comes_and_goes_is_told():
    """Versions, applications, links, and which version answers."""
    assert told(EMPTY, FULL) == ["version_added m 1", "current m 1", "app_added a", "linked a m"]
    assert told(FULL, EMPTY) == [
        "version_removed m 1",
        "current m 1",
        "app_removed a",
        "unlinked a m",
    ]
    assert told(FULL, FULL) == []


def test_what_changes_is_told():
    """An objective, a number of replicas, a new version that answers, a default application."""
    slower = replace(FULL, applications={"a": replace(APP, slo_us=5)})
    assert told(FULL, slower) == ["app_changed a"]
    scaled = replace(FULL, versions={VersionId("m", "1"): replace(ONE, replicas=3)})
    assert told(FULL, scaled) == ["version_changed m 1"]
    newer = replace(FULL, versions={**FULL.versions, VersionId("m", "2"): TWO}, current={"m": "2"})
    assert told(FULL, newer) == ["version_added m 2", "current m 2 1"]
    assert told(FULL, replace(FULL, default_app="a")) == ["default_app a"]


def status(state, number=0, restarts=0):
    """Return the row of a replica."""
    return ReplicaStatus(
        application="a",
        model="m",
        version="1",
        replica=number,
        state=state,
        pid=7,
        restarts=restarts,
    )


def test_replicas_are_told_by_their_states():
    """One that came, one in another state, one that was started anew, one that is gone."""
    starting = replicas_of([status(ReplicaState.STARTING)])
    ready = replicas_of([status(ReplicaState.READY)])
    anew = replicas_of([status(ReplicaState.READY, restarts=1), status(ReplicaState.STARTING, 1)])

    def states(before, now):
        return [(each.replica, each.before, each.state) for each in of_replicas(before, now)]

    assert states({}, starting) == [(0, "", "starting")]
    assert states(starting, ready) == [(0, "starting", "ready")]
    assert states(ready, ready) == []
    assert states(ready, anew) == [(0, "ready", "ready"), (1, "", "starting")]
    assert states(anew, ready)[0] == (1, "starting", "gone")
