"""The sum of what several frontends have counted, in the shape that metrics are made of.

The daemon keeps one (hub.py), and so does each frontend (follower.py), as the daemon passes
every report on: whichever answers `GET /metrics`, answers for all.
"""

from collections.abc import Iterable

from servd.clock import Clock
from servd.datatypes import RegistryState, VersionId
from servd.frontends.feed import CountReport, Gauges, ReplicaSeat
from servd.metrics.counters import Counters
from servd.metrics.counts import add, whole
from servd.registry.snapshot import version_id

EVERYBODY = -1
"""The number in a report that holds the history of all frontends."""


class ApplicationTotals:
    """Of one application."""

    def __init__(self) -> None:
        self.counters = Counters()


class VersionTotals:
    """Of one version; `gauges` are the frontends' last ones."""

    def __init__(self, key: str, gauges: dict[int, Gauges]) -> None:
        self.counters = Counters()
        self.slots: list[str] = []
        self.misfits = 0  # here the daemon ends them
        self._key = key
        self._gauges = gauges

    @property
    def queued(self) -> int:
        """Queries that wait at any frontend."""
        return sum(gauges.queued.get(self._key, 0) for gauges in self._gauges.values())

    def limits(self) -> list[int]:
        """Return each frontend's limit for each replica."""
        return [n for gauges in self._gauges.values() for n in gauges.limits.get(self._key, ())]


class CacheTotals:
    """Of the frontends' caches, each of which has its own."""

    def __init__(self, gauges: dict[int, Gauges]) -> None:
        self.evictions = 0
        self._gauges = gauges

    @property
    def used_bytes(self) -> int:
        """Bytes that all use."""
        return sum(gauges.cache_bytes for gauges in self._gauges.values())

    @property
    def limit_bytes(self) -> int:
        """The sum of their bounds."""
        return sum(gauges.cache_limit_bytes for gauges in self._gauges.values())


class Totals:
    """The figures of all frontends together (`servd.metrics.source.MetricsSource`)."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.by_name: dict[str, ApplicationTotals] = {}
        self.dispatchers: dict[VersionId, VersionTotals] = {}
        self._gauges: dict[int, Gauges] = {}
        self.cache = CacheTotals(self._gauges)

    def apply(
        self, state: RegistryState, prepared: Iterable[VersionId], seats: Iterable[ReplicaSeat]
    ) -> None:
        """Know these applications, versions and replicas from now on, and no others."""
        for name in self.by_name.keys() - state.applications.keys():
            del self.by_name[name]
        for name in state.applications.keys() - self.by_name.keys():
            self.by_name[name] = ApplicationTotals()
        known = {*state.versions, *prepared}
        for gone in self.dispatchers.keys() - known:
            del self.dispatchers[gone]
        for new in known - self.dispatchers.keys():
            self.dispatchers[new] = VersionTotals(str(new), self._gauges)
        for version in self.dispatchers.values():
            version.slots = []
        for seat in seats:
            if not seat.is_draining and seat.version_id in self.dispatchers:
                self.dispatchers[seat.version_id].slots.append(seat.address)

    def add(self, report: CountReport) -> None:
        """Add a report; what it tells of things that are gone is dropped."""
        for name, count in report.applications.items():
            if name in self.by_name:
                add(self.by_name[name].counters, count)
        for key, count in report.versions.items():
            version = self.dispatchers.get(version_id(key))
            if version is not None:
                add(version.counters, count)
        self.cache.evictions += report.evictions
        if report.gauges is not None:
            self._gauges[report.frontend] = report.gauges
        else:
            self._gauges.pop(report.frontend, None)

    def fold(self) -> None:
        """Do nothing: each front end brings its own up to date for a report."""

    def history(self) -> CountReport:
        """Return all that was counted: what a new frontend has to begin with."""
        return CountReport(
            frontend=EVERYBODY,
            applications={name: whole(app.counters) for name, app in self.by_name.items()},
            versions={str(key): whole(one.counters) for key, one in self.dispatchers.items()},
            evictions=self.cache.evictions,
        )

    def end_second(self) -> None:
        """Keep a snapshot for the rates; called once a second."""
        now_s = self.clock()
        for of in (self.by_name, self.dispatchers):
            for one in of.values():
                one.counters.end_second(now_s)
