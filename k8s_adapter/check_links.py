"""Checks of what objects say of each other: selectors, ports, targets, mounts, namespaces.

And of the ways between pods: what policies let through, where the registry leads.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from k8s_adapter.faults import Fault, Item, matches, of_kind, open_ports
from k8s_adapter.identity import Object

_REGISTRY: Final = "registry.json"
_DNS_PORT: Final = 53


def check_links(items: list[Item]) -> Iterator[Fault]:
    """Yield every reference that leads nowhere or to what does not fit, and every way shut."""
    yield from _check_unique(items)
    yield from _check_namespaces(items)
    checks = {
        "Deployment": _check_deployment,
        "Service": _check_service,
        "HorizontalPodAutoscaler": _check_autoscaler,
        "PodDisruptionBudget": _check_budget,
        "NetworkPolicy": _check_policy,
        "Ingress": _check_ingress,
        "ServiceMonitor": _check_monitor,
        "ConfigMap": _check_registry,
    }
    for kind, check in checks.items():
        for item in of_kind(items, kind):
            yield from check(item, items)


def _check_unique(items: list[Item]) -> Iterator[Fault]:
    seen: dict[tuple[str, str], str] = {}
    for item in items:
        key = (item.kind, item.name)
        if key in seen:
            yield item.fault("metadata.name", f"is there already, in {seen[key]}")
        seen.setdefault(key, item.file)


def _check_namespaces(items: list[Item]) -> Iterator[Fault]:
    own = [item for item in items if item.kind != "Namespace"]
    first = own[0].at("metadata.namespace") if own else None
    made = {item.name for item in of_kind(items, "Namespace")}
    for item in own:
        found = item.at("metadata.namespace")
        if found != first:
            yield item.fault("metadata.namespace", f"{found} is not {first}, where others are")
        elif made and found not in made:
            yield item.fault("metadata.namespace", f"there is no Namespace '{found}'")


def _check_deployment(item: Item, items: list[Item]) -> Iterator[Fault]:
    selector = item.at("spec.selector.matchLabels") or {}
    if not selector or not matches(selector, item.pod_labels):
        yield item.fault("spec.selector.matchLabels", "does not match the template's labels")
    account = item.at("spec.template.spec.serviceAccountName")
    if account and account != "default" and not _named(items, "ServiceAccount", account):
        yield item.fault(
            "spec.template.spec.serviceAccountName", f"there is no ServiceAccount '{account}'"
        )
    path = "spec.template.spec.volumes"
    for number, volume in enumerate(item.at(path) or ()):
        yield from _check_volume(item, f"{path}[{number}]", volume, items)
    for own, container in item.containers():
        for number, variable in enumerate(container.get("env", ())):
            source = variable.get("valueFrom", {})
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if field in source:
                    place = f"{own}.env[{number}].valueFrom.{field}"
                    keys = [source[field]["key"]]
                    yield from _check_keys(item, place, (kind, source[field]["name"], keys), items)


def _check_volume(item: Item, path: str, volume: Object, items: list[Item]) -> Iterator[Fault]:
    for field, kind, name in (
        ("configMap", "ConfigMap", "name"),
        ("secret", "Secret", "secretName"),
    ):
        if field in volume:
            keys = [entry["key"] for entry in volume[field].get("items", ())]
            wanted = (kind, volume[field][name], keys)
            yield from _check_keys(item, f"{path}.{field}", wanted, items)


def _check_keys(
    item: Item, path: str, wanted: tuple[str, str, list[str]], items: list[Item]
) -> Iterator[Fault]:
    kind, name, keys = wanted
    found = _named(items, kind, name)
    if found is None:
        yield item.fault(path, f"there is no {kind} '{name}'")
        return
    for key in keys:
        if key not in (found.at("data") or {}):
            yield item.fault(path, f"{kind} '{name}' has no '{key}'")


def _check_service(item: Item, items: list[Item]) -> Iterator[Fault]:
    yield from _check_pods_found(item, "spec.selector", items)
    selector = item.at("spec.selector") or {}
    for deployment in of_kind(items, "Deployment"):
        if not matches(selector, deployment.pod_labels):
            continue
        ports = open_ports(deployment)
        for number, port in enumerate(item.at("spec.ports") or ()):
            target = port.get("targetPort", port.get("port"))
            if target not in ports:
                yield item.fault(
                    f"spec.ports[{number}].targetPort",
                    f"Deployment {deployment.name} opens no port {target}",
                )


def _check_autoscaler(item: Item, items: list[Item]) -> Iterator[Fault]:
    name = item.at("spec.scaleTargetRef.name")
    target = _named(items, str(item.at("spec.scaleTargetRef.kind")), str(name))
    if target is None:
        yield item.fault("spec.scaleTargetRef", f"there is no Deployment '{name}'")
        return
    if target.at("spec.replicas") is not None:
        yield item.fault(
            "spec.scaleTargetRef",
            f"Deployment {name} sets spec.replicas, and each apply undoes this",
        )
    if (item.at("spec.minReplicas") or 1) > (item.at("spec.maxReplicas") or 0):
        yield item.fault("spec.maxReplicas", "is below spec.minReplicas")
    for path, container in target.containers():
        if "cpu" not in container.get("resources", {}).get("requests", {}):
            yield item.fault(
                "spec.metrics",
                f"a share of nothing: Deployment {name} has no {path} request of cpu",
            )


def _check_budget(item: Item, items: list[Item]) -> Iterator[Fault]:
    yield from _check_pods_found(item, "spec.selector.matchLabels", items)
    if item.at("spec.maxUnavailable") in (0, "0", "0%"):
        yield item.fault("spec.maxUnavailable", "no node can ever be drained")
    if item.at("spec.minAvailable") is not None:
        yield item.fault("spec.minAvailable", "a lone pod keeps its node from being drained")


def _check_ingress(item: Item, items: list[Item]) -> Iterator[Fault]:
    for first, rule in enumerate(item.at("spec.rules") or ()):
        for second, entry in enumerate(rule.get("http", {}).get("paths", ())):
            path = f"spec.rules[{first}].http.paths[{second}].backend.service"
            backend = entry["backend"]["service"]
            service = _named(items, "Service", backend["name"])
            if service is None:
                yield item.fault(f"{path}.name", f"there is no Service '{backend['name']}'")
                continue
            wanted = backend["port"].get("number", backend["port"].get("name"))
            ports = service.at("spec.ports") or ()
            if not any(wanted in (port.get("port"), port.get("name")) for port in ports):
                yield item.fault(f"{path}.port", f"Service {service.name} has no port {wanted}")


def _check_monitor(item: Item, items: list[Item]) -> Iterator[Fault]:
    selector = item.at("spec.selector.matchLabels") or {}
    services = [
        service
        for service in of_kind(items, "Service")
        if matches(selector, service.at("metadata.labels") or {})
    ]
    if not services:
        yield item.fault("spec.selector.matchLabels", "no Service has these labels")
    names = {port.get("name") for service in services for port in service.at("spec.ports") or ()}
    for number, endpoint in enumerate(item.at("spec.endpoints") or ()):
        if services and endpoint.get("port") not in names:
            yield item.fault(
                f"spec.endpoints[{number}].port", f"no Service has a port '{endpoint.get('port')}'"
            )


def _check_pods_found(item: Item, path: str, items: list[Item]) -> Iterator[Fault]:
    selector = item.at(path)
    pods = (other.pod_labels for other in of_kind(items, "Deployment"))
    if not selector or not any(matches(selector, labels) for labels in pods):
        yield item.fault(path, "finds no pods")


def _named(items: list[Item], kind: str, name: str) -> Item | None:
    return next((item for item in items if (item.kind, item.name) == (kind, name)), None)


def _check_policy(item: Item, items: list[Item]) -> Iterator[Fault]:
    yield from _check_pods_found(item, "spec.podSelector.matchLabels", items)
    own = _guarded(item, items)
    for number, rule in enumerate(item.at("spec.ingress") or ()):
        path = f"spec.ingress[{number}]"
        yield from _check_peers(item, f"{path}.from", rule.get("from", ()), items)
        yield from _check_ports(item, path, rule, own)
    if "Egress" not in (item.at("spec.policyTypes") or ()):
        return
    rules = item.at("spec.egress") or []
    for number, rule in enumerate(rules):
        path, peers = f"spec.egress[{number}]", rule.get("to", ())
        yield from _check_peers(item, f"{path}.to", peers, items)
        found = [pod for peer in peers for pod in _selected(peer.get("podSelector", {}), items)]
        if peers and not any("namespaceSelector" in peer for peer in peers):
            yield from _check_ports(item, path, rule, found)
    ports = [port.get("port") for rule in rules for port in rule.get("ports", ())]
    if _DNS_PORT not in ports and not any("ports" not in rule for rule in rules):
        yield item.fault("spec.egress", f"no rule lets pods look names up (port {_DNS_PORT})")


def _check_peers(item: Item, path: str, peers: Any, items: list[Item]) -> Iterator[Fault]:
    """Yield the peers in the pods' own namespace that are none of the export's pods."""
    for number, peer in enumerate(peers):
        if "namespaceSelector" not in peer and not _selected(peer.get("podSelector", {}), items):
            yield item.fault(f"{path}[{number}].podSelector", "finds no pods")


def _check_ports(item: Item, path: str, rule: Object, pods: list[Item]) -> Iterator[Fault]:
    for number, entry in enumerate(rule.get("ports", ())):
        port = entry.get("port")
        if pods and port is not None and not any(port in open_ports(pod) for pod in pods):
            yield item.fault(f"{path}.ports[{number}].port", f"no pod there opens port {port}")


def _check_registry(item: Item, items: list[Item]) -> Iterator[Fault]:
    if _REGISTRY not in (item.at("data") or {}):
        return
    path = f"data.{_REGISTRY}"
    try:
        endpoints: dict[str, dict[str, Any]] = json.loads(item.at("data")[_REGISTRY])["endpoints"]
    except (ValueError, KeyError, TypeError):
        yield item.fault(path, "is not a registry")
        return
    services = {service.name: service for service in of_kind(items, "Service")}
    for version, endpoint in endpoints.items():
        host, port = endpoint.get("host"), endpoint.get("port")
        own = f"{path} endpoints.{version}"
        service = services.get(str(host))
        if service is None:
            yield item.fault(f"{own}.host", f"there is no Service '{host}'")
        elif service.at("spec.clusterIP") != "None":
            yield item.fault(
                f"{own}.host", f"Service {host} is not headless: its pods have no names"
            )
        elif not any(port in open_ports(pod) for pod in _of_service(service, items)):
            yield item.fault(f"{own}.port", f"no pod of Service {host} opens port {port}")
        else:
            yield from _check_scheme(item, version, endpoint, items)
            for pod in _of_service(service, items):
                yield from _check_door(pod, port, items)


def _check_scheme(
    item: Item, version: str, endpoint: dict[str, Any], items: list[Item]
) -> Iterator[Fault]:
    """Yield that replicas do not listen as front ends call them, or that those have no keys."""
    scheme = str(endpoint.get("scheme", "tcp"))
    path = f"data.{_REGISTRY} endpoints.{version}.scheme"
    service = next(each for each in of_kind(items, "Service") if each.name == endpoint["host"])
    for pod in _of_service(service, items):
        if not any(word.startswith(f"{scheme}://") for word in _words(pod)):
            yield item.fault(path, f"{pod.name} does not listen at {scheme}://")
    for front_end in _mounting(item, items):
        if scheme == "tls" and "--tls" not in _words(front_end):
            yield item.fault(path, f"{front_end.name} has no certificates (--tls)")


def _words(pod: Item) -> list[str]:
    """Return the arguments of a Deployment's containers, and the values of their variables."""
    boxes = [box for _, box in pod.containers()]
    values = [entry.get("value", "") for box in boxes for entry in box.get("env", ())]
    return [word for box in boxes for word in box.get("args", ())] + values


