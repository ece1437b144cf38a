"""Objects as texts: a directory, a single file, a kustomization. The CLI writes them to disk.

Equal objects give equal bytes: keys keep the order that the resource functions give them.
"""

import copy
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from k8s_adapter.identity import Object

KINDS: Final = {
    "HorizontalPodAutoscaler": "hpa",
    "PodDisruptionBudget": "pdb",
}
"""The short names of kinds that are long; the others are their own in lower case."""

NAMESPACE_FILE: Final = "00-namespace.yaml"
"""`kubectl apply -f DIR` goes by file name, and the Namespace has to come first."""

_EARLY: Final = frozenset({"ConfigMap", "NetworkPolicy", "Secret", "ServiceAccount"})
"""What pods start with: where it comes after them, their first attempts fail."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, lists indented, and never an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - PyYAML's own signature
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own signature
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif not text[:1].isalpha() or text in "yYnN":
        # What kubectl's parser takes for a number or a truth value, such as 1e3 or y.
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def to_yaml(value: Mapping[str, Any]) -> str:
    """Return an object's YAML text."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=sys.maxsize
    )


def file_name(found: Object) -> str:
    """Return the name of an object's file: stable, as it comes from its name and kind only."""
    if found["kind"] == "Namespace":
        return NAMESPACE_FILE
    kind = KINDS.get(found["kind"], found["kind"].lower())
    order = "01-" if found["kind"] in _EARLY else ""
    return f"{order}{found['metadata']['name']}-{kind}.yaml"


def render_directory(objects: Iterable[Object]) -> dict[str, str]:
    """Return a file per object, by file name, for `kubectl apply -f DIR`."""
    files = {file_name(found): to_yaml(found) for found in objects}
    return dict(sorted(files.items()))


def render_single_file(objects: Iterable[Object]) -> str:
    """Return all objects in one text, in the order in which they can be applied."""
    return "---\n".join(to_yaml(found) for found in objects)


def render_kustomize(objects: Iterable[Object], namespace: str) -> dict[str, str]:
    """Return the files of a kustomization, for `kubectl apply -k DIR`.

    An image in a file is called like its Deployment, and `images` in kustomization.yaml says which
    it is: two versions of a model are two tags of one name, which `images` could not tell apart.
    """
    images: dict[str, str] = {}
    named = [_name_image(found, images) for found in objects]
    files = render_directory(named)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": list(files),
        "images": [_image_entry(name, images[name]) for name in sorted(images)],
    }
    return {"kustomization.yaml": to_yaml(kustomization), **files}


def _name_image(found: Object, images: dict[str, str]) -> Object:
    if found["kind"] != "Deployment":
        return found
    copied = copy.deepcopy(found)  # with its only container, as every workload here
    name = copied["metadata"]["name"]
    for container in copied["spec"]["template"]["spec"]["containers"]:
        images[name] = container["image"]
        container["image"] = name
    return copied


def _image_entry(name: str, reference: str) -> dict[str, str]:
    rest, _, digest = reference.partition("@")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon was a registry's port, or there was none
        repository, tag = rest, ""
    entry = {"name": name, "newName": repository}
    if digest:
        return {**entry, "digest": digest}
    return {**entry, "newTag": tag or "latest"}
