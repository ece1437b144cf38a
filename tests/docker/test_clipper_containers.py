"""DockerContainerManager: replicas of a Clipper script as containers of a real engine."""

import json
import urllib.request

import pytest

from servd.clipper import (
    ClipperConnection,
    ClipperException,
    DockerContainerManager,
    KubernetesContainerManager,
)
from servd.clipper.deployers.python import create_endpoint, deploy_python_closure
from tests.fake_kubectl import install

pytestmark = pytest.mark.docker


@pytest.fixture
def place(docker_daemon, base_image, monkeypatch):
    """Have managers mean the test's daemon, and build its images on the test's base."""
    for name, value in docker_daemon.env.items():
        if name.startswith("SERVD_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("SERVD_BASE_IMAGE", base_image)
    return docker_daemon


@pytest.fixture
def connection(place):
    """Yield a connection with a cluster of containers."""
    del place
    manager = DockerContainerManager(extra_container_kwargs={"mem_limit": "512m"})
    connection = ClipperConnection(manager)
    connection.start_clipper()
    yield connection
    connection.stop_all()


def ask(connection, body):
    """Send a query to the application and return its answer."""
    url = f"http://{connection.get_query_addr()}/sum/predict"
    request = urllib.request.Request(url, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_closures_run_in_containers(connection, engine, docker_daemon):
    """They answer, are scaled, have the memory limit, and are gone with the cluster."""
    offset = 0.5

    def feature_sum(xs):
        with open("/proc/1/cgroup") as file:  # noqa: PTH123 - it is run elsewhere
            file.read()
        return [str(sum(x) + offset) for x in xs]

    create_endpoint(connection, "sum", "doubles", feature_sum)
    assert ask(connection, {"input": [1.0, 2.0]})["output"] == 3.5
    connection.set_num_replicas("sum", 2)
    label = {"label": f"io.servd.data-dir={docker_daemon.data_dir}"}
    running = engine.containers.list(filters=label)
    assert len(running) == 2
    assert {each.attrs["HostConfig"]["Memory"] for each in running} == {512 * 1024**2}
    again = ClipperConnection(DockerContainerManager())
    again.connect()
    assert again.get_num_replicas("sum") == 2
    client = again.cm.docker_client
    assert client.ping()
    client.close()
    with pytest.raises(ClipperException, match="already exists"):
        again.start_clipper()
    files = again.get_clipper_logs(str(docker_daemon.data_dir.parent / "logs"))
    assert len(files) == 3
    again.stop_all()
    assert not engine.containers.list(filters=label)


def test_an_image_that_is_not_there_is_said(connection):
    """A base image of one's own is what the files are mounted into."""
    with pytest.raises(ClipperException, match="servd-has-no-such"):
        deploy_python_closure(
            connection, "m", 1, "doubles", lambda xs: ["1" for _ in xs], "servd-has-no-such:1"
        )


@pytest.mark.slow
def test_the_images_of_a_kubernetes_cluster_are_built(place, engine, tmp_path, monkeypatch):
    """Those that the cluster is told to run are there, and hold what the function needs."""
    cluster = install(tmp_path, monkeypatch)
    connection = ClipperConnection(KubernetesContainerManager(useInternalIP=True))
    connection.start_clipper()
    create_endpoint(connection, "sum", "doubles", lambda xs: [str(sum(x)) for x in xs])
    assert place.data_dir.is_dir()
    for name in ("sum-1", "query-frontend"):
        pod = json.loads((cluster.store / f"deployment-{name}.json").read_text())
        image = pod["spec"]["template"]["spec"]["containers"][0]["image"]
        assert engine.images.get(image)
        engine.images.remove(image, force=True)
    connection.stop_all()
