"""Counters of the query path and what is computed from them. Written by engine and dispatcher.

The path only adds to whole numbers; rates and percentiles are differences of two snapshots, taken
once a second by `tick`, so that reading them costs the path nothing.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SUB_BUCKETS = 8
"""Buckets per doubling: a percentile is right within 1/8."""

BUCKETS = 8 * 34
"""Up to 2^36 µs, about 19 hours."""

WINDOW_S = 10
"""The span over which `servd ps` shows rates and percentiles."""


TALLY = 256
"""Batches that are noted before they are counted."""


class Histogram:
    """Counts of durations in µs (or of sizes), log-linear: exact below 8, then 8 per doubling."""

    __slots__ = ("count", "counts", "maximum", "total")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.count = 0
        self.total = 0
        self.maximum = 0

    def add(self, value: int) -> None:
        """Count one value; values are whole and not negative."""
        self.add_some(value, 1)

    def add_some(self, value: int, count: int) -> None:
        """Count one value that came so often."""
        self.counts[bucket_of(value)] += count
        self.count += count
        self.total += value * count
        if value > self.maximum:  # noqa: PLR1730 - `max` takes twice the time
            self.maximum = value

    def add_all(self, values: Mapping[int, int]) -> None:
        """Count values by how often each came."""
        for value, count in values.items():
            self.add_some(value, count)

    def add_zeros(self, count: int) -> None:
        """Count zeros: answers from the cache, of which there may be more than of any other."""
        self.counts[0] += count
        self.count += count


def bucket_of(value: int) -> int:
    """Return the bucket of a value."""
    shift = value.bit_length() - 4
    return value if shift < 0 else (shift << 3) + (value >> shift)


def bucket_upper(index: int) -> int:
    """Return the first value above bucket `index`."""
    if index < 2 * SUB_BUCKETS:
        return index + 1
    shift = (index >> 3) - 1
    return ((index & 7) + SUB_BUCKETS + 1) << shift


def filled(counts: list[int]) -> list[tuple[int, int]]:
    """Return the buckets that hold something, each with its count."""
    return [pair for pair in enumerate(counts) if pair[1]]


def percentiles(buckets: list[tuple[int, int]], shares: Sequence[float]) -> list[float]:
    """Return percentiles, of growing shares, of filled buckets; none where none is.

    Each is taken at the middle of its bucket.
    """
    total = sum(count for _, count in buckets)
    found: list[float] = []
    seen = 0
    for index, count in buckets:
        seen += count
        while len(found) < len(shares) and seen >= shares[len(found)] * total:
            lower = bucket_upper(index - 1) if index else 0
            found.append((lower + bucket_upper(index) - 1) / 2)
    return found


class Counters:
    """What one application, or one replica, has done since it exists. Times are in µs."""

    __slots__ = (
        "_snapshots",
        "batch_size",
        "cache_hits",
        "defaults",
        "failures",
        "items",
        "latency",
        "queries",
        "refused",
        "streams",
    )

    def __init__(self) -> None:
        self.queries = 0
        self.defaults = 0
        self.failures = 0
        self.refused = 0
        self.cache_hits = 0
        self.streams = 0
        self.items = 0
        self.latency = Histogram()
        self.batch_size = Histogram()
        self._snapshots: deque[_Snapshot] = deque(maxlen=WINDOW_S + 1)

    def known(self, count: int) -> None:
        """Count queries that the cache answered before they became any."""
        self.queries += count
        self.cache_hits += count
        self.latency.add_zeros(count)

    def refuse(self, count: int) -> None:
        """Count queries that were refused before they became any."""
        self.queries += count
        self.defaults += count
        self.refused += count

    def answered(self, microseconds: int) -> None:
        """Count a query and its latency."""
        self.queries += 1
        self.latency.add(microseconds)

    def answered_many(self, microseconds: int, count: int) -> None:
        """Count queries that had the same latency."""
        self.queries += count
        self.latency.add_some(microseconds, count)

    def end_second(self, now_s: float) -> None:
        """Keep a snapshot; called once a second by the engine."""
        self._snapshots.append(self._snapshot(now_s))

    def queries_per_s(self, now_s: float) -> float:
        """Return the rate over the last `WINDOW_S` seconds."""
        if not self._snapshots or now_s <= self._snapshots[0].at_s:
            return 0.0
        then = self._snapshots[0]
        return (self.queries - then.queries) / (now_s - then.at_s)

    def window(self, now_s: float) -> "Window":
        """Return rates and percentiles over the last `WINDOW_S` seconds."""
        then = self._snapshots[0] if self._snapshots else _EMPTY
        now = self._snapshot(now_s)
        queries = now.queries - then.queries
        batches = now.batches - then.batches
        latencies = _difference(now.latencies, then.latencies)
        p50_us, p99_us = percentiles(filled(latencies), (0.50, 0.99)) or (None, None)
        return Window(
            queries_per_s=self.queries_per_s(now_s),
            p50_ms=_milliseconds(p50_us),
            p99_ms=_milliseconds(p99_us),
            mean_batch=(now.batched - then.batched) / batches if batches else None,
            default_ratio=(now.defaults - then.defaults) / queries if queries else None,
        )

    def _snapshot(self, now_s: float) -> "_Snapshot":
        last = self._snapshots[-1] if self._snapshots else _EMPTY
        # Of thousands of applications most are idle: their snapshots share one list.
        is_idle = self.latency.count == last.timed
        return _Snapshot(
            at_s=now_s,
            queries=self.queries,
            defaults=self.defaults,
            batches=self.batch_size.count,
            batched=self.batch_size.total,
            timed=self.latency.count,
            latencies=last.latencies if is_idle else self.latency.counts[:],
        )


class Tally:
    """Batches of one replica that came back and are not in the counters yet.

    A batch of one query is as much work to count as one of a hundred; so the path only notes it,
    and what was noted is counted together, when there is enough or when somebody reads.
    """

    __slots__ = ("_every", "_noted")

    def __init__(self, *every: Counters) -> None:
        self._every = every
        self._noted: list[tuple[int, float]] = []

    def add(self, size: int, round_trip_s: float) -> None:
        """Note a batch."""
        self._noted.append((size, round_trip_s))
        if len(self._noted) >= TALLY:
            self.fold()

    def fold(self) -> None:
        """Count what was noted, wherever it counts."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        sizes = Counter(size for size, _ in noted)
        times = Counter(int(time_s * 1e6) for _, time_s in noted)
        for counters in self._every:
            counters.queries += sum(size * count for size, count in sizes.items())
            counters.batch_size.add_all(sizes)
            counters.latency.add_all(times)


@dataclass(frozen=True, slots=True)
class Window:
    """Rates and percentiles of the last seconds; None where nothing happened."""

    queries_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    mean_batch: float | None
    default_ratio: float | None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    at_s: float
    queries: int
    defaults: int
    batches: int
    batched: int
    timed: int
    latencies: list[int]


_EMPTY = _Snapshot(0.0, 0, 0, 0, 0, 0, [0] * BUCKETS)


def _difference(now: list[int], then: list[int]) -> list[int]:
    return [a - b for a, b in zip(now, then, strict=True)]


def _milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 3)
