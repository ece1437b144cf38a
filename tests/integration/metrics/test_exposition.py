"""Metrics after some queries, in both formats."""

import json

from servd.metrics.exposition import json_metrics, prometheus_metrics
from tests.scripted_replica import ScriptedReplica
from tests.serving import rendered, run, serving
from tests.unit.metrics.test_exposition import samples


async def used(served, replica):
    """Send five queries, two of them hits, and one default."""
    await served.attach(replica, served.deploy("a-b"))
    served.deploy("empty", model=None)
    for n in (1, 2, 1, 1, 3):
        await served.predict({"input": [n]}, "a-b")
    await served.predict({"input": [1]}, "empty")


def test_clippers_document():
    """Names and shapes are Clipper's; every value is a text."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await used(served, replica)
                document = json.loads(rendered(json_metrics(served.engine)))
        flat = {k: v for group in document.values() for one in group for k, v in one.items()}
        assert set(document) == {"counters", "ratio_counters", "meters", "histograms"}
        assert flat["app:a-b:num_predictions"] == {"count": "5"}
        assert flat["model:model:1:num_predictions"] == {"count": "3"}
        assert flat["internal:aggregate_num_predictions"] == {"count": "6"}
        assert flat["app:empty:default_prediction_ratio"] == {"ratio": "1.0"}
        assert flat["model:model:1:cache_hit_ratio"] == {"ratio": "0.4"}
        assert flat["app:a-b:prediction_latency"]["size"] == "5"
        assert flat["model:model:1:batch_size"]["mean"] == "1.0"
        assert all(isinstance(v, str) for one in flat.values() for v in one.values())

    run(main())


def test_prometheus_text():
    """The text parses, and its histogram adds up."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await used(served, replica)
                found = samples(rendered(prometheus_metrics(served.engine)))
        label = ("application", "a-b")
        assert found["servd_application_queries_total", label] == 5
        assert found["servd_application_cache_hits_total", label] == 2
        assert found["servd_application_latency_seconds_count", label] == 5
        infinite = ("servd_application_latency_seconds_bucket", label, ("le", "+Inf"))
        assert found[infinite] == 5
        version = (("model", "model"), ("version", "1"))
        assert found["servd_version_ready_replicas", *version] == 1
        assert found["servd_version_predictions_total", *version] == 3
        assert 0 < found["servd_cache_bytes",] <= found["servd_cache_limit_bytes",]

    run(main())
