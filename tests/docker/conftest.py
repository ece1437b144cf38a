"""A real container engine, and images made of this machine's Python."""

import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from tests.daemon import Daemon

SCRIPT = Path(__file__).with_name("make_base_image.py")
BASE = "servd-test-python"


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """Yield a client of the engine; skip where there is none, fail where CI should have one."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        if os.environ.get("CI"):
            pytest.fail(f"no container engine: {error}")
        pytest.skip(f"no container engine: {error}")
    yield client
    client.close()


def made_image(engine: docker.DockerClient, *options: str) -> str:
    """Return the name of an image that the script makes; once, whichever worker comes first."""
    content = SCRIPT.read_bytes() + f"{sys.version} {sys.prefix} {options}".encode()
    tag = f"{BASE}:{hashlib.sha256(content).hexdigest()[:12]}"
    lock = Path(tempfile.gettempdir(), f"servd-test-image-{os.getuid()}.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            engine.images.get(tag)
        except ImageNotFound:
            command = [sys.executable, str(SCRIPT), tag, *options]
            subprocess.run(command, check=True, timeout=300)
    return tag


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> Iterator[str]:
    """Yield an image with this machine's Python and pip, as the official ones have them.

    It is this test process's own: where two build the same at the same time, the engine's cache
    holds each step twice, and a third build may find steps of both, which do not fit together.
    """
    content = f"FROM {made_image(engine)}\nLABEL test-process={os.getpid()}\n"
    tag = f"{BASE}:process-{os.getpid()}"
    engine.images.build(fileobj=io.BytesIO(content.encode()), tag=tag, rm=True)
    yield tag
    engine.images.remove(tag, force=True)


@pytest.fixture(scope="session")
def runtime_image(engine: docker.DockerClient) -> str:
    """Return an image with Python and what a replica imports; no network is needed for it."""
    return made_image(engine, "--with-runtime")


@pytest.fixture
def docker_daemon(engine: docker.DockerClient, idle_daemon: Daemon) -> Iterator[Daemon]:
    """Yield a daemon that has not been started; its containers are gone afterwards."""
    yield idle_daemon
    idle_daemon.stop()
    label = {"label": f"io.servd.data-dir={idle_daemon.data_dir}"}
    for container in engine.containers.list(all=True, filters=label):
        container.remove(force=True)
    for network in engine.networks.list(filters=label):
        network.remove()
