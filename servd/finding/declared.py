"""What a project says that it needs: requirements.txt, Pipfile, pyproject.toml. Used by targets.py.

Only to say by name what is missing here: which packages a bundle needs is learnt from its imports.
"""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?P<wanted>[^;#]*)(?P<marker>;.*)?"
)
_PIN: Final = re.compile(r"===?\s*(?P<version>[^\s,*]+)")
_MAX_BYTES: Final = 1 << 20
_MOST_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a file asks for and is not here; `installed` is the version that is, if another one."""

    file: Path
    name: str
    wanted: str
    installed: str | None

    def __str__(self) -> str:
        return f"{self.name}{self.wanted}"


def lacking(folders: Iterable[Path]) -> list[Lacking]:
    """Return what the files of these folders ask for and is not installed, or at another version.

    Of versions only those that are pinned are compared; what a marker makes depend on something
    is passed over.
    """
    found: dict[str, Lacking] = {}
    for folder in dict.fromkeys(folders):
        for file, name, wanted in _declared(folder):
            pin = _PIN.fullmatch(wanted)
            installed = _installed(name)
            if installed is None or (pin is not None and pin["version"] != installed):
                found.setdefault(_normal(name), Lacking(file, name, wanted, installed))
    return list(found.values())


def remarks(found: Iterable[Lacking]) -> list[str]:
    """Return what to say of an application that could be loaded all the same."""
    by_file: dict[Path, list[Lacking]] = {}
    for each in found:
        by_file.setdefault(each.file, []).append(each)
    said = []
    for file, every in by_file.items():
        missing = [each for each in every if each.installed is None]
        if missing:
            is_are = "is" if len(missing) == 1 else "are"
            said.append(
                f"{file.name} asks for {_listed(missing)}, which {is_are} not installed here: "
                f"{_command(file, missing)}"
            )
        said += [
            f"{file.name} asks for {each}, and {each.installed} is installed here"
            for each in every
            if each.installed is not None
        ][:_MOST_SHOWN]
    return said


def hint(found: list[Lacking]) -> str:
    """Return what to do about a target that did not load, or an empty text."""
    missing = [each for each in found if each.installed is None]
    return next(iter(remarks(missing)), "")


def _command(file: Path, missing: list[Lacking]) -> str:
    if file.suffix == ".txt":
        return f"pip install -r {file.name}"
    return "pip install " + " ".join(f"'{each}'" if each.wanted else each.name for each in missing)


def _listed(missing: list[Lacking]) -> str:
    shown = [str(each) for each in missing[:_MOST_SHOWN]]
    more = len(missing) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])])


def _declared(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Give file, name and version of each requirement; a file that cannot be read has none."""
    yield from _of_lines(folder / "requirements.txt", set())
    for name, listed in (("Pipfile", _of_pipfile), ("pyproject.toml", _of_project)):
        file = folder / name
        content = _toml(file)
        yield from ((file, *pair) for pair in listed(content))


def _of_lines(file: Path, seen: set[Path]) -> Iterator[tuple[Path, str, str]]:
    if file in seen:
        return
    seen.add(file)
    for raw in _text(file).replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if line.startswith(("-r ", "--requirement ")):
            yield from _of_lines(file.parent / line.split(None, 1)[1], seen)
        elif (pair := _parsed(line)) is not None:
            yield (file, *pair)


def _of_pipfile(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, wanted in _table(content, "packages").items():
        version = wanted.get("version", "*") if isinstance(wanted, dict) else wanted
        is_elsewhere = isinstance(wanted, dict) and {"path", "git", "markers"} & wanted.keys()
        if isinstance(version, str) and not is_elsewhere:
            yield name, "" if version == "*" else version


def _of_project(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    listed = _table(content, "project").get("dependencies", [])
    for line in listed if isinstance(listed, list) else []:
        pair = _parsed(line) if isinstance(line, str) else None
        if pair is not None:
            yield pair
    poetry = _table(_table(_table(content, "tool"), "poetry"), "dependencies")
    for name, wanted in poetry.items():
        # Its own words for ranges (^1.2) are no pins, and not pip's.
        is_pin = isinstance(wanted, str) and wanted.startswith("==")
        if name != "python" and isinstance(wanted, str):
            yield name, wanted if is_pin else ""


def _parsed(line: str) -> tuple[str, str] | None:
    match = _REQUIREMENT.fullmatch(line)
    if match is None or match["marker"] or "://" in line or line.startswith((".", "/")):
        return None
    return match["name"], match["wanted"].split(" --", 1)[0].strip()


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(file))
    except (ValueError, RecursionError):
        return {}


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace") if file.stat().st_size <= _MAX_BYTES else ""
    except OSError:
        return ""


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
