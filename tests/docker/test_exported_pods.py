"""What `servd export-k8s --build` writes, run as pods that are killed, scaled and renewed."""

import http.client
import itertools
import json
import os
import secrets
import subprocess
import threading
import time
from pathlib import Path

import docker
import pytest

from tests.daemon import Daemon
from tests.docker.node import POLL_S, Node
from tests.e2e.steps import deploy, write_model

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to the pods' group"),
]

APP, FRONT_END = "feature_sum", "query-frontend"
FIRST, SECOND = "feature-sum-1", "feature-sum-2"
PORT, STANDALONE_PORT = 1337, 5000
TOKEN = "a-token-of-queries"
WAIT_S = 30
CLIENTS = 4
PAUSE_S = 0.01
MORE = 100
ASKED = "asked by the load"
MODEL = f"""
asked = set()
def feature_sum(xs):
    if not asked and xs[0][-1] == 0.5:
        asked.add(print({ASKED!r}, flush=True))
    return [float(sum(x)) * FACTOR for x in xs]
"""


class Load:
    """Clients that ask front ends in turn all the time; a context manager.

    `answered` counts the right answers by what they were a multiple of; each query is new, so that
    no cache answers it. `failures` are the answers of any other kind.
    """

    def __init__(self, front_ends: list[str]) -> None:
        self.answered = {1: 0, 2: 0}
        self.failures: list[str] = []
        self._front_ends = front_ends
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask_all) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, factor: int, more: int = MORE) -> None:
        """Return when so many more answers were of that multiple; fail at the first failure."""
        with self._changed:
            goal = self.answered[factor] + more
            came = self._changed.wait_for(
                lambda: self.failures or self.answered[factor] >= goal, WAIT_S
            )
        assert not self.failures
        assert came, self.answered

    def _ask_all(self) -> None:
        wires = [
            http.client.HTTPConnection(each, PORT, timeout=WAIT_S) for each in self._front_ends
        ]
        for wire in itertools.cycle(wires):
            if self._ended.wait(PAUSE_S):
                break
            number = next(self._numbers)
            try:
                status, answer = ask(wire, [number, 0.5])
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, {"output": repr(error)}
                wire.close()
            with self._changed:
                self._judge(number, status, answer)
                self._changed.notify_all()
        for wire in wires:
            wire.close()

    def _judge(self, number: int, status: int, answer: dict) -> None:
        factor = answer["output"] / (number + 0.5) if status == 200 else None
        if factor in self.answered and not answer["default"]:
            self.answered[factor] += 1
        else:
            self.failures.append(f"{status} {answer}")


