"""Counters as values that add up."""

from hypothesis import given
from hypothesis import strategies as st

from servd.metrics import counts
from servd.metrics.counters import Counters
from servd.metrics.counts import Count, Meter


def _count_all(counters, latencies, batches):
    for microseconds in latencies:
        counters.answered(microseconds)
    for size in batches:
        counters.batch_size.add(size)
    counters.defaults += len(batches)
    counters.cache_hits += len(latencies) // 2


def _shown(counters):
    return (
        counters.queries,
        counters.defaults,
        counters.failures,
        counters.refused,
        counters.cache_hits,
        *((h.counts, h.count, h.total, h.maximum) for h in (counters.latency, counters.batch_size)),
    )


def test_nothing_new_is_no_count():
    """A reading without growth is None, and so is one right after another."""
    counters = Counters()
    meter = Meter(counters)
    assert meter.take() is None
    _count_all(counters, [5, 900], [2])
    assert meter.take() is not None
    assert meter.take() is None


_PARTS = st.lists(
    st.tuples(st.lists(st.integers(0, 2**33), max_size=5), st.lists(st.integers(1, 9), max_size=3)),
    max_size=6,
)


@given(_PARTS, _PARTS)
def test_readings_of_two_processes_add_up_to_what_both_counted(one, other):
    """The sum of all readings equals counters that saw everything, histograms included."""
    everything, total = Counters(), Counters()
    for parts in (one, other):
        counters = Counters()
        meter = Meter(counters)
        for part in parts:
            _count_all(counters, *part)
            _count_all(everything, *part)
            taken = meter.take()
            if taken is not None:
                counts.add(total, taken)
    assert _shown(total) == _shown(everything)


def test_the_whole_makes_equal_counters():
    """All that was counted, added to new counters, makes them the same."""
    counters, copy = Counters(), Counters()
    assert counts.whole(counters) == Count()
    _count_all(counters, [1, 70_000, 3], [8, 9])
    counts.add(copy, counts.whole(counters))
    assert _shown(copy) == _shown(counters)
    assert copy.latency.counts == counters.latency.counts
