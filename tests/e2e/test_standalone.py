"""What `servd build` writes for each kind of target, served by `servd serve-one` without a daemon.

A container runs the same command with the same two files; tests/docker does that with some of them.
"""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon, free_port
from tests.e2e.steps import deploy, fresh_daemon

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_S = 60
TENSOR = {"data": {"tensor": {"shape": [2, 2], "values": [0, 0, 1, 1]}}}
CLIPPER = """
from servd.clipper import ClipperConnection, LocalContainerManager
from servd.clipper.deployers.python import deploy_python_closure

def predict(inputs):
    return [str(xs.mean() * scale) for xs in inputs]

scale = 2
cluster = ClipperConnection(LocalContainerManager())
cluster.connect()
cluster.register_application("hello-world", "doubles", "-1.0", 100000)
deploy_python_closure(cluster, "mean-model", 1, "doubles", predict)
cluster.link_model_to_app("hello-world", "mean-model")
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield a running daemon, in which each test has names of its own."""
    with fresh_daemon() as running:
        running.start()
        yield running


@contextlib.contextmanager
def standalone(daemon: Daemon, app: str, folder: Path) -> Iterator[str]:
    """Write what an application's image would be built from, serve that, and yield its address."""
    done = daemon.cli("build", app, "--context-only", str(folder / "context"))
    assert done.returncode == 0, done.stdout + done.stderr
    port, log = free_port(), folder / "log"
    words = ["serve-one", "--bundle=bundle", "--applications=applications.json"]
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "servd", *words, "--bind=127.0.0.1", f"--port={port}"],
            cwd=folder / "context",
            stdout=said,
            stderr=said,
        )
    try:
        base, end_s = f"http://127.0.0.1:{port}", time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/readyz", timeout=5):
                break
            assert time.monotonic() < end_s, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield base
        process.terminate()
        assert process.wait(WAIT_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait(WAIT_S)


def ask(url: str, body: object = None) -> object:
    """Send a request as the guides' curl lines do, and return the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_function_answers_at_its_route(daemon, tmp_path):
    """The registry's routes are in the image; so is which application answers without a name."""
    path = str(EXAMPLES / "flask_score" / "score.py:score")
    deploy(daemon, path, "--name", "plain", "--example", "[1,2]")
    for words in (
        ("app", "create", "other", "--input-type", "doubles"),
        ("app", "link", "other", "plain"),
        ("app", "default", "other"),
        ("route", "add", "POST /score", "other", "--in", "X", "--out", "score"),
    ):
        done = daemon.cli(*words)
        assert done.returncode == 0, done.stderr
    with standalone(daemon, "plain", tmp_path) as base:
        assert ask(f"{base}/score", {"X": [1, 2]}) == {"score": [1.0, 2.0]}
        for name in ("/predict", "/plain/predict", "/other/predict"):
            assert ask(base + name, {"input": [1]})["output"] == [1.0]


def test_a_web_application_answers_at_its_own_paths(daemon, tmp_path):
    """At the root, as its file says, and below its name."""
    deploy(daemon, str(EXAMPLES / "flask_score" / "api.py:app"), "--name", "flask")
    with standalone(daemon, "flask", tmp_path) as base:
        assert ask(f"{base}/score", {"X": [1, 2]}) == {"score": [1, 2]}
        assert ask(f"{base}/flask/score", {"X": [1, 2]}) == {"score": [1, 2]}


def test_a_class_for_seldon_core_answers_at_seldons_paths(daemon, tmp_path):
    """With and without the prefix, by both versions of the protocol."""
    deploy(daemon, str(EXAMPLES / "seldon_score" / "MLScore.py:MLScore"))
    with standalone(daemon, "MLScore", tmp_path) as base:
        for path in ("/predict", "/api/v0.1/predictions", "/seldon/a/MLScore/api/v1.0/predictions"):
            assert ask(base + path, TENSOR)["data"]["tensor"] == TENSOR["data"]["tensor"]


def test_a_closure_for_clipper_answers(daemon, tmp_path):
    """With what it closes over, and with arrays."""
    subprocess.run([sys.executable, "-c", CLIPPER], env=daemon.env, check=True, timeout=WAIT_S)
    with standalone(daemon, "hello-world", tmp_path) as base:
        assert ask(f"{base}/hello-world/predict", {"input": [1.0, 2.0]})["output"] == 3.0
        assert ask(f"{base}/predict", {"input": [1.0, 2.0]})["output"] == 3.0


@pytest.mark.slow
def test_an_api_of_a_service_of_bentoml_answers(daemon, tmp_path):
    """The artifact and the service's module are in the image."""
    folder = EXAMPLES / "bento_iris"
    env = {**daemon.env, "BENTOML_HOME": str(tmp_path / "bentoml")}
    words = [sys.executable, str(folder / "train.py")]
    subprocess.run(words, cwd=tmp_path, env=env, check=True, timeout=WAIT_S)
    saved = tmp_path / "bentoml" / "repository" / "IrisClassifier" / "first"
    deploy(daemon, f"{saved}:predict_clipper")
    with standalone(daemon, "irisclassifier-predict-clipper", tmp_path) as base:
        assert ask(f"{base}/predict", {"input": [6.5, 3.0, 5.8, 2.2]})["output"] == 2
