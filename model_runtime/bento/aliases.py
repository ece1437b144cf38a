"""The names by which a bundle's code knows this package: `bentoml`, `servd.bento`.

Used by loading.py. Where the real bentoml is there and has services as 0.13 has them, it is
left alone; newer ones have another interface under the same name.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

HERE: Final = "model_runtime.bento"
OTHERS: Final = "bentoml"
OWN: Final = "servd.bento"
_HAS: Final = (
    "there are PickleArtifact, SklearnModelArtifact, JSONArtifact, TextFileArtifact, and "
    "DataframeInput, JsonInput, StringInput and Clipper's"
)


class _Aliases(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of this package by another name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module. Called by Python for what is not imported yet."""
        del path, target
        if fullname == "servd" and self._prefix == OWN:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname != self._prefix and not fullname.startswith(f"{self._prefix}."):
            return None
        real = HERE + fullname.removeprefix(self._prefix)
        if real == f"{HERE}.utils.cloudpickle":
            real = "cloudpickle"
        if importlib.util.find_spec(real) is None:
            raise ModuleNotFoundError(
                f"servd does not have {fullname} of BentoML 0.13: {_HAS}", name=fullname
            )
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """See importlib: the usual module, which `exec_module` replaces."""
        del spec

    def exec_module(self, module: ModuleType) -> None:
        """Put the real module in the place of the new one."""
        if module.__name__ != "servd":
            real = HERE + module.__name__.removeprefix(self._prefix)
            sys.modules[module.__name__] = importlib.import_module(real)


def install() -> None:
    """Make the names known to this process."""
    known = {finder._prefix for finder in sys.meta_path if isinstance(finder, _Aliases)}  # noqa: SLF001 - ours
    if OTHERS not in known and not _has_real():
        sys.meta_path.insert(0, _Aliases(OTHERS))
    if OWN not in known and OWN not in sys.modules:
        # Behind Python's own finders for servd itself, before them for what is below.
        sys.meta_path.insert(0, _Below(OWN))
        sys.meta_path.append(_Aliases(OWN))


class _Below(_Aliases):
    """The same, for what is below a package that may be there itself."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """See _Aliases."""
        return None if fullname == "servd" else super().find_spec(fullname, path, target)


def _has_real() -> bool:
    """Tell whether a bentoml with services of 0.13 can be imported; leave no half of it behind."""
    if OTHERS in sys.modules:
        return hasattr(sys.modules[OTHERS], "BentoService")
    try:
        if not importlib.metadata.version(OTHERS).startswith("0."):
            return False
        found = importlib.import_module(OTHERS)
    except Exception:  # noqa: BLE001 - there is none, or an old one that raises anything here
        found = None
    if hasattr(found, "BentoService"):
        return True
    for name in [name for name in sys.modules if name.partition(".")[0] == OTHERS]:
        del sys.modules[name]
    return False
