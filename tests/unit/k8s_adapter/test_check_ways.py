"""Faults of single values, and of the ways between pods, provoked in an export that has none."""

from typing import Any

import pytest

from k8s_adapter.check import check_files
from k8s_adapter.identity import Object
from k8s_adapter.kube_version import DEFAULT
from k8s_adapter.render import render_directory, to_yaml
from tests.export_state import schemas_of
from tests.k8s_finding import one, set_at

REPLICA = ("Deployment", "feature-sum-1")
SERVICE = ("Service", "feature-sum-1")
FRONT_END = ("Deployment", "query-frontend")
REACHED = "data.registry.json endpoints.feature_sum:1.scheme"
POLICY = ("NetworkPolicy", "servd-replica")
WAYS_OUT = ("NetworkPolicy", "query-frontend")
KEYS = ("Secret", "servd-tls")
NOBODY = {"matchLabels": {"a": "b"}}
BOX = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("where", "path", "value", "fault_path", "said"),
    [
        (SERVICE, "spec.type", "Cluster", "spec.type", "not one of ['ClusterIP'"),
        (
            SERVICE,
            "spec.ports[0].protocol",
            "tcp",
            "spec.ports[0].protocol",
            "'SCTP', 'TCP', 'UDP'",
        ),
        (SERVICE, "spec.ports[0].port", 0, "spec.ports[0].port", "minimum of 1"),
        (REPLICA, f"{BOX}.imagePullPolicy", "Sometimes", f"{BOX}.imagePullPolicy", "Never"),
        (REPLICA, f"{BOX}.image", "", f"{BOX}.image", "non-empty"),
        (REPLICA, f"{BOX}.name", "Replica", f"{BOX}.name", "RFC 1123"),
        (REPLICA, f"{BOX}.volumeMounts[1].mountPath", "/tmp", f"{BOX}.volumeMounts[1]", "twice"),
        (REPLICA, f"{BOX}.livenessProbe.periodSeconds", 0, f"{BOX}.livenessProbe", "minimum of 1"),
        (REPLICA, "spec.minReadySeconds", -1, "spec.minReadySeconds", "minimum of 0"),
        (KEYS, "data", {"replica.key": "%"}, "data.replica.key", "not base64"),
        (POLICY, "spec.ingress[0].from[0].podSelector", NOBODY, "spec.ingress[0].from", "no pods"),
        (POLICY, "spec.ingress[0].ports[0].port", 7002, "spec.ingress[0].ports[0]", "port 7002"),
        (POLICY, "spec.ingress[0].ports[0].port", 7001, "spec.ingress", "port 7000"),
        (WAYS_OUT, "spec.egress[1].to[0].podSelector", NOBODY, "spec.egress[1].to", "no pods"),
        (WAYS_OUT, "spec.egress[1].ports[0].port", 7002, "spec.egress[1].ports[0]", "port 7002"),
        (WAYS_OUT, "spec.egress[0].ports", [], "spec.egress", "look names up"),
        (SERVICE, "spec.clusterIP", ..., "data.registry.json endpoints", "not headless"),
        (SERVICE, "metadata.name", "other", "data.registry.json endpoints", "'feature-sum-1'"),
        (REPLICA, f"{BOX}.ports[0].containerPort", 7002, "data.registry.json", "opens port 7000"),
        (REPLICA, f"{BOX}.args[1]", "tcp://0.0.0.0:7000", REACHED, "feature-sum-1 does not listen"),
        (
            FRONT_END,
            f"{BOX}.args",
            ["--curve", "/a"],
            REACHED,
            "query-frontend has no certificates",
        ),
        (
            ("ConfigMap", "query-registry"),
            "data",
            {"registry.json": "{}"},
            "data.registry.json",
            "not a registry",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_named_with_its_file_and_field(
    where: tuple[str, str], path: str, value: Any, fault_path: str, said: str, objects: list[Object]
):
    """A word that Kubernetes does not know, a number out of range, a way that leads nowhere."""
    set_at(one(objects, *where), path, value)
    files = render_directory(objects)
    faults = check_files(files, schemas_of(DEFAULT))
    assert any(fault.path.startswith(fault_path) and said in fault.message for fault in faults), [
        str(fault) for fault in faults
    ]
    assert all(fault.file in files for fault in faults)


def test_pods_without_a_policy_are_reached(objects: list[Object]):
    """Where no policy is about the replicas, none has to let their port in."""
    without = [found for found in objects if found["kind"] != "NetworkPolicy"]
    assert check_files(render_directory(without), schemas_of(DEFAULT)) == []


def test_a_secrets_value_is_not_told():
    """What is wrong with a key is told without the key: faults are printed."""
    text = to_yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "servd"},
            "data": {"key": "%hush"},
        }
    )
    (fault,) = check_files({"keys.yaml": text}, schemas_of(DEFAULT))
    assert str(fault) == "keys.yaml: Secret keys data.key: is not base64"
