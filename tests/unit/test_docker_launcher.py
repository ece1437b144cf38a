"""The launcher of containers and its handles where the engine fails; the rest needs a real one."""

import asyncio
import sys
import threading

import pytest

from servd import launchers
from servd.config import Config
from servd.errors import EngineError
from servd.launchers.base import LaunchSpec
from servd.launchers.container import ContainerHandle
from servd.launchers.container_options import Place
from servd.launchers.docker import DockerLauncher
from tests.replicas import WAIT_S, version_of


class DeadEngine:
    """An engine that went away after it had started a container."""

    def __init__(self):
        self.asked = threading.Event()

    def signal(self, _container_id, _number):
        """Fail."""
        raise EngineError("gone")

    def wait(self, _container_id):
        """Fail."""
        self.asked.set()
        raise EngineError("gone")


class Started:
    """A container that has printed a line."""

    container_id = "c" * 64
    ip_address = "10.0.0.2"
    pid = None
    output = iter([b"a line\n"])


def spec_in(folder):
    """Return what is to be launched."""
    return LaunchSpec(version_of(runtime="docker", image="x"), 0, folder, folder / "0.log")


def test_a_container_of_a_dead_engine_is_given_up_when_killed(tmp_path):
    """Whoever waits for its end is told, and does not wait for ever."""

    async def story():
        calls = []
        engine = DeadEngine()
        handle = ContainerHandle(engine, Started(), spec_in(tmp_path), calls.append)
        handle.watch()
        assert await asyncio.to_thread(engine.asked.wait, WAIT_S)
        assert (handle.address, handle.poll(), handle.end_reason) == (
            "tcp://10.0.0.2:7000",
            None,
            "",
        )
        handle.kill()
        with pytest.raises(EngineError):
            calls.pop()()
        async with asyncio.timeout(WAIT_S):
            assert await handle.wait() == -9
        assert "engine does not answer" in handle.end_reason
        assert (tmp_path / "0.log").read_text() == "a line\n"
        handle.kill()
        assert (handle.poll(), calls) == (-9, [])

    asyncio.run(story())


@pytest.fixture
def config(tmp_path):
    """Return the settings of a daemon whose folders are there."""
    config = Config(data_dir=tmp_path)
    config.run_dir.mkdir()
    return config


def build_nothing(*_given):
    """Stand in for the builder of images."""
    raise AssertionError("nothing is built here")


def test_without_the_sdk_it_says_how_to_get_it(config, tmp_path, monkeypatch):
    """The SDK is an extra; the daemon does without until a container is wanted."""
    monkeypatch.setitem(sys.modules, "docker", None)
    monkeypatch.delitem(sys.modules, "servd.launchers.engine", raising=False)
    monkeypatch.delattr(launchers, "engine", raising=False)

    async def story():
        async with DockerLauncher(config, build_nothing) as launcher:
            with pytest.raises(EngineError, match="SDK is not installed") as refused:
                await launcher.launch(spec_in(tmp_path))
            assert "servd[docker]" in refused.value.hint

    asyncio.run(story())


def test_without_an_engine_leftovers_wait_for_the_next_start(config, monkeypatch):
    """A daemon that finds no engine starts; what was left is still known."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    leftover = config.data_dir / "docker.id"
    leftover.write_text("abc")

    async def story():
        async with DockerLauncher(config, build_nothing) as launcher:
            with pytest.raises(EngineError, match="no container engine answers"):
                await launcher.image_input_type("x")

    asyncio.run(story())
    assert leftover.read_text() == "abc"


def test_a_data_directory_has_a_network_of_its_own(tmp_path):
    """Two data directories share nothing at an engine."""
    places = [
        Place(instance=name, data_dir=tmp_path, keys=tmp_path, runtime=tmp_path) for name in "ab"
    ]
    assert places[0].network != places[1].network
