"""Lines of requirements as pip reads them: with the files that they name, and what each line is.

Pure but for the files. Used by lock.py and store.py. What a line says of versions, extras, markers
and hashes is the resolver's to understand.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from servd.environments.failures import EnvironmentFailedError

_MAX_BYTES: Final = 4 << 20
_MAX_LINES: Final = 20_000
_MAX_DEPTH: Final = 20
_COMMENT: Final = re.compile(r"(^|\s+)#.*$")
_NAMED: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:\[[^\]]*\])?\s*")
_AT: Final = re.compile(rf"(?P<name>{_NAMED.pattern})@\s*(?P<place>\S.*)")
_ARCHIVE: Final = re.compile(r"\.(?:whl|zip|tar(?:\.(?:gz|bz2|xz))?|tgz)(?:\[[^\]]*\])?$")
_OPTION: Final = re.compile(r"(?P<name>-[a-zA-Z]|--[a-z-]+)(?:\s*=\s*|\s+|(?<=^-\w))?(?P<value>.*)")
_LONG: Final = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
}
_SAME: Final = {"--pypi-url": "--index-url"}
_WITH_VALUE: Final = frozenset(
    {
        *("--index-url", "--extra-index-url", "--find-links", "--no-binary", "--only-binary"),
        *("--trusted-host", "--use-feature"),
    }
)
_ALONE: Final = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})
_LEFT_OUT: Final = frozenset({"--require-hashes", "--use-feature"})
"""Hashes are checked where there are any; features are of one tool."""
_HASH: Final = re.compile(r"--hash[= ]([a-z0-9]+:[0-9a-fA-F]+)")
_MARKER: Final = re.compile(r"\s;\s?(?P<marker>.*)$")
_EXTRAS: Final = re.compile(r"(?P<place>.*?)(?P<extras>\[[A-Za-z0-9._, -]*\])?$")


@dataclass(frozen=True, slots=True)
class Direct:
    """What comes from no index: a folder, a file, a repository or an address, made absolute.

    `text` is what pip takes for it, `where` names the line that wants it.
    """

    place: str
    extras: str
    marker: str
    where: str
    hashes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path | None:
        """The folder on this machine that it is, if it is one."""
        return (
            Path(self.place) if self.place.startswith("/") and Path(self.place).is_dir() else None
        )


@dataclass(frozen=True, slots=True)
class Requirements:
    """What is wanted, sorted by what it is. `options` have absolute paths."""

    named: tuple[str, ...]
    direct: tuple[Direct, ...]
    constraints: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def indexes(self) -> tuple[str, ...]:
        """The options that say where packages come from."""
        names = ("--index-url", "--extra-index-url", "--find-links", "--no-index")
        return tuple(each for each in self.options if each.split("=", 1)[0] in names)


@dataclass(slots=True)
class _Reading:
    """What has been read so far, and of which files."""

    named: list[str] = field(default_factory=list)
    direct: list[Direct] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    options: dict[str, None] = field(default_factory=dict)
    lines: int = 0


@dataclass(frozen=True, slots=True)
class _Place:
    """Where lines stand: which folders their paths start at, and how the place is called."""

    folder: Path
    base: Path
    name: str
    above: tuple[Path, ...] = ()
    is_constraint: bool = False

    def path(self, text: str) -> Path:
        """Return the path that a line means: from its own file's folder, or from where pip runs."""
        path = Path(text.removeprefix("file://")).expanduser()
        if path.is_absolute():
            return path
        beside = Path(self.folder, path)
        return beside if beside.exists() else Path(self.base, path)


def read(lines: Iterable[str], folder: Path) -> Requirements:
    """Return what lines of requirements want; relative paths are from `folder`.

    Raises:
        EnvironmentFailedError: a line, or a file that it names, is not what pip reads.
    """
    reading = _Reading()
    _read(lines, _Place(folder, folder, "the requirements"), reading)
    return Requirements(
        tuple(reading.named),
        tuple(reading.direct),
        tuple(reading.constraints),
        tuple(reading.options),
    )


def read_file(path: Path) -> list[str]:
    """Return the lines of a file of requirements.

    Raises:
        EnvironmentFailedError: there is none, or it is not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise EnvironmentFailedError(
            f"the requirements in {path} cannot be read: {error.strerror or error}",
            hint="name a file with a requirement a line, as pip reads them",
        ) from error
    if len(content) > _MAX_BYTES:
        raise _not_requirements(path, f"it has more than {_MAX_BYTES >> 20} MiB")
    return _decoded(content, path).splitlines()


def _decoded(content: bytes, path: Path) -> str:
    """Return a file's text: UTF-8, or UTF-16 with its mark, as PowerShell's `>` writes it."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _not_requirements(
            path, f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x})"
        ) from error
    if "\0" in text:
        raise _not_requirements(path, "it holds zero bytes, as binary files do")
    return text


def _not_requirements(path: Path, why: str) -> EnvironmentFailedError:
    return EnvironmentFailedError(
        f"{path} is no file of requirements: {why}",
        hint="save it as text in UTF-8, with a requirement a line, as pip freeze writes them",
    )


