"""Which environment a model gets: the rules, over what was found. Used by environment.py.

What the deployer says counts first, then the environment that is active, then servd's own; a new
one is made where it is asked for, or where servd's own lacks what the project says that it needs.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from servd.environments.interpreter import Interpreter
from servd.errors import InvalidValueError, TargetError
from servd.finding import declared
from servd.finding.active import Active
from servd.finding.hints import shown_path
from servd.finding.missing import installer
from servd.finding.requirement_files import Declared

SHARED: Final = "shared"
AUTO: Final = "auto"
NEW: Final = "new"
VENV: Final = "venv:"
_WORDS: Final = "shared, auto, new or venv:PATH"
_VERSION: Final = re.compile(r"\d+(?:\.\d+){1,2}")
_SERIES: Final = tuple(f"3.{minor}" for minor in range(14, 8, -1))
"""Pythons that models run in, the newest first."""
_VARIABLES: Final = {
    "env": "SERVD_ENV",
    "requirements": "SERVD_ENV_REQUIREMENTS",
    "python": "SERVD_PYTHON",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOptions:
    """What the deployer says of the environment; None: nothing.

    `env` is "shared", "auto", "new" or "venv:PATH", `requirements` a file of what is needed,
    `python` a version ("3.12") or the path of a Python.
    """

    env: str | None = None
    requirements: Path | None = None
    python: str | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def venv(self) -> Path | None:
        """The environment that is named."""
        is_named = self.env is not None and self.env.startswith(VENV)
        return Path((self.env or "").removeprefix(VENV)) if is_named else None

    @property
    def python_path(self) -> Path | None:
        """The Python that is named by its path."""
        is_path = self.python is not None and not _VERSION.fullmatch(self.python)
        return Path(self.python or "") if is_path else None

    @property
    def makes_new(self) -> bool:
        """Whether a new environment is asked for, of what a file says."""
        is_version = self.python is not None and self.python_path is None
        return self.env == NEW or self.requirements is not None or (is_version and not self.env)


def options_of(
    env: str | None, requirements: str | Path | None, python: str | None, environ: Mapping[str, str]
) -> EnvironmentOptions:
    """Return what is said by flags or arguments; where none is given, by variables.

    Raises:
        InvalidValueError: it cannot be meant, or two contradict each other.
    """
    given = {"env": env, "requirements": requirements, "python": python}
    if not any(given.values()):
        given = {name: environ.get(_VARIABLES[name]) or None for name in given}
    file = given["requirements"]
    return EnvironmentOptions(
        env=None if given["env"] is None else str(given["env"]),
        requirements=None if file is None else Path(file),
        python=None if given["python"] is None else str(given["python"]),
    )


def _check(options: EnvironmentOptions) -> None:
    """Refuse what cannot be meant.

    Raises:
        InvalidValueError: it says which.
    """
    env, path = options.env, options.venv
    if env is not None and env not in (SHARED, AUTO, NEW) and (path is None or path == Path()):
        raise InvalidValueError(f"--env {env} is no environment: it is {_WORDS}")
    if options.requirements is not None and env not in (None, NEW):
        raise InvalidValueError(
            f"--requirements makes a new environment, and --env {env} is another",
            hint="leave one of them out",
        )
    if options.python is not None and (env == SHARED or path is not None):
        raise InvalidValueError(
            f"--python says of which Python an environment is, and --env {env} is there already",
            hint="leave one of them out",
        )
    if options.python is not None and options.python_path is None:
        _check_version(options.python)


def _check_version(python: str) -> None:
    if ".".join(python.split(".")[:2]) not in _SERIES:
        raise InvalidValueError(
            f"models do not run in Python {python}: they do in {_SERIES[-1]} to {_SERIES[0]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was found around a target.

    `own` is servd's own interpreter, `active` the environment that the user works in. `declared`
    are files that say what is needed, what counts first; `given` is the one that was named.
    `named` is the interpreter of the environment, or the Python, that was named.
    """

    cwd: Path
    own: Interpreter
    active: Active
    declared: tuple[Declared, ...] = ()
    given: Declared | None = None
    named: Interpreter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a model is to run in: an `interpreter` as it is, or else a new environment.

    A new one has what `counts` says, or what is inferred where that is None; it is of `python`:
    None is servd's own version. `line` says which it is and why, empty where nobody need be told.
    """

    interpreter: Interpreter | None = None
    counts: Declared | None = None
    python: str | None = None
    line: str = ""
    remarks: tuple[str, ...] = ()
    is_default: bool = False
    """Nobody has asked for it."""


def choose(options: EnvironmentOptions, around: Surroundings) -> Choice:
    """Return which environment a model gets.

    Raises:
        TargetError: what is asked for cannot be had; the message says why.
    """
    if options.env == SHARED:
        return _as_it_is(around, around.own, "as --env shared says")
    if options.venv is not None and around.named is not None:
        return _as_it_is(around, around.named, f"as --env {options.env} says")
    if options.env == AUTO:
        python = options.python or python_for(None, around)
        return Choice(python=python, remarks=around.active.remarks)
    if options.makes_new:
        return _new(options, around)
    if around.named is not None:
        return _as_it_is(around, around.named, f"as --python {options.python} says")
    return _by_default(options, around)


def _as_it_is(around: Surroundings, interpreter: Interpreter, why: str) -> Choice:
    line = f"{shown_environment(interpreter, around.cwd)} (Python {interpreter.version}), {why}"
    return Choice(interpreter=interpreter, line=line)


def _new(options: EnvironmentOptions, around: Surroundings, why: str = "") -> Choice:
    """Return a new environment, of the file that counts, or of what is inferred."""
    if around.given is not None and around.given.problem:
        raise _unreadable(around.given)
    usable = [each for each in around.declared if not each.problem]
    counts = around.given or next(iter(usable), None)
    others = [each for each in usable if each is not counts]
    said = [] if counts is None else [*declared.disagreements(counts, others), *counts.remarks]
    said += [_passed_over(each) for each in around.declared if each.problem]
    return Choice(
        counts=counts,
        python=options.python or python_for(counts, around),
        line=why,
        remarks=(*around.active.remarks, *said),
    )


def _by_default(options: EnvironmentOptions, around: Surroundings) -> Choice:
    """Return the active environment, or servd's own where that will do."""
    usable = [each for each in around.declared if not each.problem]
    headers = [each for each in around.declared if each.problem and each.file.suffix == ".py"]
    remarks = (*around.active.remarks, *map(_passed_over, headers))
    active, counts = around.active.interpreter, next(iter(usable), None)
    if active is not None:
        lacks = _lacks(counts, active, around)
        line = f"{shown_environment(active, around.cwd)} (Python {active.version})"
        line = "" if active.is_own else f"{line}: {around.active.why}"
        return Choice(interpreter=active, line=line, remarks=(*remarks, *lacks), is_default=True)
    if counts is None or not _lacks(counts, around.own, around):
        return Choice(interpreter=around.own, remarks=remarks, is_default=True)
    new = _new(options, around, f"servd's own has not what {counts.file.name} asks for")
    return Choice(
        counts=new.counts,
        python=new.python,
        line=new.line,
        remarks=tuple(dict.fromkeys([*remarks, *new.remarks])),
        is_default=True,
    )


