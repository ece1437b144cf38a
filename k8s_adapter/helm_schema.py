"""The values.schema.json of the charts: what `helm lint` and `helm install` refuse. For helm.py."""

import json
from collections.abc import Mapping
from typing import Any, Final

from k8s_adapter.identity import Object
from k8s_adapter.names import MAX_LABEL
from k8s_adapter.options import SERVICE_TYPES

SERVICE_SUFFIX: Final = "-lb"
"""What a standalone chart's Service adds to the application's name."""

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SERVICE_NAME: Final = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
_LABEL_VALUE: Final = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"


def _json_text(properties: Mapping[str, Object]) -> str:
    schema = {"$schema": _DRAFT, **_object_schema(properties)}
    return json.dumps(schema, indent=2) + "\n"


def _object_schema(properties: Mapping[str, Any]) -> Object:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": dict(properties),
    }


def _whole(least: int, most: int | None = None) -> Object:
    bounds: Object = {"type": "integer", "minimum": least}
    return bounds if most is None else {**bounds, "maximum": most}


_PORT_SCHEMA: Final = _whole(1, 65535)
_TEXT_SCHEMA: Final[Object] = {"type": "string", "minLength": 1}
_SERVICE_TYPE_SCHEMA: Final[Object] = {
    "type": "string",
    "enum": list(SERVICE_TYPES),
}
_PULL_SECRETS_SCHEMA: Final[Object] = {
    "type": "array",
    "items": _object_schema({"name": _TEXT_SCHEMA}),
}
_AUTOSCALING_SCHEMA: Final = _object_schema(
    {"minReplicas": _whole(1), "maxReplicas": _whole(1), "cpuTarget": _whole(1, 100)}
)


def standalone_schema(values: Mapping[str, Any]) -> str:
    """Return the schema of a standalone chart with these values."""
    known: dict[str, Object] = {
        "app": _object_schema(
            {
                "name": {
                    "type": "string",
                    "pattern": _SERVICE_NAME,
                    "maxLength": MAX_LABEL - len(SERVICE_SUFFIX),
                },
                "env": {
                    "type": "string",
                    "pattern": _LABEL_VALUE,
                },
                "namespace": {"type": "string", "pattern": f"^$|{_LABEL}", "maxLength": 63},
                "image": _TEXT_SCHEMA,
            }
        ),
        "containerPort": _PORT_SCHEMA,
        "targetPort": _PORT_SCHEMA,
        "createNamespace": {"type": "boolean"},
        "service": _object_schema({"type": _SERVICE_TYPE_SCHEMA, "port": _PORT_SCHEMA}),
        "autoscaling": _AUTOSCALING_SCHEMA,
        "resources": {"type": "object"},
        "imagePullSecrets": _PULL_SECRETS_SCHEMA,
        "variables": _variables_schema(values.get("variables", {})),
    }
    return _json_text({name: known[name] for name in values})


def _variables_schema(variables: Mapping[str, str]) -> Object:
    """Return the schema of a version's variables; `--set` makes numbers of what looks so."""
    return _object_schema({name: {"type": ["string", "number", "boolean"]} for name in variables})


def cluster_schema(values: Mapping[str, Any]) -> str:
    """Return the schema of a cluster chart with these values: of these names and no others."""
    workloads = {
        name: _object_schema(
            {"image": _TEXT_SCHEMA} | ({"replicas": _whole(0)} if "replicas" in workload else {})
        )
        for name, workload in values["workloads"].items()
    }
    known = {
        "workloads": _object_schema(workloads),
        "autoscaling": _object_schema(dict.fromkeys(values["autoscaling"], _AUTOSCALING_SCHEMA)),
        "imagePullSecrets": _PULL_SECRETS_SCHEMA,
        "service": _object_schema({"type": _SERVICE_TYPE_SCHEMA}),
        "variables": _object_schema(
            {name: _variables_schema(own) for name, own in values.get("variables", {}).items()}
        ),
    }
    return _json_text({name: known[name] for name in values})
