"""Checks of what objects say of each other: selectors, ports, targets, mounts, namespaces."""

from collections.abc import Iterator

from k8s_adapter.faults import Fault, Item, matches, of_kind, open_ports
from k8s_adapter.identity import Object


def check_links(items: list[Item]) -> Iterator[Fault]:
    """Yield every reference that leads nowhere, or to what does not fit."""
    yield from _check_unique(items)
    yield from _check_namespaces(items)
    for item in of_kind(items, "Deployment"):
        yield from _check_deployment(item, items)
    for item in of_kind(items, "Service"):
        yield from _check_service(item, items)
    for item in of_kind(items, "HorizontalPodAutoscaler"):
        yield from _check_autoscaler(item, items)
    for item in of_kind(items, "PodDisruptionBudget"):
        yield from _check_budget(item, items)
    for item in of_kind(items, "NetworkPolicy"):
        yield from _check_pods_found(item, "spec.podSelector.matchLabels", items)
    for item in of_kind(items, "Ingress"):
        yield from _check_ingress(item, items)
    for item in of_kind(items, "ServiceMonitor"):
        yield from _check_monitor(item, items)


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
