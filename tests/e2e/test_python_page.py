"""The code of docs/python.md, run as a reader would."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def ran(command, folder, daemon):
    """Return what a command prints that works."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_program_starts_deploys_and_asks(idle_daemon, tmp_path):
    """The daemon is there afterwards, with the model."""
    assert ran(["-c", BLOCKS[0]], tmp_path, idle_daemon) == "6.6\n"
    assert idle_daemon.query("/feature_sum/predict", {"input": [1.0]})[1]["output"] == 1.0


def test_the_tests_of_a_model_pass(idle_daemon, tmp_path):
    """With the file that they are about, and the fixtures."""
    code = "def total(xs):\n    return [float(sum(x)) for x in xs]\n"
    (tmp_path / "func.py").write_text(code)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["servd.testing.plugin"]\n')
    tests = [block for block in BLOCKS if "def test_" in block]
    for number, block in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(block)
    shown = ran(["-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path, idle_daemon)
    assert f"{len(tests)} passed" in shown
    assert len(tests) == 2
