"""The command line before what is not there or takes nothing: daemons, outputs, folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import servd
from servd.cli.main import cli

ROOT = Path(servd.__file__).parents[1]


def test_no_daemon_exits_with_3(run, data_dir):
    """The hint starts one."""
    done = run("ps", "--data-dir", str(data_dir))
    assert done.exit_code == 3
    assert "hint:  servd start" in done.stderr


def test_global_options_stand_before_and_after_the_verb(run, admin):
    """Both orders mean the same."""
    assert json.loads(run("--json", "status").stdout) == json.loads(run("status", "--json").stdout)
    assert len(admin.requests) == 2


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [("/dev/full", 1, b"error: No space left on device"), ("closed", 1, b"")],
)
def test_an_output_that_takes_nothing_is_no_python_error(target, code, said):
    """A full disk is told; whoever closed the pipe has what they wanted."""
    command = [sys.executable, "-m", "servd", "version"]
    with subprocess.Popen(
        ["/bin/sh", "-c", f'"$@" > {target}', "-", *command] if target != "closed" else command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        shown = process.stderr.read()
    assert process.returncode == code
    assert shown.strip() == said


def test_a_file_in_the_place_of_what_servd_needs_is_named(tmp_path):
    """PYTHONPATH comes before installed packages; a traceback of servd's own explains nothing."""
    file = tmp_path / "model_runtime.py"
    file.write_text("")
    (tmp_path / "func.py").write_text("def total(inputs):\n    return inputs\n")
    code = "import sys; sys.path.append(sys.argv.pop(1)); import servd.cli.main as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), "deploy", "func.py"],
        cwd=tmp_path, timeout=60, check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ".", "SERVD_DATA_DIR": str(tmp_path / "data")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"PYTHONPATH has {file} before the model_runtime that servd itself" in done.stderr
    assert "hint:  rename it" in done.stderr


SLOW = {
    *("aiohttp", "docker", "msgpack", "msgspec", "numpy", "psutil", "rich", "sqlite3", "uvloop"),
    *("yaml", "zmq", "servd.deploying", "servd.engine", "servd.http", "servd.packing"),
}
"""What a command that only asks a daemon, or shows a help, has no time for."""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        *([word, "--help"] for word in cli.list_commands(click.Context(cli))),
        *(["ps"], ["status"], ["predict", "a", "1"], ["app", "ls"], ["logs", "a"], ["stop"]),
    ],
    ids=" ".join,
)
def test_a_command_imports_no_more_than_it_needs(words, tmp_path):
    """A help comes at once, and so does the answer of a daemon."""
    code = (
        "import atexit, sys; import servd.cli.main as m; "
        "atexit.register(lambda: print('imported', *sys.modules, file=sys.stderr)); m.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        timeout=60, check=False, capture_output=True, text=True,
        env={**os.environ, "SERVD_DATA_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == (0 if "--help" in words else 3), done.stderr
    imported = set(done.stderr.partition("imported ")[2].split())
    assert "servd.cli.main" in imported
    assert imported & SLOW == set()
