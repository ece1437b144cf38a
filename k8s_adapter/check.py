"""Checks what an export has written, as a cluster would and further. Used by `--check` and tests.

Each fault names its file and field. The texts are parsed again: what was written is checked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from k8s_adapter.check_links import check_links
from k8s_adapter.check_pods import check_pods
from k8s_adapter.check_ways import check_ways
from k8s_adapter.faults import Fault, Item, of_kind
from k8s_adapter.identity import Object

MAX_TEXTS_BYTES: Final = 200_000
"""`kubectl apply` keeps a copy of an object in an annotation, and those end at 262144 bytes."""

# Where PyYAML has libyaml with it, it reads ten times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NO_OBJECTS: Final = frozenset({"kustomization.yaml"})


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
        yield from check_pods(item)
    for item in of_kind(items, "ConfigMap"):
        size = sum(len(text.encode()) for text in (item.at("data") or {}).values())
        if size > MAX_TEXTS_BYTES:
            yield item.fault("data", f"{size} bytes are more than `kubectl apply` takes")
    yield from check_links(items)
    yield from check_ways(items)


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
