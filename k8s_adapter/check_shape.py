"""Checks of each object by itself: its API version, its fields, its names and labels."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from k8s_adapter.faults import Fault, Item
from k8s_adapter.fields import FIELDS
from k8s_adapter.kube_version import KubeVersion
from k8s_adapter.names import (
    LABEL_RULE,
    SERVICE_RULE,
    SUBDOMAIN_RULE,
    is_label,
    is_label_value,
    is_service_name,
    is_subdomain,
)

_BEFORE_ALL: Final = KubeVersion(0, 0)
_AFTER_ALL: Final = KubeVersion(99, 0)


class _Served(NamedTuple):
    """From which release on and up to which one (not with it) an API version is served."""

    since: KubeVersion = _BEFORE_ALL
    until: KubeVersion = _AFTER_ALL


_APIS: Final = {
    "Namespace": {"v1": _Served()},
    "ServiceAccount": {"v1": _Served()},
    "ConfigMap": {"v1": _Served()},
    "Secret": {"v1": _Served()},
    "Service": {"v1": _Served()},
    "Deployment": {"apps/v1": _Served()},
    "HorizontalPodAutoscaler": {
        "autoscaling/v2": _Served(since=KubeVersion(1, 23)),
        "autoscaling/v1": _Served(),
        "autoscaling/v2beta2": _Served(until=KubeVersion(1, 26)),
    },
    "PodDisruptionBudget": {
        "policy/v1": _Served(since=KubeVersion(1, 21)),
        "policy/v1beta1": _Served(until=KubeVersion(1, 25)),
    },
    "NetworkPolicy": {"networking.k8s.io/v1": _Served()},
    "Ingress": {"networking.k8s.io/v1": _Served(since=KubeVersion(1, 19))},
    "ServiceMonitor": {"monitoring.coreos.com/v1": _Served()},
}
_SINCE: Final = {
    ("PodDisruptionBudget", "spec.unhealthyPodEvictionPolicy"): KubeVersion(1, 27),
}
"""Fields that are younger than the oldest release."""

_NAMES: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "Namespace": (is_label, LABEL_RULE),
    "Service": (is_service_name, SERVICE_RULE),
}


def check_shape(item: Item, kube_version: KubeVersion) -> Iterator[Fault]:
    """Yield what is wrong with one object, whatever else there is."""
    if item.kind not in _APIS:
        known = ", ".join(sorted(_APIS))
        yield item.fault("kind", f"'{item.kind}' is not a kind of an export: {known}")
        return
    yield from _check_api(item, kube_version)
    yield from _check_fields(item, "", item.body, FIELDS[item.kind])
    yield from _check_names(item)
    for (kind, path), since in _SINCE.items():
        if kind == item.kind and item.at(path) is not None and kube_version < since:
            yield item.fault(path, f"exists from Kubernetes {since} on, not in {kube_version}")


def _check_api(item: Item, kube_version: KubeVersion) -> Iterator[Fault]:
    served = _APIS[item.kind]
    given = item.body.get("apiVersion")
    window = served.get(str(given))
    if window is None or not window.since <= kube_version < window.until:
        fitting = [
            name for name, other in served.items() if other.since <= kube_version < other.until
        ]
        yield item.fault(
            "apiVersion",
            f"Kubernetes {kube_version} has no {item.kind} of '{given}'; "
            f"it has {' and '.join(fitting)}",
        )


def _check_fields(item: Item, path: str, value: Any, wanted: Any) -> Iterator[Fault]:
    if isinstance(wanted, dict) and isinstance(value, dict):
        yield from _check_object(item, path, value, wanted)
    elif isinstance(wanted, list) and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _check_fields(item, f"{path}[{number}]", inner, wanted[0])
    elif not _is_of_type(value, wanted):
        yield item.fault(path, f"{value!r} is not {_type_name(wanted)}")


def _check_object(
    item: Item, path: str, value: dict[Any, Any], wanted: dict[str, Any]
) -> Iterator[Fault]:
    inside = f"{path}." if path else ""
    types = {key.removesuffix("!"): inner for key, inner in wanted.items()}
    for key in wanted:
        if key.endswith("!") and key.removesuffix("!") not in value:
            yield item.fault(f"{inside}{key.removesuffix('!')}", "is missing")
    for key, inner in value.items():
        if "*" not in types and key not in types:
            yield item.fault(f"{inside}{key}", f"{item.kind} has no such field")
        else:
            yield from _check_fields(item, f"{inside}{key}", inner, types.get("*", types.get(key)))


def _is_of_type(value: Any, wanted: Any) -> bool:
    types = wanted if isinstance(wanted, tuple) else (wanted,)
    # A truth value is an int to Python, and not to Kubernetes.
    return type(value) in types


def _type_name(wanted: Any) -> str:
    words = {str: "a text", int: "a whole number", bool: "true or false"}
    if isinstance(wanted, tuple):
        return " or ".join(words[one] for one in wanted)
    if isinstance(wanted, dict):
        return "an object"
    return "a list" if isinstance(wanted, list) else words[wanted]


def _check_names(item: Item) -> Iterator[Fault]:
    is_valid, rule = _NAMES.get(item.kind, (is_subdomain, SUBDOMAIN_RULE))
    if item.name and not is_valid(item.name):
        yield item.fault("metadata.name", f"'{item.name}' is refused: {rule}")
    labelled = ("metadata.labels", "spec.template.metadata.labels", "spec.selector.matchLabels")
    for path in labelled:
        labels = item.at(path)
        for key, value in labels.items() if isinstance(labels, dict) else ():
            yield from _check_label(item, f"{path}.{key}", str(key), str(value))


def _check_label(item: Item, path: str, key: str, value: str) -> Iterator[Fault]:
    prefix, slash, name = key.rpartition("/")
    if not name or not is_label_value(name) or (slash and not is_subdomain(prefix)):
        yield item.fault(path, f"'{key}' is refused as a label's key")
    if not is_label_value(value):
        yield item.fault(
            path,
            f"'{value}' is refused: a label's value has letters, digits, '-', '_' and '.', begins "
            "and ends with a letter or digit, and has at most 63 characters",
        )
