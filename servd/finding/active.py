"""The environment that the user works in: activated, or beside the project. Used by packing/.

In the order in which they count: $VIRTUAL_ENV, `.venv` beside the target or of its project,
$CONDA_PREFIX. Nothing is made, and none is changed.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from servd.environments.interpreter import Interpreter, InterpreterError, at

FOLDER: Final = ".venv"
_LONGEST_PATH: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """An environment, why it counts, and what was passed over before it."""

    interpreter: Interpreter | None
    why: str = ""
    remarks: tuple[str, ...] = ()


def find_active(folders: Iterable[Path], environ: Mapping[str, str]) -> Active:
    """Return the environment that is active for a target; `folders` may have one beside them.

    One that is named and cannot be used is passed over, and said.
    """
    remarks: list[str] = []
    for place, shown, why in _places(folders, environ):
        try:
            return Active(interpreter=at(place), why=why, remarks=tuple(remarks))
        except InterpreterError as error:
            # What says how to name another would be no help to who has named none here.
            hint = f" ({error.hint})" if "--clear" in error.hint else ""
            remarks.append(f"{shown} is not used: {error.message}{hint}")
    return Active(interpreter=None, remarks=tuple(remarks))


def _places(folders: Iterable[Path], environ: Mapping[str, str]) -> Iterator[tuple[Path, str, str]]:
    """Give the places of environments, how to name each where it is none, and why it counts."""
    if named := environ.get("VIRTUAL_ENV"):
        yield Path(named), f"VIRTUAL_ENV={named}", "it is active"
    for folder in dict.fromkeys(folders):
        place = folder / FOLDER
        if os.path.lexists(place):
            yield _named_in(place), str(place), f"it lies in {folder}"
    if named := environ.get("CONDA_PREFIX"):
        yield Path(named), f"CONDA_PREFIX={named}", "conda has it active"


def _named_in(place: Path) -> Path:
    """Return the environment that `.venv` is: a file may have the path of another folder."""
    if not place.is_file():
        return place
    try:
        text = place.read_text("utf-8")[:_LONGEST_PATH].strip()
    except (OSError, UnicodeDecodeError):
        return place
    named = place.parent / Path(text).expanduser() if text and "\n" not in text else place
    return named if named.is_dir() else place
