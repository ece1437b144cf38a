"""The counters in the two shapes that others read: Clipper's JSON and Prometheus text.

`GET :1337/metrics` and `GET :1338/metrics` answer with these. Names follow Clipper's in the one
and Prometheus' conventions (base units, `_total`) in the other.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from servd.figures import Figures
from servd.metrics import Counters, Histogram, bucket_upper

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def clipper_metrics(engine: Figures) -> bytes:
    """Return Clipper's metrics document; all values are texts, as there."""
    groups = _Groups(engine.clock())
    lookups = hits = total = 0
    rate = 0.0
    for name, route in engine.by_name.items():
        counters = route.counters
        groups.counter(f"app:{name}:num_predictions", counters.queries)
        groups.ratio(f"app:{name}:default_prediction_ratio", counters.defaults, counters.queries)
        groups.meter(f"app:{name}:prediction_throughput", counters)
        groups.histogram(f"app:{name}:prediction_latency", "microseconds", counters.latency)
        total += counters.queries
        rate += counters.window(engine.clock()).queries_per_s
    for version_id, dispatcher in engine.dispatchers.items():
        counters = dispatcher.counters
        groups.counter(f"model:{version_id}:num_predictions", counters.queries)
        groups.ratio(
            f"model:{version_id}:cache_hit_ratio",
            counters.cache_hits,
            counters.cache_hits + counters.queries,
        )
        groups.meter(f"model:{version_id}:prediction_throughput", counters)
        groups.histogram(f"model:{version_id}:prediction_latency", "microseconds", counters.latency)
        groups.histogram(f"model:{version_id}:batch_size", "queries", counters.batch_size)
        lookups += counters.cache_hits + counters.queries
        hits += counters.cache_hits
    groups.counter("internal:aggregate_num_predictions", total)
    groups.counter("internal:prediction_cache_lookups", lookups)
    groups.ratio("internal:prediction_cache_hit_ratio", hits, lookups)
    groups.meter_of("internal:aggregate_model_throughput", rate)
    return json.dumps(groups.document).encode()


class _Groups:
    """Clipper's four groups; one that has no metric is left out, as there."""

    def __init__(self, now_s: float) -> None:
        self.document: dict[str, list[dict[str, Any]]] = {}
        self._now_s = now_s

    def _add(self, group: str, name: str, values: dict[str, str]) -> None:
        self.document.setdefault(group, []).append({name: values})

    def counter(self, name: str, count: int) -> None:
        self._add("counters", name, {"count": str(count)})

    def ratio(self, name: str, part: int, whole: int) -> None:
        self._add("ratio_counters", name, {"ratio": str(part / whole) if whole else "nan"})

    def meter(self, name: str, counters: Counters) -> None:
        self.meter_of(name, counters.window(self._now_s).queries_per_s)

    def meter_of(self, name: str, rate: float) -> None:
        text = str(round(rate, 3))
        spans = dict.fromkeys(("rate", "rate_1min", "rate_5min", "rate_15min"), text)
        self._add("meters", name, {"unit": "events per second", **spans})

    def histogram(self, name: str, unit: str, histogram: Histogram) -> None:
        mean = histogram.total / histogram.count if histogram.count else 0.0
        values = {
            "unit": unit,
            "size": str(histogram.count),
            "min": _text(histogram.percentile(0.0)),
            "max": str(histogram.maximum),
            "mean": str(round(mean, 3)),
            "std_dev": str(round(_deviation(histogram, mean), 3)),
        }
        for share in (50, 95, 99):
            values[f"p{share}"] = _text(histogram.percentile(share / 100))
        self._add("histograms", name, values)


def _text(value: float | None) -> str:
    return "0" if value is None else str(value)


def _deviation(histogram: Histogram, mean: float) -> float:
    if not histogram.count:
        return 0.0
    squares = sum(
        count * (bucket_upper(index) - 1 - mean) ** 2
        for index, count in enumerate(histogram.counts)
        if count
    )
    return math.sqrt(squares / histogram.count)


def prometheus_metrics(engine: Figures) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_EngineCollector(engine))
    return generate_latest(registry)


class _EngineCollector(Collector):
    """Makes the families anew for each reading: the hot path keeps plain numbers only."""

    def __init__(self, engine: Figures) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        yield from self._applications()
        yield from self._versions()
        cache = self._engine.cache
        yield GaugeMetricFamily("servd_cache_bytes", "Bytes used by the cache.", cache.used_bytes)
        yield GaugeMetricFamily("servd_cache_limit_bytes", "Its bound.", cache.limit_bytes)
        yield CounterMetricFamily("servd_cache_evictions", "Entries evicted.", cache.evictions)

    def _applications(self) -> Iterator[Metric]:
        routes = self._engine.by_name
        for name, text, field in (
            ("queries", "Queries answered, defaults included.", "queries"),
            ("defaults", "Queries answered without the model's output.", "defaults"),
            ("refused", "Queries refused because too many waited.", "refused"),
            ("cache_hits", "Queries answered from the cache.", "cache_hits"),
        ):
            family = CounterMetricFamily(f"servd_application_{name}", text, labels=["application"])
            for key, route in routes.items():
                family.add_metric([key], getattr(route.counters, field))
            yield family
        latency = HistogramMetricFamily(
            "servd_application_latency_seconds", "From request to answer.", labels=["application"]
        )
        for key, route in routes.items():
            buckets, total_s = _buckets(route.counters.latency)
            latency.add_metric([key], buckets, total_s)
        yield latency

    def _versions(self) -> Iterator[Metric]:
        labels = ["model", "version"]
        gauges = [
            GaugeMetricFamily(
                "servd_version_ready_replicas", "Replicas in rotation.", labels=labels
            ),
            GaugeMetricFamily(
                "servd_version_misfit_replicas",
                "Replicas that get no queries: they hold another model.",
                labels=labels,
            ),
            GaugeMetricFamily("servd_version_queued", "Queries not sent yet.", labels=labels),
            GaugeMetricFamily("servd_version_batch_limit", "Largest batch limit.", labels=labels),
        ]
        counters = [
            CounterMetricFamily("servd_version_predictions", "Queries computed.", labels=labels),
            CounterMetricFamily("servd_version_batches", "Batches computed.", labels=labels),
            CounterMetricFamily("servd_version_failures", "Queries that failed.", labels=labels),
        ]
        for version_id, dispatcher in self._engine.dispatchers.items():
            key = list(version_id)
            now = (
                len(dispatcher.slots),
                dispatcher.misfits,
                dispatcher.queued,
                max(dispatcher.limits(), default=0),
            )
            for gauge, value in zip(gauges, now, strict=True):
                gauge.add_metric(key, value)
            c = dispatcher.counters
            for counter, count in zip(
                counters, (c.queries, c.batch_size.count, c.failures), strict=True
            ):
                counter.add_metric(key, count)
        yield from (*gauges, *counters)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Return cumulative buckets in seconds and the sum."""
    cumulative: list[tuple[str, float]] = []
    seen = index = 0
    for bound_s in LATENCY_BUCKETS_S:
        while index < len(histogram.counts) and bucket_upper(index) <= bound_s * 1e6 + 1:
            seen += histogram.counts[index]
            index += 1
        cumulative.append((str(bound_s), seen))
    cumulative.append(("+Inf", histogram.count))
    return cumulative, histogram.total / 1e6
