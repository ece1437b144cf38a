"""What an image gets beyond what its bundle says: `Additions`, as flags and servd.toml give them.

Used by the command line, replica_image.py and the rest of imaging. Everything is checked here: what
is in it ends up in shell lines of a Dockerfile.
"""

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from servd.errors import InvalidValueError
from servd.imaging.requirements import normal

_APT: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?")
_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!&()*+,;=%-]+")
_WHEEL: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-[A-Za-z0-9_.!+]+(-\d\w*)?-[\w.]+-[\w.]+-[\w.]+\.whl"
)
_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<rest>(\[[A-Za-z0-9._,\s-]*\])?\s*"
    r"((?:[<>=!~]|@|;|\().*)?)"
)
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """`requirements` is a file of pip's, `extra_index` are package indexes that pip asks as well,
    `wheel` files that are installed as they are, `apt` Debian packages.
    """

    requirements: Path | None = None
    extra_index: tuple[str, ...] = ()
    wheel: tuple[Path, ...] = ()
    apt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            InvalidValueError: the message says which value, and why.
        """
        for package in self.apt:
            if _APT.fullmatch(package) is None:
                raise InvalidValueError(
                    f"--apt {package[:100]}: that is no name of a Debian package",
                    hint="as in --apt libgomp1, or --apt libpq5=15.*; one package a flag",
                )
        for url in self.extra_index:
            _check_index(url)
        for path in self.wheel:
            _check_wheel(path)
        self.lines()

    def lines(self) -> dict[str, str]:
        """Return the lines of the requirements file by the name of their package."""
        if self.requirements is None:
            return {}
        try:
            if self.requirements.stat().st_size > _MAX_BYTES:
                raise InvalidValueError(f"--requirements {self.requirements}: it is too large")
            text = self.requirements.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise InvalidValueError(f"--requirements {self.requirements}: {reason}") from error
        return dict(_parsed(str(self.requirements), text))

    def wheels(self) -> dict[str, Path]:
        """Return the wheels by the name of their package."""
        return {_wheel_name(path): path for path in self.wheel}

    @property
    def has_secrets(self) -> bool:
        """Whether an index is asked with a name or a password."""
        return any("@" in urlsplit(url).netloc for url in self.extra_index)

    @property
    def plain_hosts(self) -> tuple[str, ...]:
        """The hosts of indexes without TLS, which pip passes over unless told to trust them."""
        parts = [urlsplit(url) for url in self.extra_index]
        hosts = [part.netloc.rpartition("@")[2] for part in parts if part.scheme == "http"]
        return tuple(dict.fromkeys(hosts))

    def without_secrets(self) -> "Additions":
        """Return the same without the names and passwords of indexes."""
        return replace(self, extra_index=tuple(map(without_secret, self.extra_index)))

    def for_front_end(self) -> "Additions":
        """Return what the image of a front end gets of it: it has no model."""
        return Additions(extra_index=self.extra_index)


NONE: Final = Additions()
"""Nothing beyond what the bundle says."""


def without_secret(url: str) -> str:
    """Return a URL without a name and a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check_index(url: str) -> None:
    if _URL.fullmatch(url) is None or not urlsplit(url).hostname:
        raise InvalidValueError(
            f"--extra-index {without_secret(url)[:200]}: that is not the URL of a package index",
            hint="as in --extra-index https://packages.example/simple",
        )


def _wheel_name(path: Path) -> str:
    found = _WHEEL.fullmatch(path.name)
    return normal(found["name"]) if found else ""


def _check_wheel(path: Path) -> None:
    if not path.is_file():
        raise InvalidValueError(f"--wheel {path}: there is no such file")
    if not _wheel_name(path):
        raise InvalidValueError(
            f"--wheel {path}: a wheel's name is NAME-VERSION-PYTHON-ABI-PLATFORM.whl",
            hint="python -m pip wheel --no-deps FOLDER    makes one of a project",
        )
    if not zipfile.is_zipfile(path):
        raise InvalidValueError(f"--wheel {path}: it is not a wheel (a zip archive)")


def _parsed(name: str, text: str) -> Iterable[tuple[str, str]]:
    """Yield the package and the line of each requirement of a file."""
    joined = text.replace("\\\r\n", " ").replace("\\\n", " ")
    for raw in joined.splitlines():
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        # With one hash pip wants one of everything, also of what servd adds.
        line = re.sub(r"\s+--hash[= ]\S+", "", line)
        if not line:
            continue
        found = _REQUIREMENT.fullmatch(line)
        if found is None:
            raise InvalidValueError(f"--requirements {name}: {_why(line)}", hint=_instead(line))
        address = line.partition("@")[2].strip()
        if address.startswith((".", "/", "file:")):
            raise InvalidValueError(f"--requirements {name}: {_why(address)}", hint=_WHEEL_HINT)
        if re.search(r"://[^/\s]*@", address) and not address.startswith("git+ssh://"):
            raise InvalidValueError(
                f"--requirements {name}: the address of {found['name']} holds a name or a "
                "password, which would be in the image for all to read",
                hint="--wheel FILE takes a package along that was fetched here",
            )
        yield normal(found["name"]), line


_WHEEL_HINT: Final = (
    "files of this machine come along with --wheel FILE "
    "(python -m pip wheel --no-deps FOLDER makes one)"
)


def _why(line: str) -> str:
    shown = re.sub(r"://[^/\s]*@", "://…@", line)[:100]
    return f"'{shown}' cannot be installed in an image"


def _instead(line: str) -> str:
    if line.startswith(("-i", "--index-url", "--extra-index-url")):
        return "indexes are given with --extra-index URL"
    if line.startswith(("-r", "-c", "--requirement", "--constraint")):
        return "put the lines of that file into this one"
    return _WHEEL_HINT
