"""Programs that check exports, from the environment of `make checks`. Used by tests beside it."""

import subprocess
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[3] / ".checks" / "bin"
TIMEOUT_S = 120


needs_checks = pytest.mark.skipif(not _FOLDER.is_dir(), reason="they come with `make checks`")
"""The mark of a test that runs one of them."""


def run(name: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program and return it when it has ended."""
    command = [_FOLDER / name, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
