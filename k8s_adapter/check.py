"""Checks what an export has written, as a cluster would and further. Used by `--check` and tests.

Each fault names its file and field. The texts are parsed again: what was written is checked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from k8s_adapter.check_links import check_links
from k8s_adapter.errors import OptionError
from k8s_adapter.faults import Fault, Item, of_kind, open_ports
from k8s_adapter.identity import Object
from k8s_adapter.names import LABEL_RULE, is_label
from k8s_adapter.quantity import parse_cpu, parse_memory

MAX_TEXTS_BYTES: Final = 200_000
"""`kubectl apply` keeps a copy of an object in an annotation, and those end at 262144 bytes."""

# Where PyYAML has libyaml with it, it reads ten times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NO_OBJECTS: Final = frozenset({"kustomization.yaml"})
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
_WANTED_PROBES: Final = ("readinessProbe", "livenessProbe")
_SLEEP: Final = re.compile(r"\bsleep\W+(\d+)")
_MAX_PORT_NAME: Final = 15
_DEFAULT_GRACE_S: Final = 30

Schemas = Callable[[Object], Iterable[tuple[str, str]]]
"""Yields of an object the path of each wrong field and what is wrong with it, by its schema."""


def check_files(files: Mapping[str, str], schemas: Schemas) -> list[Fault]:
    """Return all faults of an export's files, given by name; empty: there are none.

    What objects say of each other is looked at once each of them is right by itself.
    """
    faults: list[Fault] = []
    items: list[Item] = []
    for file, text in sorted(files.items()):
        try:
            if file in _NO_OBJECTS:
                faults += _check_kustomization(file, text, files)
            else:
                items += _read(file, text)
        except yaml.YAMLError as error:
            faults.append(Fault(file, "text", "", f"is not YAML: {' '.join(str(error).split())}"))
        except ValueError as error:
            faults.append(Fault(file, "text", "", str(error)))
    faults += [item.fault(*fault) for item in items for fault in schemas(item.body)]
    if not faults:
        faults += _check_together(items)
    return faults


def _check_together(items: list[Item]) -> Iterator[Fault]:
    for item in of_kind(items, "Deployment"):
        yield from _check_pods(item)
    for item in of_kind(items, "ConfigMap"):
        size = sum(len(text.encode()) for text in (item.at("data") or {}).values())
        if size > MAX_TEXTS_BYTES:
            yield item.fault("data", f"{size} bytes are more than `kubectl apply` takes")
    yield from check_links(items)


def _parse(text: str) -> list[Any]:
    return [body for body in yaml.load_all(text, Loader=_LOADER) if body is not None]


def _read(file: str, text: str) -> list[Item]:
    found = _parse(text)
    if not found:
        raise ValueError("holds no object")
    for body in found:
        if not isinstance(body, dict):
            raise ValueError("holds something that is not an object")  # noqa: TRY004 - of a text
    return [Item(file, body) for body in found]


def _check_kustomization(file: str, text: str, files: Mapping[str, str]) -> Iterator[Fault]:
    (body,) = _parse(text)
    for number, name in enumerate(body.get("resources", ())):
        if name not in files:
            path = f"resources[{number}]"
            yield Fault(file, "Kustomization", path, f"there is no file '{name}'")


def _check_pods(deployment: Item) -> Iterator[Fault]:
    """Yield what is wrong with a Deployment's pods by themselves."""
    for path, container in deployment.containers():
        if not is_label(container["name"]):
            yield deployment.fault(
                f"{path}.name", f"'{container['name']}' is refused: {LABEL_RULE}"
            )
        yield from _check_probes(deployment, path, container)
        yield from _check_ports(deployment, path, container)
        yield from _check_resources(deployment, path, container)
        yield from _check_mounts(deployment, path, container)
        yield from _check_pause(deployment, path, container)


def _check_probes(item: Item, path: str, container: Object) -> Iterator[Fault]:
    ports = open_ports(item)
    for name in _WANTED_PROBES:
        if name not in container:
            yield item.fault(f"{path}.{name}", "is missing")
    for name in _PROBES:
        for way in ("httpGet", "tcpSocket"):
            port = container.get(name, {}).get(way, {}).get("port")
            if port is not None and port not in ports:
                yield item.fault(f"{path}.{name}.{way}.port", f"no container opens port {port}")


def _check_ports(item: Item, path: str, container: Object) -> Iterator[Fault]:
    seen: set[Any] = set()
    for number, port in enumerate(container.get("ports", ())):
        own = f"{path}.ports[{number}]"
        for field in ("name", "containerPort"):
            if port.get(field) in seen:
                yield item.fault(f"{own}.{field}", f"{port[field]} is there twice")
            seen.add(port.get(field, (number, field)))
        if len(port.get("name", "")) > _MAX_PORT_NAME:
            yield item.fault(f"{own}.name", f"has more than {_MAX_PORT_NAME} characters")


def _check_resources(item: Item, path: str, container: Object) -> Iterator[Fault]:
    given = container.get("resources", {})
    requests, limits = given.get("requests", {}), given.get("limits", {})
    for name in ("cpu", "memory"):
        if name not in requests:
            yield item.fault(f"{path}.resources.requests.{name}", "is missing")
    for name, request in requests.items():
        own = f"{path}.resources.requests.{name}"
        try:
            is_over = name in limits and _amount(name, request) > _amount(name, limits[name])
        except OptionError as error:
            yield item.fault(own, error.message)
            continue
        if is_over:
            yield item.fault(own, f"{request} is over the limit of {limits[name]}")


def _amount(name: str, quantity: str | int) -> int:
    return parse_cpu(str(quantity)) if name == "cpu" else parse_memory(str(quantity))


def _check_mounts(item: Item, path: str, container: Object) -> Iterator[Fault]:
    volumes = {volume["name"] for volume in item.at("spec.template.spec.volumes") or ()}
    places: set[str] = set()
    for number, mount in enumerate(container.get("volumeMounts", ())):
        if mount["mountPath"] in places:
            yield item.fault(f"{path}.volumeMounts[{number}].mountPath", "is there twice")
        places.add(mount["mountPath"])
        if mount["name"] not in volumes:
            yield item.fault(
                f"{path}.volumeMounts[{number}].name", f"there is no volume '{mount['name']}'"
            )


def _check_pause(item: Item, path: str, container: Object) -> Iterator[Fault]:
    hook = container.get("lifecycle", {}).get("preStop", {})
    pause = hook.get("sleep", {}).get("seconds", 0)
    slept = _SLEEP.search(" ".join(hook.get("exec", {}).get("command", ())))
    if slept:
        pause = int(slept[1])
    grace = item.at("spec.template.spec.terminationGracePeriodSeconds") or _DEFAULT_GRACE_S
    if pause >= grace:
        yield item.fault(
            f"{path}.lifecycle.preStop",
            f"a pause of {pause} s leaves nothing of terminationGracePeriodSeconds, {grace} s",
        )
