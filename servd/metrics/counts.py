"""What counters have counted, as values that travel between processes and add up.

A front-end process takes them once a second (follower.py); whoever wants the sum of several
processes adds them to counters of its own (totals.py). Histograms travel sparse.
"""

from typing import Final

import msgspec

from servd.metrics.counters import Counters, Histogram


class HistogramCount(msgspec.Struct, frozen=True, array_like=True):
    """A histogram's growth: (bucket, values in it) pairs, their sum, the largest value ever."""

    buckets: list[tuple[int, int]] = []
    total: int = 0
    maximum: int = 0


class Count(msgspec.Struct, frozen=True, array_like=True):
    """The growth of one `Counters`; times in µs as there."""

    queries: int = 0
    defaults: int = 0
    failures: int = 0
    refused: int = 0
    cache_hits: int = 0
    streams: int = 0
    items: int = 0
    latency: HistogramCount = HistogramCount()
    batch_size: HistogramCount = HistogramCount()


_NUMBERS: Final = Count.__struct_fields__[:-2]
"""All that are no histograms."""


class Meter:
    """Reads counters again and again; each reading is the growth since the one before."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self._before = Counters()

    def take(self) -> Count | None:
        """Return what was counted since the last call; None where that is nothing."""
        now, before = self.counters, self._before
        grown = [getattr(now, name) - getattr(before, name) for name in _NUMBERS]
        shapes = [_growth(now.latency, before.latency), _growth(now.batch_size, before.batch_size)]
        if not any(grown) and not any(shape.buckets for shape in shapes):
            return None
        count = Count(*grown, *shapes)
        add(before, count)
        return count


def whole(counters: Counters) -> Count:
    """Return all that counters have counted."""
    return Meter(counters).take() or Count()


def add(counters: Counters, count: Count) -> None:
    """Count what another process has counted."""
    for name in _NUMBERS:
        setattr(counters, name, getattr(counters, name) + getattr(count, name))
    _add_histogram(counters.latency, count.latency)
    _add_histogram(counters.batch_size, count.batch_size)


def _growth(now: Histogram, before: Histogram) -> HistogramCount:
    if now.count == before.count:
        return HistogramCount(maximum=now.maximum)
    pairs = enumerate(zip(now.counts, before.counts, strict=True))
    return HistogramCount(
        buckets=[(index, a - b) for index, (a, b) in pairs if a != b],
        total=now.total - before.total,
        maximum=now.maximum,
    )


def _add_histogram(histogram: Histogram, count: HistogramCount) -> None:
    for index, values in count.buckets:
        histogram.counts[index] += values
        histogram.count += values
    histogram.total += count.total
    histogram.maximum = max(histogram.maximum, count.maximum)
