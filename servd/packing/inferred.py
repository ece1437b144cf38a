"""What a model needs, inferred from what it imports and from what its pickles say of themselves.

Used by environment.py for `--env auto`, and where no file says what is needed. It is all read:
nothing of the user's runs, and nothing is unpickled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from model_runtime.contract import distribution
from servd.environments.interpreter import Interpreter
from servd.errors import TargetError
from servd.finding.declared import normal
from servd.finding.needs import Needs, Place
from servd.packing.formats import table
from servd.packing.formats.base import Need
from servd.packing.formats.needed import numbers
from servd.packing.formats.peek import Peek
from servd.packing.pickle_scan import ANY_PYTHON, PickleScan, scan
from servd.packing.pickles import PICKLE_ENDINGS
from servd.packing.targets import Asked, Target

_SCIKIT: Final = "scikit-learn"
_STACK: Final = frozenset({_SCIKIT, "numpy", "scipy", "pandas", "joblib", "threadpoolctl"})
"""What goes together: of an older scikit-learn the others are what it works with."""
_NEWEST_PYTHONS: Final = (
    ((0, 24), "3.9"),
    ((1, 0), "3.10"),
    ((1, 2), "3.11"),
    ((1, 4), "3.12"),
    ((1, 6), "3.13"),
)
"""Up to which Python there are packages of scikit-learn: its release, and those before it."""
_OLDEST_SCIKIT: Final = (0, 24)
"""The first that has packages for a Python in which models run."""
_FIRST_FOR_NUMPY_2: Final = (1, 4)
_OF_NUMPY_2: Final = "numpy._core"
"""A module that pickles name which NumPy 2 has written."""


@dataclass(slots=True)
class Inferred:
    """Requirements as pip reads them; `python` is the newest that has them all, if any has not."""

    lines: tuple[str, ...] = ()
    at_most_python: str = ""
    why: str = ""


@dataclass(slots=True)
class _Said:
    """What a target says that it needs: modules, and libraries of a format."""

    modules: set[str] = field(default_factory=set)
    libraries: list[Need] = field(default_factory=list)
    scans: list[PickleScan] = field(default_factory=list)


def infer(target: Target, place: Place, asked: Asked) -> Inferred:
    """Return what a target needs; versions are those of `place.interpreter` where it has them.

    What a pickle was made with counts before what is installed.

    Raises:
        TargetError: the target cannot be read, or was made with what no Python has that runs here.
    """
    said = _said_by(target, place, asked)
    scikit = next((each.sklearn_version for each in said.scans if each.sklearn_version), None)
    pins = _pins(said.modules, place.interpreter)
    for need in said.libraries:
        pins[need.distribution] = _line_of(need, place.interpreter)
    uses_code = target.is_code or target.made is not None
    inferred = Inferred(why="its imports" if uses_code else "the model's own words")
    if scikit is not None:
        _pin_scikit(pins, inferred, scikit, place.interpreter)
    if any(_OF_NUMPY_2 in module for each in said.scans for module in each.modules):
        pins.setdefault("numpy", "numpy")
        if pins["numpy"] == "numpy":
            pins["numpy"] = "numpy>=2"
    inferred.lines = tuple(pins[name] for name in sorted(pins))
    return inferred


def _said_by(target: Target, place: Place, asked: Asked) -> _Said:
    if target.made is None and target.is_code:
        return _of_code(target, place)
    if target.made is None:
        chosen = table.choose(target.path, asked.loader)
        if chosen.name != table.PICKLE:
            return _Said(libraries=list(chosen.inspect(Peek(target.path), asked).needs))
    said = _Said(scans=[scan(target.content, ANY_PYTHON)])
    needs = Needs(target.path, place, target.content)
    named = list(said.scans[0].modules)
    if target.made is not None:
        # What a function uses is a text in its pickle; the program that has it told.
        needs.add_running(target.made.loaded)
        named += [each for each in target.made.modules if each not in target.made.loaded]
    for name in named:
        top = name.partition(".")[0]
        if not needs.modules.add_module(name) and not needs.installed.is_pythons(top):
            said.modules.add(top)
    said.modules |= _imported(needs)
    if said.scans[0].has_columns:
        said.modules.add("pandas")
    return said


def _of_code(target: Target, place: Place) -> _Said:
    needs = Needs(target.path, place)
    needs.modules.add_target()
    for path in sorted(place.included):
        if path.suffix == ".py":
            needs.modules.add_file(path)
    needs.read_data()
    said = _Said(modules=_imported(needs))
    for path in sorted(needs.files()):
        if path.suffix in PICKLE_ENDINGS:
            try:
                found = scan(path, ANY_PYTHON)
            except TargetError:
                continue  # whoever opens it may read it in another way
            said.scans.append(found)
            said.modules |= set(found.frameworks)
            said.modules |= {"pandas"} if found.has_columns else set()
    return said


def _imported(needs: Needs) -> set[str]:
    """Return the top-level modules of others that the code imports, and cannot do without."""
    found = needs.modules.found
    others = found.installed | found.missing
    named: set[str] = set()
    for reading in found.readings.values():
        absolute = [each for each in reading.imports if not each.level]
        named |= {each.name.partition(".")[0] for each in absolute if each not in reading.optional}
    known = {name for name in others - named if name in found.installed}
    return (others & named) | known


def _pins(modules: Iterable[str], interpreter: Interpreter) -> dict[str, str]:
    """Return a line for each distribution that brings a module, by its name."""
    pins: dict[str, str] = {}
    for module in sorted(modules):
        wanted = distribution(module)
        owners = interpreter.distributions_of(module)
        names: Sequence[str] = owners or (wanted,)
        if normal(wanted) in map(normal, owners):
            names = (wanted,)
        for name in names:
            version = interpreter.version_of(name)
            pins[normal(name)] = _pinned(normal(name), version)
    return pins


def _pinned(name: str, version: str | None) -> str:
    """Return a line for a version, unless no index has it: one of a local build, or none."""
    return name if version is None else f"{name}=={version.partition('+')[0]}"


def _line_of(need: Need, interpreter: Interpreter) -> str:
    """Return the line of a library that a file of a format says that it needs."""
    version = interpreter.version_of(need.distribution)
    if need.made_with and (version is None or numbers(need.made_with) != numbers(version)):
        return f"{need.distribution}=={_series(need.made_with)}.*"
    bounds = [f">={need.at_least}"] if need.at_least else []
    bounds += [f"<={need.at_most}.9999"] if need.at_most else []
    if version is not None and not bounds:
        return _pinned(need.distribution, version)
    return need.distribution + ",".join(bounds)


def _series(version: str) -> str:
    return ".".join(map(str, numbers(version)[:2]))


def _pin_scikit(
    pins: dict[str, str], inferred: Inferred, made_with: str, interpreter: Interpreter
) -> None:
    """Ask for the scikit-learn that a pickle was made with, and for what goes with it.

    Raises:
        TargetError: no Python that runs models has it.
    """
    release = numbers(made_with)[:2]
    if release < _OLDEST_SCIKIT:
        raise TargetError(
            f"the model was made with {_SCIKIT} {made_with}, which there is for no Python that "
            "runs models",
            hint="load it with that version, and write it again with a later one; "
            "--env shared tries it as it is",
        )
    if interpreter.version_of(_SCIKIT) == made_with:
        return
    pins |= {name: name for name in _STACK.intersection(pins)}
    pins[_SCIKIT] = f"{_SCIKIT}=={_series(made_with)}.*"
    if release < _FIRST_FOR_NUMPY_2:
        pins["numpy"] = "numpy<2"
    newest = (python for last, python in _NEWEST_PYTHONS if release <= last)
    inferred.at_most_python = next(newest, "")
    inferred.why = f"{_SCIKIT} {made_with}, with which it was made"
