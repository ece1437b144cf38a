"""The counters in the two shapes that others read: Clipper's JSON and Prometheus text.

`GET :1337/metrics` and `GET :1338/metrics` answer with these. Names follow Clipper's in the one
and Prometheus' conventions (base units, `_total`) in the other. Both are generators, which yield
after some of the work and return the text: page.py runs them a slice at a time.
"""

import json
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import accumulate
from typing import TypeVar

from servd.metrics.counters import BUCKETS, Counters, Histogram, bucket_upper, filled, percentiles
from servd.metrics.source import MetricsSource

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

Rendering = Generator[None, None, bytes]
Render = Callable[[MetricsSource], Rendering]

_T = TypeVar("_T")

_PIECE = 16
"""Applications or versions of one family that are written together."""
_ENCODED_LINES = 500
"""Lines that are put away together."""

_SHARES = (0.0, 0.5, 0.95, 0.99)


# --- Clipper's document ---


def json_metrics(figures: MetricsSource) -> Rendering:
    """Return Clipper's metrics document; all values are texts, as there."""
    now_s = figures.clock()
    figures.fold()
    groups = _Groups()
    lookups = hits = total = 0
    rate = 0.0
    for name, route in [*figures.by_name.items()]:
        counters = route.counters
        rate += _add_application(groups, f"app:{name}", counters, now_s)
        total += counters.queries
        yield
    for version_id, dispatcher in [*figures.dispatchers.items()]:
        counters = dispatcher.counters
        asked = counters.cache_hits + counters.queries
        _add_version(groups, f"model:{version_id}", counters, now_s)
        lookups += asked
        hits += counters.cache_hits
        yield
    groups.counter("internal:aggregate_num_predictions", total)
    groups.counter("internal:prediction_cache_lookups", lookups)
    groups.ratio("internal:prediction_cache_hit_ratio", hits, lookups)
    groups.meter("internal:aggregate_model_throughput", rate)
    return (yield from groups.document())


def _add_application(groups: "_Groups", name: str, counters: Counters, now_s: float) -> float:
    """Add an application's metrics; return its rate."""
    rate = counters.queries_per_s(now_s)
    groups.counter(f"{name}:num_predictions", counters.queries)
    groups.ratio(f"{name}:default_prediction_ratio", counters.defaults, counters.queries)
    groups.meter(f"{name}:prediction_throughput", rate)
    groups.histogram(f"{name}:prediction_latency", "microseconds", counters.latency)
    return rate


def _add_version(groups: "_Groups", name: str, counters: Counters, now_s: float) -> None:
    asked = counters.cache_hits + counters.queries
    groups.counter(f"{name}:num_predictions", counters.queries)
    groups.ratio(f"{name}:cache_hit_ratio", counters.cache_hits, asked)
    groups.meter(f"{name}:prediction_throughput", counters.queries_per_s(now_s))
    groups.histogram(f"{name}:prediction_latency", "microseconds", counters.latency)
    groups.histogram(f"{name}:batch_size", "queries", counters.batch_size)


class _Groups:
    """Clipper's four groups; one that has no metric is left out, as there."""

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = {}

    def document(self) -> Rendering:
        """Return the whole as a JSON text."""
        texts = []
        for name, items in self._groups.items():
            texts.append(f'"{name}": [{", ".join(items)}]'.encode())
            yield
        return b"{%b}" % b", ".join(texts)

    def _add(self, group: str, name: str, values: dict[str, str]) -> None:
        self._groups.setdefault(group, []).append(json.dumps({name: values}))

    def counter(self, name: str, count: int) -> None:
        self._add("counters", name, {"count": str(count)})

    def ratio(self, name: str, part: int, whole: int) -> None:
        self._add("ratio_counters", name, {"ratio": str(part / whole) if whole else "nan"})

    def meter(self, name: str, rate: float) -> None:
        text = str(round(rate, 3))
        spans = dict.fromkeys(("rate", "rate_1min", "rate_5min", "rate_15min"), text)
        self._add("meters", name, {"unit": "events per second", **spans})

    def histogram(self, name: str, unit: str, histogram: Histogram) -> None:
        mean = histogram.total / histogram.count if histogram.count else 0.0
        buckets = filled(histogram.counts) if histogram.count else []
        found: Sequence[float] = percentiles(buckets, _SHARES) or [0] * len(_SHARES)
        values = {
            "unit": unit,
            "size": str(histogram.count),
            "min": str(found[0]),
            "max": str(histogram.maximum),
            "mean": str(round(mean, 3)),
            "std_dev": str(round(_deviation(buckets, mean), 3)),
        }
        for share, value in zip(_SHARES[1:], found[1:], strict=True):
            values[f"p{share * 100:.0f}"] = str(value)
        self._add("histograms", name, values)


def _deviation(buckets: list[tuple[int, int]], mean: float) -> float:
    total = sum(count for _, count in buckets)
    squares = sum(count * (bucket_upper(index) - 1 - mean) ** 2 for index, count in buckets)
    return math.sqrt(squares / total) if total else 0.0


# --- Prometheus' text ---


