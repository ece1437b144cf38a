"""Which packages go into an image, at which versions. Used by context.py.

What the bundle and servd need is required; what those bring along is only constrained to the
versions that work here, so that an image that is built again next year is the same.
"""

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from servd.environments.interpreter import Interpreter
from servd.imaging.naming import Kind

RUNTIME: Final = ("msgpack", "pyzmq")
"""What model_runtime needs."""

SERVING: Final = (
    *("click", "httptools", "msgpack", "msgspec", "multipart", "platformdirs"),
    *("psutil", "pysimdjson", "pyzmq", "rich", "uvloop"),
)
"""What a process that answers queries needs; the admin API's packages stay out."""

_OWN: Final = frozenset({"servd"})
_REQUIRED_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Lookup = Callable[[str], tuple[str, tuple[str, ...]] | None]
"""Takes a distribution's name; returns its installed version and the names that it requires."""


def installed(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what is installed under a name here: the `Lookup` of this environment."""
    try:
        return _told(importlib.metadata.distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_for(python: str, name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what is installed under a name here, if a version of Python can have it as well."""
    try:
        found = importlib.metadata.distribution(name)
        wanted = SpecifierSet(found.metadata["Requires-Python"] or "")
    except (importlib.metadata.PackageNotFoundError, InvalidSpecifier):
        return None
    return _told(found) if not python or wanted.contains(python, prereleases=True) else None


def installed_in(interpreter: Interpreter, name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what is installed under a name for an interpreter, as `installed` does."""
    path = [str(folder) for folder in interpreter.sys_path]
    found = importlib.metadata.distributions(name=name, path=path)
    return next(map(_told, found), None)


def _told(found: importlib.metadata.Distribution) -> tuple[str, tuple[str, ...]]:
    # Requirements of extras are not followed; those of other platforms only constrain.
    wanted = [text for text in found.requires or () if "extra ==" not in text]
    names = (_REQUIRED_NAME.match(text) for text in wanted)
    return found.version, tuple(sorted({name[0] for name in names if name}))


def requirements_of(
    kind: Kind, packages: Mapping[str, str], lookup: Lookup = installed
) -> dict[str, str]:
    """Return the packages of an image, distribution name to exact version.

    Args:
        kind: of image.
        packages: what the bundle's manifest says its model was made with; wins over what is here.
        lookup: how to learn the versions of servd's own needs.
    """
    wanted: dict[str, str] = {}
    for name in RUNTIME if kind == "replica" else SERVING:
        found = lookup(name)
        if found is not None:
            wanted[normal(name)] = found[0]
    wanted |= {normal(name): version for name, version in packages.items()}
    return {name: wanted[name] for name in sorted(wanted) if name not in _OWN}


def constraints_of(required: Mapping[str, str], lookup: Lookup = installed) -> dict[str, str]:
    """Return the versions of what the required packages bring along.

    A package that is required at another version than is here may want other versions too: what
    it brings along is left to pip.
    """
    found: dict[str, str] = {}
    waiting = list(required)
    while waiting:
        name = waiting.pop()
        here = lookup(name)
        if here is None or here[0] != required.get(name, found.get(name)):
            continue
        for needed in map(normal, here[1]):
            version = lookup(needed)
            if version is not None and needed not in required and needed not in found:
                found[needed] = version[0]
                waiting.append(needed)
    return dict(sorted(found.items()))


def as_lines(pins: Mapping[str, str]) -> str:
    """Return pins as the text of a requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in pins.items())


def normal(name: str) -> str:
    """Return a distribution's name as indexes compare it (the name normalisation of packaging)."""
    return re.sub(r"[-_.]+", "-", name).lower()
