"""Environments that tests build without any network, by uv and by pip for real."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from servd.environments.lock import Wanted
from servd.environments.store import Environments

TOOLS = ("uv", "pip")


def variables(tool: str, home: Path, **more: str) -> dict[str, str]:
    """Return the variables of a user who has one of the tools, and no settings of pip's or uv's."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("PIP_", "UV_", "SERVD_")) and name != "VIRTUAL_ENV"
    }
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    home.mkdir(exist_ok=True)
    return kept | {
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "SERVD_UV": uv if tool == "uv" else "off",
        **more,
    }


def offline(wheels: Path, *requirements: str, python: str | None = None) -> Wanted:
    """Return what is wanted of a folder of wheels, and of no index."""
    lines = ("--no-index", f"--find-links {wheels}", *requirements)
    return Wanted(lines, python, wheels.parent)


class Told(list[str]):
    """What a report was told, line by line."""

    def __call__(self, line: str) -> None:
        """Take a line."""
        self.append(line)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self)

    def count_of(self, begin: str) -> int:
        """Return how many lines begin so."""
        return sum(line.startswith(begin) for line in self)


def make(folder: Path, tool: str, **more: str) -> Environments:
    """Return a store in a folder for somebody who has one of the tools."""
    return Environments(folder / "environments", variables(tool, folder / "home", **more))


def versions(python: Path, *modules: str) -> Mapping[str, str]:
    """Return the versions that modules say they have, as a Python imports them."""
    code = "import importlib, json, sys; print(json.dumps({m: importlib.import_module(m).VERSION "
    code += "for m in sys.argv[1:]}))"
    asked = subprocess.run(
        [python, "-c", code, *modules], capture_output=True, text=True, timeout=30, check=True
    )
    return dict(json.loads(asked.stdout))
