"""Counters, histograms and windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servd.metrics.counters import (
    TALLY,
    WINDOW_S,
    Counters,
    Histogram,
    Tally,
    bucket_upper,
    filled,
    percentiles,
)

VALUES = st.lists(st.integers(0, 2**36 - 1), min_size=1)


@given(VALUES, st.floats(0, 1))
def test_percentiles_are_right_within_an_eighth(values, share):
    """A percentile lies within the bucket of the value that has that rank."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = min(max(share * len(values), 1), len(values))
    exact = sorted(values)[int(-(-rank // 1)) - 1]
    [found] = percentiles(filled(histogram.counts), [share])
    assert abs(found - exact) <= exact / 8 + 1
    assert histogram.count == len(values)
    assert histogram.total == sum(values)
    assert histogram.maximum == max(values)


@given(st.integers(0, 2**36 - 1))
def test_a_value_falls_into_its_bucket(value):
    """Buckets are contiguous, and `answered` counts as `add` does."""
    histogram, counters = Histogram(), Counters()
    histogram.add(value)
    counters.answered(value)
    index = histogram.counts.index(1)
    assert (bucket_upper(index - 1) if index else 0) <= value < bucket_upper(index)
    assert counters.latency.counts == histogram.counts
    assert counters.latency.maximum == value
    assert counters.queries == 1


def test_no_values_have_no_percentile():
    """An empty histogram says so."""
    assert percentiles(filled(Histogram().counts), [0.5, 0.99]) == []


def test_a_window_is_a_difference():
    """Rates and percentiles are those of the last seconds only."""
    counters = Counters()
    assert counters.window(5.0).queries_per_s == 0.0
    for second in range(WINDOW_S + 5):
        counters.end_second(float(second))
        for _ in range(10):
            counters.answered(2000)
        counters.defaults += 1
        counters.batch_size.add(4)
    window = counters.window(float(WINDOW_S + 5))
    assert window.queries_per_s == pytest.approx(10.0)
    assert window.p50_ms == pytest.approx(2.0, rel=1 / 8)
    assert window.mean_batch == 4.0
    assert window.default_ratio == pytest.approx(0.1)


def test_a_quiet_window():
    """Where nothing happened there are no figures."""
    counters = Counters()
    counters.end_second(1.0)
    window = counters.window(1.0)
    assert window.queries_per_s == 0.0
    assert window.p50_ms is None
    assert window.mean_batch is None
    assert window.default_ratio is None


def test_noted_batches_count_where_they_should():
    """A tally counts nothing twice and loses nothing, whoever reads first."""
    version, replica = Counters(), Counters()
    tally = Tally(version, replica)
    for size in range(1, TALLY + 11):
        tally.add(size, size / 1000)
    assert version.batch_size.count == TALLY
    tally.fold()
    tally.fold()
    for counters in (version, replica):
        assert counters.queries == counters.batch_size.total == sum(range(1, TALLY + 11))
        assert counters.latency.count == TALLY + 10
        assert counters.batch_size.maximum == TALLY + 10


def test_the_snapshots_of_the_idle_share_what_they_hold():
    """Ten seconds of two thousand idle applications do not take tens of megabytes."""
    counters = Counters()
    counters.answered(5)
    for second in range(5):
        counters.end_second(float(second))
    assert len({id(each.latencies) for each in counters._snapshots}) == 1
    counters.answered(7)
    counters.end_second(5.0)
    assert counters._snapshots[-1].latencies == counters.latency.counts
    assert counters.window(6.0).p99_ms is not None
