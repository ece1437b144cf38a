"""Whether the libraries that a model needs are where it is going to run, and read its file.

Used by found.py and pickled models. What is installed is looked up; nothing is imported.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from servd.environments.interpreter import Interpreter
from servd.errors import TargetError
from servd.finding.missing import install, where
from servd.finding.needs import Place
from servd.packing.formats.base import Need

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)*")


def checked(file: str, needs: Iterable[Need], place: Place) -> dict[str, str]:
    """Return the distributions that some libraries are of, with their versions.

    Raises:
        TargetError: one is not installed, or does not read the file.
    """
    found: dict[str, str] = {}
    missing = []
    for need in needs:
        brought = brought_by(need, place.interpreter)
        if brought is None:
            if not need.is_asked:
                missing.append(need)
            continue
        found |= brought
        for version in brought.values():
            _check_version(file, need, version, place)
    if missing:
        names = [each.distribution for each in missing]
        is_are = "is" if len(names) == 1 else "are"
        raise TargetError(
            f"{file} needs {' and '.join(names)}, which {is_are} not installed{where(place)}",
            hint=install(place, *map(_pinned, missing)),
        )
    return found


def brought_by(need: Need, interpreter: Interpreter) -> dict[str, str] | None:
    """Return the distribution that a library is of, and its version; None where it is not there."""
    if not need.module:
        version = interpreter.version_of(need.distribution)
        return None if version is None else {need.distribution: version}
    known = (need.module, *need.others)
    module = next((each for each in known if interpreter.has_module(each)), None)
    if module is None:
        return None
    usual = (need.distribution,) if module == need.module else ()
    for name in (*usual, *interpreter.distributions_of(module)):
        version = interpreter.version_of(name)
        if version is not None:
            return {name: version}
    return {}


def remarks(needs: Sequence[Need], place: Place) -> list[str]:
    """Return what to say of libraries that are of another version than what wrote the file.

    And of those that its author has asked for, though it may do without.
    """
    told = []
    lacking = [
        each for each in needs if each.is_asked and brought_by(each, place.interpreter) is None
    ]
    if lacking:
        pins = [f"{each.distribution}=={each.made_with}" for each in lacking if each.made_with]
        pins += [each.distribution for each in lacking if not each.made_with]
        is_are = "is" if len(pins) == 1 else "are"
        told.append(
            f"its requirements name {', '.join(pins)}, which {is_are} not installed{where(place)}: "
            f"{install(place, *pins)}"
        )
    for need in needs:
        brought = brought_by(need, place.interpreter) or {}
        told += [
            f"model was made with {need.distribution} {need.made_with}, this is {version}: "
            f"--env auto makes an environment with {need.made_with}"
            for version in brought.values()
            if need.made_with and numbers(need.made_with) != numbers(version)
        ]
    return told


def _check_version(file: str, need: Need, version: str, place: Place) -> None:
    """Raise TargetError where a library is too old, or too new, for the file."""
    has = numbers(version)
    if need.at_least and has < numbers(need.at_least):
        wanted = f"{need.at_least} or later"
    elif need.at_most and has[: len(numbers(need.at_most))] > numbers(need.at_most):
        wanted = f"{need.at_most} at most"
    else:
        return
    raise TargetError(
        f"{file} {need.why}, which {need.distribution} {version}{where(place)} does not read: "
        f"it takes {wanted}",
        hint=install(place, _pinned(need)),
    )


def _pinned(need: Need) -> str:
    """Return what is to be installed, as pip reads it."""
    if need.at_most:
        return f"{need.distribution}=={need.at_most}.*"
    return f"{need.distribution}>={need.at_least}" if need.at_least else need.distribution


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, to be compared; what stands behind them counts for nothing."""
    told = _NUMBERS.match(version)
    return tuple(map(int, told[0].split("."))) if told else ()
