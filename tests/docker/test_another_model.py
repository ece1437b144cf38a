"""Version numbers that begin again at one engine and one registry: who answers is who was meant.

Two data directories each deploy their own first version of a model of one name.
"""

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.daemon import Daemon
from tests.docker.node import POLL_S, Node
from tests.docker.test_exported_pods import APP, FIRST, FRONT_END, PORT, STANDALONE_PORT, curl
from tests.e2e.steps import deploy, write_model

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to the pods' group"),
]

WAIT_S = 60
SUM = 6.6
Export = Callable[..., tuple[Path, list[str]]]
SETTINGS = 'base-image = "{base}"\ntoken = "a-token-of-queries"\n'


@contextmanager
def two_owners(base_image: str) -> Iterator[list[Daemon]]:
    """Yield two daemons with data directories of their own; the model of each is another."""
    folders = [Path(tempfile.mkdtemp(prefix="sv-")) for _ in range(2)]
    daemons = [Daemon(data_dir=folder / "data") for folder in folders]
    for factor, daemon in enumerate(daemons, 1):
        daemon.data_dir.mkdir()
        (daemon.data_dir / "servd.toml").write_text(SETTINGS.format(base=base_image))
        model = f"def f(xs): return [float(sum(x)) * {factor} for x in xs]\n"
        write_model(daemon, "model.py", model)
    try:
        yield daemons
    finally:
        for daemon, folder in zip(daemons, folders, strict=True):
            daemon.stop()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def owners(base_image: str) -> Iterator[list[Daemon]]:
    """Yield two daemons that have deployed their models, each its first version."""
    with two_owners(base_image) as daemons:
        for daemon in daemons:
            words = ("--name", APP, "--slo", "5s", "--default", "-1")
            deploy(daemon, str(daemon.data_dir.parent / "model.py"), *words)
        yield daemons


@pytest.fixture
def newcomers(base_image: str) -> Iterator[list[Daemon]]:
    """Yield two daemons that have deployed nothing yet."""
    with two_owners(base_image) as daemons:
        yield daemons


@pytest.fixture(scope="module")
def export(engine: docker.DockerClient) -> Iterator[Export]:
    """Yield a function that exports a daemon's model under one registry's name, with its images.

    It does so once for each daemon and options.
    """
    registry = f"localhost:1/servd-test-{secrets.token_hex(4)}"
    made: dict[tuple[str | Path, ...], tuple[Path, list[str]]] = {}

    def run(daemon: Daemon, *options: str) -> tuple[Path, list[str]]:
        key = (daemon.data_dir, *options)
        if key not in made:
            out = daemon.data_dir.parent / "-".join(["out", *options])
            words = ("export-k8s", "--image-registry", registry, "--build", "--check", "--json")
            done = daemon.cli(*words, "--out", str(out), *options)
            assert done.returncode == 0, done.stdout + done.stderr
            made[key] = out, json.loads(done.stdout)["images"]
        return made[key]

    yield run
    for image in {image for _, images in made.values() for image in images}:
        engine.images.remove(image, force=True)


@contextmanager
def called(engine: docker.DockerClient, name: str, image: str) -> Iterator[None]:
    """Give an image the name of another one meanwhile."""
    before = engine.images.get(name)
    engine.images.get(image).tag(name)
    try:
        yield
    finally:
        before.tag(name)


def until_answered(address: str, wanted: float, port: int = PORT) -> None:
    """Wait for an answer of the right model; one of the other model fails at once."""
    end_s = time.monotonic() + WAIT_S
    while (answer := curl(address, port))["output"] != wanted:
        assert answer["default"], answer
        assert time.monotonic() < end_s, answer
        time.sleep(POLL_S)


@pytest.mark.parametrize("options", [(), ("--standalone",)], ids=["cluster", "standalone"])
def test_an_export_answers_with_its_own_model(engine, owners, export, options):
    """Another data directory's export, whose version has the same number, brings its own files."""
    port = STANDALONE_PORT if options else PORT
    with Node(engine) as node:
        for factor, daemon in enumerate(owners, 1):
            folder, _ = export(daemon, *options)
            node.apply(folder)
            node.wait_ready()
            name = FRONT_END if FRONT_END in node.pods else next(iter(node.pods))
            for pod in node.pods[name]:
                until_answered(pod.address, SUM * factor, port)


def test_pods_with_other_files_get_no_query(engine, owners, export):
    """Whatever an image is called: what lies in it is compared, and said by digests."""
    first, second = owners
    _, theirs = export(first)
    folder, ours = export(second)
    with_model = [[name for name in images if "frontend" not in name] for images in (theirs, ours)]
    (their_image,), (our_image,) = with_model
    assert their_image != our_image
    with called(engine, our_image, their_image), Node(engine) as node:
        node.apply(folder)
        node.pods[FIRST][0].wait_ready(time.monotonic() + WAIT_S)
        (pod, *_) = node.pods[FRONT_END]
        end_s = time.monotonic() + WAIT_S
        while "gets no queries" not in pod.log or not pod.passes("livenessProbe"):
            assert time.monotonic() < end_s, pod.log
            time.sleep(POLL_S)
        held, wanted = (bundle_of(daemon) for daemon in owners)
        assert f"holds the bundle {held}, but {APP}:1 is registered with {wanted}" in pod.log
        assert (curl(pod.address)["output"], curl(pod.address)["default"]) == (-1, True)


def test_a_standalone_pod_with_other_files_ends(engine, owners, export):
    """Its deployment says which model it expects; an image of that name is not believed."""
    _, (their_image,) = export(owners[0], "--standalone")
    folder, (our_image,) = export(owners[1], "--standalone")
    with called(engine, our_image, their_image), Node(engine) as node:
        node.apply(folder)
        (((pod,)),) = node.pods.values()
        assert pod.container.wait(timeout=WAIT_S)["StatusCode"] == 1
        assert f"its deployment expects {bundle_of(owners[1])}" in pod.log


def test_docker_replicas_are_of_their_own_data_directory(newcomers):
    """At one engine, the first version of one daemon is not the first version of the other."""
    for factor, daemon in enumerate(newcomers, 1):
        path = daemon.data_dir.parent / "model.py"
        deploy(daemon, str(path), "--name", APP, "--slo", "5s", "--runtime", "docker")
        words = ("predict", APP, "[1.1, 2.2, 3.3]")
        done = daemon.cli(*words)
        assert f"{SUM * factor}" in done.stdout, done.stdout + done.stderr


def test_a_number_that_begins_again_after_a_removal_is_the_new_model(newcomers):
    """In one data directory too, with containers and with what was cached of the old one."""
    daemon = newcomers[0]
    path = daemon.data_dir.parent / "model.py"
    words = ("predict", APP, "[1.1, 2.2, 3.3]")
    deploy(daemon, str(path), "--name", APP, "--slo", "5s", "--runtime", "docker")
    assert f"{SUM}" in daemon.cli(*words).stdout
    assert daemon.cli("rm", APP).returncode == 0
    path.write_text("def f(xs): return [7.0 for x in xs]\n")
    deploy(daemon, str(path), "--name", APP, "--slo", "5s", "--runtime", "docker")
    done = daemon.cli(*words)
    assert "7.0" in done.stdout, done.stdout + done.stderr


def bundle_of(daemon: Daemon) -> str:
    """Return the digest of a daemon's only bundle."""
    (bundle,) = (each for each in (daemon.data_dir / "bundles").iterdir() if len(each.name) == 32)
    return bundle.name
