"""Counters of the query path and what is computed from them. Written by engine and dispatcher.

The path only adds to whole numbers; rates and percentiles are differences of two snapshots, taken
once a second by `tick`, so that reading them costs the path nothing.
"""

from collections import deque
from dataclasses import dataclass

SUB_BUCKETS = 8
"""Buckets per doubling: a percentile is right within 1/8."""

BUCKETS = 8 * 34
"""Up to 2^36 µs, about 19 hours."""

WINDOW_S = 10
"""The span over which `servd ps` shows rates and percentiles."""


UNIT_US = 10
"""The unit of latencies that are counted by the batch; a bucket at 100 µs is as wide."""


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
        self.add_at(bucket_of(value), value)

    def add_at(self, bucket: int, value: int) -> None:
        """Count one value whose bucket is known."""
        self.counts[bucket] += 1
        self.count += 1
        self.total += value
        if value > self.maximum:  # noqa: PLR1730 - `max` takes twice the time
            self.maximum = value

    def add_zeros(self, count: int) -> None:
        """Count zeros: answers from the cache, of which there may be more than of any other."""
        self.counts[0] += count
        self.count += count

    def percentile(self, share: float) -> float | None:
        """Return the value below which `share` (0 to 1) of the values lie; None without values."""
        return percentile(self.counts, share)


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


def percentile(counts: list[int], share: float) -> float | None:
    """Return a percentile from bucket counts, taken at the middle of its bucket."""
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            lower = bucket_upper(index - 1) if index else 0
            return (lower + bucket_upper(index) - 1) / 2
    raise AssertionError("unreachable: the counts add up to their sum")


class Counters:
    """What one application, or one replica, has done since it exists. Times are in µs."""

    __slots__ = (
        "_snapshots",
        "batch_size",
        "cache_hits",
        "defaults",
        "failures",
        "latency",
        "queries",
        "refused",
    )

    def __init__(self) -> None:
        self.queries = 0
        self.defaults = 0
        self.failures = 0
        self.refused = 0
        self.cache_hits = 0
        self.latency = Histogram()
        self.batch_size = Histogram()
        self._snapshots: deque[_Snapshot] = deque(maxlen=WINDOW_S + 1)

    def known(self, count: int) -> None:
        """Count queries that the cache answered before they became any."""
        self.queries += count
        self.cache_hits += count
        self.latency.add_zeros(count)

    def answered(self, microseconds: int) -> None:
        """Count a query and its latency."""
        self.queries += 1
        self.latency.add(microseconds)

    def answered_many(self, latencies: dict[int, int]) -> None:
        """Count a batch's queries: how many had which latency, in units of `UNIT_US`."""
        histogram = self.latency
        for units, count in latencies.items():
            microseconds = units * UNIT_US
            histogram.counts[bucket_of(microseconds)] += count
            histogram.count += count
            histogram.total += microseconds * count
            if microseconds > histogram.maximum:  # noqa: PLR1730 - `max` takes twice the time
                histogram.maximum = microseconds
            self.queries += count

    def tick(self, now_s: float) -> None:
        """Keep a snapshot; called once a second by the engine."""
        self._snapshots.append(self._snapshot(now_s))

    def window(self, now_s: float) -> "Window":
        """Return rates and percentiles over the last `WINDOW_S` seconds."""
        then = self._snapshots[0] if self._snapshots else _EMPTY
        now = self._snapshot(now_s)
        elapsed_s = now.at_s - then.at_s
        queries = now.queries - then.queries
        batches = now.batches - then.batches
        latencies = _difference(now.latencies, then.latencies)
        return Window(
            queries_per_s=queries / elapsed_s if elapsed_s > 0 and self._snapshots else 0.0,
            p50_ms=_milliseconds(percentile(latencies, 0.50)),
            p99_ms=_milliseconds(percentile(latencies, 0.99)),
            mean_batch=(now.batched - then.batched) / batches if batches else None,
            default_ratio=(now.defaults - then.defaults) / queries if queries else None,
        )

    def _snapshot(self, now_s: float) -> "_Snapshot":
        return _Snapshot(
            at_s=now_s,
            queries=self.queries,
            defaults=self.defaults,
            batches=self.batch_size.count,
            batched=self.batch_size.total,
            latencies=self.latency.counts[:],
        )


def count_batch(every: tuple[Counters, ...], size: int, round_trip_s: float) -> None:
    """Count a batch that came back wherever it counts."""
    microseconds = int(round_trip_s * 1e6)
    of_size, of_time = bucket_of(size), bucket_of(microseconds)
    for counters in every:
        counters.queries += size
        counters.batch_size.add_at(of_size, size)
        counters.latency.add_at(of_time, microseconds)


@dataclass(frozen=True, slots=True)
class Window:
    """Figures over the last seconds; None where nothing happened."""

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
    latencies: list[int]


_EMPTY = _Snapshot(0.0, 0, 0, 0, 0, [0] * BUCKETS)


def _difference(now: list[int], then: list[int]) -> list[int]:
    return [a - b for a, b in zip(now, then, strict=True)]


def _milliseconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 3)
