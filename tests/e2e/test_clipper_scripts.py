"""Clipper's documents as their readers run them: typed into an interpreter, and as scripts."""

import subprocess
import sys
from pathlib import Path

from tests.daemon import Daemon

TUTORIAL = """\
from {package} import ClipperConnection, {manager}
clipper_conn = ClipperConnection({manager}())
clipper_conn.start_clipper()
clipper_conn.register_application(name="hello-world", input_type="doubles", \
default_output="-1.0", slo_micros=100000)
clipper_conn.get_all_apps()
def feature_sum(xs):
    return [str(sum(x)) for x in xs]

from {package}.deployers import python as python_deployer
python_deployer.deploy_python_closure(clipper_conn, name="sum-model", version=1, \
input_type="doubles", func=feature_sum)
clipper_conn.link_model_to_app(app_name="hello-world", model_name="sum-model")
clipper_conn.get_linked_models("hello-world")
"""
LATER = """\
from {package} import ClipperConnection, {manager}
clipper_conn = ClipperConnection({manager}())
clipper_conn.connect()
clipper_conn.get_all_models()
clipper_conn.stop_all()
clipper_conn.stop_all()
"""
KIDNEY = """\
import sys

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from servd.clipper import (
    ClipperConnection,
    DockerContainerManager,
    KubernetesContainerManager,
    LocalContainerManager,
)
from servd.clipper.deployers.python import deploy_python_closure

MANAGERS = {
    "local": LocalContainerManager,
    "docker": DockerContainerManager,
    "kubernetes": KubernetesContainerManager,
}
clipper_conn = ClipperConnection(MANAGERS[sys.argv[1]]())
clipper_conn.start_clipper()
rng = np.random.default_rng(1)
table = rng.random((80, 24))
model = GradientBoostingClassifier(n_estimators=4).fit(table, table[:, 0] > 0.5)


def predict(inputs):
    return [str(int(label)) for label in model.predict(np.array(inputs))]


clipper_conn.register_application("kddtutorial", "doubles", "-1", 1000000)
deploy_python_closure(clipper_conn, "ckd", 1, "doubles", predict)
clipper_conn.link_model_to_app("kddtutorial", "ckd")
print(clipper_conn.get_query_addr())
"""


