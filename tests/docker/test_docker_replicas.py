"""Replicas as containers of a real engine, driven through the CLI."""

import json
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.docker

WAIT_S = 60
SUM = """
def total(rows):
    print("total of", len(rows), flush=True)
    return [float(sum(row)) for row in rows]
"""
LEAVES = """
import subprocess
def leaves(rows):
    left = subprocess.run(["sh", "-c", "sleep 0.1 & sleep 0.1 &"])
    own = subprocess.run(["sh", "-c", "sleep 0.2; exit 4"])
    return [[left.returncode, own.returncode] for row in rows]
"""
HUNGRY = """
import numpy as np
held = []
def eats(rows):
    for row in rows:
        if row[0] < 0:
            for _ in range(64):
                held.append(np.ones(2_000_000))
    return [1.0 for row in rows]
"""


def until(condition, what):
    """Return what a condition gives once it is true; ask again under a timeout."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        threading.Event().wait(0.1)
    pytest.fail(f"waited {WAIT_S} s for {what}")


def deploy(daemon, source, *options):
    """Deploy a source text by the CLI and return the finished command."""
    folder = daemon.data_dir.parent
    Path(folder, "model.py").write_text(source)
    return daemon.cli("deploy", "model.py", "--slo", "5s", "--default", "nothing", *options)


def containers_of(engine, daemon):
    """Return a daemon's containers, also those that have ended."""
    label = f"io.servd.data-dir={daemon.data_dir}"
    return engine.containers.list(all=True, filters={"label": label}, ignore_removed=True)


def networks_of(engine, daemon):
    """Return a daemon's networks."""
    return engine.networks.list(filters={"label": f"io.servd.data-dir={daemon.data_dir}"})


def replicas_of(daemon):
    """Return the rows of `servd ps`."""
    return json.loads(daemon.cli("ps", "--json").stdout)


def ready_count(daemon):
    """Return how many replicas are ready."""
    return sum(row["state"] == "ready" for row in replicas_of(daemon))


