"""An image has what the environment of its model has: the same lock, the wheels, the Python."""

import json
import os

import pytest

from tests.wheels import write_wheel

pytestmark = [pytest.mark.docker, pytest.mark.slow]

MODEL = """
import alpha

def predict(xs):
    return [alpha.VERSION for _ in xs]
"""


@pytest.fixture
def project(docker_daemon, monkeypatch):
    """Return a project that asks for a package of a folder of wheels, and of no index."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    folder = docker_daemon.data_dir.parent / "project"
    folder.mkdir()
    (folder / "m.py").write_text(MODEL)
    for version in ("1.0", "2.0"):
        write_wheel(folder / "wheels", "alpha", version)
    lines = "--no-index\n--find-links wheels\nalpha==1.0\n"
    (folder / "requirements.txt").write_text(lines)
    return folder


def test_the_lock_is_installed_in_a_replicas_image(engine, docker_daemon, runtime_image, project):
    """It is run and has answered before it gets its name."""
    done = docker_daemon.cli("deploy", "m.py", "--name", "alpha", "--env", "new", cwd=project)
    assert done.returncode == 0, done.stderr
    built = docker_daemon.cli("build", "alpha:1", "--base-image", runtime_image, "--json")
    assert built.returncode == 0, built.stdout + built.stderr
    told = json.loads(built.stdout)
    try:
        assert "tested" in told
        listed = engine.containers.run(
            told["image"], ["-m", "pip", "freeze"], entrypoint="python3", remove=True
        )
        assert b"alpha" in listed
        assert b"1.0" in listed
    finally:
        for name in told["images"]:
            engine.images.remove(name, force=True)


def test_docker_replicas_run_in_the_same_lock(docker_daemon, runtime_image, project):
    """A container has what a process would have."""
    (project / "servd.toml").write_text(f'base-image = "{runtime_image}"\n')
    done = docker_daemon.cli(
        *("deploy", "m.py", "--name", "boxed", "--env", "new", "--runtime", "docker"),
        cwd=project,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    status, answer = docker_daemon.query("/boxed/predict", {"input": [1.0]})
    assert (status, answer["output"]) == (200, 1.0)
    assert "RUNTIME" in docker_daemon.cli("ps").stdout
