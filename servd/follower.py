"""Makes an engine follow snapshots of what there is, and reports what it has counted.

The heart of a front-end process (frontend.py), whoever sends the snapshots. Silence of a replica is
noticed here, its end and its draining are told by the snapshots.
"""

from collections.abc import Mapping
from pathlib import Path

from servd.counts import Count, Meter
from servd.curve import keys_for
from servd.datatypes import VersionId
from servd.engine import Engine
from servd.feed import Gauges, ReplicaSeat, Report, Snapshot, unpack_state
from servd.link import Link
from servd.metrics import Counters
from servd.rpc import ReplicaConnection
from servd.totals import Totals


class Follower:
    """An engine with connections to every replica in rotation; `totals` are of all frontends.

    `curve_dir` holds the keys for replicas that are reached over tcp.
    """

    def __init__(self, engine: Engine, number: int, curve_dir: Path | None = None) -> None:
        self.engine = engine
        self.totals = Totals(engine.clock)
        self._number = number
        self._curve_dir = curve_dir
        self._links: dict[str, Link] = {}
        self._known: set[VersionId] = set()
        self._undrained: set[str] = set()
        self._meters: dict[str, dict[str, Meter]] = {"a": {}, "v": {}, "r": {}}
        self._evictions = 0

    def apply(self, snapshot: Snapshot) -> None:
        """Route by a snapshot: new replicas first, then the routes, then what has gone."""
        engine = self.engine
        state = unpack_state(snapshot.registry)
        for version in (*snapshot.prepared, *snapshot.registry.versions):
            engine.prepare(version)
        seats = {seat.address: seat for seat in snapshot.replicas}
        for address in seats.keys() - self._links.keys():
            self._open(seats[address])
        engine.apply(state)
        prepared = {version.id for version in snapshot.prepared}
        for gone in self._known - prepared - state.versions.keys():
            engine.forget(gone)
        self._known = prepared
        for seat in seats.values():
            if seat.is_draining:
                self._drain(seat.address)
        for address in self._links.keys() - seats.keys():
            self._links.pop(address).close()
        self._undrained &= seats.keys()
        self.totals.apply(state, prepared, snapshot.replicas)

    def tick(self) -> None:
        """Look after the replicas; called twice a second."""
        now_s = self.engine.clock()
        for link in self._links.values():
            link.tick(now_s)

    @property
    def is_draining(self) -> bool:
        """Whether `drained` has to be asked again."""
        return bool(self._undrained)

    def drained(self) -> list[str]:
        """Return the replicas that were to be drained and have nothing in flight any more, once."""
        links = self._links
        done = [a for a in self._undrained if a not in links or not links[a].connection.in_flight]
        self._undrained.difference_update(done)
        return done

    def report(self) -> Report:
        """Return what was counted since the last report."""
        engine = self.engine
        links = self._links
        evictions, self._evictions = (
            engine.cache.evictions - self._evictions,
            engine.cache.evictions,
        )
        replicas = {address: link.connection.counters for address, link in links.items()}
        versions = {str(key): one.counters for key, one in engine.dispatchers.items()}
        oldest = {a: next(iter(link.connection.in_flight), None) for a, link in links.items()}
        return Report(
            frontend=self._number,
            applications=self._growth("a", {k: r.counters for k, r in engine.by_name.items()}),
            versions=self._growth("v", versions),
            replicas=self._growth("r", replicas),
            oldest={address: batch for address, batch in oldest.items() if batch is not None},
            evictions=evictions,
            gauges=self._gauges(),
        )

    def close(self) -> None:
        """Disconnect from every replica."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _open(self, seat: ReplicaSeat) -> None:
        if seat.is_draining:
            return
        link = Link(self.engine.dispatcher(seat.version_id))
        engine = self.engine
        keys = keys_for(seat.address, self._curve_dir) if self._curve_dir else None
        connection = ReplicaConnection(seat.address, link, engine.context, engine.clock, curve=keys)
        self._links[seat.address] = link
        link.open(connection, seat.row_items)

    def _drain(self, address: str) -> None:
        link = self._links.get(address)
        if link is None or not link.is_draining:
            self._undrained.add(address)
        if link is not None:
            link.drain()

    def _growth(self, kind: str, counters: Mapping[str, Counters]) -> dict[str, Count]:
        before, now = self._meters[kind], {}
        grown = {}
        for key, each in counters.items():
            meter = before.get(key)
            if meter is None or meter.counters is not each:  # one of that name is new
                meter = Meter(each)
            now[key] = meter
            count = meter.take()
            if count is not None:
                grown[key] = count
        self._meters[kind] = now
        return grown

    def _gauges(self) -> Gauges:
        dispatchers = self.engine.dispatchers
        return Gauges(
            queued={str(key): one.queued for key, one in dispatchers.items() if one.queued},
            limits={str(key): one.limits() for key, one in dispatchers.items() if one.slots},
            cache_bytes=self.engine.cache.used_bytes,
            cache_limit_bytes=self.engine.cache.limit_bytes,
        )