def test_life_of_a_docker_replica(engine, docker_daemon, runtime_image):
    """It answers, is hardened and limited, is listed and logged, and leaves nothing at the stop."""
    daemon = docker_daemon
    options = ("--runtime", "docker", "--image", runtime_image)
    done = deploy(daemon, SUM, *options, "--memory", "200m", "--cpus", "0.75")
    assert done.returncode == 0, done.stderr
    status, answer = daemon.query("/total/predict", {"input": [1.5, 2.5]})
    assert (status, answer["output"], answer["default"]) == (200, 4.0, False)

    (container,) = containers_of(engine, daemon)
    host, labels = container.attrs["HostConfig"], container.labels
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (200 * 2**20,) * 2 + (
        750_000_000,
    )
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PidsLimit"] > 0
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert labels["io.servd.model"] == "total"
    assert (labels["io.servd.version"], labels["io.servd.replica"]) == ("1", "0")
    assert not any("frontend.secret" in name for name in key_files(container))

    (row,) = replicas_of(daemon)
    assert (row["runtime"], row["state"]) == ("docker", "ready")
    assert until(lambda: replicas_of(daemon)[0]["memory_bytes"], "its memory") > 10**6
    assert "docker" in daemon.cli("ps").stdout
    assert "total of 1" in daemon.cli("logs", "total").stdout

    stopped = daemon.cli("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert containers_of(engine, daemon) == []
    assert networks_of(engine, daemon) == []


def test_no_zombie_stays_in_a_container(engine, docker_daemon, runtime_image):
    """Its first process reaps what the model's programs leave, and takes nothing from the model."""
    daemon = docker_daemon
    options = ("--runtime", "docker", "--image", runtime_image)
    assert deploy(daemon, LEAVES, *options).returncode == 0
    for number in range(3):
        answer = daemon.query("/leaves/predict", {"input": [number]})[1]
        assert (answer["output"], answer["default"]) == ([0, 4], False)
    (container,) = containers_of(engine, daemon)

    def states():
        listed = container.top(ps_args="-eo pid,stat,comm")
        return [row[1] for row in listed["Processes"]]

    until(lambda: not any(state.startswith("Z") for state in states()), "no zombie")
    assert len(states()) == 2  # the replica and its parent


def key_files(container):
    """Return the names of the keys that a container can read."""
    return (
        container.exec_run(["python3", "-c", "import os; print(os.listdir('/run/servd/curve'))"])[1]
        .decode()
        .split(",")
    )


def test_killed_container_is_replaced(engine, docker_daemon, runtime_image):
    """While one of two containers is killed, no answer is wrong, and another takes its place."""
    daemon = docker_daemon
    options = ("--runtime", "docker", "--image", runtime_image, "--replicas", "2")
    assert deploy(daemon, SUM, *options).returncode == 0
    before = {container.id for container in containers_of(engine, daemon)}
    ended, wrong = threading.Event(), []

    def ask():
        number = 0
        while not ended.is_set():
            number += 1
            status, answer = daemon.query("/total/predict", {"input": [number, 0.5]})
            if (status, answer["default"], answer["output"]) != (200, False, number + 0.5):
                wrong.append(answer)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        victim = containers_of(engine, daemon)[0]
        victim.kill()
        until(
            lambda: (
                ready_count(daemon) == 2
                and victim.id not in {each.id for each in containers_of(engine, daemon)}
            ),
            "a new container",
        )
    finally:
        ended.set()
        thread.join()
    assert wrong == []
    assert len({each.id for each in containers_of(engine, daemon)} - before) == 1
    assert sum(row["restarts"] for row in replicas_of(daemon)) == 1


def test_out_of_memory_is_named(docker_daemon, runtime_image):
    """A container that its memory limit ends is said to have been, and comes back."""
    daemon = docker_daemon
    options = ("--runtime", "docker", "--image", runtime_image, "--memory", "120m")
    done = deploy(daemon, HUNGRY, *options)
    assert done.returncode == 0, done.stderr
    assert daemon.query("/eats/predict", {"input": [-1.0]})[1]["default"]
    error = until(
        lambda: next((row["last_error"] for row in replicas_of(daemon)), None), "the reason"
    )
    assert "out of memory: its limit is 120 MiB (--memory)" in error
    until(lambda: ready_count(daemon) == 1, "its return")
    assert daemon.query("/eats/predict", {"input": [1.0]})[1]["output"] == 1.0


KNOWS = """
import os
def knows(names):
    return ["=" + str(os.environ.get(name)) for name in names]
"""


def test_a_container_has_what_its_version_says(engine, docker_daemon, runtime_image):
    """Its variables, threads and the processor alone; nothing of servd's shows a value."""
    daemon, secret = docker_daemon, "hunter2-docker-7788"
    options = ("--runtime", "docker", "--image", runtime_image, "--input-type", "strings")
    limits = ("--memory", "200m", "--cpus", "1", "--threads", "2", "--device", "cpu")
    done = deploy(daemon, KNOWS, *options, *limits, "--skip-test", "--env-var", f"TOKEN={secret}")
    assert done.returncode == 0, done.stderr
    assert "limits    memory 200 MiB (container); 1 processor (container)" in done.stdout

    def known(name):
        return daemon.query("/knows/predict", {"input": name})[1]["output"].removeprefix("=")

    assert known("TOKEN") == secret
    names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "SERVD_DEVICE", "NVIDIA_VISIBLE_DEVICES")
    assert [known(name) for name in names] == ["2", "2", "cpu", "void"]
    (row,) = replicas_of(daemon)
    assert (row["device"], len(row["limits"])) == ("cpu", 2)
    shown = [daemon.cli("--json", *words).stdout for words in (("ps",), ("model", "show", "knows"))]
    logs = [path.read_text() for path in (daemon.data_dir / "logs").rglob("*.log")]
    assert not [text for text in (*shown, *logs, done.stdout) if secret in text]
    (container,) = containers_of(engine, daemon)
    assert not [label for label in container.labels.values() if secret in label]
    assert secret not in container.name


def test_a_container_is_not_given_a_device_that_is_not_here(docker_daemon, runtime_image):
    """It is refused before a container is made; `auto` goes without."""
    daemon = docker_daemon
    options = ("--runtime", "docker", "--image", runtime_image, "--device")
    done = deploy(daemon, SUM, *options, "cuda")
    assert done.returncode == 2
    assert "container engine's machine has no CUDA device" in done.stderr
    assert deploy(daemon, SUM, *options, "auto").returncode == 0


def test_killed_daemon_comes_back(engine, docker_daemon, runtime_image):
    """After kill -9 the next start ends what was left and brings the replicas up by itself."""
    daemon = docker_daemon
    assert deploy(daemon, SUM, "--runtime", "docker", "--image", runtime_image).returncode == 0
    (before,) = containers_of(engine, daemon)
    process = psutil.Process(daemon.pid)
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=WAIT_S)
    daemon.start()
    until(lambda: ready_count(daemon) == 1, "the replica")
    (after,) = containers_of(engine, daemon)
    assert after.id != before.id
    assert daemon.query("/total/predict", {"input": [1, 2]})[1]["output"] == 3
    assert len(networks_of(engine, daemon)) == 1
    assert daemon.cli("stop").returncode == 0
    assert (containers_of(engine, daemon), networks_of(engine, daemon)) == ([], [])