def _mounting(config_map: Item, items: list[Item]) -> list[Item]:
    """Return the Deployments whose pods mount a ConfigMap."""
    return [
        item
        for item in of_kind(items, "Deployment")
        for volume in item.at("spec.template.spec.volumes") or ()
        if volume.get("configMap", {}).get("name") == config_map.name
    ]


def _check_door(pod: Item, port: Any, items: list[Item]) -> Iterator[Fault]:
    """Yield the policies of a pod, where none of their rules is for a port that it is asked at."""
    policies = [item for item in of_kind(items, "NetworkPolicy") if pod in _guarded(item, items)]
    rules = [rule for policy in policies for rule in policy.at("spec.ingress") or ()]
    doors = {entry.get("port") for rule in rules for entry in rule.get("ports", ())}
    is_free = not policies or any("ports" not in rule for rule in rules)
    if not is_free and port not in {open_ports(pod).get(door) for door in doors}:
        yield policies[0].fault("spec.ingress", f"no rule lets in {pod.name}'s port {port}")


def _guarded(policy: Item, items: list[Item]) -> list[Item]:
    return _selected(policy.at("spec.podSelector") or {}, items)


def _selected(selector: Object, items: list[Item]) -> list[Item]:
    """Return the Deployments whose pods a label selector finds."""
    labels = selector.get("matchLabels") or {}
    return [item for item in of_kind(items, "Deployment") if matches(labels, item.pod_labels)]


def _of_service(service: Item, items: list[Item]) -> list[Item]:
    return _selected({"matchLabels": service.at("spec.selector") or {}}, items)
