"""What a cluster refuses although Kubernetes' schemas let it pass, in the language of schemas.

An API server checks words, ranges and names by code of its own, and some fields are there before
they do anything; `strengthened` puts this into the definitions of a release. Used by servd/export.
"""

import base64
import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from k8s_adapter import names
from k8s_adapter.kube_version import KubeVersion

_Schema = dict[str, Any]


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    has_prefix = not slash or names.is_subdomain(prefix)
    return has_prefix and bool(name) and names.is_label_value(name)


_VALUE_RULE: Final = (
    "a label's value has letters, digits, '-', '_' and '.', begins and ends with a letter or "
    f"digit, and has at most {names.MAX_LABEL} characters"
)
FORMATS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "label": (names.is_label, f"'{{}}' is refused: {names.LABEL_RULE}"),
    "service name": (names.is_service_name, f"'{{}}' is refused: {names.SERVICE_RULE}"),
    "subdomain": (names.is_subdomain, f"'{{}}' is refused: {names.SUBDOMAIN_RULE}"),
    "label's key": (_is_label_key, "'{}' is refused as a label's key"),
    "label's value": (names.is_label_value, f"'{{}}' is refused: {_VALUE_RULE}"),
    # Not what it holds: a fault is printed.
    "byte": (functools.partial(base64.b64decode, validate=True), "is not base64"),
}
"""By format what is False or a ValueError for a text without it, and what is said then.

"byte" is Kubernetes' own.
"""

_LABELS: Final = {
    "propertyNames": {"format": "label's key"},
    "additionalProperties": {"type": "string", "format": "label's value"},
}
_RULES: Final[Mapping[str, _Schema]] = {
    field: rule
    for fields, rule in (
        ("imagePullPolicy", {"enum": ["Always", "IfNotPresent", "Never"]}),
        ("pathType", {"enum": ["Exact", "ImplementationSpecific", "Prefix"]}),
        ("protocol", {"enum": ["SCTP", "TCP", "UDP"]}),
        ("unhealthyPodEvictionPolicy", {"enum": ["AlwaysAllow", "IfHealthyBudget"]}),
        ("whenUnsatisfiable", {"enum": ["DoNotSchedule", "ScheduleAnyway"]}),
        ("labels matchLabels", _LABELS),
        ("image containers", {"minLength": 1, "minItems": 1}),
        ("containerPort nodePort port targetPort", {"minimum": 1, "maximum": 65535}),
        ("replicas minReadySeconds initialDelaySeconds", {"minimum": 0}),
        ("terminationGracePeriodSeconds", {"minimum": 0}),
        ("periodSeconds timeoutSeconds failureThreshold successThreshold", {"minimum": 1}),
        ("maxSkew minReplicas", {"minimum": 1}),
        ("averageUtilization targetCPUUtilizationPercentage", {"minimum": 1}),
    )
    for field in fields.split()
}
"""By the name of a field what else it has to be, wherever it is."""

_NEEDED: Final = {
    "core.v1.ConfigMapKeySelector": ["name"],
    "core.v1.ConfigMapVolumeSource": ["name"],
    "core.v1.Container": ["image"],
    "core.v1.ExecAction": ["command"],
    "core.v1.LocalObjectReference": ["name"],
    "core.v1.PodTemplateSpec": ["metadata", "spec"],
    "core.v1.SecretKeySelector": ["name"],
    "core.v1.SecretVolumeSource": ["secretName"],
    "core.v1.ServiceSpec": ["ports"],
    "networking.v1.IngressBackend": ["service"],
    "networking.v1.IngressServiceBackend": ["port"],
    "networking.v1.IngressSpec": ["rules"],
    "networking.v1.NetworkPolicySpec": ["podSelector"],
    "policy.v1.PodDisruptionBudgetSpec": ["selector"],
}
"""By definition what has to be there: without it the object does nothing, or not what was meant."""

SINCE: Final = {
    field: KubeVersion(1, minor)
    for minor, fields in (
        (24, "grpc minDomains os"),
        (25, "hostUsers matchLabelKeys nodeAffinityPolicy nodeTaintsPolicy"),
        (27, "unhealthyPodEvictionPolicy"),
        (30, "sleep"),
    )
    for field in fields.split()
}
"""When fields came that older schemas have: they did nothing, or 1.25's stand in for its own."""
_API_SINCE: Final = {"autoscaling.v2.HorizontalPodAutoscaler": KubeVersion(1, 23)}

_NAMES: Final = {"Namespace": "label", "Service": "service name"}
_API: Final = "io.k8s.api."
_MONITOR: Final = "com.coreos.monitoring.v1.ServiceMonitor"


def strengthened(definitions: dict[str, _Schema], version: KubeVersion) -> dict[str, _Schema]:
    """Return a release's definitions and with them what a cluster refuses."""
    missing = {f"{_API}{name}" for name, since in _API_SINCE.items() if version < since}
    found = {
        name: _without_null(definition)
        for name, definition in definitions.items()
        if name not in missing
    }
    found[_MONITOR] = _service_monitor()
    for name, definition in found.items():
        fields = definition.get("properties", {})
        for field in fields.keys() & _RULES.keys():
            fields[field].update(_RULES[field])
        for field in fields.keys() & SINCE.keys():
            if version < SINCE[field]:
                del fields[field]
        needed = [*_NEEDED.get(name.removeprefix(_API), ()), *_root(fields)]
        definition["required"] = [*definition.get("required", ()), *needed]
    service = found[f"{_API}core.v1.ServiceSpec"]["properties"]
    service["type"]["enum"] = ["ClusterIP", "LoadBalancer", "NodePort"]
    template = found[f"{_API}core.v1.PodTemplateSpec"]["properties"]
    template["metadata"]["required"] = ["labels"]
    return found


def _root(fields: _Schema) -> list[str]:
    """Ask for a name that the kind may have; return what else an object needs, if this is one."""
    if not {"kind", "apiVersion", "metadata"} <= fields.keys():
        return []
    (kind,) = fields["kind"]["enum"]
    name = {"format": _NAMES.get(kind, "subdomain")}
    fields["metadata"].update(required=["name"], properties={"name": name})
    needed = ["apiVersion", "kind", "metadata"]
    return [*needed, "spec"] if "spec" in fields and kind != "Namespace" else needed


def _without_null(schema: Any, key: str = "") -> Any:
    """Kubernetes takes a null for no field at all; in an export it is a slip."""
    if isinstance(schema, dict):
        return {inner: _without_null(schema[inner], inner) for inner in schema}
    if isinstance(schema, list) and key == "type":
        return [name for name in schema if name != "null"]
    return schema if not isinstance(schema, list) else [_without_null(one) for one in schema]


def _service_monitor() -> _Schema:
    """Return what an export uses of this kind, which is not Kubernetes' but an operator's."""
    text = {"type": "string"}
    secret = {"$ref": f"#/$defs/{_API}core.v1.SecretKeySelector"}
    access = _object({"type": text, "credentials": secret})
    endpoint = {"port": text, "path": text, "interval": text, "authorization": access}
    meta = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1"
    spec = {
        "selector": {"$ref": f"{meta}.LabelSelector"},
        "endpoints": {"type": "array", "items": _object(endpoint, "port")},
    }
    fields = {
        "apiVersion": {"enum": ["monitoring.coreos.com/v1"]},
        "kind": {"enum": ["ServiceMonitor"]},
        "metadata": {"$ref": f"{meta}.ObjectMeta"},
        "spec": _object(spec, "selector", "endpoints"),
    }
    return _object(fields)


def _object(fields: _Schema, *needed: str) -> _Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(needed),
        "additionalProperties": False,
    }
