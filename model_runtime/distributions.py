"""Which distributions brought which modules, in the Python that runs this. Used by discover.py."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Mapping

if sys.version_info >= (3, 10):
    from importlib.metadata import packages_distributions as packages_distributions
    from sys import stdlib_module_names as stdlib_module_names
else:

    def packages_distributions() -> Mapping[str, list[str]]:
        """Return the names of distributions by the top-level modules that they brought."""
        found: dict[str, list[str]] = {}
        for each in importlib.metadata.distributions():
            told = (each.read_text("top_level.txt") or "").split()
            files = {str(file).partition("/")[0].partition(".")[0] for file in each.files or ()}
            for top in told or (name for name in files if name.isidentifier()):
                found.setdefault(top, []).append(each.metadata["Name"])
        return found

    def _standard() -> frozenset[str]:
        folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
        folders += [os.path.join(folder, "lib-dynload") for folder in folders]
        names = {
            name.partition(".")[0]
            for folder in folders
            if os.path.isdir(folder)
            for name in os.listdir(folder)
        }
        return frozenset(names.union(sys.builtin_module_names) - {"site-packages"})

    stdlib_module_names = _standard()