def typed(daemon: Daemon, lines: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Type lines into an interpreter, one after the other."""
    return subprocess.run(
        [sys.executable, "-i", "-q"],
        input=lines,
        cwd=daemon.data_dir.parent,
        env={**daemon.env, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def answers_after(daemon: Daemon, package: str, manager: str, **env: str) -> list[str]:
    """Type the tutorial, ask with the curl line's body, and end it; return what was printed."""
    names = {"package": package, "manager": manager}
    done = typed(daemon, TUTORIAL.format(**names), **env)
    assert "Error" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    for line in (
        "Clipper is running",
        "Application hello-world was successfully registered",
        "Python closure saved",
        "Found 0 replicas for sum-model:1. Adding 1",
        "Done deploying model sum-model:1.",
    ):
        assert line in done.stderr, done.stderr
    # The interpreter is gone; the model is not.
    status, answer = daemon.query("/hello-world/predict", '{"input": [1.1, 2.2, 3.3]}')
    assert (status, answer["output"], answer["default"]) == (200, 6.6, False)
    assert isinstance(answer["output"], float)
    later = typed(daemon, LATER.format(**names), **env)
    assert "Traceback" not in later.stderr, later.stderr
    assert daemon.cli("status").returncode == 3
    return [*done.stdout.splitlines(), *later.stdout.splitlines()]


def test_the_tutorial_typed_into_an_interpreter(idle_daemon: Daemon) -> None:
    """With the import line changed it prints what the document shows, twice in a row."""
    expected = ["['hello-world']", "['sum-model']", "['sum-model:1']"]
    for _ in range(2):
        assert answers_after(idle_daemon, "servd.clipper", "LocalContainerManager") == expected


def test_the_tutorial_as_it_is(idle_daemon: Daemon) -> None:
    """With the shim no line is changed, not even the manager's, where processes are asked for; it
    comes before clipper_admin itself.
    """
    shim = idle_daemon.data_dir.parent / "shim"
    done = idle_daemon.cli("clipper-shim", str(shim))
    assert done.returncode == 0, done.stderr
    env = {"PYTHONPATH": str(shim), "SERVD_CLIPPER_RUNTIME": "process"}
    expected = ["['hello-world']", "['sum-model']", "['sum-model:1']"]
    assert answers_after(idle_daemon, "clipper_admin", "DockerContainerManager", **env) == expected


def test_the_shim_is_a_distribution(idle_daemon: Daemon) -> None:
    """importlib.metadata and pip know it; names lead to servd's own; others are not overwritten."""
    shim = idle_daemon.data_dir.parent / "shim"
    for _ in range(2):
        assert idle_daemon.cli("clipper-shim", str(shim)).returncode == 0
    code = (
        "import importlib.metadata, clipper_admin, servd.clipper\n"
        "from clipper_admin.clipper_admin import ClipperConnection\n"
        "from clipper_admin.exceptions import ClipperException\n"
        "from clipper_admin.container_manager import CLIPPER_DOCKER_LABEL\n"
        "from clipper_admin.docker.docker_container_manager import DockerContainerManager\n"
        "from clipper_admin.deployers import pytorch\n"
        "assert ClipperConnection is clipper_admin.ClipperConnection\n"
        "assert ClipperException is servd.clipper.ClipperException\n"
        "assert pytorch is servd.clipper.deployers.pytorch\n"
        "print(importlib.metadata.version('clipper_admin'), clipper_admin.__version__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**idle_daemon.env, "PYTHONPATH": str(shim)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["0.4.1", "0.4.1"], done.stderr
    target = idle_daemon.data_dir.parent / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    copied = subprocess.run(
        [*pip, "--target", str(target), str(shim)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert copied.returncode == 0, copied.stderr
    assert (target / "clipper_admin" / "deployers" / "python.py").is_file()
    (shim / "clipper_admin-0.4.1.dist-info" / "METADATA").write_text("Name: clipper_admin\n")
    refused = idle_daemon.cli("clipper-shim", str(shim))
    assert refused.returncode == 1
    assert "not one that servd has written" in refused.stderr


def test_one_script_for_all_managers(idle_daemon: Daemon) -> None:
    """The kidney tutorial's closure answers rows of whole numbers and decimals; other managers say
    what they lack.
    """
    script = idle_daemon.data_dir.parent / "kidney.py"
    script.write_text(KIDNEY)

    def run(manager: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), manager],
            env={**idle_daemon.env, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    done = run("local")
    assert done.stdout.strip() == f"localhost:{idle_daemon.query_port}", done.stderr
    row = [1, 0.25, *range(22)]
    status, answer = idle_daemon.query("/kddtutorial/predict", {"input": row})
    assert (status, answer["default"]) == (200, False)
    assert answer["output"] in (0, 1)
    idle_daemon.cli("stop")
    nowhere = {"DOCKER_HOST": f"unix://{idle_daemon.data_dir}/none.sock", "PATH": "/nowhere"}
    docker, kubernetes = run("docker", **nowhere), run("kubernetes", **nowhere)
    assert "Unable to Connect to Docker. Please Check if Docker is running." in docker.stderr
    assert "LocalContainerManager in the place of DockerContainerManager" in docker.stderr
    assert "kubectl is not installed" in kubernetes.stderr
    assert idle_daemon.cli("status").returncode == 3


def test_a_large_closure_from_a_command(idle_daemon: Daemon) -> None:
    """`python -c` deploys a function over 200 MB within seconds, and it answers afterwards."""
    code = (
        "import time, numpy as np\n"
        "from servd.clipper import ClipperConnection, LocalContainerManager\n"
        "from servd.clipper.deployers.python import create_endpoint\n"
        "conn = ClipperConnection(LocalContainerManager()); conn.start_clipper()\n"
        "table = np.ones(25_000_000)\n"
        "began = time.monotonic()\n"
        "add = lambda xs: [str(table.sum() + x[0]) for x in xs]\n"
        "create_endpoint(conn, 'large', 'doubles', add)\n"
        "print(time.monotonic() - began)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=idle_daemon.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert idle_daemon.query("/large/predict", {"input": [1.0]})[1]["output"] == 25_000_001.0
    # Three seconds where nothing else runs; what other tests take is not this one's.
    assert float(done.stdout) < 20, done.stdout
    assert not list(Path(idle_daemon.data_dir, "clipper-images").glob("*/files"))
