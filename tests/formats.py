"""The environment with the libraries of models' formats, and models that are made in it. For tests.

`make checks` makes it; SERVD_FORMATS_ENV names another. Where there is none, what needs it is
skipped, which in CI is a failure (tests/skips.py).
"""

import functools
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

from model_runtime import manifest
from model_runtime.manifest import FOLDER_FORMATS, Manifest

_ROOT = Path(__file__).parent.parent
MAKERS = Path(__file__).parent / "format_makers"
VARIABLE = "SERVD_FORMATS_ENV"


def environment() -> Path:
    """Return the folder of the environment; skip where there is none."""
    given = os.environ.get(VARIABLE)
    folder = Path(given) if given else _ROOT / ".formats"
    if not (folder / "bin" / "python").exists():
        pytest.skip("needs the libraries of models' formats: make checks, or SERVD_FORMATS_ENV")
    return folder


def python() -> str:
    """Return its Python; skip where there is none."""
    return str(environment() / "bin" / "python")


def made(maker: str, folder: Path) -> dict[str, Any]:
    """Make a script's models in a folder, and return what it says of them.

    That is the inputs of each, and what its library itself answers.
    """
    done = subprocess.run(
        [python(), "-W", "ignore", str(MAKERS / f"{maker}.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=folder,
        env=_variables(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@functools.cache
def _variables() -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "KERAS_BACKEND": "torch", "TQDM_DISABLE": "1"}
    return {**os.environ, **quiet, "PYTHONHASHSEED": "0"}


def asked(bundles: dict[Path, list[Any]], *libraries: str) -> dict[Path, dict[str, Any]]:
    """Return what comes of bundles in that environment, asked these inputs; see ask.py."""
    # The zip that replicas have there is tested elsewhere: this is its content.
    done = subprocess.run(
        [python(), "-W", "ignore", str(MAKERS / "ask.py"), *libraries],
        input=json.dumps({str(bundle): values for bundle, values in bundles.items()}),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**_variables(), "PYTHONPATH": str(_ROOT), "SERVD_DEVICE": "cpu"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        told |= json.loads(line) if line.startswith('{"/') else {}
    assert len(told) == len(bundles), done.stdout + done.stderr
    return {bundle: told[str(bundle)] for bundle in bundles}


def bundled(folder: Path, loader: str, file: Path, **more: Any) -> Path:
    """Return a bundle of one file and what lies beside it, as the deployer would have it made."""
    kind = "folder" if loader in FOLDER_FORMATS else "file"
    shutil.copytree(file.parent, folder / "files")
    usual = {"kind": kind, "input_type": "auto"}
    manifest.write(Manifest(loader=loader, file=file.name, **(usual | more)), folder)
    return folder


def run(code: str, cwd: Path) -> str:
    """Return what code prints in that environment."""
    done = subprocess.run(
        [python(), "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=cwd,
        env=_variables(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def empty(folder: Path) -> Path:
    """Make an environment that holds nothing, and return it."""
    venv.create(folder, symlinks=True)
    return folder
