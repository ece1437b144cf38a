"""Two front ends and three replicas as hosts of their own, with faults under constant load."""

import json
import shutil
import signal
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from model_runtime import manifest
from model_runtime.manifest import Manifest
from servd.carriers.certificates import write_certificates
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.registry.published import Published, VersionAddress, encode
from servd.registry.snapshot import pack_state
from tests.netns.load import PORT, Load
from tests.netns.network import Network, inside

pytestmark = [pytest.mark.slow, pytest.mark.netns]

MODEL = Path(__file__).parents[1] / "models" / "good.py"
FRONT_ENDS = ["f1", "f2"]
REPLICAS = ["r1", "r2", "r3"]
NAME = "m-1.models.svc"
START_S = 30.0
OUT_S = 2.0
BACK_S = 3.0
QUERIES = 300


class Cluster:
    """What runs on the network, and what may be done to it.

    `scheme` is what replicas listen with: "tls" as in an export, or "tcp", here without keys.
    """

    def __init__(self, network, folder, scheme):
        self.network = network
        self.folder = folder
        self.scheme = scheme
        self.keys = [f"--tls={folder / 'keys'}"] if scheme == "tls" else []
        self.running = {}

    def write(self):
        """Make the bundle, the certificates and the published registry."""
        write_certificates(self.folder / "keys")
        bundle = self.folder / "bundle"
        (bundle / "files").mkdir(parents=True)
        shutil.copy(MODEL, bundle / "files")
        made = Manifest(loader="python", file=MODEL.name, kind="function", object="predict")
        manifest.write(made, bundle)
        version = ModelVersion(model="m", version="1", input_type=InputType.DOUBLES)
        # No default output: a query that misses its generous objective is an error.
        app = Application(name="a", input_type=InputType.DOUBLES, slo_us=8_000_000)
        state = RegistryState({"a": app}, {VersionId("m", "1"): version}, {"m": "1"}, {"a": ("m",)})
        published = Published(pack_state(state), {"m:1": VersionAddress(NAME, scheme=self.scheme)})
        (self.folder / "registry.json").write_bytes(encode(published))

    def start(self, host):
        """Start what belongs on a host."""
        if host.startswith("f"):
            options = ["--public-queries", "--drain-delay=1s", f"--registry={self.folder}"]
            arguments = ["-m", "servd", "frontend", *options]
        else:
            options = [f"--bundle={self.folder / 'bundle'}", "--model=m", "--version=1"]
            options += [f"--listen={self.scheme}://0.0.0.0:7000", "--health=0.0.0.0:7001"]
            arguments = ["-m", "model_runtime", *options]
        self.running[host] = self.network.start(host, *arguments, *self.keys, log=f"{host}.log")

    def end(self, host, number=signal.SIGTERM):
        """Send what runs on a host a signal; return its exit status."""
        process = self.running.pop(host)
        process.send_signal(number)
        return process.wait(START_S)

    def name(self, hosts):
        """Let the version's name lead to some hosts."""
        self.network.name({NAME: hosts})

    def ready_replicas(self, front_end):
        """Return how many replicas a front end has in rotation; -1 while it does not answer."""
        url = f"http://{self.network.address(front_end)}:{PORT}/metrics"
        request = urllib.request.Request(url, headers={"Accept": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=1) as answer:
                text = answer.read().decode()
        except OSError:
            return -1
        line = text.partition('ready_replicas{model="m",version="1"} ')[2]
        return int(float(line.partition("\n")[0] or 0))

    def wait_for(self, count, within_s=START_S):
        """Return after how long both front ends have that many replicas; insist on `within_s`."""
        return inside(self.network.namespace("c"), lambda: self._wait_for(count, within_s))

    def _wait_for(self, count, within_s):
        began_s = time.monotonic()
        while any(self.ready_replicas(each) != count for each in FRONT_ENDS):
            took_s = time.monotonic() - began_s
            assert took_s < within_s, f"not {count} replicas after {took_s:.2f} s"
            time.sleep(0.02)
        return time.monotonic() - began_s


@pytest.fixture
def scheme():
    """Return what replicas listen with; a test may choose."""
    return "tls"


@pytest.fixture
def cluster(scheme):
    """Yield a cluster in which everything is ready."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    try:
        with Network(["c", *FRONT_ENDS, *REPLICAS, "r4"], folder) as network:
            cluster = Cluster(network, folder, scheme)
            cluster.write()
            cluster.name(REPLICAS)
            for host in REPLICAS + FRONT_ENDS:
                cluster.start(host)
            cluster.wait_for(3)
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def load(cluster):
    """Yield a load on the cluster, and insist in the end that each query was answered."""
    network = cluster.network
    front_ends = [network.address(each) for each in FRONT_ENDS]
    with Load(network.namespace("c"), front_ends) as load:
        until_asked(load, QUERIES)
        yield load
        until_asked(load, QUERIES)
    print(json.dumps(load.tally.__dict__, indent=1))
    assert load.tally.failures == []
    assert set(load.tally.by_front_end) == set(front_ends)


def until_asked(load, count):
    """Return when so many more queries were answered."""
    goal, end_s = load.tally.answered + count, time.monotonic() + START_S
    while load.tally.answered < goal:
        assert time.monotonic() < end_s, load.tally
        time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
@pytest.mark.parametrize("how", ["cable", "firewall"])
def test_a_replica_that_is_cut_off_and_healed(cluster, load, how):
    """It is out of rotation within two seconds, back within three; nobody goes unanswered."""
    network = cluster.network
    if how == "firewall" and shutil.which("iptables") is None:
        pytest.skip("there is no iptables")
    for replica, length in (("r1", 0), ("r2", 8 * QUERIES)):
        if how == "cable":
            network.cut(replica)
        else:
            network.drop(replica, is_on=True)
        out_s = cluster.wait_for(2, OUT_S)
        until_asked(load, QUERIES + length)
        if how == "cable":
            network.heal(replica)
        else:
            network.drop(replica, is_on=False)
        back_s = cluster.wait_for(3, BACK_S)
        print(f"{how}: out after {out_s:.2f} s, back after {back_s:.2f} s")
        until_asked(load, QUERIES)


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
def test_two_replicas_that_are_cut_off_together(cluster, load):
    """Their queries go to the third and not from one to the other."""
    network = cluster.network
    for replica in ("r1", "r2"):
        network.cut(replica)
    cluster.wait_for(1, OUT_S)
    until_asked(load, QUERIES)
    for replica in ("r1", "r2"):
        network.heal(replica)
    cluster.wait_for(3, BACK_S)


@pytest.mark.parametrize("scheme", ["tls", "tcp"])
def test_a_replica_that_is_killed_and_replaced(cluster, load):
    """Its queries go to others at once; the one in its place is found by the name."""
    cluster.end("r3", signal.SIGKILL)
    cluster.wait_for(2, OUT_S)
    until_asked(load, QUERIES)
    cluster.start("r4")
    cluster.name(["r1", "r2", "r4"])
    cluster.wait_for(3)
    assert load.tally.slowest_s < OUT_S


def test_a_rolling_restart_of_each_replica(cluster, load):
    """Each drains, ends and comes back at its address; no query notices."""
    for replica in REPLICAS:
        assert cluster.end(replica) == 0
        cluster.wait_for(2, OUT_S)
        cluster.start(replica)
        cluster.wait_for(3)
    until_asked(load, QUERIES)


def test_a_rolling_restart_of_each_front_end(cluster, load):
    """Each says first that it is not ready, answers what it has, and ends with 0."""
    for front_end in FRONT_ENDS:
        assert cluster.end(front_end) == 0
        until_asked(load, QUERIES)
        cluster.start(front_end)
        cluster.wait_for(3)
    until_asked(load, 2 * QUERIES)


def test_replicas_that_come_and_go_by_name(cluster, load):
    """One that joins the name gets queries within seconds; one that leaves it is drained."""
    cluster.start("r4")
    cluster.name([*REPLICAS, "r4"])
    cluster.wait_for(4)
    cluster.name(["r4"])
    cluster.wait_for(1)
    until_asked(load, QUERIES)
    cluster.name(["r4", "r1"])
    cluster.wait_for(2)
