"""Checks of the ways between pods: what policies let through, where the registry leads."""

import json
from collections.abc import Iterator
from typing import Any, Final

from k8s_adapter.faults import Fault, Item, matches, of_kind, open_ports
from k8s_adapter.identity import Object

_REGISTRY: Final = "registry.json"
_DNS_PORT: Final = 53


def check_ways(items: list[Item]) -> Iterator[Fault]:
    """Yield what keeps front ends, replicas and clients from each other."""
    for item in of_kind(items, "NetworkPolicy"):
        yield from _check_policy(item, items)
    for item in of_kind(items, "ConfigMap"):
        if _REGISTRY in (item.at("data") or {}):
            yield from _check_registry(item, items)


def _check_policy(item: Item, items: list[Item]) -> Iterator[Fault]:
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
