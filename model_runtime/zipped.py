"""Starts a module of this package where it is a zip: `python RUNTIME.zip MODULE [ARGUMENT]…`.

It is the zip's `__main__.py` (servd/environments/runtime.py makes it), in an interpreter in which
nothing is installed for servd. What servd's own environment has and this one lacks is found last.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final

HOME_NAME: Final = "home.json"
"""By the names of modules of servd's own environment that may be taken from there: the folder
they are in, and the oldest Python that they are for."""
_PACKAGE: Final = "model_runtime"


class Additions:
    """Finds modules of servd's own environment where this one has none of the name."""

    def __init__(self, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._folders = {
            name: str(each["folder"])
            for name, each in modules.items()
            if tuple(each["python"]) <= sys.version_info
        }

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how a module is loaded; called by Python when nobody else has found it."""
        folder = self._folders.get(fullname)
        if folder is None or path is not None:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [folder], target)


def main() -> Any:
    """Run the module that the command line names; return what it returns."""
    module, sys.argv = sys.argv[1], sys.argv[1:]
    sys.meta_path.append(Additions(_home()))
    name = f"{_PACKAGE}.__main__" if module == _PACKAGE else module
    return importlib.import_module(name).main()


def _home() -> Any:
    loader: Any = globals()["__loader__"]
    return json.loads(loader.get_data(f"{loader.archive}/{HOME_NAME}"))


if __name__ == "__main__":
    sys.exit(main())