def _read(lines: Iterable[str], place: _Place, reading: _Reading) -> None:
    for number, line in _joined(lines):
        reading.lines += 1
        if reading.lines > _MAX_LINES:
            raise EnvironmentFailedError(
                f"{place.name}: more than {_MAX_LINES:,} lines of requirements",
                hint="name the packages that the model imports; what these need comes along",
            )
        where = f"{place.name}, line {number}"
        if line.startswith("-"):
            _read_option(line, place, reading, where)
        elif place.is_constraint:
            reading.constraints.append(line)
        else:
            _read_requirement(line, place, reading, where)


def _joined(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield each line that says something, with those that it goes on in, and its number."""
    begun = 0
    parts: list[str] = []
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        if not parts:
            begun = number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            parts.append(line[:-1].strip())
            continue
        parts.append("" if is_comment else line)
        text = _COMMENT.sub("", " ".join(parts)).strip()
        parts = []
        if text:
            yield begun, text
    if text := _COMMENT.sub("", " ".join(parts)).strip():
        yield begun, text


def _read_option(line: str, place: _Place, reading: _Reading, where: str) -> None:
    found = _OPTION.fullmatch(line)
    name, value = (found["name"], found["value"].strip()) if found else (line, "")
    name = _LONG.get(name, _SAME.get(name, name))
    if name in ("--requirement", "--constraint"):
        _follow(value, place, reading, where, is_constraint=name == "--constraint")
    elif name == "--editable" and value and not place.is_constraint:
        _add_direct(value, place, reading, where)
    elif name in _ALONE and not value:
        reading.options |= {} if name in _LEFT_OUT else {name: None}
    elif name in _WITH_VALUE and value:
        if name == "--find-links" and "://" not in value:
            value = str(_existing(value, place, where))
        reading.options |= {} if name in _LEFT_OUT else {f"{name}={value}": None}
    else:
        raise EnvironmentFailedError(
            f"{where}: '{line[:80]}' is no option that a file of requirements has",
            hint="see pip's own list: python -m pip install --help",
        )


def _follow(
    value: str, place: _Place, reading: _Reading, where: str, *, is_constraint: bool
) -> None:
    """Read the file that a line names."""
    if "://" in value and not value.startswith("file://"):
        raise EnvironmentFailedError(
            f"{where}: requirements at an address are not read",
            hint="save that file beside this one, and name it",
        )
    path = _existing(value, place, where)
    if path in place.above or len(place.above) >= _MAX_DEPTH:
        raise EnvironmentFailedError(
            f"{where}: {path} names itself, by files that it names",
            hint="take the line out that leads back",
        )
    inner = _Place(
        path.parent,
        place.base,
        str(path),
        (*place.above, path),
        place.is_constraint or is_constraint,
    )
    _read(read_file(path), inner, reading)


def _existing(value: str, place: _Place, where: str) -> Path:
    path = place.path(value.strip("'\""))
    if not path.exists():
        raise EnvironmentFailedError(
            f"{where}: '{value}' is not there (looked for at {path})",
            hint="paths are from the folder of the file in which they stand",
        )
    return path.resolve()


def _read_requirement(line: str, place: _Place, reading: _Reading, where: str) -> None:
    named = _AT.fullmatch(line)
    if named is not None:
        text, extras = named["place"], named["name"].partition("[")
        _add_direct(
            text, place, reading, where, extras=f"[{extras[2].strip()}" if extras[1] else ""
        )
    elif _is_place(line, place):
        _add_direct(line, place, reading, where)
    elif _NAMED.match(line) is None:
        raise EnvironmentFailedError(
            f"{where}: '{line[:80]}' is no requirement",
            hint="write NAME, NAME==VERSION, or a path; a comment begins with #",
        )
    else:
        reading.named.append(line)


def _is_place(line: str, place: _Place) -> bool:
    """Tell whether a line is a path or an address, and no name of a package."""
    text = _MARKER.sub("", line).split(" --")[0].strip()
    if "://" in text or text.startswith((".", "/", "~")) or _ARCHIVE.search(text):
        return True
    bare = _EXTRAS.fullmatch(text)
    return "/" in text and bare is not None and place.path(bare["place"]).is_dir()


def _add_direct(
    text: str, place: _Place, reading: _Reading, where: str, *, extras: str = ""
) -> None:
    marker = _MARKER.search(text)
    bare = _MARKER.sub("", text).split(" --")[0].strip().strip("'\"")
    if bare.startswith("-"):  # pip would take it for an option of its own
        raise EnvironmentFailedError(
            f"{where}: '{bare[:80]}' is an option, where a path or an address belongs",
            hint="write NAME @ ADDRESS; options have lines of their own",
        )
    if "://" not in bare:
        found = _EXTRAS.fullmatch(bare)
        bare, extras = (found["place"], found["extras"] or extras) if found else (bare, extras)
        bare = str(_existing(bare, place, where))
    elif bare.startswith("file://"):
        bare = str(_existing(unquote(urlsplit(bare).path), place, where))
    elif egg := re.search(r"[#&]egg=[^&\[]+(\[[^\]]*\])", bare):
        extras = extras or egg[1]
    wants = marker["marker"].split(" --")[0] if marker else ""
    reading.direct.append(Direct(bare, extras, wants, where, hashes_of(text)))


def hashes_of(line: str) -> tuple[str, ...]:
    """Return the hashes that a line allows, as "sha256:…"."""
    return tuple(_HASH.findall(line))


def name_of(line: str) -> str:
    """Return the name of the package that a line wants, as indexes compare it."""
    found = _NAMED.match(line)
    return normal(found[0].partition("[")[0].strip()) if found else ""


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
