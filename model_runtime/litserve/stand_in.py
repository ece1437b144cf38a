"""Has `import litserve` give this package where LitServe itself is not installed.

Used by what imports a user's file (loaders/python.py).
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

NAME: Final = "litserve"
HERE: Final = "model_runtime.litserve"


class _StandIn:
    """Finds the name after all others have been asked for it; a finder and a loader of Python's."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module. Called by Python for what is not imported yet."""
        del path, target
        if fullname != NAME:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """See importlib."""
        del spec
        return importlib.import_module(HERE)

    def exec_module(self, module: ModuleType) -> None:
        """See importlib: it has been run by its own name."""


_stand_in: Final = _StandIn()


def install() -> None:
    """Have it found from now on, unless it is already."""
    if _stand_in not in sys.meta_path:
        sys.meta_path.append(_stand_in)
