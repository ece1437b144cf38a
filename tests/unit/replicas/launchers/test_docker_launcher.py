"""The launcher of containers and its handles where the engine fails; the rest needs a real one."""

import asyncio
import sys
import threading

import pytest

from servd.config import Config
from servd.errors import EngineError, ImageError
from servd.logs.log import tail
from servd.replicas import launchers
from servd.replicas.launchers.base import LaunchSpec
from servd.replicas.launchers.container import ContainerHandle
from servd.replicas.launchers.container_options import INSTANCE_LABEL, creation
from servd.replicas.launchers.docker import DockerLauncher, digest_of, pinned_image
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
        with pytest.raises(EngineError, match="gone"):
            calls.pop()()
        async with asyncio.timeout(WAIT_S):
            assert await handle.wait() == -9
        assert "engine does not answer" in handle.end_reason
        assert tail(tmp_path / "0.log", 9) == ["a line"]
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
    monkeypatch.delitem(sys.modules, "servd.replicas.launchers.docker_engine", raising=False)
    monkeypatch.delattr(launchers, "docker_engine", raising=False)

    async def story():
        async with DockerLauncher(config, build_nothing) as launcher:
            with pytest.raises(EngineError, match="SDK is not installed") as refused:
                await launcher.launch(spec_in(tmp_path))
            assert "servd[docker]" in refused.value.hint

    asyncio.run(story())


class SharedEngine:
    """An engine of all data directories: it has the networks and containers that were made."""

    def __init__(self):
        self.networks = set()
        self.labels = []

    def find_image(self, _reference):
        """Have every image."""
        return {"Id": "sha256:1"}

    def clear(self, place, *, is_final):
        """Remove as the real one does: what bears the label of the data directory."""
        before = len(self.labels)
        label = (INSTANCE_LABEL, place.instance)
        self.labels = [found for found in self.labels if label not in found.items()]
        if is_final:
            self.networks.discard(place.network)
        return before - len(self.labels)

    def make_network(self, place):
        """Make it unless it is there."""
        self.networks.add(place.network)

    def start(self, place, spec, image, nonce):
        """Run a container."""
        made = creation(place, spec, self.find_image(image), nonce)
        self.labels.append(made["labels"])
        return Running(f"{made['name']:c<64}")

    def remove(self, container_id):
        """Say nothing."""

    def wait(self, _container_id):
        """Never end."""
        raise EngineError("it runs")

    def signal(self, _container_id, _number):
        """Say nothing."""

    def close(self):
        """Say nothing."""


class Running(Started):
    """A container that prints nothing."""

    output = iter(())

    def __init__(self, container_id):
        self.container_id = container_id


def test_data_directories_share_nothing_at_an_engine(tmp_path, monkeypatch):
    """Each has a network and containers of its own, and ends no others, whatever their versions."""
    shared = SharedEngine()
    monkeypatch.setattr("servd.replicas.launchers.docker._connect", lambda _closing: shared)

    async def story():
        configs = [Config(data_dir=tmp_path / name) for name in "ab"]
        for config in configs:
            config.data_dir.mkdir()
            config.run_dir.mkdir(parents=True, exist_ok=True)
        handles = []
        async with DockerLauncher(configs[0], build_nothing) as first:
            handles.append(await first.launch(spec_in(tmp_path)))
            async with DockerLauncher(configs[1], build_nothing) as second:
                handles.append(await second.launch(spec_in(tmp_path)))
                names = {handle._started.container_id for handle in handles}
                assert (len(shared.networks), len(shared.labels), len(names)) == (2, 2, 2)
                for handle in handles:
                    handle._is_lost.set()
            assert (len(shared.networks), len(shared.labels)) == (1, 1)
        assert (shared.networks, shared.labels) == (set(), [])

    asyncio.run(story())


class Images:
    """An engine's images by every name that they go by."""

    def __init__(self, **known):
        self.known = known
        self.pulled = []

    def inspect_image(self, reference):
        """Return what is here."""
        return self.known.get(reference)

    def find_image(self, reference):
        """Pull what is not here."""
        self.pulled.append(reference)
        return self.known.get(reference) or {"Id": f"pulled {reference}"}


OLD = {"Id": "sha256:1", "RepoDigests": []}
NEW = {"Id": "sha256:2", "RepoDigests": []}


def test_a_version_goes_on_with_the_image_that_it_was_deployed_with(caplog):
    """Its name may be given to another one at any time; that is said."""
    version = version_of(runtime="docker", image="iris:7", bundle=None, image_digest="sha256:1")
    engine = Images(**{"iris:7": OLD, "sha256:1": OLD})
    assert pinned_image(engine, version) == "sha256:1"
    assert caplog.text == ""
    engine.known["iris:7"] = NEW
    assert pinned_image(engine, version) == "sha256:1"
    assert "iris:7 is another image now" in caplog.text


@pytest.mark.parametrize(
    ("known", "what"),
    [({"iris:7": NEW}, "another one now"), ({}, "is gone")],
    ids=["moved", "gone"],
)
def test_an_image_that_nobody_has_any_more_is_not_replaced_by_its_name(known, what):
    """Another model is no substitute."""
    version = version_of(runtime="docker", image="iris:7", bundle=None, image_digest="sha256:1")
    with pytest.raises(ImageError, match=what) as refused:
        pinned_image(Images(**known), version)
    assert "deploy" in refused.value.hint


def test_an_image_that_a_registry_has_is_pulled_by_its_digest():
    """So it is the same on every machine."""
    digest = "host:5000/iris@sha256:9"
    known = ["other@sha256:8", digest]
    assert digest_of("host:5000/iris:7", {"Id": "x", "RepoDigests": known}) == digest
    assert digest_of("iris:7", {"Id": "sha256:1", "RepoDigests": None}) == "sha256:1"
    version = version_of(runtime="docker", image="host:5000/iris:7", image_digest=digest)
    engine = Images(**{"host:5000/iris:7": NEW})
    assert pinned_image(engine, version) == f"pulled {digest}"
    assert engine.pulled == [digest]


def test_a_version_of_an_older_servd_goes_by_its_image_name():
    """What it was deployed with is not known."""
    version = version_of(runtime="docker", image="iris:7", bundle=None)
    assert pinned_image(Images(**{"iris:7": NEW}), version) == "sha256:2"
