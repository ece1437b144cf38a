"""Makes an engine follow snapshots of what there is, and reports what it has counted.

The heart of a front-end process (frontend.py), whoever sends the snapshots. Silence of a replica is
noticed here, its end and its draining are told by the snapshots.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_runtime import protocol
from servd.datatypes import GONE, OTHER, VersionId
from servd.engine.dispatcher import Dispatcher
from servd.engine.engine import Engine
from servd.engine.rpc import connector
from servd.frontends.feed import CountReport, Gauges, ReplicaSeat, Snapshot
from servd.frontends.totals import Totals
from servd.metrics.counters import Counters
from servd.metrics.counts import Count, Meter
from servd.registry.snapshot import unpack_state
from servd.replicas.announced import other_files
from servd.replicas.link import Link


class SeatLink(Link[Dispatcher]):
    """A link to a replica of this machine, of which the daemon has heard that it is ready."""

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take what the replica says of itself: it may be told to end by somebody else.

        At an address on a container's network, another may have come in its place.
        """
        if state == protocol.DRAINING:
            self.drain()
        elif state == protocol.READY and not self.is_draining:
            fault = other_files(self.routes.version, info)
            if fault:
                self.complain(fault)
                self.is_draining = True
                self.detach(OTHER)


def open_link(engine: Engine, seat: ReplicaSeat, curve_dir: Path | None = None) -> SeatLink:
    """Return a link over which queries go at once; `curve_dir` is for replicas on tcp."""
    link = SeatLink(engine.dispatcher(seat.version_id), seat.address)
    connection = connector(engine.context, engine.clock, curve_dir)(seat.address, link)
    connection.spoken = seat.spoken
    connection.http = seat.http
    link.open(connection)
    connection.row_items = seat.row_items
    link.attach()
    return link


class Follower:
    """An engine with connections to every replica in rotation; `totals` are of all frontends.

    `open_link` connects to a replica, and decides when the version's dispatcher may use it.
    """

    def __init__(
        self,
        engine: Engine,
        number: int,
        open_link: Callable[[Engine, ReplicaSeat], Link[Dispatcher]] = open_link,
    ) -> None:
        self.engine = engine
        self.totals = Totals(engine.clock)
        self._number = number
        self._open_link = open_link
        self._links: dict[str, Link[Dispatcher]] = {}
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
        for seat in seats.values():
            self._seat(seat)
        engine.apply(state)
        loading = set(snapshot.loading)
        for version_id, dispatcher in engine.dispatchers.items():
            dispatcher.mark_loading(self, is_loading=str(version_id) in loading)
        prepared = {version.id for version in snapshot.prepared}
        for gone in self._known - prepared - state.versions.keys():
            engine.forget(gone)
        self._known = prepared
        for seat in seats.values():
            if seat.is_draining:
                self._drain(seat.address)
        for address in self._links.keys() - seats.keys():
            self._links.pop(address).close(snapshot.ends.get(address, GONE))
        self._undrained &= seats.keys()
        self.totals.apply(state, prepared, snapshot.replicas)

    def tick(self) -> None:
        """Look after the replicas; called twice a second."""
        now_s = self.engine.clock()
        for link in self._links.values():
            link.tick(now_s)

    def excuse(self, missed_s: float) -> None:
        """Count nothing against replicas of a time in which this process stood still."""
        for link in self._links.values():
            link.excuse(missed_s)

    @property
    def is_draining(self) -> bool:
        """Whether `drained` has to be asked again."""
        return bool(self._undrained)

    def drained(self) -> list[str]:
        """Return the replicas that were to be drained and have nothing in flight any more, once."""
        links = self._links
        done = [
            address
            for address in self._undrained
            if address not in links or not links[address].connection.unanswered()
        ]
        self._undrained.difference_update(done)
        return done

    def report(self) -> CountReport:
        """Return what was counted since the last report."""
        engine = self.engine
        engine.fold()
        links = self._links
        evictions, self._evictions = (
            engine.cache.evictions - self._evictions,
            engine.cache.evictions,
        )
        replicas = {address: link.connection.counters for address, link in links.items()}
        versions = {str(key): one.counters for key, one in engine.dispatchers.items()}
        oldest = {a: next(link.connection.owed(), None) for a, link in links.items()}
        return CountReport(
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

    def _seat(self, seat: ReplicaSeat) -> None:
        """Connect to a replica unless that is done; anew where another had its address."""
        link = self._links.get(seat.address)
        dispatcher = self.engine.dispatchers.get(seat.version_id)
        if link is not None and (
            link.routes is not dispatcher or (link.is_draining and not seat.is_draining)
        ):
            self._links.pop(seat.address).close()
        if seat.address not in self._links and not seat.is_draining:
            self._links[seat.address] = self._open_link(self.engine, seat)

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
