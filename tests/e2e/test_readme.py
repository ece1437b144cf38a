"""README.md as somebody new follows it: every block in order, word for word, in one fresh clone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.e2e.console import Command, assert_alike, commands_of

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0
CURL = f"""#!{sys.executable}
# A machine that runs the tests need not have curl, and another program may have port 1337.
import json, os, subprocess, sys, urllib.request
given, body = sys.argv[1:], None
if given[0] == "-d":
    body = given.pop(1).encode()
    given.pop(0)
(url,) = given
status = json.loads(subprocess.check_output(["servd", "status", "--json"]))
url = url.replace("http://127.0.0.1:1337", status["query_url"])
with urllib.request.urlopen(url, body, timeout=30) as answer:
    print(answer.read().decode())
"""


def needs_docker(command: Command) -> bool:
    """Whether a command wants an engine; tests/docker/test_readme_containers.py runs those."""
    return command.line.startswith("servd build") or "--runtime docker" in command.line


@pytest.fixture
def clone(idle_daemon: Daemon) -> Iterator[Path]:
    """Yield a fresh clone whose environment is this one; its daemon ends with the test."""
    folder = idle_daemon.data_dir.parent / "clone"
    shutil.copytree(
        ROOT / "examples",
        folder / "examples",
        ignore=shutil.ignore_patterns("*.pkl", "*.pickle", "*.joblib", "__pycache__", "*.csv"),
    )
    for name in ("Makefile", "requirements.lock", "setup.cfg", "scripts/make-env.sh"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
        os.utime(folder / name, (0, 0))  # older than the environment: it is not made again
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "bin").mkdir()
    (folder / "bin" / "curl").write_text(CURL)
    (folder / "bin" / "curl").chmod(0o755)
    try:
        yield folder
    finally:
        Daemon(data_dir=folder / ".servd").stop()


def _environment(clone: Path) -> dict[str, str]:
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SERVD_", "MAKE", "MFLAGS", "COVERAGE"))
    }
    return own | {"PATH": f"{clone / 'bin'}:{own['PATH']}", "NO_COLOR": "1"}


def _follow(clone: Path, commands: list[Command]) -> list[str]:
    """Run commands in one shell, as somebody does who pastes them; return what each has printed."""
    marked = [f"printf '\\0'\n{command.line}" for command in commands]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(marked)],
        cwd=clone,
        env=_environment(clone),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    printed = done.stdout.split("\0")[1:]
    assert done.returncode == 0, f"$ {commands[len(printed) - 1].line}\n{printed[-1]}{done.stderr}"
    return printed


@pytest.mark.slow
def test_every_block_of_the_readme_runs_in_order_and_prints_what_it_shows(clone: Path) -> None:
    """From `make quickstart` on: no name clashes, no file is missing, each answer is as shown."""
    commands = [each for each in commands_of(ROOT / "README.md") if not needs_docker(each)]
    assert commands[0].line == "make quickstart"
    compared = 0
    for command, printed in zip(commands, _follow(clone, commands), strict=True):
        where = f"$ {command.line}\n{printed}"
        if command.line.startswith("curl"):
            shown, answer = json.loads(command.shown), json.loads(printed)
            assert_alike(answer, shown, where)
            assert answer["query_id"] == shown["query_id"], where
            compared += 1
        else:
            assert all(line in printed.splitlines() for line in command.shown.splitlines()), where
    assert compared >= 5
    assert (clone / "k8s").is_dir()


def test_every_block_of_the_readme_is_one_that_is_run() -> None:
    """An indented block, or one of another kind, would be tried by nobody."""
    text = (ROOT / "README.md").read_text()
    assert text.count("```") == 2 * text.count("```console\n")
    assert not any(line.startswith("    ") for line in text.split("```")[0::2])


def test_the_environment_is_made_with_a_line_for_each_step(tmp_path: Path) -> None:
    """Nobody sits before a silent terminal; the last step announced is the one that failed."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "requirements.lock").write_text("no-such==1 --hash=sha256:" + "0" * 64 + "\n")
    done = subprocess.run(
        ["bash", "scripts/make-env.sh", sys.executable, str(tmp_path / "venv")],
        cwd=tmp_path,
        env=os.environ | {"PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    assert [line[:7] for line in lines] == ["  [1/3]", "  [2/3]"], done.stdout + done.stderr
    assert "ERROR: No matching distribution found for no-such==1" in done.stderr
