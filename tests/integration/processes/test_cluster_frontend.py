"""A front end in the test's own loop over real replica processes at loopback addresses.

Only the name service is a stand-in; a real one is in tests/netns.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from model_runtime import manifest
from model_runtime.manifest import Manifest
from servd.carriers.certificates import write_certificates
from servd.carriers.curve import write_keys
from servd.config import Config
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.errors import ConfigError, StartError
from servd.processes.cluster_frontend import ClusterFrontend, ClusterFrontendSettings, serve
from servd.registry.published import Published, PublishedError, VersionAddress, encode
from servd.registry.snapshot import pack_state
from tests.daemon import free_port
from tests.serving import Client, post, run, until

MODEL = Path(__file__).parents[2] / "models" / "good.py"
STATE = RegistryState(
    {"a": Application(name="a", input_type=InputType.DOUBLES, slo_us=15_000_000)},
    {VersionId("m", "1"): ModelVersion(model="m", version="1", input_type=InputType.DOUBLES)},
    {"m": "1"},
    {"a": ("m",)},
)
READY = b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"


class World:
    """Replicas at 127.0.0.N, a name that leads to them, and a registry's file."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.query_port = free_port()
        self.found = set()
        self.replicas = {}
        self.is_secret = False
        self.scheme = "tcp"
        bundle = folder / "bundle"
        (bundle / "files").mkdir(parents=True)
        shutil.copy(MODEL, bundle / "files")
        made = Manifest(loader="python", file=MODEL.name, kind="function", object="predict")
        manifest.write(made, bundle)
        self.publish(STATE)

    def publish(self, state):
        """Write the registry's file."""
        published = Published(
            pack_state(state), {"m:1": VersionAddress("m-1", self.port, self.scheme)}
        )
        (self.folder / "registry.json").write_bytes(encode(published))

    def start(self, number):
        """Start a replica and let the name lead to it."""
        options = [f"--bundle={self.folder / 'bundle'}", "--model=m", "--version=1"]
        options += [f"--listen={self.scheme}://127.0.0.{number}:{self.port}"]
        option = "tls" if self.scheme == "tls" else "curve"
        options += [f"--{option}={self.folder / 'keys'}"] if self.is_secret else []
        self.replicas[number] = subprocess.Popen(
            [sys.executable, "-m", "model_runtime", *options], stdin=subprocess.DEVNULL
        )
        self.found.add(f"127.0.0.{number}")

    def end(self):
        """End every replica."""
        for process in self.replicas.values():
            process.kill()
            process.wait()

    async def resolve(self, _host):
        """Stand in for the name service."""
        return frozenset(self.found)

    def config(self, **settings):
        """Return the settings of a front end on loopback."""
        given = {"query_port": self.query_port, "bind": "127.0.0.1"} | settings
        return Config(data_dir=self.folder / "none", **given)

    def settings(self, **settings):
        """Return what a front end takes besides."""
        return ClusterFrontendSettings(registry=self.folder, **settings)

    async def send(self, data):
        """Send a request on a connection of its own; return the answer, None where refused."""
        try:
            client = Client(*await asyncio.open_connection("127.0.0.1", self.query_port))
        except ConnectionRefusedError:
            return None
        client.send(data)
        with contextlib.closing(client.writer):
            return await client.answer()

    async def predict(self, number):
        """Return an answer's status and JSON."""
        return (await self.send(post("/a/predict", {"input": [number]}))).pair

    async def until(self, status, request=READY):
        """Ask until the answer has a status; the test's timeout is the limit."""
        # What is waited for is in another process, which sets no event here.
        while (answer := await self.send(request)) is None or answer.status != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def world():
    """Yield a world without replicas."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    made = World(folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)


def test_it_answers_by_what_it_finds_and_ends_without_losing_a_query(world, caplog):
    """The door opens when replicas answer; at the end it is not ready first, and closed last."""

    async def story():
        world.start(2)
        world.start(3)
        front_end = asyncio.ensure_future(
            serve(world.config(), world.settings(drain_delay_s=60), world.resolve)
        )
        await world.until(200)
        for number in range(10):
            status, answer = await world.predict(number)
            assert (status, answer["output"]) == (200, float(number))
            assert answer["query_id"] % 2**40 == number
        await until(lambda: caplog.text.count("is in rotation") == 2)
        world.replicas[3].kill()
        await until(lambda: "hung up: out of rotation" in caplog.text)
        for number in range(10, 20):
            assert (await world.predict(number))[1]["output"] == float(number)
        os.kill(os.getpid(), signal.SIGTERM)
        await world.until(503)
        late = await world.send(post("/a/predict", {"input": [21]}))
        assert (late.status, late.headers["connection"]) == (200, "close")
        os.kill(os.getpid(), signal.SIGTERM)  # does not wait for the delay
        await front_end
        assert await world.send(READY) is None

    run(story())


def test_its_registry_may_change_and_break(world, monkeypatch, caplog):
    """A new one is in force within a moment; of a broken one only the log knows."""
    monkeypatch.setattr("servd.processes.cluster_frontend.POLL_S", 0.01)

    async def story():
        world.start(2)
        front_end = asyncio.ensure_future(
            serve(world.config(), world.settings(drain_delay_s=60), world.resolve)
        )
        await world.until(200)
        (world.folder / "registry.json").write_text("{")
        await until(lambda: "stays in force" in caplog.text)
        assert (await world.predict(1))[0] == 200
        extra = Application(
            name="b", input_type=InputType.DOUBLES, slo_us=100_000, default_output="0"
        )
        apps = STATE.applications | {"b": extra}
        world.publish(msgspec.structs.replace(STATE, applications=apps))
        await world.until(200, post("/b/predict", {"input": [1]}))
        assert (await world.predict(2))[0] == 200
        os.kill(os.getpid(), signal.SIGINT)  # without the delay
        await front_end

    run(story())
    assert caplog.text.count("stays in force") == 1


def test_over_curve(world):
    """With the keys the replicas let it in, without them they do not."""
    write_keys(world.folder / "keys")
    world.is_secret = True

    async def story():
        world.start(2)
        settings = world.settings(drain_delay_s=0, curve=world.folder / "keys")
        front_end = asyncio.ensure_future(serve(world.config(), settings, world.resolve))
        await world.until(200)
        assert (await world.predict(3))[1]["output"] == 3.0
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end

    run(story())


def use_tls(world):
    """Have replicas listen with TLS, and the registry say so."""
    write_certificates(world.folder / "keys")
    world.is_secret, world.scheme = True, "tls"
    world.publish(STATE)


def test_over_tls(world, caplog):
    """A replica that is killed is out at once; the one that comes in its place is found again."""
    use_tls(world)

    async def story():
        world.start(2)
        world.start(3)
        settings = world.settings(drain_delay_s=0, tls=world.folder / "keys")
        front_end = asyncio.ensure_future(serve(world.config(), settings, world.resolve))
        await world.until(200)
        await until(lambda: caplog.text.count("is in rotation") == 2)
        for number in range(10):
            assert (await world.predict(number))[1]["output"] == float(number)
        world.replicas[3].kill()
        world.replicas[3].wait()
        await until(lambda: "hung up: out of rotation" in caplog.text)
        for number in range(10):
            assert (await world.predict(number))[1]["output"] == float(number)
        world.start(3)
        await until(lambda: caplog.text.count("is in rotation") == 3)
        world.replicas[2].terminate()
        await until(lambda: world.replicas[2].poll() is not None)
        assert world.replicas[2].returncode == 0
        for number in range(10):
            assert (await world.predict(number))[1]["output"] == float(number)
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end

    run(story())


def test_over_tls_with_other_certificates(world, tmp_path, caplog, monkeypatch):
    """No query reaches a replica that does not know the front end; the log says what to look at."""
    monkeypatch.setattr("servd.processes.cluster_frontend.PATIENCE_S", 0.1)
    use_tls(world)
    write_certificates(tmp_path / "other")

    async def story(folder, words):
        settings = world.settings(drain_delay_s=0, tls=folder)
        front_end = asyncio.ensure_future(serve(world.config(), settings, world.resolve))
        await until(lambda: words in caplog.text)
        await world.until(200)
        assert (await world.predict(1))[0] == 503
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end
        assert caplog.text.count(words) == 1

    world.start(2)
    run(story(tmp_path / "other", "do not know each other (its certificate is not the known one"))
    run(story(None, "do not know each other (this front end has no certificate; see --tls)"))


def test_it_opens_the_door_though_a_replica_never_answers(world, monkeypatch, caplog):
    """Other applications are not held up by it for long."""
    monkeypatch.setattr("servd.processes.cluster_frontend.PATIENCE_S", 0.1)

    async def story():
        world.found = {"127.0.0.2"}
        front_end = asyncio.ensure_future(
            serve(world.config(), world.settings(drain_delay_s=0), world.resolve)
        )
        await world.until(200)
        assert (await world.predict(1))[0] == 503
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end

    run(story())
    assert "going on" in caplog.text


def test_it_is_ready_when_every_application_has_a_replica(world, monkeypatch):
    """On a cluster all is started together: a client that comes too early would get a default."""
    wanted = {key: msgspec.structs.replace(one, replicas=1) for key, one in STATE.versions.items()}
    world.publish(msgspec.structs.replace(STATE, versions=wanted))

    async def story(patience_s):
        monkeypatch.setattr("servd.processes.cluster_frontend.READY_PATIENCE_S", patience_s)
        front_end = asyncio.ensure_future(
            serve(world.config(), world.settings(drain_delay_s=0), world.resolve)
        )
        if patience_s > 1:
            await world.until(503)
            assert b"m:1 has no replica that is ready" in (await world.send(READY)).body
            assert (await world.predict(1))[0] == 503
            world.start(2)
        await world.until(200)
        if patience_s > 1:
            assert (await world.predict(1))[1]["output"] == 1.0
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end

    run(story(0.1))
    run(story(1000.0))


def test_a_fault_of_its_own_does_not_end_it(world, monkeypatch, caplog):
    """What answers goes on answering; the log has the traceback."""
    monkeypatch.setattr("servd.processes.cluster_frontend.POLL_S", 0.01)
    monkeypatch.setattr(ClusterFrontend, "_look", lambda _self, _cluster: json.loads("{"))

    async def story():
        front_end = asyncio.ensure_future(
            serve(world.config(), world.settings(drain_delay_s=0), world.resolve)
        )
        await world.until(200)
        await until(lambda: caplog.records)
        assert (await world.send(READY)).status == 200
        os.kill(os.getpid(), signal.SIGTERM)
        await front_end

    run(story())
    assert "JSONDecodeError" in caplog.text


def test_what_it_cannot_start_with(world):
    """A registry, keys or a port that are wrong are said at the start."""

    async def refused(error, words, **changes):
        config = world.config(**changes.pop("config", {}))
        with pytest.raises(error, match=words):
            await serve(config, world.settings(**changes), world.resolve)

    async def story():
        await refused(ConfigError, "replica.public cannot be read", curve=world.folder / "no-keys")
        await refused(ConfigError, "replica.crt cannot be read", tls=world.folder / "no-keys")
        await refused(StartError, "cannot listen on 192.0.2.1", config={"bind": "192.0.2.1"})
        (world.folder / "registry.json").unlink()
        await refused(PublishedError, "No such file or directory")

    run(story())
