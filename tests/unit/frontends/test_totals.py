"""The sum of several frontends' figures, and the metrics that it makes."""

import json

from servd.datatypes import Application, InputType, RegistryState, VersionId
from servd.frontends import feed
from servd.frontends.feed import CountReport, Gauges, ReplicaSeat
from servd.frontends.totals import Totals
from servd.metrics.counters import Counters
from servd.metrics.counts import whole
from servd.metrics.exposition import json_metrics, prometheus_metrics
from tests.replicas import version_of
from tests.serving import rendered

VERSION = version_of()
STATE = RegistryState(
    applications={"a": Application(name="a", input_type=InputType.DOUBLES, slo_us=1000)},
    versions={VERSION.id: VERSION},
)
SEATS = [
    ReplicaSeat(model="m", version="1", address="ipc:///1"),
    ReplicaSeat(model="m", version="1", address="ipc:///2", is_draining=True),
]


def _totals():
    totals = Totals(lambda: 100.0)
    totals.apply(STATE, [], SEATS)
    return totals


def _count(queries, microseconds=1000):
    counters = Counters()
    for _ in range(queries):
        counters.answered(microseconds)
        counters.batch_size.add(1)
    return whole(counters)


def _report(number, queries, **gauges):
    return CountReport(
        frontend=number,
        applications={"a": _count(queries), "gone": _count(1)},
        versions={"m:1": _count(queries), "gone:1": _count(1)},
        evictions=2,
        gauges=Gauges(**gauges),
    )


def test_reports_add_up_in_both_kinds_of_metrics():
    """Queries, histograms and caches are summed over the frontends."""
    totals = _totals()
    totals.add(_report(0, 3, queued={"m:1": 1}, limits={"m:1": [4]}, cache_bytes=10))
    totals.add(_report(1, 4, queued={"m:1": 2}, limits={"m:1": [6]}, cache_bytes=5))
    document = json.loads(rendered(json_metrics(totals)))
    assert {"app:a:num_predictions": {"count": "7"}} in document["counters"]
    [latency] = [h for h in document["histograms"] if "app:a:prediction_latency" in h]
    assert latency["app:a:prediction_latency"]["size"] == "7"
    text = rendered(prometheus_metrics(totals)).decode()
    labels = '{model="m",version="1"}'
    for line in (
        'servd_application_queries_total{application="a"} 7.0',
        f"servd_version_predictions_total{labels} 7.0",
        f"servd_version_queued{labels} 3.0",
        f"servd_version_batch_limit{labels} 6.0",
        f"servd_version_ready_replicas{labels} 1.0",
        "servd_cache_bytes 15.0",
        "servd_cache_evictions_total 4.0",
    ):
        assert line in text


def test_what_a_frontend_had_in_use_goes_with_it():
    """A report without gauges ends a frontend's part of what goes up and down, not its counts."""
    totals = _totals()
    totals.add(_report(0, 3, queued={"m:1": 5}, cache_bytes=10))
    totals.add(CountReport(frontend=0))
    assert totals.cache.used_bytes == 0
    assert totals.dispatchers[VERSION.id].queued == 0
    assert totals.by_name["a"].counters.queries == 3


def test_history_brings_another_one_to_the_same_sums():
    """A frontend that comes later begins with what all have counted."""
    totals, later = _totals(), _totals()
    totals.add(_report(0, 3))
    later.add(feed.decode_from_daemon(feed.encode(totals.history())))
    assert later.by_name["a"].counters.latency.counts == totals.by_name["a"].counters.latency.counts
    assert later.dispatchers[VERSION.id].counters.queries == 3
    assert later.cache.evictions == 2


def test_an_application_made_again_begins_at_nothing():
    """What is removed is forgotten; versions that are only prepared are known."""
    totals = _totals()
    totals.add(_report(0, 3))
    totals.apply(RegistryState(), [VersionId("m", "2")], [])
    assert totals.by_name == {}
    assert list(totals.dispatchers) == [VersionId("m", "2")]
    totals.apply(STATE, [], [])
    assert totals.by_name["a"].counters.queries == 0


def test_rates_are_over_the_last_seconds():
    """Snapshots each second make a rate, as in an engine."""
    now_s = 100.0
    totals = Totals(lambda: now_s)
    totals.apply(STATE, [], [])
    totals.end_second()
    totals.add(_report(0, 30))
    now_s = 103.0
    assert totals.by_name["a"].counters.window(now_s).queries_per_s == 10.0
