"""Where each package of an image comes from: an index, a wheel, a requirements file. Used by
context.py and by who tells the user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from servd.imaging import requirements
from servd.imaging.additions import Additions
from servd.imaging.naming import Kind
from servd.imaging.sources import Source, source_of
from servd.imaging.spec import WHEELS

Sources = Callable[[str], Source | None]

_ELSEWHERE: Final = "--extra-index URL of an index that has it, or --wheel FILE"


@dataclass(slots=True)
class Packages:
    """The lines of requirements.txt and of constraints.txt, the wheels beside them, and remarks.

    `options` are pip's, `notes` tell what was decided, `warnings` what will probably fail.
    """

    required: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    constraints: dict[str, str] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    wheels: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def has_wheels(self) -> bool:
        """Whether any file comes along."""
        return bool(self.sources or self.wheels)


def plan_packages(
    kind: Kind,
    pins: Mapping[str, str],
    additions: Additions,
    sources: Sources = source_of,
    lookup: requirements.Lookup = requirements.installed,
    kept: Mapping[str, Path] = MappingProxyType({}),
) -> Packages:
    """Return where the packages of an image come from.

    What `additions` say of a package counts; then what is installed here from no index, at the
    version that is wanted, comes along as it is; the rest is asked of an index. `kept` are files of
    some of them.
    """
    pinned = requirements.requirements_of(kind, pins, lookup)
    brought = requirements.constraints_of(pinned, lookup)
    planned = Packages()
    lines, wheels = additions.lines(), {**kept, **additions.wheels()}
    for name in sorted({*pinned, *lines, *wheels}):
        if name in wheels:
            planned.wheels.append(wheels[name])
            planned.required.append(f"{name} @ {_address(wheels[name].name)}")
        elif name in lines:
            planned.required.append(lines[name])
        else:
            _add_pin(planned, name, pinned[name], sources, additions, is_required=True)
    for name, version in brought.items():
        if name not in lines and name not in wheels:
            _add_pin(planned, name, version, sources, additions, is_required=False)
    planned.required.sort()
    return planned


def _add_pin(
    planned: Packages,
    name: str,
    version: str,
    sources: Sources,
    additions: Additions,
    *,
    is_required: bool,
) -> None:
    source = sources(name)
    is_here = source is not None and source.version == version
    is_local = "+" in version
    # Whoever names an index for a local version means that it has it.
    if is_here and source is not None and not (is_local and additions.extra_index):
        if not source.problem:
            planned.sources.append(source)
            planned.required.append(f"{name} @ {_address(source.filename)}")
            planned.notes.append(
                f"{name} {version} {source.origin}: its files are taken along as they are here"
            )
            return
        planned.warnings.append(
            f"{name} {version} {source.origin}, and {source.problem}: {_ELSEWHERE}"
        )
    elif is_local and not additions.extra_index:
        planned.warnings.append(
            f"{name} {version} has a local version, which indexes do not hold, and is not "
            f"installed here: {_ELSEWHERE}"
        )
    if is_required:
        planned.required.append(f"{name}=={version}")
    else:
        planned.constraints[name] = version


def _address(filename: str) -> str:
    return f"file://{WHEELS}/{quote(filename, safe='+')}"
