"""Where a package is missing that a model needs, and the command that installs it there.

Used by packing/, in what is said of models that cannot be loaded.
"""

from pathlib import Path

from servd.finding.needs import Place


def where(place: Place) -> str:
    """Return where something is not installed, unless it is where servd itself is."""
    interpreter = place.interpreter
    return "" if interpreter.is_own else f" in {_shown(interpreter.prefix, place.cwd)}"


def install(place: Place, *wanted: str) -> str:
    """Return the command that installs some packages where the model is going to run."""
    names = " ".join(f"'{each}'" if set(each) & set("<>=*") else each for each in wanted)
    interpreter = place.interpreter
    if interpreter.is_own:
        return f"pip install {names}"
    python = _shown(interpreter.path, place.cwd)
    if interpreter.has_module("pip"):
        return f"{python} -m pip install {names}"
    return f"uv pip install --python {python} {names}"


def _shown(path: Path, cwd: Path) -> str:
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
