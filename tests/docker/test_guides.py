"""What the guides' users deploy, as standalone images: `docker run -p 5000:5000`, then curl."""

import contextlib
import json
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_S = 60
MESSAGE = {"data": {"ndarray": [[0, 1], [2, 3]]}}


@pytest.fixture
def standalone(engine, base_image, docker_daemon):
    """Return a function that runs commands, builds an application's image, and runs that."""
    made, images = [], []

    def servd(*words):
        done = docker_daemon.cli(*words)
        assert done.returncode == 0, f"servd {' '.join(words)}\n{done.stdout}{done.stderr}"

    def run(app, *commands):
        for command in commands:
            servd(*command)
        tag = f"servd-test-guide-{app.lower()}:1"
        images.append(tag)
        servd("build", app, "--tag", tag, "--base-image", base_image)
        exposed = engine.images.get(tag).attrs["Config"]["ExposedPorts"]
        assert list(exposed) == ["5000/tcp"]
        ports = {"5000/tcp": ("127.0.0.1", 0)}
        container = engine.containers.run(
            tag, detach=True, read_only=True, tmpfs={"/tmp": ""}, ports=ports
        )
        made.append(container)
        container.reload()
        port = container.attrs["NetworkSettings"]["Ports"]["5000/tcp"][0]["HostPort"]
        base = f"http://127.0.0.1:{port}"
        until_ready(base, container)
        return base

    docker_daemon.start()
    yield run
    for container in made:
        container.remove(force=True, v=True)
    for tag in images:
        if engine.images.list(name=tag):
            engine.images.remove(tag, force=True)


def until_ready(base, container):
    """Wait until a container answers its probe."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/readyz", timeout=5):
            return
        time.sleep(0.05)
    pytest.fail(container.logs().decode())


def ask(url, body=None):
    """Send a request as the guides' curl lines do, and return the answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_guides_services_as_images(standalone):
    """A Flask file at its own path, a class for Seldon Core at Seldon's."""
    base = standalone(
        "flask", ("deploy", str(EXAMPLES / "flask_score" / "api.py:app"), "--name", "flask")
    )
    assert ask(f"{base}/score", {"X": [1, 2]}) == {"score": [1, 2]}
    assert ask(f"{base}/flask/score", {"X": [1, 2]}) == {"score": [1, 2]}

    base = standalone("MLScore", ("deploy", str(EXAMPLES / "seldon_score" / "MLScore.py:MLScore")))
    for path in ("/predict", "/api/v1.0/predictions", "/seldon/any/MLScore/api/v0.1/predictions"):
        assert ask(base + path, MESSAGE)["data"]["ndarray"] == [[0, 1], [2, 3]]
