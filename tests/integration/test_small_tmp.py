"""Deploying where the temporary folder is smaller than the model."""

import os
import subprocess

import pytest

MODEL = """
from pathlib import Path
WEIGHTS = Path(__file__).parent / "weights.bin"

def f(xs):
    return [WEIGHTS.stat().st_size for _ in xs]
"""
WEIGHTS_BYTES = 24 << 20
TMP_BYTES = 4 << 20


@pytest.fixture
def small_tmp(tmp_path, monkeypatch):
    """Have a temporary folder of a few megabytes, for the CLI and the daemon alike."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMP_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_nothing_of_a_models_size_is_written_there(small_tmp, idle_daemon):
    """The bundle is sent while it is packed, stored once, and the replica runs on it."""
    project = idle_daemon.data_dir.parent / "project"
    project.mkdir()
    (project / "model.py").write_text(MODEL)
    (project / "weights.bin").write_bytes(os.urandom(WEIGHTS_BYTES))
    done = idle_daemon.cli(
        *("deploy", "model.py:f", "--include", "weights.bin", "--slo", "5s"), cwd=project
    )
    assert done.returncode == 0, done.stderr
    _, answer = idle_daemon.query("/f/predict", {"input": [1.0]})
    assert answer["output"] == WEIGHTS_BYTES
    assert list(small_tmp.iterdir()) == []
    kept = sum(path.lstat().st_size for path in idle_daemon.data_dir.rglob("*"))
    assert kept < 1.5 * WEIGHTS_BYTES