def ask(wire: http.client.HTTPConnection, values: list[float]) -> tuple[int, dict]:
    """Ask the application for the sum of some values over a connection."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    wire.request("POST", f"/{APP}/predict", json.dumps({"input": values}), headers)
    with wire.getresponse() as answer:
        return answer.status, json.load(answer)


def curl(address: str, port: int = PORT) -> dict:
    """Ask as the printed next steps do."""
    body = json.dumps({"input": [1.1, 2.2, 3.3]})
    url = f"http://{address}:{port}/{APP}/predict"
    words = ["curl", "-sS", "-f", "-m", "10", "-H", f"Authorization: Bearer {TOKEN}", "-d", body]
    done = subprocess.run([*words, url], capture_output=True, text=True, check=True, timeout=WAIT_S)
    return json.loads(done.stdout)


@pytest.fixture
def node(engine):
    """Yield a node without pods."""
    with Node(engine) as made:
        yield made


@pytest.fixture
def export(engine: docker.DockerClient, base_image: str, idle_daemon: Daemon):
    """Yield a function that exports what a daemon has, with its images, and returns the folder."""
    idle_daemon.data_dir.mkdir()
    settings = f'base-image = "{base_image}"\ntoken = "{TOKEN}"\n'
    (idle_daemon.data_dir / "servd.toml").write_text(settings)
    registry = f"localhost:1/servd-test-{secrets.token_hex(4)}"
    images = set()

    def run(*options: str) -> Path:
        common = ("--image-registry", registry, "--build", "--check", "--json")
        done = idle_daemon.cli("export-k8s", *common, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        document = json.loads(done.stdout)
        images.update(document["images"])
        return idle_daemon.data_dir.parent / document["path"]

    yield run
    for image in images:
        engine.images.remove(image, force=True)


def test_an_export_runs(node, export, idle_daemon):
    """Pods get ready; no query fails while some are killed, scaled, and versions change."""
    deploy_version(idle_daemon, factor=1)
    node.apply(export())
    node.wait_ready()
    front_ends = [pod.address for pod in node.pods[FRONT_END]]
    assert {name: len(pods) for name, pods in node.pods.items()} == {FIRST: 2, FRONT_END: 2}
    for address in front_ends:
        answer = curl(address)
        assert (answer["output"], answer["default"]) == (6.6, False)

    with Load(front_ends) as load:
        all_asked(node, FIRST)
        check_kill(node, load)
        check_scaling(node, load)
        check_versions(node, load, idle_daemon, export)
        check_restart(node, load, export)
        node.wait_ready()
    assert not load.failures


def test_a_standalone_export_runs(node, export, idle_daemon):
    """The pod with the model inside gets ready, answers, and ends by itself when it is deleted."""
    deploy_version(idle_daemon, factor=1)
    node.apply(export("--standalone"))
    node.wait_ready()
    ((name, (pod,)),) = node.pods.items()
    answer = curl(pod.address, STANDALONE_PORT)
    assert (answer["output"], answer["default"]) == (6.6, False)
    node.end(name, pod)


def check_kill(node: Node, load: Load) -> None:
    """One of two replicas is killed and replaced."""
    node.kill(FIRST)
    load.wait_for(1)
    node.scale(FIRST, 2)
    node.wait_ready()
    all_asked(node, FIRST)
    load.wait_for(1)


def check_scaling(node: Node, load: Load) -> None:
    """A third pod comes, then two go, the oldest first: only the youngest is left to answer."""
    node.scale(FIRST, 3)
    node.wait_ready()
    all_asked(node, FIRST)
    node.scale(FIRST, 1)
    load.wait_for(1)
    node.scale(FIRST, 2)
    node.wait_ready()


def check_versions(node: Node, load: Load, daemon: Daemon, export) -> None:
    """A second version takes over where its pods are ready, and gives back at a rollback."""
    deploy_version(daemon, factor=2)
    assert node.apply(export()) == []
    node.wait_ready()
    settled(load, now=2, before=1)
    all_asked(node, SECOND)
    assert daemon.cli("rollback", APP).returncode == 0
    assert node.apply(export()) == []
    settled(load, now=1, before=2)
    assert {name: len(pods) for name, pods in node.pods.items()} == {
        FIRST: 2,
        SECOND: 2,
        FRONT_END: 2,
    }


def check_restart(node: Node, load: Load, export) -> None:
    """Another memory limit replaces the replicas one by one, and no front end."""
    assert node.apply(export("--memory", "300Mi")) == [FIRST, SECOND]
    all_asked(node, FIRST)
    load.wait_for(1)


def all_asked(node: Node, name: str) -> None:
    """Wait until each of a version's pods has been found and asked."""
    end_s = time.monotonic() + WAIT_S
    for pod in node.pods[name]:
        while ASKED not in pod.log:
            assert time.monotonic() < end_s, f"{pod.address} is not asked:\n{pod.log}"
            time.sleep(POLL_S)


def settled(load: Load, *, now: int, before: int) -> None:
    """Wait until both front ends have switched: answers of one kind only."""
    end_s = time.monotonic() + WAIT_S
    while True:
        old = load.answered[before]
        load.wait_for(now)
        if load.answered[before] == old:
            return
        assert time.monotonic() < end_s, load.answered


def deploy_version(daemon: Daemon, *, factor: int) -> None:
    """Deploy the next version on the daemon, with two replicas."""
    path = write_model(daemon, "model.py", MODEL.replace("FACTOR", str(factor)))
    deploy(daemon, path, "--name", APP, "--slo", "5s", "--default", "-1.0", "--replicas", "2")
