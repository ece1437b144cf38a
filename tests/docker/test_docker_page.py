"""docs/docker.md, command by command, against a real engine and a real registry."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon import free_port
from tests.docker.registry import Registry
from tests.e2e.console import commands_of

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CONTAINERS = ("ml-api", "test-api")
IMAGES = ("user/ml-serving:0.0.1", "user/test-ml-score-api:latest")
WAIT_S = 300
NEEDED = ("docker", "docker-registry", "curl")


def _run(words, env, folder):
    if words[0] in ("servd", "python"):
        words = [sys.executable, *(["-m", "servd"] if words[0] == "servd" else []), *words[1:]]
    done = subprocess.run(
        words, cwd=folder, env=env, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _check(printed, shown):
    """Compare what curl printed with what the page shows; only the number of a query may differ."""
    if not shown.startswith("{"):
        assert printed.strip() == shown
        return
    answer, expected = json.loads(printed), json.loads(shown)
    assert {**answer, "query_id": 0} == {**expected, "query_id": 0}


@pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {' and '.join(NEEDED)}")
def test_the_page_works_as_printed(engine, base_image, idle_daemon, tmp_path):
    """From the pickle to a container that answers, and to a registry; each answer is as shown."""
    folder = tmp_path / "course"
    shutil.copytree(ROOT / "examples" / "credit_course", folder)
    (folder / "score.py").write_text("def score(xs):\n    return xs\n")
    (tmp_path / "registry").mkdir()
    port, names = str(free_port()), []
    host = {key: os.environ[key] for key in ("DOCKER_HOST",) if key in os.environ}
    env = idle_daemon.env | host | {"SERVD_BASE_IMAGE": base_image}
    try:
        with Registry(tmp_path / "registry") as registry:
            names = [*IMAGES, f"{registry.address}/team/ml-serving:1"]
            for command in commands_of(ROOT / "docs" / "docker.md"):
                line = command.line.replace("localhost:5005", registry.address)
                line = line.replace("5000:5000", f"{port}:5000").replace(":5000/", f":{port}/")
                words = shlex.split(line)
                printed = _run(words, env, folder)
                if words[0] == "curl":
                    _check(printed, command.shown)
            short, long = sorted(registry.tags("team/ml-serving"))
            assert short == "1"
            assert long.startswith("1-")
    finally:
        for name in CONTAINERS:
            for container in engine.containers.list(all=True, filters={"name": f"^/{name}$"}):
                container.remove(force=True, v=True)
        for name in names:
            if engine.images.list(name=name):
                engine.images.remove(name, force=True)
