"""Locks: the exact requirements of an environment, as a text that lies in a bundle.

A lock is a file of requirements that pip and uv install: a line a package, its version and the
hashes of its files. What it was made for stands in the comments of its head. It has no names and
passwords, and no paths but those that somebody has written as such.
"""

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from servd.environments.credentials import without
from servd.environments.failures import EnvironmentFailedError
from servd.environments.lines import normal

_TITLE: Final = "# The exact requirements of an environment, made by servd."
_HEAD: Final = re.compile(r"# (python|platform|interpreter|wheel) (.+)")
_PIN: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?P<hashes>(?:\s+--hash=[a-z0-9]+:[0-9a-f]+)*)"
)
_OPTION: Final = re.compile(
    r"--(?:no-index|pre|prefer-binary|(?:index-url|extra-index-url|find-links|no-binary|"
    r"only-binary|trusted-host)=\S+)"
)
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+\S*")
_WHEEL: Final = re.compile(r"(?P<file>[A-Za-z0-9_.+!-]+\.whl) sha256:(?P<digest>[0-9a-f]{64})")
_DIGEST_LETTERS: Final = 32
_MAX_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an environment is to have.

    `requirements` are lines as pip reads them, relative paths in them are from `folder`. `python`
    is a version ("3.12"), the path of a Python, or None: of servd's own version.
    """

    requirements: tuple[str, ...]
    python: str | None
    folder: Path


@dataclass(frozen=True)
class Lock:
    """Exact requirements. `text` is what lies in a bundle, `python` the version it is for.

    `settings` are options with the names and passwords that were in them: for the building that
    follows at once, never written down.
    """

    text: str
    python: str
    settings: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @cached_property
    def digest(self) -> str:
        """What tells this lock from others."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_DIGEST_LETTERS]

    @cached_property
    def pins(self) -> dict[str, str]:
        """Return the version of each package, by its name as indexes compare it."""
        pins = (found for line in self._lines if (found := _PIN.fullmatch(line)))
        return {normal(found["name"]): found["version"] for found in pins}

    @cached_property
    def platform(self) -> str:
        """Which machines it is for: `here()` of where it was made."""
        return self._said("platform")

    @cached_property
    def interpreter(self) -> str:
        """The path of the Python that was asked for by its path; empty where it was not."""
        return self._said("interpreter")

    @cached_property
    def wheels(self) -> dict[str, str]:
        """The files of what comes from no index, by the SHA-256 of each."""
        found = (_WHEEL.fullmatch(text) for text in _heads(self.text, "wheel"))
        return {each["digest"]: each["file"] for each in found if each}

    @cached_property
    def options(self) -> tuple[str, ...]:
        """The options in it: which indexes its packages are on."""
        return tuple(line for line in self._lines if line.startswith("--"))

    @cached_property
    def hashed(self) -> tuple[str, ...]:
        """The packages that have hashes, as lines."""
        return tuple(line for line in self._lines if not line.startswith("--") and "--hash" in line)

    @cached_property
    def unhashed(self) -> tuple[str, ...]:
        """The packages that have none."""
        lines = (line for line in self._lines if not line.startswith("--"))
        return tuple(line for line in lines if "--hash" not in line)

    @cached_property
    def _lines(self) -> tuple[str, ...]:
        return tuple(_joined(self.text))

    def _said(self, what: str) -> str:
        return next(iter(_heads(self.text, what)), "")


def here() -> str:
    """Return what this machine is to a wheel: its system, its processor, its C library."""
    libc = platform.libc_ver()[0] or "musl"
    return f"{platform.system().lower()}-{platform.machine()}-{libc}"


def compose(
    pins: Iterable[str],
    python: str,
    *,
    interpreter: str = "",
    options: Iterable[str] = (),
    wheels: Mapping[str, str],
) -> Lock:
    """Return the lock of lines NAME==VERSION with hashes; `wheels` are files by their SHA-256."""
    settings = tuple(options)
    head = [_TITLE, f"# python {python}", f"# platform {here()}"]
    head += [f"# interpreter {interpreter}"] if interpreter else []
    head += [f"# wheel {name} sha256:{digest}" for digest, name in sorted(wheels.items())]
    lines = [*head, *map(without, settings), *sorted(pins, key=str.lower)]
    return Lock("".join(f"{line}\n" for line in lines), python, settings)


def parse(text: str, name: str = "environment.lock") -> Lock:
    """Return the lock of a text; `name` is what it is called in errors.

    Raises:
        EnvironmentFailedError: it is none.
    """
    python = next(iter(_heads(text, "python")), "")
    if not text.startswith(_TITLE) or _VERSION.fullmatch(python) is None:
        raise _corrupt(name, "it does not say for which Python it is")
    lock = Lock(text, python)
    if not lock.platform:
        raise _corrupt(name, "it does not say for which platform it is")
    for number, line in enumerate(_joined(text), 1):
        if _PIN.fullmatch(line) is None and _OPTION.fullmatch(line) is None:
            raise _corrupt(name, f"its requirement {number}, {line[:60]!r}, has no exact version")
    return lock


def read(path: Path) -> Lock:
    """Return the lock in a file.

    Raises:
        EnvironmentFailedError: there is none.
    """
    try:
        content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        return parse(content.decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _corrupt(str(path), str(reason)) from error


def check_platform(lock: Lock) -> None:
    """Refuse a lock whose files are for machines of another kind.

    Raises:
        EnvironmentFailedError: it is for another platform than this one.
    """
    if lock.platform != here():
        raise EnvironmentFailedError(
            f"the model's environment was locked for {lock.platform}, and this machine is {here()}",
            hint="deploy the model from this machine, which locks it anew",
        )


def _corrupt(name: str, why: str) -> EnvironmentFailedError:
    return EnvironmentFailedError(
        f"{name} is no lock of an environment: {why}",
        hint="deploy the model again, which locks its requirements anew",
    )


def _heads(text: str, what: str) -> list[str]:
    found = (_HEAD.fullmatch(line) for line in text.splitlines() if line.startswith("#"))
    return [each[2].strip() for each in found if each and each[1] == what]


def _joined(text: str) -> list[str]:
    """Return the lines that are no comments, with those that they go on in."""
    plain = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = "\n".join(plain).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]
