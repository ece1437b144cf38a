"""Models of several releases of scikit-learn, and one of torch, in one daemon; for real."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import formats
from tests.daemon import Daemon

pytestmark = pytest.mark.slow

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3], [7.7, 3.0, 6.1, 2.3]]
TRAINING = """
import json, pickle, sys
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
X, y = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(X, y)
pickle.dump(model, open(sys.argv[1], "wb"))
print(json.dumps(model.predict(json.loads(sys.argv[2])).tolist()))
"""
VERSION = "import sklearn\n\ndef predict(xs):\n    return [sklearn.__version__] * len(xs)\n"
TORCH = "import torch\n\ndef predict(xs):\n    return [float(torch.tensor(x).sum()) for x in xs]\n"


@pytest.fixture(scope="module", autouse=True)
def _index():
    """Skip where packages cannot be had."""
    command = [sys.executable, "-m", "pip", "index", "versions", "scikit-learn"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if asked.returncode != 0:
        pytest.skip(f"no package index can be reached: {asked.stderr.strip()[-200:]}")


def deploy(daemon: Daemon, folder: Path, name: str, *options: str):
    """Deploy a file of a folder as a model of that name; return what was told."""
    done = daemon.cli("deploy", *options, "--name", name, "--json", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def answers(daemon, name):
    """Return what a model answers to each row."""
    found = [daemon.query(f"/{name}/predict", {"input": row}) for row in ROWS]
    assert all(status == 200 for status, _ in found), found
    return [told["output"] for _, told in found]


def test_three_models_of_three_releases_at_once(idle_daemon, tmp_path):
    """scikit-learn 1.3, the newest, torch: each answers as its library does, called directly."""
    for name, lines in (("old", "scikit-learn==1.3.2\nnumpy<2\n"), ("newest", "scikit-learn\n")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.py").write_text(VERSION)
        (folder / "requirements.txt").write_text(lines)
        told = deploy(idle_daemon, folder, name, "m.py", "--env", "new")
        assert told["environment"].startswith("new, of requirements.txt (Python ")
    torch = tmp_path / "torch"
    torch.mkdir()
    (torch / "m.py").write_text(TORCH)
    deploy(idle_daemon, torch, "torch", "m.py", "--env", f"venv:{formats.environment()}")
    assert answers(idle_daemon, "old") == ["1.3.2"] * 3
    (newest,) = set(answers(idle_daemon, "newest"))
    assert newest != "1.3.2"
    assert answers(idle_daemon, "torch") == pytest.approx([sum(row) for row in ROWS])

    rows = json.loads(idle_daemon.cli("ps", "--json").stdout)
    places = {row["model"]: row["environment"] for row in rows}
    key = places["old"].split()[0]
    python = idle_daemon.data_dir / "environments" / "built" / key / "bin" / "python"
    training = [python, "-c", TRAINING, tmp_path / "iris.pkl", json.dumps(ROWS)]
    direct = subprocess.run(training, capture_output=True, text=True, timeout=120, check=True)
    told = deploy(idle_daemon, tmp_path, "iris", "iris.pkl", "--env", "auto")
    assert "scikit-learn 1.3.2, with which it was made" in told["environment"]
    assert any("scikit-learn==1.3.*" in text for text in told["warnings"])
    assert answers(idle_daemon, "iris") == json.loads(direct.stdout)
