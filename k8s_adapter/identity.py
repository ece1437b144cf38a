"""Who an object is: its name, namespace and labels. Made by cluster.py, used by every resource."""

from dataclasses import dataclass, field
from typing import Any, Final

Object = dict[str, Any]
"""A Kubernetes object as its YAML text has it."""

PART_OF: Final = "servd"
REPLICA: Final = "replica"
FRONTEND: Final = "query-frontend"

MANAGED: Final = {
    "app.kubernetes.io/part-of": PART_OF,
    "app.kubernetes.io/managed-by": "servd",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A name, the labels of all objects that bear it, and the labels that find its pods.

    `selector` is empty for what has no pods. It never holds a version: a Deployment's selector
    cannot be changed once it is on a cluster.
    """

    name: str
    namespace: str
    labels: dict[str, str] = field(default_factory=dict)
    selector: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> Object:
        """Return an object's metadata."""
        return {
            "name": self.name,
            "namespace": self.namespace,
            "labels": dict(sorted({**MANAGED, **self.labels}.items())),
        }


def component_labels(name: str, component: str, version: str) -> dict[str, str]:
    """Return the labels of a component's objects; `version` has to be a label's value."""
    return {
        "app.kubernetes.io/name": f"{PART_OF}-{component}",
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/version": version,
    }


def component_pods(component: str) -> dict[str, str]:
    """Return the labels that find all pods of a kind, whatever they are called."""
    return {"app.kubernetes.io/component": component, "app.kubernetes.io/part-of": PART_OF}


def component_selector(name: str, component: str) -> dict[str, str]:
    """Return the labels that find the pods of one component and no others."""
    return {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": name}