def _lacks(counts: Declared | None, interpreter: Interpreter, around: Surroundings) -> list[str]:
    """Return what an environment lacks of what a file asks for, in words."""
    if counts is None:
        return []
    where = f"in {shown_environment(interpreter, around.cwd)}"
    missing = declared.lacking_of([counts], interpreter)
    instead = ", or --env new makes an environment that has it"
    said = declared.remarks(
        missing,
        "here" if interpreter.is_own else where,
        instead,
        installer(interpreter, around.cwd),
    )
    if counts.python and not fits(counts.python, interpreter.version):
        said.append(
            f"{counts.file.name} asks for Python {counts.python}, and {interpreter.version} is "
            f"{where}: --env new makes an environment of another"
        )
    return said


def python_for(counts: Declared | None, around: Surroundings, at_most: str = "") -> str | None:
    """Return of which Python a new environment is; None: of servd's own version.

    It is that of the active environment, unless the file asks for another, or nothing later than
    `at_most` will do.

    Raises:
        TargetError: models run in none that is asked for.
    """
    base = around.active.interpreter or around.own
    wanted = (counts.python if counts is not None else None) or ""
    bound = f"{wanted},<{_after(at_most)}".lstrip(",") if at_most else wanted
    if fits(bound, base.version):
        return None if base.series == around.own.series else _found(base)
    series = next((each for each in _SERIES if fits(bound, f"{each}.99")), None)
    if series is None or counts is None:
        if counts is None and series is not None:
            return series
        raise TargetError(
            f"Python {bound} is asked for{'' if counts is None else f' by {counts.file.name}'}, "
            f"and models run in {_SERIES[-1]} to {_SERIES[0]}",
            hint="--python VERSION takes another all the same",
        )
    return None if fits(bound, around.own.version) else series


def _after(series: str) -> str:
    major, minor = series.split(".")
    return f"{major}.{int(minor) + 1}"


def _found(base: Interpreter) -> str:
    """Return how a Python of the same version is named: by that, or by where it lies."""
    series = ".".join(map(str, base.series))
    beneath = base.base_prefix / "bin" / f"python{series}"
    is_known = shutil.which(f"python{series}") is not None or not beneath.exists()
    return series if is_known else str(beneath)


def fits(specifier: str, version: str) -> bool:
    """Tell whether a Python is one that a file asks for; one that asks for nothing clear fits."""
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _unreadable(given: Declared) -> TargetError:
    hint = "name the file in it" if given.file.is_dir() else ""
    return TargetError(f"--requirements {given.file} {given.problem}", hint=hint)


def _passed_over(each: Declared) -> str:
    return f"{each.file.name} {each.problem}: it is passed over"


def shown_environment(interpreter: Interpreter, cwd: Path) -> str:
    """Return what an environment is called for people: its folder, or the Python itself."""
    if interpreter.is_own:
        return "servd's own environment"
    place = interpreter.prefix if interpreter.is_environment else interpreter.path
    return shown_path(place, cwd)


def packages_in(lines: Iterable[str]) -> int:
    """Return how many packages a lock has."""
    return sum(1 for line in lines if "==" in line and not line.startswith(("#", "-", " ")))
