"""Exports against Kubernetes' own schemas, strictly: no unknown field, no wrong type."""

import dataclasses
from pathlib import Path

import kubernetes_validate
import pytest

from k8s_adapter.cluster import cluster_objects
from k8s_adapter.kube_version import NEWEST, OLDEST, KubeVersion
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Snapshot

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s"
# The package's oldest schemas; they still have all that is written for releases before them.
OLDEST_SCHEMAS = "1.25"


@pytest.mark.parametrize(
    ("written_for", "schemas"),
    [
        (OLDEST, OLDEST_SCHEMAS),
        (KubeVersion(1, 23), OLDEST_SCHEMAS),
        (KubeVersion(1, 29), "1.29"),
        (KubeVersion(1, 30), "1.30"),
        (NEWEST, str(NEWEST)),
        # Clusters of today take what is written for any of the others.
        (OLDEST, str(NEWEST)),
        (KubeVersion(1, 22), str(NEWEST)),
        (KubeVersion(1, 29), str(NEWEST)),
    ],
    ids=str,
)
def test_objects_pass_the_schemas(
    written_for: KubeVersion, schemas: str, snapshot: Snapshot, secured: Options
):
    """Every object passes the strict schema of its kind, but those of Prometheus' operator."""
    options = dataclasses.replace(
        secured,
        kube_version=written_for,
        ingress="models.example.com",
        ingress_class="nginx",
        image_pull_secret="registry-key",
        service_monitor=True,
    )
    checked = 0
    for found in cluster_objects(snapshot, options):
        if found["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(found, schemas, strict=True)
            checked += 1
    assert checked > 20


def test_the_schemas_are_those_of_the_newest_release():
    """The newest release that an export claims is one that the schemas really are of."""
    assert str(NEWEST) in {
        ".".join(version.split(".")[:2]) for version in kubernetes_validate.utils.all_versions()
    }
