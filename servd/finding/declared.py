"""What a project says that it needs, held against what is installed. Used by packing/.

Which packages a bundle needs is learnt from its imports. What the project's own files say decides
whether an environment will do, and says by name what is missing in it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from servd.environments.interpreter import Interpreter, own
from servd.finding.requirement_files import Declared, found_in

_MOST_SHOWN: Final = 8
_VERSIONS: Final = re.compile(
    r"[A-Za-z0-9._-]+\s*(?:\[[^\]]*\])?\s*([^;#@]*?)(?:\s--?[a-z].*|[;#].*)?$"
)
_OPTIONS: Final = re.compile(r"\s--?[a-z].*$")


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a file asks for and is not there; `installed` is the version that is, if another one."""

    file: Path
    name: str
    wanted: str
    installed: str | None

    def __str__(self) -> str:
        return f"{self.name}{self.wanted}"


def lacking(folders: Iterable[Path], interpreter: Interpreter | None = None) -> list[Lacking]:
    """Return what the files of these folders ask for and an environment does not have."""
    return lacking_of(found_in(folders), interpreter or own())


def lacking_of(declared: Iterable[Declared], interpreter: Interpreter) -> list[Lacking]:
    """Return what files ask for and an environment does not have, or at another version.

    What comes from no index (a path, an address) is passed over, and so is what a marker leaves
    out for that Python.
    """
    found: dict[str, Lacking] = {}
    for each in declared:
        for file, line in zip(each.origins or repeat(each.file), each.lines, strict=False):
            wanted = requirement_of(line)
            if wanted is None or wanted.url or not _applies(wanted, interpreter):
                continue
            installed = interpreter.version_of(wanted.name)
            if installed is None or not holds(wanted.specifier, installed):
                told = Lacking(file, wanted.name, _as_written(line, wanted), installed)
                found.setdefault(normal(wanted.name), told)
    return list(found.values())


def requirement_of(line: str) -> Requirement | None:
    """Return the requirement of a line as pip reads it; None of options, paths and addresses."""
    try:
        return Requirement(_OPTIONS.sub("", line))
    except InvalidRequirement:
        return None


def _as_written(line: str, wanted: Requirement) -> str:
    """Return the versions of a requirement as whoever wrote it had them."""
    match = _VERSIONS.match(line)
    return match[1].strip() if match and wanted.specifier else ""


def holds(specifier: SpecifierSet, version: str) -> bool:
    """Tell whether an installed version is among those that are wanted."""
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # of what is named in its own way nobody knows


def _applies(wanted: Requirement, interpreter: Interpreter) -> bool:
    """Tell whether a requirement's marker holds for a Python of this machine."""
    if wanted.marker is None:
        return True
    return wanted.marker.evaluate(environment_of(interpreter.version))


def environment_of(version: str) -> dict[str, str]:
    """Return what markers are evaluated by for a Python of this machine."""
    here = {name: str(value) for name, value in default_environment().items()}
    series = ".".join(version.split(".")[:2])
    return here | {"python_version": series, "python_full_version": version, "extra": ""}


def remarks(
    found: Iterable[Lacking],
    where: str = "here",
    instead: str = "",
    installer: str = "pip install",
) -> list[str]:
    """Return what to say of an environment that does all the same, or may.

    `where` says which it is, `instead` what else there is to do than to install what is missing,
    `installer` is the command that installs there.
    """
    by_file: dict[Path, list[Lacking]] = {}
    for each in found:
        by_file.setdefault(each.file, []).append(each)
    said = []
    for file, every in by_file.items():
        missing = [each for each in every if each.installed is None]
        if missing:
            is_are = "is" if len(missing) == 1 else "are"
            said.append(
                f"{file.name} asks for {_listed(missing)}, which {is_are} not installed {where}: "
                f"{installer} {_named(file, missing)}{instead}"
            )
        said += [
            f"{file.name} asks for {each}, and {each.installed} is installed {where}"
            for each in every
            if each.installed is not None
        ][:_MOST_SHOWN]
    return said


def _named(file: Path, missing: list[Lacking]) -> str:
    if file.suffix == ".txt":
        return f"-r {file.name}"
    return " ".join(f"'{each}'" if each.wanted else each.name for each in missing)


def _listed(missing: list[Lacking]) -> str:
    shown = [str(each) for each in missing[:_MOST_SHOWN]]
    more = len(missing) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def disagreements(counts: Declared, others: Iterable[Declared]) -> list[str]:
    """Return where other files of a project contradict the one that counts, each in a line."""
    said = []
    mine = {normal(each.name): each for each in map(requirement_of, counts.lines) if each}
    for other in others:
        against = [
            f"{theirs.name}{theirs.specifier}"
            for theirs in map(requirement_of, other.lines)
            if theirs and _contradict(mine.get(normal(theirs.name)), theirs)
        ]
        if against:
            shown = ", ".join(against[:_MOST_SHOWN])
            said.append(
                f"{counts.file.name} counts, and not {other.file.name}, which asks for {shown}"
            )
    return said


def _contradict(mine: Requirement | None, theirs: Requirement) -> bool:
    """Tell whether no version can be what both ask for, as far as one of them is exact."""
    if mine is None:
        return False
    for one, other in ((mine, theirs), (theirs, mine)):
        for each in one.specifier:
            if each.operator == "==" and not each.version.endswith(".*"):
                return not holds(other.specifier, each.version)
    return False


def normal(name: str) -> str:
    """Return a distribution's name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
