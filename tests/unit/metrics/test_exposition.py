"""Metrics as Clipper's JSON and as Prometheus text."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from servd.datatypes import Application, InputType, ModelVersion, RegistryState
from servd.engine.engine import Engine
from servd.metrics.counters import bucket_upper
from servd.metrics.exposition import LATENCY_BUCKETS_S, json_metrics, prometheus_metrics
from tests.serving import rendered


def samples(text):
    """Return all samples by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_an_engine_that_did_nothing():
    """Both documents are well formed before anything happened."""
    engine = Engine(0)
    engine.context.term()
    assert {"internal:prediction_cache_hit_ratio": {"ratio": "nan"}} in json.loads(
        rendered(json_metrics(engine))
    )["ratio_counters"]
    assert samples(rendered(prometheus_metrics(engine)))["servd_cache_bytes",] == 0


def figures_of(counts):
    """Return an engine with an application and a version for each list of latencies."""
    engine = Engine(0)
    engine.context.term()
    applications, versions = {}, {}
    for number in range(len(counts)):
        name = f'a"{number}\\n\n'
        applications[name] = Application(name=name, input_type=InputType.ANY, slo_us=1000)
        version = ModelVersion(model=f"m{number}", version="1", input_type=InputType.ANY)
        versions[version.id] = version
    engine.apply(RegistryState(applications, versions))
    for route, dispatcher, latencies in zip(
        engine.by_name.values(), engine.dispatchers.values(), counts, strict=True
    ):
        for value in latencies:
            route.counters.answered(value)
            dispatcher.counters.latency.add(value)
            dispatcher.counters.batch_size.add(value % 100)
    return engine


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**8), max_size=30), max_size=5), st.integers(0, 10**9))
def test_the_text_is_that_of_prometheus_own_library(counts, used):
    """To the byte, for any counts and names."""
    engine = figures_of(counts)
    for route in engine.by_name.values():
        route.counters.queries += used
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(engine))
    assert rendered(prometheus_metrics(engine)) == generate_latest(registry)


class Families(Collector):
    """The same figures for the library to write."""

    def __init__(self, engine):
        self.engine = engine

    def collect(self):
        """Yield all families."""
        routes = self.engine.by_name
        for name, text in (
            ("queries", "Queries answered, defaults included."),
            ("defaults", "Queries answered without the model's output."),
            ("refused", "Queries refused because too many waited."),
            ("cache_hits", "Queries answered from the cache."),
        ):
            family = CounterMetricFamily(f"servd_application_{name}", text, labels=["application"])
            for key, route in routes.items():
                family.add_metric([key], getattr(route.counters, name))
            yield family
        family = HistogramMetricFamily(
            "servd_application_latency_seconds", "From request to answer.", labels=["application"]
        )
        for key, route in routes.items():
            latency = route.counters.latency
            below = [
                (
                    str(bound_s),
                    sum(
                        count
                        for index, count in enumerate(latency.counts)
                        if bucket_upper(index) <= bound_s * 1e6 + 1
                    ),
                )
                for bound_s in LATENCY_BUCKETS_S
            ]
            family.add_metric([key], [*below, ("+Inf", latency.count)], latency.total / 1e6)
        yield family
        for kind, name, text, value in (
            (GaugeMetricFamily, "ready_replicas", "Replicas in rotation.", lambda d: len(d.slots)),
            (
                GaugeMetricFamily,
                "misfit_replicas",
                "Replicas that get no queries: they hold another model.",
                lambda d: d.misfits,
            ),
            (GaugeMetricFamily, "queued", "Queries not sent yet.", lambda d: d.queued),
            (GaugeMetricFamily, "batch_limit", "Largest batch limit.", lambda _: 0),
            (
                CounterMetricFamily,
                "predictions",
                "Queries computed.",
                lambda d: d.counters.queries,
            ),
            (
                CounterMetricFamily,
                "batches",
                "Batches computed.",
                lambda d: d.counters.batch_size.count,
            ),
            (
                CounterMetricFamily,
                "failures",
                "Queries that failed.",
                lambda d: d.counters.failures,
            ),
            (
                CounterMetricFamily,
                "streams",
                "Streams that have begun.",
                lambda d: d.counters.streams,
            ),
            (
                CounterMetricFamily,
                "stream_items",
                "Items of streams.",
                lambda d: d.counters.items,
            ),
        ):
            family = kind(f"servd_version_{name}", text, labels=["model", "version"])
            for key, dispatcher in self.engine.dispatchers.items():
                family.add_metric(list(key), value(dispatcher))
            yield family
        cache = self.engine.cache
        yield GaugeMetricFamily("servd_cache_bytes", "Bytes used by the cache.", cache.used_bytes)
        yield GaugeMetricFamily("servd_cache_limit_bytes", "Its bound.", cache.limit_bytes)
        yield CounterMetricFamily("servd_cache_evictions", "Entries evicted.", cache.evictions)
