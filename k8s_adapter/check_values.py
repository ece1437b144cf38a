"""Checks of single values: words that Kubernetes knows, numbers in their range, what is encoded."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from k8s_adapter.faults import Fault, Item

_Rule = Callable[[Any], str]
"""Says what is wrong with a value; nothing where it is right."""


def check_values(item: Item) -> Iterator[Fault]:
    """Yield what is wrong with an object's values; their types have been looked at before."""
    if item.kind == "Secret":
        yield from _check_secret(item)
    if item.kind == "Service" and (said := _SERVICE_TYPE(item.at("spec.type") or "ClusterIP")):
        yield item.fault("spec.type", said)
    yield from _walk(item, "spec", item.body.get("spec"))


def _walk(item: Item, path: str, value: Any) -> Iterator[Fault]:
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(item, f"{path}[{number}]", inner)
        return
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        own = f"{path}.{key}"
        if key in _RULES and (said := _RULES[key](inner)):
            yield item.fault(own, said)
        elif key not in _FREE:
            yield from _walk(item, own, inner)


def _check_secret(item: Item) -> Iterator[Fault]:
    for key, text in (item.at("data") or {}).items():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            # Not what it holds: a fault is printed.
            yield item.fault(f"data.{key}", "is not base64")


def _among(*words: str) -> _Rule:
    return lambda value: "" if value in words else f"'{value}' is not one of {', '.join(words)}"


def _least(number: int) -> _Rule:
    return lambda value: f"{value} is below {number}" if value < number else ""


def _port(value: Any) -> str:
    is_name = isinstance(value, str | dict)
    return "" if is_name or 1 <= value <= 65535 else "a port is 1 to 65535"


def _filled(value: Any) -> str:
    return "" if value else "is empty"


_SERVICE_TYPE: Final = _among("ClusterIP", "LoadBalancer", "NodePort")
_FREE: Final = frozenset({"labels", "annotations", "matchLabels", "selector"})
"""Maps whose keys are not fields."""
_AT_LEAST_ONE: Final = ("minReplicas", "averageUtilization", "targetCPUUtilizationPercentage")
_RULES: Final[Mapping[str, _Rule]] = {
    "imagePullPolicy": _among("Always", "IfNotPresent", "Never"),
    "pathType": _among("Exact", "ImplementationSpecific", "Prefix"),
    "protocol": _among("SCTP", "TCP", "UDP"),
    "unhealthyPodEvictionPolicy": _among("AlwaysAllow", "IfHealthyBudget"),
    "whenUnsatisfiable": _among("DoNotSchedule", "ScheduleAnyway"),
    **dict.fromkeys(("containerPort", "nodePort", "port", "targetPort"), _port),
    **dict.fromkeys(("replicas", "minReadySeconds", "initialDelaySeconds"), _least(0)),
    "terminationGracePeriodSeconds": _least(0),
    **dict.fromkeys(("periodSeconds", "timeoutSeconds"), _least(1)),
    **dict.fromkeys(("failureThreshold", "successThreshold", "maxSkew"), _least(1)),
    **dict.fromkeys(_AT_LEAST_ONE, _least(1)),
    **dict.fromkeys(("image", "containers"), _filled),
}
