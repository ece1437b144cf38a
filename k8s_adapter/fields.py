"""The fields of the objects that an export writes, with their types. Used by check.py.

A part of the Kubernetes API: what an export uses, and no more. A dict is an object with these
fields, of which those that end with "!" have to be there; `{"*": type}` is a map, a list of one
type a list, a tuple one of these types.
"""

from typing import Any, Final

_QUANTITY: Final = (str, int)
_PORT: Final = (int, str)
_TEXTS: Final = {"*": str}

_METADATA: Final = {"name!": str, "namespace": str, "labels": _TEXTS, "annotations": _TEXTS}
_POD_METADATA: Final = {"labels!": _TEXTS, "annotations": _TEXTS}
_SELECTOR: Final = {"matchLabels": _TEXTS}
_HTTP_GET: Final = {"path": str, "port!": _PORT, "scheme": str, "host": str}
_PROBE: Final = {
    "httpGet": _HTTP_GET,
    "tcpSocket": {"port!": _PORT},
    "exec": {"command!": [str]},
    "initialDelaySeconds": int,
    "periodSeconds": int,
    "timeoutSeconds": int,
    "successThreshold": int,
    "failureThreshold": int,
}
_HOOK: Final = {"exec": {"command!": [str]}, "sleep": {"seconds!": int}, "httpGet": _HTTP_GET}
_KEY: Final = {"name!": str, "key!": str, "optional": bool}
_CONTAINER: Final = {
    "name!": str,
    "image!": str,
    "imagePullPolicy": str,
    "command": [str],
    "args": [str],
    "env": [
        {
            "name!": str,
            "value": str,
            "valueFrom": {"secretKeyRef": _KEY, "configMapKeyRef": _KEY},
        }
    ],
    "ports": [{"name": str, "containerPort!": int, "protocol": str}],
    "startupProbe": _PROBE,
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "lifecycle": {"preStop": _HOOK, "postStart": _HOOK},
    "resources": {"requests": {"*": _QUANTITY}, "limits": {"*": _QUANTITY}},
    "securityContext": {
        "allowPrivilegeEscalation": bool,
        "readOnlyRootFilesystem": bool,
        "runAsNonRoot": bool,
        "runAsUser": int,
        "runAsGroup": int,
        "capabilities": {"drop": [str], "add": [str]},
        "seccompProfile": {"type": str},
    },
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
}
_ITEMS: Final = [{"key!": str, "path!": str}]
_POD: Final = {
    "serviceAccountName": str,
    "automountServiceAccountToken": bool,
    "enableServiceLinks": bool,
    "securityContext": {
        "runAsNonRoot": bool,
        "runAsUser": int,
        "runAsGroup": int,
        "fsGroup": int,
        "seccompProfile": {"type": str},
    },
    "terminationGracePeriodSeconds": int,
    "topologySpreadConstraints": [
        {
            "maxSkew!": int,
            "topologyKey!": str,
            "whenUnsatisfiable!": str,
            "labelSelector": _SELECTOR,
        }
    ],
    "imagePullSecrets": [{"name!": str}],
    "containers!": [_CONTAINER],
    "volumes": [
        {
            "name!": str,
            "emptyDir": {"sizeLimit": _QUANTITY, "medium": str},
            "configMap": {"name!": str, "defaultMode": int, "items": _ITEMS},
            "secret": {"secretName!": str, "defaultMode": int, "items": _ITEMS},
        }
    ],
}
_POLICY_PORTS: Final = [{"protocol": str, "port": _PORT}]
_PEERS: Final = [{"podSelector": _SELECTOR, "namespaceSelector": _SELECTOR}]
_TARGET: Final = {"type!": str, "averageUtilization": int, "averageValue": _QUANTITY}

_SPECS: Final[dict[str, dict[str, Any]]] = {
    "Deployment": {
        "replicas": int,
        "minReadySeconds": int,
        "revisionHistoryLimit": int,
        "progressDeadlineSeconds": int,
        "selector!": _SELECTOR,
        "strategy": {
            "type": str,
            "rollingUpdate": {"maxSurge": _PORT, "maxUnavailable": _PORT},
        },
        "template!": {"metadata!": _POD_METADATA, "spec!": _POD},
    },
    "Service": {
        "type": str,
        "clusterIP": str,
        "publishNotReadyAddresses": bool,
        "selector": _TEXTS,
        "ports!": [
            {"name": str, "port!": int, "targetPort": _PORT, "protocol": str, "nodePort": int}
        ],
    },
    "HorizontalPodAutoscaler": {
        "scaleTargetRef!": {"apiVersion": str, "kind!": str, "name!": str},
        "minReplicas": int,
        "maxReplicas!": int,
        "metrics": [{"type!": str, "resource": {"name!": str, "target!": _TARGET}}],
        "targetCPUUtilizationPercentage": int,
    },
    "PodDisruptionBudget": {
        "maxUnavailable": _PORT,
        "minAvailable": _PORT,
        "selector!": _SELECTOR,
        "unhealthyPodEvictionPolicy": str,
    },
    "NetworkPolicy": {
        "podSelector!": _SELECTOR,
        "policyTypes": [str],
        "ingress": [{"from": _PEERS, "ports": _POLICY_PORTS}],
        "egress": [{"to": _PEERS, "ports": _POLICY_PORTS}],
    },
    "Ingress": {
        "ingressClassName": str,
        "rules!": [
            {
                "host": str,
                "http": {
                    "paths!": [
                        {
                            "path": str,
                            "pathType!": str,
                            "backend!": {
                                "service!": {"name!": str, "port!": {"number": int, "name": str}}
                            },
                        }
                    ]
                },
            }
        ],
    },
    "ServiceMonitor": {
        "selector!": _SELECTOR,
        "endpoints!": [
            {
                "port!": str,
                "path": str,
                "interval": str,
                "authorization": {"type": str, "credentials": _KEY},
            }
        ],
    },
}
_TOP: Final[dict[str, dict[str, Any]]] = {
    "Namespace": {},
    "ServiceAccount": {"automountServiceAccountToken": bool},
    "ConfigMap": {"data": _TEXTS},
    "Secret": {"type": str, "data": _TEXTS},
    **{kind: {"spec!": spec} for kind, spec in _SPECS.items()},
}

FIELDS: Final = {
    kind: {"apiVersion!": str, "kind!": str, "metadata!": _METADATA, **own}
    for kind, own in _TOP.items()
}
"""By kind, the fields of an object."""