def prometheus_metrics(figures: MetricsSource) -> Rendering:
    """Return the metrics in Prometheus' text format."""
    figures.fold()
    lines: list[str] = []
    texts: list[bytes] = []
    for families in (_applications, _versions):
        for _ in families(figures, lines):
            if len(lines) > _ENCODED_LINES:
                texts.append(_text(lines))
            yield
    cache = figures.cache
    _head(lines, "servd_cache_bytes", "Bytes used by the cache.", "gauge")
    lines.append(f"servd_cache_bytes {_number(cache.used_bytes)}")
    _head(lines, "servd_cache_limit_bytes", "Its bound.", "gauge")
    lines.append(f"servd_cache_limit_bytes {_number(cache.limit_bytes)}")
    _head(lines, "servd_cache_evictions_total", "Entries evicted.", "counter")
    lines.append(f"servd_cache_evictions_total {_number(cache.evictions)}")
    texts.append(_text(lines))
    return b"".join(texts)


def _text(lines: list[str]) -> bytes:
    """Take lines away and return them as text."""
    lines.append("")
    text = "\n".join(lines).encode()
    lines.clear()
    return text


def _head(lines: list[str], name: str, text: str, kind: str) -> None:
    lines.append(f"# HELP {name} {text}\n# TYPE {name} {kind}")


def _applications(figures: MetricsSource, lines: list[str]) -> Generator[None, None, None]:
    routes = [(_labels(application=key), route) for key, route in figures.by_name.items()]
    for name, text in (
        ("queries", "Queries answered, defaults included."),
        ("defaults", "Queries answered without the model's output."),
        ("refused", "Queries refused because too many waited."),
        ("cache_hits", "Queries answered from the cache."),
    ):
        family = f"servd_application_{name}_total"
        _head(lines, family, text, "counter")
        for each in _in_pieces(routes):
            lines.extend(
                f"{family}{{{labels}}} {_number(getattr(route.counters, name))}"
                for labels, route in each
            )
            yield
    family = "servd_application_latency_seconds"
    _head(lines, family, "From request to answer.", "histogram")
    for each in _in_pieces(routes):
        for labels, route in each:
            _add_histogram(lines, family, labels, route.counters.latency)
        yield


def _versions(figures: MetricsSource, lines: list[str]) -> Generator[None, None, None]:
    rows: list[tuple[str, tuple[float, ...]]] = []
    for each in _in_pieces([*figures.dispatchers.items()]):
        for version_id, dispatcher in each:
            counters = dispatcher.counters
            values = (
                len(dispatcher.slots),
                dispatcher.misfits,
                dispatcher.queued,
                max(dispatcher.limits(), default=0),
                counters.queries,
                counters.batch_size.count,
                counters.failures,
                counters.streams,
                counters.items,
            )
            labels = _labels(model=version_id.model, version=version_id.version)
            rows.append((labels, values))
        yield
    for index, (name, text, kind) in enumerate(_VERSION_FAMILIES):
        _head(lines, f"servd_version_{name}", text, kind)
        for some in _in_pieces(rows):
            lines.extend(
                f"servd_version_{name}{{{labels}}} {_number(values[index])}"
                for labels, values in some
            )
            yield


_VERSION_FAMILIES = (
    ("ready_replicas", "Replicas in rotation.", "gauge"),
    ("misfit_replicas", "Replicas that get no queries: they hold another model.", "gauge"),
    ("queued", "Queries not sent yet.", "gauge"),
    ("batch_limit", "Largest batch limit.", "gauge"),
    ("predictions_total", "Queries computed.", "counter"),
    ("batches_total", "Batches computed.", "counter"),
    ("failures_total", "Queries that failed.", "counter"),
    ("streams_total", "Streams that have begun.", "counter"),
    ("stream_items_total", "Items of streams.", "counter"),
)


def _in_pieces(items: list[_T]) -> Iterable[list[_T]]:
    return (items[at : at + _PIECE] for at in range(0, len(items), _PIECE))


def _labels(**labels: str) -> str:
    """Return labels as the format has them."""
    return ",".join(
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\""))
        for name, value in labels.items()
    )


def _number(value: float) -> str:
    """Return a number as Prometheus' own library writes it."""
    if isinstance(value, int) and value < 10**6:
        return f"{value}.0"
    text = repr(float(value))
    whole, _, part = text.partition(".")
    if len(whole) <= 6 or not part:
        return text
    # Go writes an exponent sooner than Python does.
    return f"{whole[0]}.{whole[1:]}{part}".rstrip("0.") + f"e+{len(whole) - 1:02d}"


_ENDS: list[int] = [
    sum(bucket_upper(index) <= bound_s * 1e6 + 1 for index in range(BUCKETS))
    for bound_s in LATENCY_BUCKETS_S
]
"""How many of a histogram's buckets are below each bound."""


def _add_histogram(lines: list[str], family: str, labels: str, histogram: Histogram) -> None:
    """Add cumulative buckets in seconds, their count and the sum."""
    begin = f"{family}_bucket{{{labels},le="
    if histogram.count:
        counts = histogram.counts
        parts = (sum(counts[a:b]) for a, b in zip((0, *_ENDS), _ENDS, strict=False))
        below = [_number(count) for count in accumulate(parts)]
    else:
        below = ["0.0"] * len(_ENDS)
    lines.extend(
        f'{begin}"{bound_s}"}} {count}'
        for bound_s, count in zip(LATENCY_BUCKETS_S, below, strict=True)
    )
    total = _number(histogram.count)
    lines.append(
        f'{begin}"+Inf"}} {total}\n{family}_count{{{labels}}} {total}\n'
        f"{family}_sum{{{labels}}} {_number(float(histogram.total / 1e6))}"
    )