def test_front_end_processes_reach_containers(docker_daemon, runtime_image):
    """With `--frontends 2` each process has the keys for the containers."""
    daemon = docker_daemon
    assert daemon.cli("start", "--frontends", "2").returncode == 0
    assert deploy(daemon, SUM, "--runtime", "docker", "--image", runtime_image).returncode == 0
    for number in range(8):
        answer = daemon.query("/total/predict", {"input": [number, 1]})[1]
        assert (answer["output"], answer["default"]) == (number + 1, False)


def test_prebuilt_image_runs_as_it_is(engine, docker_daemon, runtime_image, tmp_path):
    """An image that speaks the protocol needs no files; what it takes is read from its label."""
    daemon = docker_daemon
    assert deploy(daemon, SUM, "--no-app").returncode == 0
    (bundle,) = (daemon.data_dir / "bundles").iterdir()
    tag = build_replica_image(engine, runtime_image, bundle, tmp_path)
    try:
        done = daemon.cli("deploy", "--image", tag, "--name", "ready-made", "--slo", "5s")
        assert done.returncode == 0, done.stderr
        answer = daemon.query("/ready-made/predict", {"input": [1, 2]})[1]
        assert (answer["output"], answer["default"]) == (3, False)
        shown = json.loads(daemon.cli("model", "show", "ready-made", "--json").stdout)
        version = shown["versions"][0]
        assert (version["image"], version["bundle"]) == (tag, None)
        assert daemon.cli("scale", "ready-made", "2").returncode == 0
        assert daemon.cli("rm", "ready-made").returncode == 0
        until(lambda: not containers_of(engine, daemon), "their removal")
    finally:
        daemon.stop()
        engine.images.remove(tag, force=True)


def test_image_is_built_where_none_is_named(engine, docker_daemon, base_image):
    """Files alone get an image of their own, which a second deployment of the same finds again."""
    daemon = docker_daemon
    daemon.data_dir.mkdir()
    (daemon.data_dir / "servd.toml").write_text(f'base-image = "{base_image}"\n')
    done = deploy(daemon, SUM, "--runtime", "docker")
    assert done.returncode == 0, done.stderr
    assert daemon.query("/total/predict", {"input": [1, 2]})[1]["output"] == 3
    (container,) = containers_of(engine, daemon)
    (tag,) = container.image.tags
    assert tag.startswith("total:1-")
    assert daemon.cli("scale", "total", "2").returncode == 0
    images = {each.image.id for each in containers_of(engine, daemon)}
    assert daemon.cli("stop").returncode == 0
    assert len(images) == 1
    engine.images.remove(tag)


def build_replica_image(engine, base, bundle, folder):
    """Build an image that holds a bundle and the runtime, and return its name."""
    import shutil

    import model_runtime

    shutil.copytree(bundle, folder / "bundle")
    # The registry's copy is its owner's alone; the container's user is another.
    for path in (folder / "bundle", *(folder / "bundle").rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    package = Path(model_runtime.__file__).parent
    shutil.copytree(
        package, folder / "lib" / "model_runtime", ignore=shutil.ignore_patterns("__pycache__")
    )
    command = ["python3", "-m", "model_runtime", "--bundle=/b", "--model=m", "--version=1"]
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nCOPY bundle /b\nCOPY lib /lib-of-it\nENV PYTHONPATH=/lib-of-it\n"
        f"LABEL io.servd.input-type=doubles\nCMD {json.dumps(command)}\n"
    )
    tag = f"servd-test-replica:{folder.name}-{os.getpid()}"
    engine.images.build(path=str(folder), tag=tag, rm=True)
    return tag


WEB = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    body = f"{scope['root_path']} {scope['client'][0]}".encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]
"""


def test_a_web_application_answers_from_a_container(engine, docker_daemon, base_image, tmp_path):
    """In an image that servd builds, with what runs it; requests go to its own port."""
    daemon = docker_daemon
    (tmp_path / "app.py").write_text(WEB)
    daemon.data_dir.mkdir(exist_ok=True)
    (daemon.data_dir / "servd.toml").write_text(f'base-image = "{base_image}"\n')
    done = daemon.cli("deploy", "app.py", "--runtime", "docker", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(containers_of(engine, daemon)) == 1
    with urllib.request.urlopen(f"{daemon.query_url}/app/x", timeout=30) as answer:
        assert answer.read() == b"/app 127.0.0.1"
    (tmp_path / "wsgi.py").write_text(WSGI)
    done = daemon.cli("deploy", "wsgi.py", "--runtime", "docker", "--name", "old", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(f"{daemon.query_url}/old/x", timeout=30) as answer:
        assert answer.read() == b"/old /x"
