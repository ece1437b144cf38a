"""What is checked of an MLflow model's folder before anything in it is read by MLflow.

Used by its loader and where it is looked at. Such a folder names the module that loads it, and
paths below itself: what leads elsewhere is refused.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

NAME: Final = "MLmodel"
FLAVOUR: Final = "python_function"
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FREE: Final = frozenset({"uri", "loader_module", "env"})
"""What names no path below the folder: where an artifact came from, for example."""
_MAX_DEPTH: Final = 16


class UnfitModelError(ValueError):
    """The folder is no model that can be served; the message says why."""


def checked(content: Any) -> dict[str, Any]:
    """Return the flavour that is served of what an MLmodel holds.

    Raises:
        UnfitModelError: it has none, or names what lies outside its folder.
    """
    flavours = content.get("flavors") if isinstance(content, dict) else None
    if not isinstance(flavours, dict):
        raise UnfitModelError(f"its {NAME} names no flavors")
    flavour = flavours.get(FLAVOUR)
    if not isinstance(flavour, dict):
        listed = ", ".join(map(str, flavours)) or "none"
        raise UnfitModelError(f"it has no {FLAVOUR} flavor (it has {listed})")
    module = flavour.get("loader_module")
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise UnfitModelError(f"its loader_module, {module!r:.60}, is no module's name")
    _check_paths(flavours, 0, set())
    return flavour


def _check_paths(value: Any, depth: int, seen: set[int]) -> None:
    if depth > _MAX_DEPTH:
        raise UnfitModelError(f"its {NAME} is nested too deep")
    if isinstance(value, str):
        if _leads_out(value):
            raise UnfitModelError(f"its {NAME} names {value!r:.80}, which leads out of its folder")
    # An alias of YAML is the same object: ten lines may name it more often than can be looked at.
    elif isinstance(value, (dict, list)) and id(value) not in seen:
        seen.add(id(value))
        for each in _parts(value):
            _check_paths(each, depth + 1, seen)


def _parts(value: dict[Any, Any] | list[Any]) -> list[Any]:
    if isinstance(value, list):
        return value
    return [each for name, each in value.items() if name not in _FREE]


def _leads_out(text: str) -> bool:
    path = PurePosixPath(text.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts
