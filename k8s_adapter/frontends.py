"""The query frontends: stateless pods that answer HTTP and share the replicas of every version."""

import json
from typing import Any, Final

from k8s_adapter import pods, resources
from k8s_adapter.identity import (
    FRONTEND,
    REPLICA,
    Identity,
    Object,
    component_labels,
    component_pods,
    component_selector,
)
from k8s_adapter.keys import (
    TOKEN_SECRET,
    keys_in_use,
    scheme_of,
    token_annotation,
    token_variables,
)
from k8s_adapter.names import to_label_value
from k8s_adapter.options import Options
from k8s_adapter.snapshot import Snapshot

QUERY_PORT: Final = 1337
REPLICA_PORT: Final = 7000
REGISTRY_MAP: Final = "query-registry"
REGISTRY_FOLDER: Final = "/etc/servd/registry"

PAUSE_S: Final = 10
"""How long an ending frontend goes on: kube-proxies and load balancers hear of it meanwhile."""
DRAIN_S: Final = 30
GRACE_S: Final = PAUSE_S + DRAIN_S + 10
"""With room for what a frontend does of its own accord between SIGTERM and closing its door."""

# Pods of cluster DNS listen on 5353 on some distributions, and policies see the pod's port.
_DNS_PORTS: Final = [
    {"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")
]


def frontend_identity(snapshot: Snapshot, options: Options) -> Identity:
    """Return the identity of everything named query-frontend."""
    return Identity(
        name=FRONTEND,
        namespace=options.namespace,
        labels=component_labels(FRONTEND, FRONTEND, to_label_value(snapshot.servd_version)),
        selector=component_selector(FRONTEND, FRONTEND),
    )


def frontend_objects(snapshot: Snapshot, options: Options, names: dict[str, str]) -> list[Object]:
    """Return all objects of the frontends; `names` are those of the versions' Services."""
    identity = frontend_identity(snapshot, options)
    registry = Identity(name=REGISTRY_MAP, namespace=options.namespace, labels=identity.labels)
    text = registry_text(snapshot, options, names)
    found = [
        resources.service_account(identity),
        resources.config_map(registry, {"registry.json": text}),
        resources.deployment(_workload(snapshot, options, identity)),
        resources.service(identity, QUERY_PORT, "http", options.service_type),
        resources.disruption_budget(identity, options.kube_version),
        _policy(identity, options),
    ]
    if options.ingress:
        found.append(
            resources.ingress(identity, options.ingress, QUERY_PORT, options.ingress_class)
        )
    if options.service_monitor:
        secret = TOKEN_SECRET if options.token else None
        found.append(resources.service_monitor(identity, "http", secret))
    return found


def registry_text(snapshot: Snapshot, options: Options, names: dict[str, str]) -> str:
    """Return registry.json: the registry, and by version the Service that resolves to its replicas.

    The Service's bare name is found in the pod's own namespace, whatever the cluster's domain is.
    """
    endpoints = {
        version.key: {
            "host": names[version.key],
            "port": REPLICA_PORT,
            "scheme": scheme_of(version, options),
        }
        for version in snapshot.deployable
    }
    published: dict[str, Any] = {"registry": snapshot.registry, "endpoints": endpoints}
    return json.dumps(published, indent=2) + "\n"


def _workload(snapshot: Snapshot, options: Options, identity: Identity) -> pods.Workload:
    volumes: list[Object] = [{"name": "registry", "configMap": {"name": REGISTRY_MAP}}]
    annotations = token_annotation(options)
    for keys in keys_in_use(snapshot.deployable, options):
        volumes.append(keys.volume(keys.frontend_files))
        annotations |= keys.annotation(options)
    return pods.Workload(
        identity=identity,
        container=_container(snapshot, options),
        service_account=identity.name,
        grace_s=GRACE_S,
        volumes=volumes,
        replicas=options.frontend_replicas,
        annotations=annotations,
        image_pull_secret=options.image_pull_secret,
    )


def _container(snapshot: Snapshot, options: Options) -> Object:
    # The whole folder, never a subPath: only a folder's mount follows its ConfigMap.
    mounts: list[Object] = [
        pods.tmp_mount(),
        {"name": "registry", "mountPath": REGISTRY_FOLDER, "readOnly": True},
    ]
    mounts += [keys.mount() for keys in keys_in_use(snapshot.deployable, options)]
    return {
        "name": FRONTEND,
        "image": snapshot.frontend_image,
        "imagePullPolicy": "IfNotPresent",
        # The image has the command; what is said here adds to it.
        "args": _arguments(snapshot, options),
        "env": [pods.HOME, *token_variables(options)],
        "ports": [pods.container_port("http", QUERY_PORT)],
        **pods.http_probes("http"),
        "startupProbe": pods.http_probe("/healthz", "http", periodSeconds=1, failureThreshold=60),
        "lifecycle": pods.pause_before_stop(PAUSE_S, options.kube_version),
        "resources": pods.resources(("100m", "2"), ("128Mi", "512Mi")),
        "securityContext": pods.container_security(),
        "volumeMounts": mounts,
    }


def _arguments(snapshot: Snapshot, options: Options) -> list[str]:
    arguments = ["--registry", REGISTRY_FOLDER, "--port", str(QUERY_PORT)]
    arguments += ["--bind", "0.0.0.0"]  # noqa: S104 - the pod's own, guarded by the policy
    arguments += ["--drain", f"{DRAIN_S}s"]
    for keys in keys_in_use(snapshot.deployable, options):
        arguments += keys.argument
    if not options.token:
        arguments.append("--public-queries")
    return arguments


def _policy(identity: Identity, options: Options) -> Object:
    rule: Object = {"ports": [{"protocol": "TCP", "port": QUERY_PORT}]}
    # A Service with a door of its own is meant to be used by others, too.
    is_only_door = options.ingress and options.service_type == "ClusterIP"
    if is_only_door and options.ingress_namespace:
        rule["from"] = _callers(options.ingress_namespace, options)
    egress: list[Object] = [
        {"ports": _DNS_PORTS},
        {
            "to": [{"podSelector": {"matchLabels": component_pods(REPLICA)}}],
            "ports": [{"protocol": "TCP", "port": REPLICA_PORT}],
        },
    ]
    return resources.network_policy(identity, identity.selector, ingress=[rule], egress=egress)


def _callers(ingress_namespace: str, options: Options) -> list[Object]:
    name = {"kubernetes.io/metadata.name": ingress_namespace}
    callers: list[Object] = [{"namespaceSelector": {"matchLabels": name}}]
    if options.service_monitor:
        prometheus = {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}
        callers.append({"namespaceSelector": {}, "podSelector": prometheus})
    return callers
