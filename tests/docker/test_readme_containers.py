"""The commands of README.md that want a container engine."""

import shlex
import subprocess

import pytest

from tests.e2e.console import commands_of
from tests.e2e.test_readme import ROOT, needs_docker

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_the_readmes_model_runs_as_a_container_and_becomes_an_image(
    engine, base_image, docker_daemon, monkeypatch
):
    """Both commands of the block work on the file that the README has written before."""
    monkeypatch.setattr(
        type(docker_daemon), "env", property(with_base(docker_daemon.env, base_image))
    )
    folder = docker_daemon.data_dir.parent
    commands = commands_of(ROOT / "README.md")
    (written,) = [each for each in commands if each.line.startswith("cat > mean.py")]
    subprocess.run(["bash", "-e", "-c", written.line], cwd=folder, check=True)
    docker_daemon.start()
    wanted = list(filter(needs_docker, commands))
    assert [each.line.split()[1] for each in wanted] == ["deploy", "build"]
    try:
        for command in wanted:
            done = docker_daemon.cli(*shlex.split(command.line)[1:], cwd=folder)
            assert done.returncode == 0, f"$ {command.line}\n{done.stdout}{done.stderr}"
        status, answer = docker_daemon.query("/mean/predict", {"input": [1, 2, 6]})
        assert (status, answer["output"]) == (200, 3.0)
    finally:
        docker_daemon.stop()
        for image in engine.images.list(name="mean"):
            engine.images.remove(image.id, force=True)


def with_base(env, base_image):
    """Return what gives a daemon's environment the base image of the tests."""
    return lambda _daemon: env | {"SERVD_BASE_IMAGE": base_image}
