"""Makes an engine follow a published registry and the replicas that its names lead to.

The heart of `servd frontend` (cluster_frontend.py). In the place of the daemon's snapshots
(feed.py) it makes its own, from the file (published.py) and the name service (discovery.py).
"""

import logging
from collections.abc import Collection, Mapping
from functools import partial

from model_runtime.attention import Attention
from servd.datatypes import ModelVersion, RegistryState, VersionId
from servd.engine.engine import Engine
from servd.frontends.discovery import Discovery, Resolve
from servd.frontends.feed import ReplicaSeat, Snapshot
from servd.frontends.follower import Follower
from servd.frontends.handover import hold_back
from servd.frontends.remote import TICK_S, Keys, RemoteLink, open_remote_link, suspect_silent
from servd.registry.published import Published, VersionAddress
from servd.registry.snapshot import pack_state

logger = logging.getLogger(__name__)


class Cluster:
    """An engine's view of a cluster. `discovery.run` and `tick`, every `TICK_S`, drive it."""

    def __init__(self, engine: Engine, keys: Keys, resolve: Resolve) -> None:
        self.engine = engine
        self.discovery = Discovery(self._apply, resolve)
        self._links: dict[str, RemoteLink] = {}
        self._follower = Follower(engine, 0, partial(self._open, keys=keys))
        self._wanted = RegistryState()
        self._state = RegistryState()
        self._endpoints: dict[VersionId, VersionAddress] = {}
        self._retired: dict[VersionId, ModelVersion] = {}
        self._leaving: dict[str, VersionId] = {}
        self._seen: set[VersionId] = set()
        self._stand_ins: dict[str, str] = {}
        self._number = 0
        self._attention = Attention(engine.clock, TICK_S)

    def publish(self, published: Published) -> None:
        """Follow another registry from now on; queries that wait stay with their version."""
        self._wanted = published.state()
        kept = (self._state.versions.keys() | self._retired.keys()) - self._wanted.versions.keys()
        old = {key: self._endpoints[key] for key in kept & self._endpoints.keys()}
        self._endpoints = old | published.by_version()
        self._apply()

    @property
    def is_settled(self) -> bool:
        """Whether every application that has replicas to be found can answer."""
        return self.discovery.is_complete and all(
            map(self._is_settled, currents(self._wanted) & self._endpoints.keys())
        )

    def _is_settled(self, version: VersionId) -> bool:
        """Whether a version can answer; of one without replicas whether another of its model can.

        So a front end whose current version has no pod yet begins with another one.
        """
        found = self.discovery.found
        there = {key for key, endpoint in self._endpoints.items() if found.get(endpoint.host)}
        others = {key for key in there if key.model == version.model}
        awaited = {version} if version in there else others
        return not (awaited and awaited.isdisjoint(self._live()))

    def missing(self) -> list[str]:
        """Return in words what keeps applications from being answered, sorted.

        One that another version of its model answers meanwhile is not among them.
        """
        live, wanted = self._live(), self._wanted
        found = []
        for version in sorted(currents(wanted)):
            now = VersionId(version.model, self._state.current.get(version.model, ""))
            is_wanted = version in self._endpoints and wanted.versions[version].replicas
            if is_wanted and live.isdisjoint({version, now}):
                others = self.engine.dispatchers[version].misfits
                why = f" ({others} with the files of another model)" if others else ""
                found.append(f"{version} has no replica that is ready{why}")
        return found

    def tick(self) -> None:
        """Look after the replicas, and go on with what waits for some of them."""
        now_s = self.engine.clock()
        # A cluster's limits on processor time make a process stand still.
        self._follower.excuse(self._attention.missed_s())
        suspect_silent(self._links.values(), now_s)
        self._follower.tick()
        self._seen |= self._live()
        drained = self._follower.drained()
        for address in drained:
            del self._leaving[address], self._links[address]
        if drained or self._retired or self._next_state() != self._state:
            self._apply()

    def close(self) -> None:
        """Disconnect from every replica."""
        self._follower.close()

    def _open(self, engine: Engine, seat: ReplicaSeat, *, keys: Keys) -> RemoteLink:
        link = self._links[seat.address] = open_remote_link(engine, seat, keys)
        return link

    def _live(self) -> set[VersionId]:
        return {key for key, one in self.engine.dispatchers.items() if one.slots}

    def _apply(self) -> None:
        """Show the follower what there is now."""
        before = self._state
        self._state = self._next_state()
        self._seen &= self._state.versions.keys()
        self._tell_stand_ins()
        self._let_go()
        for version_id in before.versions.keys() - self._state.versions.keys():
            self._retired[version_id] = before.versions[version_id]
        seats = self._seats()
        self._number += 1
        registry = pack_state(self._state)
        prepared = list(self._retired.values())
        self._follower.apply(Snapshot(self._number, registry, prepared, seats))
        for gone in self._links.keys() - {seat.address for seat in seats}:
            del self._links[gone]
        waited_for = {key for key in currents(self._wanted) if self._wanted.versions[key].replicas}
        self.discovery.watch(self._hosts(self._followed()), self._hosts(waited_for - self._live()))

    def _next_state(self) -> RegistryState:
        """Return what is to be in force by what is live now."""
        return hold_back(self._wanted, self._state, self._live(), self._seen)

    def _tell_stand_ins(self) -> None:
        """Log which versions answer in the place of others, when that changes."""
        wanted, current = self._wanted.current, self._state.current
        now = {model: current[model] for model in wanted if current.get(model) != wanted[model]}
        for model in now.keys() - self._stand_ins.keys():
            logger.warning(
                "%s:%s has no replica that is ready: %s:%s answers until it has",
                *(model, wanted[model], model, now[model]),
            )
        for model in self._stand_ins.keys() - now.keys() & wanted.keys():
            logger.info("%s:%s answers from now on", model, wanted[model])
        self._stand_ins = now

    def _followed(self) -> Collection[VersionId]:
        """Return the versions whose replicas are wanted."""
        dispatchers = self.engine.dispatchers
        waited_for = {key for key in self._retired if dispatchers[key].queued}
        return (self._state.versions.keys() | waited_for) & self._endpoints.keys()

    def _hosts(self, versions: Collection[VersionId]) -> set[str]:
        return {self._endpoints[key].host for key in versions if key in self._endpoints}

    def _let_go(self) -> None:
        """Forget versions that were registered once, have answered everything and lost all links.

        Each was shown to the follower as retired before, so that it drops what it has of them.
        """
        linked = {link.routes.id for link in self._links.values()}
        for version_id in [*self._retired]:
            is_done = version_id not in linked and not self.engine.dispatchers[version_id].queued
            if is_done or version_id in self._state.versions:
                del self._retired[version_id]

    def _seats(self) -> list[ReplicaSeat]:
        """Return the replicas to be connected to, and those that have left and are drained."""
        found = addresses(self._followed(), self._endpoints, self.discovery.found)
        for address, link in self._links.items():
            if found.get(address) != link.routes.id:
                self._leaving.setdefault(address, link.routes.id)
        # An address that comes back while it drains waits until that is over.
        owners = found | self._leaving
        return [
            ReplicaSeat(
                model=owner.model,
                version=owner.version,
                address=address,
                is_draining=address in self._leaving,
            )
            for address, owner in sorted(owners.items())
        ]


def addresses(
    versions: Collection[VersionId],
    endpoints: Mapping[VersionId, VersionAddress],
    found: Mapping[str, frozenset[str]],
) -> dict[str, VersionId]:
    """Return the address of each replica that was found, with the version it should be."""
    owners: dict[str, VersionId] = {}
    for version in sorted(versions):
        endpoint = endpoints[version]
        for host in found.get(endpoint.host, ()):
            place = f"[{host}]" if ":" in host else host
            owners[f"{endpoint.scheme}://{place}:{endpoint.port}"] = version
    return owners


def currents(state: RegistryState) -> set[VersionId]:
    """Return the versions that answer applications by default."""
    models = {model for linked in state.links.values() for model in linked[:1]}
    return {VersionId(model, state.current[model]) for model in models if model in state.current}
