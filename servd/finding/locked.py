"""What the locks of other tools hold, as lines that pip reads: uv's and pipenv's.

Used by requirement_files.py. Formats: uv.lock, version 1 (a TOML table `package` of name, version,
source and dependencies); Pipfile.lock, specification 6 (JSON, `default` and `develop`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_LOCAL: Final = ("virtual", "editable", "directory", "path")
"""Sources of uv.lock that are folders of the project, and no package of an index."""


def of_uv_lock(content: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Return the lines of what the project itself needs, and what it says of Python.

    What is only for development, or of an extra, is left out.
    """
    packages = [each for each in _listed(content, "package") if isinstance(each.get("name"), str)]
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for each in packages:
        by_name.setdefault(each["name"], []).append(each)
    roots = [each for each in packages if _is_local(each)]
    waiting = [wanted for root in roots for wanted in _listed(root, "dependencies")]
    if not roots:
        waiting = [{"name": name} for name in by_name]
    lines: dict[str, None] = {}
    seen = set()
    while waiting:
        wanted = waiting.pop(0)
        for package in _meant(wanted, by_name):
            extras = _texts(wanted.get("extra"))
            key = (package["name"], package.get("version"), extras, wanted.get("marker"))
            if key in seen:
                continue
            seen.add(key)
            if (line := _line(package, wanted.get("marker"))) is not None:
                lines[line] = None
            waiting += _below(package, extras, wanted.get("marker"))
    python = content.get("requires-python")
    return list(lines), python if isinstance(python, str) else None


def _meant(
    wanted: Mapping[str, Any], by_name: Mapping[str, list[Mapping[str, Any]]]
) -> list[Mapping[str, Any]]:
    """Return which packages of a lock a dependency means: of a name there may be several."""
    found = by_name.get(str(wanted.get("name")), [])
    exact = [each for each in found if each.get("version") == wanted.get("version")]
    return exact if "version" in wanted and exact else found


def _below(
    package: Mapping[str, Any], extras: tuple[str, ...], marker: Any
) -> Iterator[Mapping[str, Any]]:
    """Give what a package needs, and what its extras do, where the package itself is needed."""
    optional = package.get("optional-dependencies")
    inner = [*_listed(package, "dependencies")]
    for extra in extras:
        inner += _listed(optional if isinstance(optional, dict) else {}, extra)
    for each in inner:
        own = each.get("marker")
        both = f"({marker}) and ({own})" if marker and own else marker or own
        yield {**each, "marker": both} if both else each


def _is_local(package: Mapping[str, Any]) -> bool:
    source = package.get("source")
    return isinstance(source, dict) and any(name in source for name in _LOCAL)


def _line(package: Mapping[str, Any], marker: Any) -> str | None:
    name, source = package["name"], package.get("source")
    source = source if isinstance(source, dict) else {}
    if _is_local(package):
        return None
    if isinstance(git := source.get("git"), str):
        address, _, commit = git.partition("#")
        line = f"{name} @ git+{address.partition('?')[0]}" + (f"@{commit}" if commit else "")
    elif isinstance(url := source.get("url"), str):
        line = f"{name} @ {url}"
    else:
        line = f"{name}=={package.get('version')}"
    return f"{line} ; {marker}" if isinstance(marker, str) else line


def of_pipfile_lock(content: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """Return the lines of what is not for development only, and what it says of Python."""
    default = content.get("default")
    lines = []
    for name, given in (default if isinstance(default, dict) else {}).items():
        if not isinstance(given, dict):
            continue
        marker = given.get("markers")
        told = f" ; {marker}" if isinstance(marker, str) else ""
        extras = _texts(given.get("extras"))
        shown = f"{name}[{','.join(extras)}]" if extras else name
        if isinstance(git := given.get("git"), str):
            ref = given.get("ref")
            lines.append(f"{shown} @ git+{git}" + (f"@{ref}" if ref else ""))
        elif isinstance(version := given.get("version"), str):
            lines.append(f"{shown}{version}{told}")
    meta = content.get("_meta")
    requires = meta.get("requires") if isinstance(meta, dict) else None
    python = requires.get("python_version") if isinstance(requires, dict) else None
    return lines, f"=={python}.*" if python else None


def _listed(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = content.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _texts(given: Any) -> tuple[str, ...]:
    return tuple(map(str, given)) if isinstance(given, list) else ()
