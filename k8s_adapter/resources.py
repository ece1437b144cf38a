"""One pure function per kind of Kubernetes object. Used by what puts a shape together."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from k8s_adapter.identity import MANAGED, Identity, Object
from k8s_adapter.kube_version import KubeVersion
from k8s_adapter.pods import Workload, pod_template

SELDON_API: Final = "machinelearning.seldon.io/v1"


def namespace(name: str) -> Object:
    """Return a Namespace in which kubectl warns of pods that are not restricted."""
    standard = "pod-security.kubernetes.io"
    labels = {**MANAGED, f"{standard}/audit": "restricted", f"{standard}/warn": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": dict(sorted(labels.items()))},
    }


def service_account(identity: Identity) -> Object:
    """Return a ServiceAccount whose token no pod gets: nothing of servd's talks to the cluster."""
    return _object("v1", "ServiceAccount", identity, automountServiceAccountToken=False)


def config_map(identity: Identity, data: Mapping[str, str]) -> Object:
    """Return a ConfigMap. It can be changed: pods that mount it see the new texts."""
    return _object("v1", "ConfigMap", identity, data=dict(data))


def secret(identity: Identity, data: Mapping[str, str]) -> Object:
    """Return a Secret with these texts."""
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return _object("v1", "Secret", identity, type="Opaque", data=dict(sorted(encoded.items())))


def deployment(workload: Workload) -> Object:
    """Return the Deployment of a workload; an update starts a new pod before it ends an old one."""
    spec: dict[str, Any] = {
        "selector": {"matchLabels": workload.identity.selector},
        "revisionHistoryLimit": 5,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        },
        "template": pod_template(workload),
    }
    if workload.replicas is not None:
        spec["replicas"] = workload.replicas
    if workload.min_ready_s:
        spec["minReadySeconds"] = workload.min_ready_s
    return _object("apps/v1", "Deployment", workload.identity, spec=dict(sorted(spec.items())))


def service(identity: Identity, port: int, port_name: str, service_type: str) -> Object:
    """Return the Service by which clients reach an identity's pods."""
    return _service(identity, {"type": service_type}, port, port_name)


def headless_service(identity: Identity, port: int, port_name: str) -> Object:
    """Return the Service whose name resolves to the addresses of all pods.

    Of those that are not ready too: front ends connect while a model loads, and give a replica
    queries from the moment when it says that it is ready.
    """
    way = {"type": "ClusterIP", "clusterIP": "None", "publishNotReadyAddresses": True}
    return _service(identity, way, port, port_name)


def autoscaler(
    identity: Identity, bounds: tuple[int, int], cpu_target: int, kube_version: KubeVersion
) -> Object:
    """Return the HorizontalPodAutoscaler of an identity's Deployment; bounds are (least, most)."""
    by_cpu: Object = {"targetCPUUtilizationPercentage": cpu_target}
    if kube_version.autoscaling == "autoscaling/v2":
        share = {"type": "Utilization", "averageUtilization": cpu_target}
        by_cpu = {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": share}}]}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": identity.name}
    spec = {"scaleTargetRef": target, "minReplicas": bounds[0], "maxReplicas": bounds[1], **by_cpu}
    return _object(kube_version.autoscaling, "HorizontalPodAutoscaler", identity, spec=spec)


def seldon_deployment(
    workload: Workload, bounds: tuple[int, int], cpu_target: int, container: str
) -> Object:
    """Return the SeldonDeployment of a workload: one predictor of one model, scaled by CPU.

    Seldon Core's operator makes Deployment, Service and autoscaler of it; `container` is the one
    that answers, at its port called http. Bounds are (least, most).
    """
    share = {"type": "Utilization", "averageUtilization": cpu_target}
    template = pod_template(workload)
    predictor: Object = {
        "name": "default",
        "annotations": template["metadata"].get("annotations", {}),
        "labels": workload.identity.labels,
        "replicas": bounds[0],
        "graph": {
            "name": container,
            "type": "MODEL",
            "endpoint": {"type": "REST"},
            "children": [],
        },
        "componentSpecs": [
            {
                "spec": template["spec"],
                "hpaSpec": {
                    "minReplicas": bounds[0],
                    "maxReplicas": bounds[1],
                    "metricsv2": [
                        {"type": "Resource", "resource": {"name": "cpu", "target": share}}
                    ],
                },
            }
        ],
    }
    if not predictor["annotations"]:
        del predictor["annotations"]
    spec = {"name": workload.identity.name, "protocol": "seldon", "predictors": [predictor]}
    return _object(SELDON_API, "SeldonDeployment", workload.identity, spec=spec)


def disruption_budget(identity: Identity, kube_version: KubeVersion) -> Object:
    """Return a PodDisruptionBudget: one pod at a time, so that a lone one never blocks a drain."""
    spec: Object = {"maxUnavailable": 1, "selector": {"matchLabels": identity.selector}}
    if kube_version.has_eviction_policy:
        spec["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    return _object("policy/v1", "PodDisruptionBudget", identity, spec=spec)


def network_policy(
    identity: Identity,
    pods: Mapping[str, str],
    *,
    ingress: list[Object],
    egress: list[Object] | None = None,
) -> Object:
    """Return a NetworkPolicy for the pods with these labels; `egress` None leaves it free."""
    spec: Object = {
        "podSelector": {"matchLabels": dict(pods)},
        "policyTypes": ["Ingress"] if egress is None else ["Ingress", "Egress"],
        "ingress": ingress,
    }
    if egress is not None:
        spec["egress"] = egress
    return _object("networking.k8s.io/v1", "NetworkPolicy", identity, spec=spec)


def ingress(identity: Identity, host: str, port: int, ingress_class: str | None) -> Object:
    """Return an Ingress that sends all of a host's requests to the Service of that name."""
    backend = {"service": {"name": identity.name, "port": {"number": port}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: Object = {"rules": [{"host": host, "http": {"paths": paths}}]}
    if ingress_class:
        spec = {"ingressClassName": ingress_class, **spec}
    return _object("networking.k8s.io/v1", "Ingress", identity, spec=spec)


def service_monitor(identity: Identity, port_name: str, token_secret: str | None) -> Object:
    """Return the Prometheus operator's ServiceMonitor for the metrics of an identity's pods."""
    endpoint: Object = {"port": port_name, "path": "/metrics", "interval": "15s"}
    if token_secret:
        credentials = {"name": token_secret, "key": "token"}
        endpoint["authorization"] = {"type": "Bearer", "credentials": credentials}
    spec = {"selector": {"matchLabels": identity.selector}, "endpoints": [endpoint]}
    return _object("monitoring.coreos.com/v1", "ServiceMonitor", identity, spec=spec)


def _service(identity: Identity, way: Object, port: int, name: str) -> Object:
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"}]
    return _object(
        "v1", "Service", identity, spec=way | {"selector": identity.selector, "ports": ports}
    )


def _object(api_version: str, kind: str, identity: Identity, **fields: Any) -> Object:
    meta = identity.metadata()
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **fields}
