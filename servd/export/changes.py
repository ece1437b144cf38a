"""What differs between two exports: by object, and line by line. Pure; used by diff-k8s."""

import difflib
import hashlib
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from servd.export.place import VARIABLES, holds_secret

_SECRET_VALUE: Final = re.compile(r"^(  [\w.-]+: )(\S+)$", re.MULTILINE)
_MARK: Final = re.compile(r"^---\n", re.MULTILINE)
_TOP_LEVEL: Final = re.compile(r"^\S", re.MULTILINE)
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
    # At the beginning of a line only: a value may have lines that end so.
    return [] if text is None else "---\n".join(_masked(_MARK.split(text))).splitlines()


def _masked(documents: Iterable[str]) -> Iterable[str]:
    """Show of a Secret's value only whether it changed: a diff ends up in logs."""
    for document in documents:
        if VARIABLES in f"\n{document}":
            yield _masked_values(document)
        elif holds_secret(document):
            head, mark, data = document.partition("\ndata:\n")
            yield head + mark + _SECRET_VALUE.sub(_mask, data)
        else:
            yield document


def _masked_values(text: str) -> str:
    """Return a chart's values with those of variables masked, however YAML has written them."""
    head, mark, rest = f"\n{text}".partition(VARIABLES)
    end = next((each.start() for each in _TOP_LEVEL.finditer(rest)), len(rest))
    hidden = yaml.safe_dump(_hidden(yaml.safe_load(rest[:end])), width=1000)
    return f"{head}{mark}{textwrap.indent(hidden, '  ')}{rest[end:]}".removeprefix("\n")


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(each) for name, each in value.items()}
    return f"(secret {hashlib.sha256(str(value).encode()).hexdigest()[:8]})"


def _mask(found: re.Match[str]) -> str:
    return f"{found[1]}(secret {hashlib.sha256(found[2].encode()).hexdigest()[:8]})"
