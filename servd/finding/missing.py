"""Where a package is missing that a model needs, and the command that installs it there.

Used by packing/, in what is said of models that cannot be loaded.
"""

from pathlib import Path

from servd.environments.interpreter import Interpreter
from servd.environments.shelf import MARK
from servd.finding.needs import Place


def where(place: Place) -> str:
    """Return where something is not installed, unless it is where servd itself is."""
    interpreter = place.interpreter
    return "" if interpreter.is_own else f" in {_shown(interpreter.prefix, place.cwd)}"


def install(place: Place, *wanted: str) -> str:
    """Return what installs some packages where the model is going to run: mostly a command.

    What servd has built is shared, and is what its lock says: nothing is to be put into it.
    """
    names = " ".join(f"'{each}'" if set(each) & set("<>=*") else each for each in wanted)
    if is_built(place.interpreter):
        return f"add {names} to the requirements that this environment is made of"
    command = f"{installer(place.interpreter, place.cwd)} {names}"
    if place.interpreter.is_own and not place.interpreter.has_module("pip"):
        # A tool's environment (uv, pipx, a single file): the pip on the path is another Python's.
        return f"--env auto makes the model an environment that has it; or {command}"
    return command


def installer(interpreter: Interpreter, cwd: Path) -> str:
    """Return the command that what to install in an environment is put behind."""
    has_pip = interpreter.has_module("pip")
    if interpreter.is_own and has_pip:
        return "pip install"
    python = _shown(interpreter.path, cwd)
    if has_pip:
        return f"{python} -m pip install"
    return f"uv pip install --python {python}"


def is_built(interpreter: Interpreter) -> bool:
    """Tell whether servd has built an environment, of requirements that were given to it."""
    return (interpreter.prefix / MARK).is_file()


def _shown(path: Path, cwd: Path) -> str:
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
