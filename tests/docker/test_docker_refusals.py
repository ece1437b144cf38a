"""What `servd deploy --runtime docker` says when it cannot be done."""

import socket
import time

import pytest

pytestmark = pytest.mark.docker

MUTE = 'FROM {base}\nCMD ["python3", "-c", "import time; time.sleep(600)"]\n'
ENDS = 'FROM {base}\nCMD ["python3", "-c", "print(\'I am no replica\'); raise SystemExit(7)"]\n'


@pytest.fixture
def built(engine, runtime_image, tmp_path):
    """Return a function that builds an image of a Dockerfile's text."""
    tags = []

    def build(text):
        (tmp_path / "Dockerfile").write_text(text.format(base=runtime_image))
        tag = f"servd-test-refused:{tmp_path.name}"
        engine.images.build(path=str(tmp_path), tag=tag, rm=True)
        tags.append(tag)
        return tag

    yield build
    for tag in tags:
        engine.images.remove(tag, force=True)


def deploy_image(daemon, image, *options):
    """Deploy an image alone by the CLI."""
    return daemon.cli(
        "deploy", "--image", image, "--name", "m", "--input-type", "doubles", *options
    )


def is_untouched(engine, daemon):
    """Tell whether nothing is left of a deployment that failed, soon after its answer."""
    label = {"label": f"io.servd.data-dir={daemon.data_dir}"}
    end_s = time.monotonic() + 10
    while engine.containers.list(all=True, filters=label, ignore_removed=True):
        assert time.monotonic() < end_s
    return "m:1" not in daemon.cli("ps").stdout


def test_image_without_the_protocol(engine, docker_daemon, built):
    """A container that runs and never answers is given up after the load timeout, and said so."""
    assert docker_daemon.cli("start", "--load-timeout", "3s").returncode == 0
    done = deploy_image(docker_daemon, built(MUTE))
    assert done.returncode == 1
    assert "nothing in it answered servd's protocol on port 7000 within 3 s" in done.stderr
    assert "docs/protocol.md" in done.stderr
    assert is_untouched(engine, docker_daemon)


def test_image_that_ends(engine, docker_daemon, built):
    """A container that ends is no replica; its status and what it printed are shown."""
    done = deploy_image(docker_daemon, built(ENDS))
    assert done.returncode == 1
    assert "ended (exit 7)" in done.stderr
    assert "I am no replica" in done.stderr
    assert is_untouched(engine, docker_daemon)


def test_image_without_a_program(engine, docker_daemon, runtime_image):
    """An image that names no program is refused before anything runs."""
    done = deploy_image(docker_daemon, runtime_image)
    assert done.returncode == 1
    assert "has no program that starts" in done.stderr
    assert is_untouched(engine, docker_daemon)


def test_missing_image(engine, docker_daemon):
    """An image that nobody has: the pull's own words are shown."""
    done = deploy_image(docker_daemon, "127.0.0.1:1/servd-test/none:1")
    assert done.returncode == 1
    assert "127.0.0.1:1/servd-test/none:1 is not here and cannot be pulled" in done.stderr
    assert "refused" in done.stderr
    assert is_untouched(engine, docker_daemon)


def test_image_that_does_not_say_its_inputs(docker_daemon, runtime_image):
    """Without --input-type and without a label nobody knows what to send."""
    done = docker_daemon.cli("deploy", "--image", runtime_image, "--name", "m")
    assert done.returncode == 2
    assert "does not say what its inputs are" in done.stderr
    assert "--input-type" in done.stderr


def test_no_engine(idle_daemon, monkeypatch):
    """Where no engine answers, it says how to get one, or to do without."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = deploy_image(idle_daemon, "python:3.11-slim")
    assert done.returncode == 1
    assert "no container engine answers at unix:///nowhere/docker.sock" in done.stderr
    assert "--runtime process" in done.stderr
    assert idle_daemon.cli("stop").returncode == 0


def test_stop_does_not_wait_for_a_pull(docker_daemon):
    """A registry that never answers holds up neither the daemon's end nor its command."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/servd-test/none:1"
        assert docker_daemon.cli("start").returncode == 0
        accepted = deploy_image(docker_daemon, image, "--no-wait")
        assert accepted.returncode == 0, accepted.stderr
        silent.settimeout(30)
        silent.accept()[0].close()
        began_s = time.monotonic()
        assert docker_daemon.cli("stop").returncode == 0
        assert time.monotonic() - began_s < 15
