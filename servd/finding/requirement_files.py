"""The files in which a project says what it needs, in the words of every tool that has any.

Used by packing/choice.py and declared.py. They are read, and nothing in them is run. What a file
says becomes lines as pip reads them; what cannot be understood of it is a `Declared.problem`.
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from servd.finding.locked import of_pipfile_lock, of_uv_lock

_MAX_BYTES: Final = 16 << 20
_INCLUDES: Final = re.compile(r"(?:-r|--requirement)(?:\s+|=)(?P<path>.+)|-r(?P<short>\S.*)")
_CONSTRAINTS: Final = re.compile(r"(?:-c|--constraint)(?:\s+|=)(?P<path>.+)")
_HEADER: Final = re.compile(
    # As PEP 723 has it.
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
)
_BEGINS: Final = re.compile(r"(?m)^# /// script\s*$")
_HEADER_BYTES: Final = 1 << 20
_CARET: Final = re.compile(r"\^\s*(\d+(?:\.\d+)*)\S*$")
_TILDE: Final = re.compile(r"~\s*(\d+(?:\.\d+)*)\S*$")
_LIST_ITEM: Final = re.compile(r"(?P<indent>\s*)-\s+(?P<what>.*?)\s*$")


class UnclearError(ValueError):
    """A file does not say what it needs in a way that can be understood; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a file says that is needed.

    `lines` are as pip reads them, paths in them relative to the file's folder; `python` is a
    specifier such as ">=3.10" where it says one. `origins` are the files that the lines are of,
    where others are included. `problem` is why nothing could be read of it; `remarks` are what is
    not taken of it.
    """

    file: Path
    lines: tuple[str, ...] = ()
    origins: tuple[Path, ...] = ()
    python: str | None = None
    problem: str = ""
    remarks: tuple[str, ...] = ()


def read(file: Path) -> Declared:
    """Return what a file says, whichever tool's it is; one of an unknown name is pip's."""
    reader = _reader_of(file)
    try:
        text = _text(file)
        if reader is _header and _BEGINS.search(text) is None:
            return Declared(file=file, problem="has no header of a script (# /// script)")
        return reader(file, text)
    except UnclearError as error:
        return Declared(file=file, problem=str(error))
    except OSError as error:
        return Declared(file=file, problem=f"cannot be read: {error.strerror or error}")
    except RecursionError:
        return Declared(file=file, problem="is nested too deep")


def found_in(folders: Iterable[Path], code: Path | None = None) -> list[Declared]:
    """Return what is said beside a target, what counts first: its own header, then by folders.

    A file that says nothing of requirements (a pyproject.toml of a formatter's settings) is none.
    """
    found = []
    if code is not None and code.suffix == ".py" and _has_header(code):
        found.append(read(code))
    for folder in dict.fromkeys(folders):
        there = [folder / name for name in _NAMES if (folder / name).is_file()]
        found += [each for each in map(read, there) if each.lines or each.problem]
    return found


def _reader_of(file: Path) -> "Callable[[Path, str], Declared]":
    if file.suffix == ".py":
        return _header
    return _READERS.get(file.name, _of_pip)


def _text(file: Path) -> str:
    """Return the text of a file.

    Raises:
        UnclearError: it is none.
        OSError: it cannot be read.
    """
    if file.is_dir():
        raise UnclearError("is a folder")
    with file.open("rb") as opened:
        content = opened.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise UnclearError(f"is longer than {_MAX_BYTES} bytes")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise UnclearError("is not a text") from None
    if "\0" in text:
        raise UnclearError("is not a text")
    return text


# --- pip's own ---


def _of_pip(file: Path, text: str) -> Declared:
    flat = list(_flat(file, text, frozenset({file})))
    lines, origins = tuple(line for _, line in flat), tuple(origin for origin, _ in flat)
    return Declared(file=file, lines=lines, origins=origins)


def _flat(file: Path, text: str, seen: frozenset[Path]) -> Iterator[tuple[Path, str]]:
    """Give file and text of the lines of a file, those of files that it includes in their place.

    Raises:
        UnclearError: a file that it includes cannot be read.
    """
    for raw in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if (match := _INCLUDES.fullmatch(line)) is not None:
            named = (match["path"] or match["short"]).strip().strip("'\"")
            inner = Path(os.path.normpath(file.parent / named))
            yield from _included(file, inner, seen)
        elif (match := _CONSTRAINTS.fullmatch(line)) is not None:
            yield file, f"-c {(file.parent / match['path'].strip()).absolute()}"
        elif line:
            yield file, line


def _included(file: Path, inner: Path, seen: frozenset[Path]) -> Iterator[tuple[Path, str]]:
    if inner in seen:
        return
    try:
        text = _text(inner)
    except (OSError, UnclearError) as error:
        why = str(error) if isinstance(error, UnclearError) else (error.strerror or str(error))
        raise UnclearError(f"names {inner.name}, which cannot be read: {why}") from error
    below = inner.parent.absolute()
    for origin, line in _flat(inner, text, seen | {inner}):
        is_path = line.startswith(("./", "../", "-e ./", "-e ../")) and inner.parent != file.parent
        yield origin, re.sub(r"\.{1,2}/", f"{below}/\\g<0>", line, count=1) if is_path else line


# --- TOML ---


def _toml(text: str) -> dict[str, Any]:
    """Return what a TOML text says.

    Raises:
        UnclearError: it is none.
    """
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise UnclearError(f"is not TOML: {error}") from error


def _project(file: Path, text: str) -> Declared:
    """Read the dependencies of pyproject.toml: the project's own, else poetry's."""
    content = _toml(text)
    project = _table(content, "project")
    listed = project.get("dependencies")
    python = project.get("requires-python")
    said = python if isinstance(python, str) else None
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        return replace(_dynamic(file, content), python=said)
    poetry = _table(_table(_table(content, "tool"), "poetry"), "dependencies")
    lines = () if listed is None else _texts(listed, "dependencies")
    # Newer versions of poetry's table say only where to get what is listed.
    known = {_name(line) for line in lines}
    lines += tuple(each for each in _of_table(poetry, _poetrys) if _name(each) not in known)
    wanted = poetry.get("python")
    if isinstance(wanted, str) and said is None:
        said = _range(wanted) or None
    return Declared(file=file, lines=lines, python=said)


def _name(line: str) -> str:
    """Return a requirement's name as all its spellings have it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]).lower()


def _dynamic(file: Path, content: Mapping[str, Any]) -> Declared:
    """Return the dependencies that pyproject.toml says are worked out when it is built."""
    tool = _table(_table(_table(content, "tool"), "setuptools"), "dynamic")
    named = _table(tool, "dependencies").get("file")
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not names:
        problem = "says that its dependencies are known when it is built only (dynamic)"
        return Declared(file=file, problem=problem)
    found = [read(file.parent / str(name)) for name in names]
    problem = next((f"names {e.file.name}, which {e.problem}" for e in found if e.problem), "")
    return Declared(file=file, lines=tuple(x for e in found for x in e.lines), problem=problem)


def _pipfile(file: Path, text: str) -> Declared:
    content = _toml(text)
    lines = tuple(_of_table(_table(content, "packages"), _pipenvs))
    python = _table(content, "requires").get("python_version")
    return Declared(file=file, lines=lines, python=f"=={python}.*" if python else None)


def _of_table(table: Mapping[str, Any], version_of: "Callable[[str], str]") -> Iterator[str]:
    """Give the requirements of a table by name, as Pipfile and poetry have them."""
    for name, wanted in table.items():
        if name.lower() == "python":
            continue
        given = wanted if isinstance(wanted, dict) else {"version": wanted}
        extras = given.get("extras")
        shown = f"{name}[{','.join(map(str, extras))}]" if isinstance(extras, list) else name
        if isinstance(git := given.get("git"), str):
            ref = given.get("ref") or given.get("rev") or given.get("tag") or given.get("branch")
            yield f"{shown} @ git+{git}" + (f"@{ref}" if ref else "")
        elif isinstance(path := given.get("path") or given.get("file"), str):
            yield path if path.startswith((".", "/")) or "://" in path else f"./{path}"
        elif not given.get("optional"):
            yield shown + version_of(str(given.get("version", "*"))) + _marker(given)


def _marker(given: Mapping[str, Any]) -> str:
    marker = given.get("markers")
    return f" ; {marker}" if isinstance(marker, str) else ""


def _pipenvs(version: str) -> str:
    return "" if version.strip() in ("*", "") else version.strip()


def _poetrys(version: str) -> str:
    """Return one of poetry's versions in pip's words."""
    return _range(version)


def _range(text: str) -> str:
    parts = [part.strip() for part in text.split(",")]
    return ",".join(filter(None, map(_bounds, parts)))


def _bounds(part: str) -> str:
    """Return pip's words for ^1.2 (up to the next that breaks something), ~1.2 and 1.2."""
    if part in ("", "*"):
        return ""
    if (match := _CARET.fullmatch(part)) is not None:
        numbers = [int(each) for each in match[1].split(".")]
        at = next((at for at, each in enumerate(numbers) if each), len(numbers) - 1)
        return f">={part[1:].strip()},<{_next(numbers, at)}"
    if (match := _TILDE.fullmatch(part)) is not None:
        numbers = [int(each) for each in match[1].split(".")]
        return f">={part[1:].strip()},<{_next(numbers, min(1, len(numbers) - 1))}"
    return part if part[0] in "<>=!~" else f"=={part}"


def _next(numbers: list[int], at: int) -> str:
    return ".".join(map(str, [*numbers[:at], numbers[at] + 1]))


def _table(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _texts(listed: Any, what: str) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise UnclearError(f"has {what} that are no list of texts")
    return tuple(listed)


# --- the header of a script (PEP 723) ---


def _has_header(code: Path) -> bool:
    try:
        with code.open("rb") as opened:
            content = opened.read(_HEADER_BYTES)
    except OSError:
        return False
    return _BEGINS.search(content.decode("utf-8", "replace")) is not None


def _header(file: Path, text: str) -> Declared:
    found = [match for match in _HEADER.finditer(text) if match["type"] == "script"]
    if len(found) != 1:
        how = "has several" if found else "does not close the"
        hint = "" if found else " (with a line # /// after lines that begin with #)"
        raise UnclearError(f"{how} script header{'s' if found else ''}{hint}")
    lines = (
        line.removeprefix("# ") if line.startswith("# ") else line.removeprefix("#")
        for line in found[0]["content"].splitlines()
    )
    try:
        content = tomllib.loads("\n".join(lines))
    except ValueError as error:
        raise UnclearError(f"has a script header that is not TOML: {error}") from error
    listed = _texts(content.get("dependencies", []), "dependencies in its script header")
    python = content.get("requires-python")
    return Declared(file=file, lines=listed, python=python if isinstance(python, str) else None)


# --- conda's ---


def _conda(file: Path, text: str) -> Declared:
    """Read the part of an environment.yml that pip installs, and which Python it asks for."""
    lines, others, python, inside = [], [], None, None
    for raw in text.splitlines():
        match = _LIST_ITEM.match(re.sub(r"(^|\s)#.*", "", raw))
        if match is None:
            continue
        indent, what = len(match["indent"]), match["what"].strip("'\"")
        if what == "pip:":
            inside = indent
        elif inside is not None and indent > inside:
            lines.append(what)
        else:
            inside = None
            name, _, version = re.sub(r"^\S+::", "", what).partition("=")
            others.append(name.strip())
            if name.strip() == "python" and version:
                python = f"=={version.strip('=').partition('=')[0].rstrip('.*')}.*"
    rest = [name for name in others if name not in ("python", "pip") and name != ""]
    is_conda = re.search(r"(?m)^\s*dependencies\s*:", text) is not None
    remarks = (f"of {file.name} only what pip installs is taken, not {', '.join(rest)}",)
    flat = _of_pip(file, "\n".join(lines)).lines if is_conda else ()
    return Declared(file=file, lines=flat, python=python, remarks=remarks if rest else ())


# --- locks ---


def _uv_lock(file: Path, text: str) -> Declared:
    lines, python = of_uv_lock(_toml(text))
    return Declared(file=file, lines=tuple(lines), python=python)


def _pipfile_lock(file: Path, text: str) -> Declared:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UnclearError(f"is not JSON: {error}") from error
    lines, python = of_pipfile_lock(content if isinstance(content, dict) else {})
    return Declared(file=file, lines=tuple(lines), python=python)


_READERS: Final[Mapping[str, Callable[[Path, str], Declared]]] = {
    "requirements.txt": _of_pip,
    "uv.lock": _uv_lock,
    "Pipfile.lock": _pipfile_lock,
    "pyproject.toml": _project,
    "Pipfile": _pipfile,
    "environment.yml": _conda,
    "environment.yaml": _conda,
    "conda.yaml": _conda,
}
_NAMES: Final = tuple(name for name in _READERS if name != "conda.yaml")
"""In the order in which they count: what is exact before what leaves a choice."""
