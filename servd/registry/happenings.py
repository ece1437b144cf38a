"""What has changed between two states: of the registry, of the replicas. Pure functions.

Used by http/admin/api_events.py.
"""

from collections.abc import Iterable, Iterator

import msgspec

from servd.datatypes import RegistryState, ReplicaState, ReplicaStatus, VersionId


class Happening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that has happened. `event` says what, the others of which; `at_s` is Unix time.

    `listening` is the first: from here on nothing is missed. `app_added`, `app_changed`,
    `app_removed`, `linked` and `unlinked` have the `app`; `version_added`, `version_changed` and
    `version_removed` the `model` and its `version`; `current` says which version of a model
    answers now (none: ""), and which did in `before`; `default_app` names the application that was
    chosen for paths without a name; `replica` is in another `state` than `before` ("gone" and ""
    stand for none), with the `message` of its last error.
    """

    event: str
    at_s: float = 0.0
    app: str = ""
    model: str = ""
    version: str = ""
    replica: int | None = None
    state: str = ""
    before: str = ""
    pid: int | None = None
    message: str = ""


GONE = "gone"


def of_registry(before: RegistryState, now: RegistryState) -> Iterator[Happening]:
    """Give what a change of the registry was."""
    yield from _of_versions(before, now)
    for app in sorted(before.applications.keys() - now.applications.keys()):
        yield Happening(event="app_removed", app=app)
    for name, made in now.applications.items():
        if name not in before.applications:
            yield Happening(event="app_added", app=name)
        elif made != before.applications[name]:
            yield Happening(event="app_changed", app=name)
    yield from _of_links(before, now)
    if now.default_app != before.default_app:
        yield Happening(
            event="default_app", app=now.default_app or "", before=before.default_app or ""
        )


def _of_versions(before: RegistryState, now: RegistryState) -> Iterator[Happening]:
    for key in sorted(before.versions.keys() - now.versions.keys()):
        yield _of_version("version_removed", key)
    for key, version in now.versions.items():
        if key not in before.versions:
            yield _of_version("version_added", key)
        elif version != before.versions[key]:
            yield _of_version("version_changed", key)
    for model in sorted(before.current.keys() | now.current.keys()):
        was, is_now = before.current.get(model, ""), now.current.get(model, "")
        if was != is_now:
            yield Happening(event="current", model=model, version=is_now, before=was)


def _of_version(event: str, key: VersionId) -> Happening:
    return Happening(event=event, model=key.model, version=key.version)


def _of_links(before: RegistryState, now: RegistryState) -> Iterator[Happening]:
    for app in sorted(before.links.keys() | now.links.keys()):
        was, is_now = before.links.get(app, ()), now.links.get(app, ())
        for model in (each for each in was if each not in is_now):
            yield Happening(event="unlinked", app=app, model=model)
        for model in (each for each in is_now if each not in was):
            yield Happening(event="linked", app=app, model=model)


Replicas = dict[tuple[str, str, int], ReplicaStatus]


def replicas_of(statuses: Iterable[ReplicaStatus]) -> Replicas:
    """Return replicas by model, version and number."""
    return {(each.model, each.version, each.replica): each for each in statuses}


def of_replicas(before: Replicas, now: Replicas) -> Iterator[Happening]:
    """Give which replicas have come, gone, or are in another state or another process."""
    for key, gone in before.items():
        if key not in now:
            yield _of_replica(gone, GONE, gone.state)
    for key, status in now.items():
        known = before.get(key)
        if known is None:
            yield _of_replica(status, status.state, "")
        elif (known.state, known.restarts) != (status.state, status.restarts):
            yield _of_replica(status, status.state, known.state)


def _of_replica(status: ReplicaStatus, state: "ReplicaState | str", before: str) -> Happening:
    return Happening(
        event="replica",
        model=status.model,
        version=status.version,
        replica=status.replica,
        state=str(state),
        before=str(before),
        pid=status.pid,
        message=status.last_error or "",
    )
