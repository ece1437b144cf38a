"""What answers until a newly published version can: pure functions. Used by cluster.py.

A registry and a new version's pods are applied at the same time, and the pods need longer. The
daemon does not need this: it registers a version when its replicas are ready. A front end that
starts meanwhile knows nothing of before; it takes another version of the model that can answer.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from servd.datatypes import ModelVersion, RegistryState, VersionId


def hold_back(
    wanted: RegistryState,
    before: RegistryState,
    live: Collection[VersionId],
    seen: Collection[VersionId] = (),
) -> RegistryState:
    """Return the wanted state, with what answers now in the place of what cannot answer yet.

    Args:
        wanted: the registry that was published.
        before: what this function returned last; empty at first.
        live: the versions that have a replica in rotation.
        seen: those that have had one; when such a version loses all its replicas, no other answers
            in its place, as nobody has asked for that.
    """
    draft = _Draft(wanted, before, live, seen)
    for model in wanted.current:
        draft.hold_version(model)
    for name in wanted.links:
        draft.hold_link(name)
    return RegistryState(
        wanted.applications,
        draft.versions,
        draft.current,
        draft.links,
        default_app=wanted.default_app,
    )


@dataclass(slots=True)
class _Draft:
    """A registry's state on its way from `wanted` to what `hold_back` returns."""

    wanted: RegistryState
    before: RegistryState
    live: Collection[VersionId]
    seen: Collection[VersionId]
    versions: dict[VersionId, ModelVersion] = field(init=False)
    current: dict[str, str] = field(init=False)
    links: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = dict(self.wanted.versions)
        self.current = dict(self.wanted.current)
        self.links = dict(self.wanted.links)

    def is_live(self, model: str) -> bool:
        """Whether the version that is current by the draft has a replica."""
        return VersionId(model, self.current.get(model, "")) in self.live

    def hold_version(self, model: str) -> None:
        """Leave a model at its version of before, if only that is live and it takes the same."""
        if self.is_live(model):
            return
        old = self.before.versions.get(VersionId(model, self.before.current.get(model, "")))
        new = self.versions.get(VersionId(model, self.current.get(model, "")))
        if (old is None or old.id not in self.live) and new is not None:
            old = self.stand_in(new)
        if old is None or old.id not in self.live:
            return
        if new is None or new.input_type is old.input_type:
            self.current[model] = old.version
            self.versions.setdefault(old.id, old)

    def stand_in(self, new: ModelVersion) -> ModelVersion | None:
        """Return the version that answers for one that has not been able to yet, if any can.

        The newest of those before it; else the oldest of those after it, as after a rollback.
        """
        if new.id in self.seen:
            return None
        fitting = [
            version
            for version in self.wanted.versions.values()
            if version.model == new.model
            and version.id in self.live
            and version.input_type is new.input_type
        ]
        age = (new.created_s, new.version)
        fitting.sort(key=lambda version: (version.created_s, version.version))
        older = [version for version in fitting if (version.created_s, version.version) < age]
        return older[-1] if older else next(iter(fitting), None)

    def hold_link(self, name: str) -> None:
        """Leave an application at its model of before, if only that is live."""
        new, old = self.links[name], self.before.links.get(name, ())
        if not new or not old or new[0] == old[0] or self.is_live(new[0]):
            return
        takes = self.wanted.applications[name].input_type
        if takes is not self.before.applications[name].input_type:
            return
        if old[0] not in self.current:
            self.hold_version(old[0])
        if self.is_live(old[0]):
            self.links[name] = old
