"""What an image has of the environment that its model was deployed with. Used by context.py.

Of an environment of servd's making it is the same lock. Of one that is used as it is, it is what
was found there, with what that brings along, as long as the environment is on this machine.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from model_runtime.bundle import LOCK_NAME
from model_runtime.manifest import Manifest
from servd.environments import lock as locks
from servd.environments.interpreter import Interpreter, InterpreterError, at
from servd.environments.lock import Lock
from servd.errors import BundleError, ConflictError
from servd.imaging import requirements
from servd.imaging.sources import Source, source_in, source_of

_FIND_LINKS: Final = "--find-links="
_WHEELS: Final = "wheels"
_OLDEST_OF_SERVD: Final = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where an image's packages come from.

    `pins` are what the model needs, `wheels` files of some of them, by name. `lookup` and `sources`
    tell of what is installed where the model was deployed, `options` are pip's. `unpinned` are
    needed in a version that is not here, as the image is of another Python.
    """

    pins: Mapping[str, str] = field(default_factory=dict)
    wheels: Mapping[str, Path] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    unpinned: tuple[str, ...] = ()
    lookup: requirements.Lookup = requirements.installed
    sources: Callable[[str], Source | None] = source_of


def python_of(manifest: Manifest) -> str:
    """Return the version of Python that a bundle's model runs in; empty where nobody said."""
    return (manifest.environment or {}).get("python", "") or manifest.python


def check_serves(python: str, name: str) -> None:
    """Refuse an image that has servd itself beside a model in a Python that servd is not for.

    Raises:
        ConflictError: its Python is too old.
    """
    numbers = tuple(map(int, re.findall(r"\d+", python)[:2]))
    if len(numbers) == 2 and numbers < _OLDEST_OF_SERVD:
        oldest = ".".join(map(str, _OLDEST_OF_SERVD))
        raise ConflictError(
            f"{name} runs in Python {python}, and an image that answers by itself has servd in it, "
            f"which needs {oldest} or later",
            hint="--kind replica makes one that a front end asks",
        )


def origins_of(manifest: Manifest | None, bundle: Path | None, environments: Path) -> Origins:
    """Return where the packages of a bundle's image come from.

    `environments` is the folder in which environments are made, which keeps their wheels.

    Raises:
        BundleError: a wheel of its environment is not here.
    """
    if manifest is None or manifest.environment is None or bundle is None:
        return Origins(pins=manifest.packages if manifest else {})
    python = manifest.environment["python"]
    if "lock" in manifest.environment:
        found = _of_lock(locks.read(bundle / LOCK_NAME), environments)
    else:
        found = _as_it_is(manifest, Path(manifest.environment["interpreter"]))

    def lookup(name: str) -> tuple[str, tuple[str, ...]] | None:
        known = found.lookup(name) if found.lookup is not requirements.installed else None
        return known or requirements.installed_for(python, name)

    unpinned = tuple(
        name for name in requirements.RUNTIME if name not in found.pins and lookup(name) is None
    )
    return replace(found, lookup=lookup, unpinned=unpinned)


def _as_it_is(manifest: Manifest, path: Path) -> Origins:
    try:
        there = at(path)
    except InterpreterError:
        # It is not on this machine, or not any more: what is needed is known all the same.
        return Origins(pins=manifest.packages)
    return Origins(
        pins=manifest.packages,
        lookup=lambda name: requirements.installed_in(there, name),
        sources=lambda name: _source(there, name),
    )


def _source(there: Interpreter, name: str) -> Source | None:
    return source_in(there, name) if there.version_of(name) is not None else source_of(name)


def _of_lock(lock: Lock, environments: Path) -> Origins:
    wheels: dict[str, Path] = {}
    for digest, name in lock.wheels.items():
        path = environments / _WHEELS / digest / name
        if not path.is_file():
            raise BundleError(
                f"the package {name} of the model's environment is not in {path.parent}",
                hint="deploy the model again from where it was deployed",
            )
        wheels[_name_of(path)] = path
    folders = [each.removeprefix(_FIND_LINKS) for each in lock.options]
    for folder in [Path(each.removeprefix("file://")) for each in folders if "/" in each[:8]]:
        wheels = _lying_in(folder, lock) | wheels
    options = [each for each in lock.options if "://" in each and "file://" not in each]
    return Origins(pins=lock.pins, wheels=wheels, options=tuple(options))


def _lying_in(folder: Path, lock: Lock) -> dict[str, Path]:
    """Return the wheels of a folder that a lock names: an image has no such folder."""
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.glob("*.whl")):
        name, version = _name_of(path), path.name.split("-")[1]
        if lock.pins.get(name) == version:
            found[name] = path
    return found


def _name_of(wheel: Path) -> str:
    return requirements.normal(wheel.name.split("-", 1)[0])
