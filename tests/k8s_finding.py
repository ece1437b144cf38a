"""Finds objects in an export. Used by the tests of exports."""

from typing import Any

from k8s_adapter.identity import Object


def one(objects: list[Object], kind: str, name: str) -> Object:
    """Return the object of that kind and name."""
    (found,) = (o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name))
    return found


def names(objects: list[Object], kind: str) -> list[str]:
    """Return the names of the objects of a kind."""
    return [o["metadata"]["name"] for o in objects if o["kind"] == kind]


def pod(deployment: Object) -> dict[str, Any]:
    """Return the pod that a Deployment makes."""
    return deployment["spec"]["template"]["spec"]


def container(deployment: Object) -> dict[str, Any]:
    """Return the only container of a Deployment's pods."""
    (found,) = pod(deployment)["containers"]
    return found


def set_at(found: Object, path: str, value: Any) -> None:
    """Set the field at a path such as a.b[0].c; `...` removes it."""
    *parents, last = [
        int(part) if part.isdecimal() else part
        for part in path.replace("[", ".").replace("]", "").split(".")
    ]
    inside: Any = found
    for part in parents:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
