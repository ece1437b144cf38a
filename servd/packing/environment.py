"""From what is said and found to the environment that a target gets. Used by bundling.py.

choice.py has the rules; here is looked for what they are over, and made what they say: requirements
are locked and the environment of the lock is built before the target is looked at in it.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from servd.environments.interpreter import Interpreter, at, own
from servd.environments.lock import Lock, Wanted
from servd.environments.store import Environments
from servd.errors import ServdError, TargetError
from servd.finding.active import Active, find_active
from servd.finding.declared import normal, requirement_of
from servd.finding.hints import shown_path
from servd.finding.needs import Place, project_root
from servd.finding.requirement_files import Declared, found_in, read
from servd.packing.choice import (
    AUTO,
    SHARED,
    Choice,
    EnvironmentOptions,
    Surroundings,
    choose,
    python_for,
)
from servd.packing.inferred import Inferred, infer
from servd.packing.targets import Asked, Target
from servd.quantities import counted

_BENTO_PLACES: Final = ("env/python", "src/env/python")
"""Where a bento of BentoML 1.x has its requirements, below its folder."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where environments are made, and who hears how it goes."""

    environments: Environments
    report: Callable[[str], None]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a model runs in. `lock` is what it is made of where it is of servd's making.

    `line` says which it is and why; empty where it is what everybody would expect. `is_daemons`: it
    is to be that of the daemon, whichever that is.
    """

    interpreter: Interpreter
    lock: Lock | None = None
    line: str = ""
    remarks: tuple[str, ...] = ()
    is_daemons: bool = False

    @property
    def told(self) -> dict[str, str] | None:
        """What the manifest says of it; None: it is the server's own."""
        if self.lock is not None:
            return {"python": self.interpreter.version, "lock": "environment.lock"}
        if self.interpreter.is_own:
            return None
        return {"python": self.interpreter.version, "interpreter": str(self.interpreter.path)}


def settle(
    target: Target, options: EnvironmentOptions, place: Place, asked: Asked, workshop: Workshop
) -> Settled:
    """Return the environment of a target, made where it has to be.

    Raises:
        TargetError: what is asked for cannot be had.
        ServdError: an interpreter is none, requirements do not resolve, or cannot be built.
    """
    around = _surroundings(target, options, place.cwd, workshop.environ)
    choice = choose(options, around)
    if choice.interpreter is not None:
        return Settled(
            interpreter=choice.interpreter,
            line=choice.line,
            remarks=choice.remarks,
            is_daemons=options.env == SHARED,
        )
    base = around.active.interpreter or around.own
    inferred = None
    if choice.counts is None:
        inferred = infer(target, replace(place, interpreter=base), asked)
        if options.python is None and inferred.at_most_python:
            choice = replace(choice, python=python_for(None, around, inferred.at_most_python))
    return _made(choice, inferred, options, place.cwd, workshop)


def _surroundings(
    target: Target, options: EnvironmentOptions, cwd: Path, environ: Mapping[str, str]
) -> Surroundings:
    """Look for what the rules are over."""
    path = target.path
    beside = path if path.is_dir() else path.parent
    root = project_root(path)
    folders = [beside, *_of_bento(target), root]
    near = [beside, root, *([cwd] if path.is_relative_to(cwd) else [])]
    # What a running program hands over was made by its own interpreter, and is for that.
    active = Active(interpreter=own()) if target.made else find_active(near, environ)
    named = options.venv or options.python_path
    makes_new = options.env == AUTO or options.makes_new
    return Surroundings(
        cwd=cwd,
        own=own(),
        active=active,
        declared=_declared(target, options, folders),
        given=None if options.requirements is None else _given(options.requirements),
        named=None if named is None or makes_new else at(_program(named)),
    )


def _declared(
    target: Target, options: EnvironmentOptions, folders: list[Path]
) -> tuple[Declared, ...]:
    """Return what the target's project says that it needs, as far as that decides anything.

    A service that BentoML 0.13 has saved lists BentoML, which servd stands in for, and versions of
    years ago: that counts where a new environment is asked for.
    """
    if target.made is not None:
        return ()
    found = tuple(found_in(folders, target.path))
    if target.bento is None:
        return found
    return tuple(map(_without_bentoml, found)) if options.makes_new else ()


def _without_bentoml(each: Declared) -> Declared:
    names = (requirement_of(line) for line in each.lines)
    kept = (not (name and normal(name.name) == "bentoml") for name in names)
    lines = tuple(line for line, is_kept in zip(each.lines, kept, strict=True) if is_kept)
    return replace(each, lines=lines, origins=())


def _of_bento(target: Target) -> list[Path]:
    above = (target.path.parent, *target.path.parent.parents[:3])
    return [folder / inner for folder in above for inner in _BENTO_PLACES[:1]]


def _program(named: Path) -> Path:
    """Return the Python that a name means: that of a folder, or one that a shell would find."""
    found = shutil.which(str(named)) if len(named.parts) == 1 and not named.exists() else None
    return Path(found or named)


def _given(file: Path) -> Declared:
    """Return what a file says that was named.

    Raises:
        TargetError: it is not there.
    """
    path = Path(os.path.abspath(file.expanduser()))  # noqa: PTH100 - a link keeps its name
    if not os.path.lexists(path):
        raise TargetError(f"there is no file {file}", hint="--requirements FILE is one of pip's")
    return read(path)


def _made(
    choice: Choice,
    inferred: Inferred | None,
    options: EnvironmentOptions,
    cwd: Path,
    workshop: Workshop,
) -> Settled:
    """Lock what is wanted, build it, and say what it is.

    Raises:
        ServdError: it does not resolve, or cannot be built.
    """
    counts = choice.counts
    lines = counts.lines if counts is not None else (inferred or Inferred()).lines
    folder = counts.file.parent if counts is not None else cwd
    wanted = Wanted(lines, choice.python, folder)
    of = shown_path(counts.file, cwd) if counts is not None else f"inferred from {_why(inferred)}"
    try:
        lock = workshop.environments.lock(wanted, workshop.report)
        interpreter = workshop.environments.ensure(lock, workshop.report)
    except ServdError as error:
        raise _with_way_out(error, of, inferred, is_asked=_is_asked(options)) from error
    shown = f"new, of {of}" if counts is not None else f"new, {of}"
    line = f"{shown} (Python {interpreter.version}, {counted(len(lock.pins), 'package')})"
    if choice.line:
        line += f": {choice.line}"
    remarks = choice.remarks
    if counts is None and lines:
        remarks = (*remarks, f"requirements were inferred: {', '.join(lines)}")
    return Settled(interpreter=interpreter, lock=lock, line=line, remarks=remarks)


def _why(inferred: Inferred | None) -> str:
    return inferred.why if inferred is not None else "nothing"


def _is_asked(options: EnvironmentOptions) -> bool:
    return any((options.env, options.requirements, options.python))


def _with_way_out(
    error: ServdError, of: str, inferred: Inferred | None, *, is_asked: bool
) -> ServdError:
    """Say which requirements could not be had, and what else there is to do."""
    if not is_asked:
        error.hint = "; ".join(
            filter(None, [error.hint, f"--env shared runs the model without what {of} asks for"])
        )
    elif inferred is not None:
        names = [each for each in map(requirement_of, inferred.lines) if each is not None]
        asked = ", ".join(map(str, names))
        way = f"the requirements were {of}: {asked}; --requirements FILE says others"
        error.hint = "; ".join(filter(None, [error.hint, way]))
    return error
