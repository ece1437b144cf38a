"""The launcher of containers where no engine answers."""

import asyncio

import pytest

from servd.config import Config
from servd.errors import EngineError
from servd.replicas.launchers.docker import DockerLauncher


def test_without_an_engine_leftovers_wait_for_the_next_start(tmp_path, monkeypatch):
    """A daemon that finds no engine starts; what was left is still known."""
    config = Config(data_dir=tmp_path)
    config.run_dir.mkdir()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    leftover = config.data_dir / "docker.id"
    leftover.write_text("abc")

    async def story():
        async with DockerLauncher(config, lambda *_given: None) as launcher:
            with pytest.raises(EngineError, match="no container engine answers"):
                await launcher.describe_image("x", lambda: None)

    asyncio.run(story())
    assert leftover.read_text() == "abc"
