"""The parts of a pod that replicas and frontends share: security, probes, spread, resources."""

from dataclasses import dataclass, field
from typing import Any, Final

from k8s_adapter.identity import Identity, Object
from k8s_adapter.kube_version import KubeVersion

USER_ID: Final = 10001
"""The user that servd's images run as; its group has the same number."""

TMP_VOLUME: Final = "tmp"
SECRET_MODE: Final = 0o440
"""Key files are readable by the group, which fsGroup makes the container's."""
LOAD_LIMIT_S: Final = 300
"""How long a model may load."""
HOME: Final = {"name": "HOME", "value": "/tmp"}  # noqa: S108 - the pod's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a Deployment runs.

    `replicas` None: a HorizontalPodAutoscaler sets the number. `annotations` are the pods': what
    changes there makes the Deployment replace them. `min_ready_s` is how long a new pod has to be
    ready before an old one is ended.
    """

    identity: Identity
    container: Object
    service_account: str
    grace_s: int
    volumes: list[Object] = field(default_factory=list)
    replicas: int | None = None
    min_ready_s: int = 0
    annotations: dict[str, str] = field(default_factory=dict)
    image_pull_secret: str | None = None


def pod_template(workload: Workload) -> Object:
    """Return the pod template of a workload's Deployment."""
    identity = workload.identity
    spec: Object = {
        "serviceAccountName": workload.service_account,
        "automountServiceAccountToken": False,
        # Else a Service named servd would put SERVD_PORT, a setting, into the environment.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": workload.grace_s,
        "topologySpreadConstraints": [
            _spread(identity, "kubernetes.io/hostname"),
            _spread(identity, "topology.kubernetes.io/zone"),
        ],
        "containers": [workload.container],
        "volumes": [{"name": TMP_VOLUME, "emptyDir": {"sizeLimit": "1Gi"}}, *workload.volumes],
    }
    if workload.image_pull_secret:
        spec["imagePullSecrets"] = [{"name": workload.image_pull_secret}]
    meta: Object = {"labels": identity.metadata()["labels"]}
    if workload.annotations:
        meta["annotations"] = dict(sorted(workload.annotations.items()))
    return {"metadata": meta, "spec": spec}


def container_security() -> Object:
    """Return a container's share of the restricted pod security standard."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def tmp_mount() -> Object:
    """Return the mount of the only folder that a container can write to."""
    return {"name": TMP_VOLUME, "mountPath": "/tmp"}  # noqa: S108 - the pod's own


def container_port(name: str, number: int) -> Object:
    """Return a port that a container opens."""
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def http_probe(path: str, port: str, **timing: int) -> Object:
    """Return a probe that asks a path of a port by name; `timing` are the probe's own fields."""
    return {"httpGet": {"path": path, "port": port}, **timing}


def http_probes(port: str) -> Object:
    """Return all probes of a container that loads a model, asked at a port by name.

    While it starts it is not asked whether it lives: loading may keep the process busy for long.
    """
    return _probes(*(http_probe(path, port) for path in ("/readyz", "/readyz", "/healthz")))


def tcp_probes(port: str) -> Object:
    """Return the same, which only look whether somebody listens at a port by name."""
    return _probes(*({"tcpSocket": {"port": port}} for _ in range(3)))


def _probes(startup: Object, readiness: Object, liveness: Object) -> Object:
    often = {"periodSeconds": 2, "timeoutSeconds": 2}
    seldom = {"periodSeconds": 10, "timeoutSeconds": 5}
    return {
        "startupProbe": {**startup, **often, "failureThreshold": LOAD_LIMIT_S // 2},
        "readinessProbe": {**readiness, **often, "failureThreshold": 2},
        "livenessProbe": {**liveness, **seldom, "failureThreshold": 3},
    }


def resources(cpu: tuple[str, str], memory: tuple[str, str], gpus: int = 0) -> Object:
    """Return requests and limits; each pair is (request, limit)."""
    limits: dict[str, Any] = {"cpu": cpu[1], "memory": memory[1]}
    if gpus:
        limits["nvidia.com/gpu"] = str(gpus)
    return {"requests": {"cpu": cpu[0], "memory": memory[0]}, "limits": limits}


def pause_before_stop(seconds: int, kube_version: KubeVersion) -> Object:
    """Return the hook that keeps a pod answering while the cluster hears that it will leave.

    SIGTERM and the removal from the Service happen at the same time; without a pause a pod would
    stop while others still send to it.
    """
    if kube_version.has_sleep_hook:
        return {"preStop": {"sleep": {"seconds": seconds}}}
    # A small image need not have a program to sleep with, but each of servd's has Python.
    command = ["python3", "-ISc", f"import time; time.sleep({seconds})"]
    return {"preStop": {"exec": {"command": command}}}


def _spread(identity: Identity, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        # A cluster of one node has to take them all.
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": identity.selector},
    }
