"""Tests of models in Pythons that lack things: stand-ins, where such Pythons cannot be had.

servd's own Python takes the part of another: it has the zip on its path, no packages (-S), and
neither the libraries that servd uses nor the modules that a Python may have been built without.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_runtime.manifest import Manifest, write
from servd.environments import runtime
from servd.environments.interpreter import own

LACKING = ("zmq", "msgpack", "numpy", "uvicorn", "a2wsgi", "cloudpickle", "websockets")
BUILT_WITHOUT = ("_ctypes", "zlib", "_bz2", "_lzma", "_ssl", "_sqlite3", "_hashlib")
BLOCK = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"

MODELS = """
from __future__ import annotations
import asyncio, dataclasses

def sums(xs): return [sum(x) for x in xs]

def longest(texts: list[str]) -> list[int]: return [len(text) for text in texts]

async def waits(x: list[float]) -> float:
    await asyncio.sleep(0)
    return sum(x)

@dataclasses.dataclass
class House:
    rooms: int
    size: float | None = None

def price(house: House) -> float: return house.rooms * (house.size or 1.0)

class Counts:
    def __init__(self, step: int = 1): self.step = step
    def predict(self, xs): return [len(x) * self.step for x in xs]

def fails(xs): raise ValueError("none of these")
"""
CASES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "sums": ({}, [1.0, 2.0], 3.0),
    "longest": ({"input_type": "strings"}, "four", 4),
    "waits": ({"input_type": "auto"}, [1.0, 2.0], 3.0),
    "price": ({"input_type": "auto"}, {"rooms": 3}, 3.0),
    "Counts": ({"kind": "class", "parameters": {"step": 2}}, [1.0, 2.0], 4),
}


@pytest.fixture(params=[LACKING, (*LACKING, *BUILT_WITHOUT)], ids=["bare", "built without"])
def words(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """What starts a module of the runtime in a Python that lacks these."""
    other = replace(own(), is_own=False, sys_path=())
    python, archive, *_ = runtime.command(other, folder=tmp_path / "zips")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(BLOCK.format(names=request.param))
    return ["env", f"PYTHONPATH={tmp_path / 'site'}", python, "-S", "-c", _AS_SITE, archive]


_AS_SITE = (
    "import sys, runpy; sys.path[:] = sys.path[1:]; import sitecustomize; "
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""What `python ZIP` does, after the start-up file that -S leaves out."""


def _bundle(folder: Path, name: str, **more: Any) -> Path:
    (folder / "bundle/files").mkdir(parents=True)
    (folder / "bundle/files/models.py").write_text(MODELS)
    told = {"kind": "function", **more}
    write(Manifest(loader="python", file="models.py", object=name, **told), folder / "bundle")
    return folder / "bundle"


@pytest.mark.parametrize("name", CASES)
def test_models_answer(words: list[str], tmp_path: Path, name: str) -> None:
    """Functions and classes of numbers, texts and parts are called as in servd's own Python."""
    settings, asked, expected = CASES[name]
    bundle = _bundle(tmp_path, name, **settings)
    (tmp_path / "work").mkdir()

    said = subprocess.run(
        [*words, "model_runtime.trial", f"--work={tmp_path / 'work'}", str(bundle)],
        input=json.dumps([asked]) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    loaded, answered = (json.loads(line) for line in said.stdout.splitlines())
    assert "loaded" in loaded, loaded
    assert answered["outcomes"] == [{"output": expected}]


def test_what_a_model_raises_is_told_without_the_runtimes_frames(
    words: list[str], tmp_path: Path
) -> None:
    """Its own frame is told, with its line; nothing of the zip."""
    bundle = _bundle(tmp_path, "fails", skip_test=True)
    (tmp_path / "work").mkdir()

    said = subprocess.run(
        [*words, "model_runtime.trial", f"--work={tmp_path / 'work'}", str(bundle)],
        input="[[1.0]]\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    error = json.loads(said.stdout.splitlines()[-1])["outcomes"][0]["error"]
    assert error["message"] == "ValueError: none of these"
    assert 'File "models.py"' in error["traceback"]
    assert "runtime-" not in error["traceback"]


def test_it_ends_with_who_started_it(words: list[str], tmp_path: Path) -> None:
    """Also where the kernel cannot be asked for that, as there is no ctypes."""
    bundle = _bundle(tmp_path, "sums")
    replica = [
        *(*words, "model_runtime", f"--listen=unix://{tmp_path / 'r.sock'}"),
        *(f"--bundle={bundle}", "--model=m", "--version=1"),
    ]
    starting = (
        "import os, subprocess, sys, time\n"
        "env = {**os.environ, 'SERVD_PARENT_PID': str(os.getpid())}\n"
        "print(subprocess.Popen(sys.argv[1:], env=env).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", starting, *replica]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        _wait_for((tmp_path / "r.sock").exists)
        parent.kill()

    _wait_for(lambda: not _is_alive(pid))


def _wait_for(check: Any) -> None:
    end_s = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
