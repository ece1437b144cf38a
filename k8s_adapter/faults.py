"""What is wrong with an export, and the objects that it is wrong with. Used by the checks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from k8s_adapter.identity import Object


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: in which file, of which object, at which field."""

    file: str
    found: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.found} {self.path}: {self.message}".replace("  ", " ")


@dataclass(frozen=True, slots=True)
class Item:
    """An object and the file that it stands in."""

    file: str
    body: Object

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body.get("kind", "object"))

    @property
    def name(self) -> str:
        """The object's name, or an empty text."""
        return str(self.at("metadata.name") or "")

    def at(self, path: str) -> Any:
        """Return the value at a path of field names joined by dots, or None."""
        value: Any = self.body
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def fault(self, path: str, message: str) -> Fault:
        """Return a fault of this object."""
        return Fault(self.file, f"{self.kind} {self.name}".rstrip(), path, message)

    @property
    def pod_labels(self) -> dict[str, str]:
        """The labels of a Deployment's pods."""
        return self.at("spec.template.metadata.labels") or {}

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Yield a Deployment's containers, each with its path."""
        path = "spec.template.spec.containers"
        for number, container in enumerate(self.at(path) or ()):
            yield f"{path}[{number}]", container


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Return whether a selector finds an object with these labels; an empty one finds all."""
    return all(labels.get(key) == value for key, value in selector.items())


def of_kind(items: list[Item], kind: str) -> list[Item]:
    """Return the objects of a kind."""
    return [item for item in items if item.kind == kind]


def open_ports(deployment: Item) -> dict[str | int, int]:
    """Return the ports that a Deployment's containers open, by name and by number."""
    found: dict[str | int, int] = {}
    for _, container in deployment.containers():
        for port in container.get("ports", ()):
            number = port["containerPort"]
            found[number] = number
            if "name" in port:
                found[port["name"]] = number
    return found
