"""Makes an engine follow a published registry and the replicas that its names lead to.

The heart of `servd frontend` (cluster_frontend.py). In the place of the daemon's snapshots
(feed.py) it makes its own, from the file (published.py) and the name service (discovery.py).
"""

from collections.abc import Collection, Mapping
from functools import partial

from model_runtime.attention import Attention
from servd import feed
from servd.curve import CurveKeys
from servd.datatypes import ModelVersion, RegistryState, VersionId
from servd.discovery import Discovery, Resolve, resolve
from servd.engine import Engine
from servd.feed import ReplicaSeat, Snapshot
from servd.follower import Follower
from servd.handover import hold_back
from servd.published import Endpoint, Published
from servd.remote import TICK_S, RemoteLink, open_remote_link, suspect_silent


class Cluster:
    """An engine's view of a cluster. `discovery.run` and `tick`, every `TICK_S`, drive it."""

    def __init__(
        self, engine: Engine, curve: CurveKeys | None = None, resolve: Resolve = resolve
    ) -> None:
        self.engine = engine
        self.discovery = Discovery(self._apply, resolve)
        self._links: dict[str, RemoteLink] = {}
        self._follower = Follower(engine, 0, partial(self._open, curve=curve))
        self._wanted = RegistryState()
        self._state = RegistryState()
        self._endpoints: dict[VersionId, Endpoint] = {}
        self._retired: dict[VersionId, ModelVersion] = {}
        self._leaving: dict[str, VersionId] = {}
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
        live = self._live()
        found = self.discovery.found
        return self.discovery.is_complete and all(
            version in live or not found.get(self._endpoints[version].host)
            for version in currents(self._state)
            if version in self._endpoints
        )

    @property
    def is_provided(self) -> bool:
        """Whether every application whose version is to have replicas can answer."""
        live = self._live()
        wanted = self._wanted
        return all(
            version in live or not wanted.versions[version].replicas
            for version in currents(wanted)
            if version in self._endpoints
        )

    def tick(self) -> None:
        """Look after the replicas, and go on with what waits for some of them."""
        now_s = self.engine.clock()
        # A cluster's limits on processor time make a process stand still.
        self._follower.excuse(self._attention.missed_s())
        suspect_silent(self._links.values(), now_s)
        self._follower.tick()
        drained = self._follower.drained()
        for address in drained:
            del self._leaving[address], self._links[address]
        if drained or self._retired or self._state != self._wanted:
            self._apply()

    def close(self) -> None:
        """Disconnect from every replica."""
        self._follower.close()

    def _open(self, engine: Engine, seat: ReplicaSeat, *, curve: CurveKeys | None) -> RemoteLink:
        link = self._links[seat.address] = open_remote_link(engine, seat, curve)
        return link

    def _live(self) -> set[VersionId]:
        return {key for key, one in self.engine.dispatchers.items() if one.is_live}

    def _apply(self) -> None:
        """Show the follower what there is now."""
        before = self._state
        self._state = hold_back(self._wanted, before, self._live())
        self._let_go()
        for version_id in before.versions.keys() - self._state.versions.keys():
            self._retired[version_id] = before.versions[version_id]
        seats = self._seats()
        self._number += 1
        registry = feed.pack_state(self._state)
        prepared = list(self._retired.values())
        self._follower.apply(Snapshot(self._number, registry, prepared, seats))
        for gone in self._links.keys() - {seat.address for seat in seats}:
            del self._links[gone]
        self.discovery.watch({self._endpoints[key].host for key in self._followed()})

    def _followed(self) -> Collection[VersionId]:
        """Return the versions whose replicas are wanted."""
        dispatchers = self.engine.dispatchers
        waited_for = {key for key in self._retired if dispatchers[key].queued}
        return (self._state.versions.keys() | waited_for) & self._endpoints.keys()

    def _let_go(self) -> None:
        """Forget versions that were registered once, have answered everything and lost all links.

        Each was shown to the follower as retired before, so that it drops what it has of them.
        """
        linked = {link.dispatcher.id for link in self._links.values()}
        for version_id in [*self._retired]:
            is_done = version_id not in linked and not self.engine.dispatchers[version_id].queued
            if is_done or version_id in self._state.versions:
                del self._retired[version_id]

    def _seats(self) -> list[ReplicaSeat]:
        """Return the replicas to be connected to, and those that have left and are drained."""
        found = addresses(self._followed(), self._endpoints, self.discovery.found)
        for address, link in self._links.items():
            if found.get(address) != link.dispatcher.id:
                self._leaving.setdefault(address, link.dispatcher.id)
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
    endpoints: Mapping[VersionId, Endpoint],
    found: Mapping[str, frozenset[str]],
) -> dict[str, VersionId]:
    """Return the ZeroMQ address of each replica that was found, with the version it should be."""
    owners: dict[str, VersionId] = {}
    for version in sorted(versions):
        endpoint = endpoints[version]
        for host in found.get(endpoint.host, ()):
            place = f"[{host}]" if ":" in host else host
            owners[f"tcp://{place}:{endpoint.port}"] = version
    return owners


def currents(state: RegistryState) -> set[VersionId]:
    """Return the versions that answer applications by default."""
    models = {model for linked in state.links.values() for model in linked[:1]}
    return {VersionId(model, state.current[model]) for model in models if model in state.current}
