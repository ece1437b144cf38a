"""Which kind of thing a target is, and who finds out what it needs. Used by bundling.py."""

from pathlib import Path

from servd.errors import TargetError
from servd.finding.needs import Place
from servd.packing.code import find_code
from servd.packing.formats import table
from servd.packing.formats.found import find_format
from servd.packing.pickles import find_pickle
from servd.packing.targets import Asked, Found, Target


def find(
    target: Target,
    timeout_s: float = 120.0,
    place: Place | None = None,
    asked: Asked | None = None,
) -> Found:
    """Return what a target is and which files and packages it needs.

    A Python file may take `timeout_s` to load; a file of a model is only read, unless it needs
    modules of the user's own.

    Raises:
        TargetError: it cannot be deployed; the message says why.
    """
    place = place or Place(cwd=Path.cwd())
    asked = asked or Asked()
    if target.made is None and target.is_code:
        if asked.loader is not None:
            raise TargetError(
                f"--loader {asked.loader} is for files of models, and {target.path.name} is code",
                hint="leave --loader out",
            )
        return find_code(target, place, asked, timeout_s)
    if target.made is not None:
        return find_pickle(target, place, timeout_s)
    chosen = table.choose(target.path, asked.loader)
    if chosen.name == table.PICKLE:
        return find_pickle(target, place, timeout_s)
    return find_format(chosen, target, place, asked)
