"""What differs between two exports: by object, and line by line. Pure; used by diff-k8s."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from servd.export.place import holds_secret

_SECRET_VALUE: Final = re.compile(r"^(  [\w.-]+: )(\S+)$", re.MULTILINE)
_TEMPLATES: Final = "templates/"


class Kind(StrEnum):
    """How something changed; the value is the word that is shown."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One object or, where a file holds none, one file that differs."""

    name: str
    kind: Kind


def object_changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Return which objects differ between the files of two exports, sorted by name."""
    before, after = _things(old), _things(new)
    changes = [Change(name, Kind.ADDED) for name in after.keys() - before.keys()]
    changes += [Change(name, Kind.REMOVED) for name in before.keys() - after.keys()]
    changes += [
        Change(name, Kind.CHANGED)
        for name in before.keys() & after.keys()
        if before[name] != after[name]
    ]
    return sorted(changes)


def unified_diff(old: Mapping[str, str], new: Mapping[str, str], place: str) -> list[str]:
    """Return the lines of a unified diff of all files; the values of Secrets are masked."""
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        shown = f"{place}/{name}" if name else place
        lines += difflib.unified_diff(
            _lines(before),
            _lines(after),
            "/dev/null" if before is None else shown,
            "/dev/null" if after is None else f"{shown} (now)",
            lineterm="",
        )
    return lines


def _things(files: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in files.items():
        found |= _objects(name, text) or {name: text}
    return found


def _objects(name: str, text: str) -> dict[str, Any]:
    """Return a file's objects; none where it is a template or no YAML of Kubernetes's."""
    if _TEMPLATES in name or not (name == "" or name.endswith(".yaml")):
        return {}
    try:
        bodies = [body for body in yaml.safe_load_all(text) if body is not None]
    except yaml.YAMLError:
        return {}
    if not all(_is_object(body) for body in bodies):
        return {}
    return {_label(body): body for body in bodies}


def _is_object(body: Any) -> bool:
    return isinstance(body, dict) and "kind" in body and "name" in (body.get("metadata") or {})


def _label(body: Mapping[str, Any]) -> str:
    meta = body["metadata"]
    where = f" in {meta['namespace']}" if meta.get("namespace") else ""
    return f"{body['kind']} {meta['name']}{where}"


def _lines(text: str | None) -> list[str]:
    return [] if text is None else "---\n".join(_masked(text.split("---\n"))).splitlines()


def _masked(documents: Iterable[str]) -> Iterable[str]:
    """Show of a Secret's value only whether it changed: a diff ends up in logs."""
    for document in documents:
        if holds_secret(document):
            head, mark, data = document.partition("\ndata:\n")
            yield head + mark + _SECRET_VALUE.sub(_mask, data)
        else:
            yield document


def _mask(found: re.Match[str]) -> str:
    return f"{found[1]}(secret {hashlib.sha256(found[2].encode()).hexdigest()[:8]})"
