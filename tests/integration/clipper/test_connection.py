"""servd.clipper's connection and LocalContainerManager, over real daemons."""

import importlib.machinery
import json
import logging
import sys
import threading
import types

import pytest

from servd.clipper import (
    ClipperConnection,
    ClipperException,
    DockerContainerManager,
    LocalContainerManager,
    UnconnectedException,
)
from servd.clipper.deployers.python import create_endpoint, deploy_python_closure


def feature_sum(xs):
    """Return the sum of each input, as a text."""
    return [str(sum(x)) for x in xs]


def refusal(call, *arguments, **named):
    """Return the text with which a call is refused."""
    with pytest.raises(ClipperException) as caught:
        call(*arguments, **named)
    return caught.value.msg


def deploy(connection, name, version, func=feature_sum, **more):
    """Deploy a function that takes numbers."""
    deploy_python_closure(connection, name, version, "doubles", func, **more)


def test_the_tutorial_with_its_log_lines(place, ask, caplog):
    """Started, registered, deployed, linked and asked, with the lines that the tutorial shows."""
    caplog.set_level(logging.INFO)
    connection = ClipperConnection(LocalContainerManager())
    connection.start_clipper()
    assert len(caplog.messages) == 3
    assert caplog.messages[-1] == "[default-cluster] Clipper is running"
    connection.register_application(
        name="hello-world", input_type="doubles", default_output="-1.0", slo_micros=100000
    )
    assert connection.get_all_apps() == ["hello-world"]
    deploy_python_closure(
        connection, name="sum-model", version=1, input_type="doubles", func=feature_sum
    )
    connection.link_model_to_app(app_name="hello-world", model_name="sum-model")
    status, answer = ask(connection, "/hello-world/predict", {"input": [1.1, 2.2, 3.3]})
    assert (status, answer["output"], answer["default"]) == (200, 6.6, False)
    for line in (
        "Application hello-world was successfully registered",
        "Python closure saved",
        "Pushing model Docker image to default-cluster-sum-model:1",
        "Found 0 replicas for sum-model:1. Adding 1",
        "Successfully registered model sum-model:1",
        "Done deploying model sum-model:1.",
        "Model sum-model is now linked to application hello-world",
    ):
        assert any(each.endswith(line) for each in caplog.messages), line
    assert place.cli("status").returncode == 0, "the command line finds the same daemon"
    other = ClipperConnection(LocalContainerManager())
    other.connect()
    assert other.get_all_models() == ["sum-model:1"]
    other.stop_all()
    other.stop_all()
    assert place.cli("status").returncode == 3
    assert caplog.messages[-1].endswith("Stopped all Clipper cluster and all model containers")


def test_a_cluster_that_runs_is_not_started_again(started):
    """start_clipper fails, and says to connect; the connection is not connected then."""
    again = ClipperConnection(LocalContainerManager())
    assert refusal(again.start_clipper) == (
        "Cluster default-cluster cannot be started because it already exists. "
        "Please use ClipperConnection.connect() to connect to it."
    )
    assert not again.connected
    assert started.get_all_apps() == []


def test_the_daemon_of_the_command_line_is_a_cluster(place):
    """What `servd start` has started is connected with, and not begun anew after stop_all."""
    place.start()
    connection = ClipperConnection(LocalContainerManager("any-name"))
    connection.connect()
    connection.register_application("app", "doubles", "0", 100_000)
    assert connection.get_query_addr() == f"localhost:{place.query_port}"
    connection.stop_all()
    connection.start_clipper()
    assert connection.get_all_apps() == ["app"]
    connection.stop_all()


def test_without_a_daemon(place):
    """Connecting says what to do, calls raise UnconnectedException, stop_all does nothing."""
    connection = ClipperConnection(LocalContainerManager())
    text = refusal(connection.connect)
    assert str(place.data_dir) in text
    assert "start_clipper()" in text
    for call, arguments in (
        (connection.get_all_apps, ()),
        (connection.register_application, ("a", "doubles", "0", 1)),
        (connection.deploy_model, ("m", 1, "doubles", "image")),
        (connection.build_and_deploy_model, ("m", 1, "doubles", "/nowhere", "base")),
        (connection.stop_versioned_models, ({},)),
        (connection.get_query_addr, ()),
        (connection.inspect_instance, ()),
    ):
        with pytest.raises(UnconnectedException) as caught:
            call(*arguments)
        assert caught.value.message.startswith("No connection to Clipper cluster.")
    connection.stop_all()


def test_what_is_stopped_begins_anew_and_servd_start_brings_it_back(place, ask):
    """A script that is run again finds an empty cluster; the command line one with all it had."""
    connection = ClipperConnection(LocalContainerManager())
    for _ in range(2):
        connection.start_clipper()
        create_endpoint(connection, "sum", "doubles", feature_sum)
        connection.stop_all()
    place.start()
    connection.connect()
    assert connection.get_all_apps() == ["sum"]
    assert ask(connection, "/sum/predict", {"input": [1.0, 2.0]})[1]["output"] == 3.0
    connection.register_application("another", "doubles", "0", 100_000)
    place.cli("stop")
    connection.start_clipper()
    assert set(connection.get_all_apps()) == {"another", "sum"}
    connection.stop_all()


def test_clusters_side_by_side(place, ask):
    """Two clusters of this machine have an application of one name each, on ports of their own."""
    connections = [ClipperConnection(LocalContainerManager(name)) for name in ("one", "two")]
    for number, connection in enumerate(connections):
        connection.start_clipper()
        create_endpoint(connection, "app", "doubles", lambda xs, n=number: [str(n) for _ in xs])
    for number, connection in enumerate(connections):
        status, answer = ask(connection, "/app/predict", {"input": [1.0]})
        assert (status, answer["output"], answer["default"]) == (200, number, False)
    # The command line's folder is free again; "two" stays where it is.
    connections[0].stop_all()
    third = ClipperConnection(LocalContainerManager("three"))
    third.start_clipper()
    assert third.get_query_addr() == f"localhost:{place.query_port}"
    assert third.get_all_apps() == []
    third.stop_all()
    again = ClipperConnection(LocalContainerManager("two"))
    again.connect()
    assert ask(again, "/app/predict", {"input": [1.0]})[1]["output"] == 1
    again.stop_all()
    assert place.cli("status").returncode == 3


def test_versions_and_replicas_are_stopped_and_forgotten(started):
    """stop_inactive_model_versions, stop_models, stop_versioned_models, stop_all_..., in turn."""
    connection = started
    deploy(connection, "m", 1, num_replicas=2)
    deploy(connection, "m", 2)
    deploy(connection, "other", "i")
    deploy(connection, "other", "ii")
    assert len(connection.get_all_model_replicas()) == 5
    connection.set_num_replicas("m", 3)
    assert connection.get_num_replicas("m") == 3
    connection.set_num_replicas("m", 2, 2)
    assert connection.get_num_replicas("m", 2) == 2
    assert connection.get_num_replicas("m", "1") == 2
    assert connection.get_num_replicas("m", 9) == 0
    connection.stop_inactive_model_versions(["m"])
    assert connection.get_all_models() == ["m:2", "other:i", "other:ii"]
    connection.stop_models(["m"])
    assert connection.get_model_info("m", 2) is None
    connection.stop_versioned_models({"other": ["ii"]})
    assert connection.get_all_model_replicas() == ["other:i:0"]
    connection.stop_all_model_containers()
    assert connection.get_all_models() == []
    assert connection.get_all_model_replicas() == []


def test_replicas_come_and_go_under_an_application(started, ask):
    """Scaled to none it answers its default; version 1 answers by name while 2 is current."""
    connection = started
    create_endpoint(connection, "app", "doubles", lambda xs: ["1" for _ in xs], version="v1")
    deploy(connection, "app", "v2", lambda xs: ["2" for _ in xs])
    query = {"input": [1.0]}
    assert ask(connection, "/app/predict/", query)[1]["output"] == 2
    assert ask(connection, "/app/predict/", {**query, "version": "v1"})[1]["output"] == 1
    connection.set_model_version("app", "v1", num_replicas=2)
    assert connection.get_num_replicas("app") == 2
    assert ask(connection, "/app/predict", query)[1]["output"] == 1
    connection.set_num_replicas("app", 0)
    answer = ask(connection, "/app/predict", query)[1]
    assert answer["output"] == "None"
    assert answer["default_explanation"] == "No connected models found for query"
    batch = ask(connection, "/app/predict", {"input_batch": [[1.0]] * 4, "version": "v2"})[1]
    assert [each["output"] for each in batch["batch_predictions"]] == [2, 2, 2, 2]


def test_what_is_deployed_is_registered_as_clipper_does(started):
    """Its image, labels and version; a version that exists is refused in the registry's words."""
    connection = started
    deploy(connection, "m", 1, labels=["a", "b"], batch_size=9, registry="registry.example/team")
    info = connection.get_model_info("m", 1)
    assert info["container_name"] == "registry.example/team/default-cluster-m:1"
    assert (info["labels"], info["input_type"]) == (["a", "b"], "doubles")
    text = refusal(deploy, connection, "m", 1)
    assert text == (
        "Received error status code: 400 and message: "
        "model with name 'm' and version '1' already exists"
    )
    connection.register_application("app", "doubles", "0", 100_000)
    connection.link_model_to_app("app", "m")
    other = refusal(deploy_python_closure, connection, "m", 2, "strings", feature_sum)
    assert other == (
        "Received error status code: 400 and message: Model with name 'm' is already linked to app "
        "'app' using input type 'doubles'. The input type you provided for a new version of the "
        "model, 'strings', is not compatible."
    )
    assert "must be a valid DNS-1123" in refusal(deploy, connection, "m", "v1.0")
    assert "must be a valid DNS-1123" in refusal(deploy, connection, "My_model", 1)


def test_a_servd_model_has_an_image_too(started, tmp_path, place):
    """What `servd deploy` has deployed can be scaled by a Clipper client."""
    (tmp_path / "func.py").write_text("def f(rows):\n    return [1 for _ in rows]\n")
    assert place.cli("deploy", "func.py:f", "--name", "m", cwd=tmp_path).returncode == 0
    assert started.get_model_info("m", 1)["container_name"] == "m:1"
    started.set_num_replicas("m", 2)
    assert started.get_num_replicas("m") == 2


@pytest.mark.usefixtures("place")
def test_an_image_is_built_by_one_and_deployed_by_another(tmp_path):
    """build_model works unconnected; its tag is deployed later, with the type that is said then."""
    builder = ClipperConnection(LocalContainerManager())
    (tmp_path / "data.txt").write_text("no function")
    tag = builder.build_model("noop", 1, str(tmp_path), "clipper/noop-container:0.4.1")
    assert tag == "default-cluster-noop:1"
    connection = ClipperConnection(LocalContainerManager())
    connection.start_clipper()
    connection.deploy_model("noop", 1, "ints", tag)
    connection.deploy_model("noop", 2, "ints", tag)
    assert connection.get_all_models() == ["noop:1", "noop:2"]
    assert "has no func.pkl" in refusal(builder.build_model, "m", 1, str(tmp_path), "mine:1")
    assert "There is no image gone:1" in refusal(connection.deploy_model, "m", 1, "ints", "gone:1")
    connection.stop_all()


def test_why_a_model_is_not_deployed_is_said(started):
    """A module that is missing, and what has no pickle, come back to who deploys."""
    module = types.ModuleType("is_only_here")
    module.__spec__ = importlib.machinery.ModuleSpec("is_only_here", None)
    sys.modules["is_only_here"] = module
    try:
        text = refusal(deploy, started, "m", 1, lambda xs: [str(module) for _ in xs])
        assert "is_only_here" in text
    finally:
        del sys.modules["is_only_here"]
    lock = threading.Lock()
    text = refusal(deploy, started, "m", 1, lambda xs: [str(lock) for _ in xs])
    assert "lock" in text
    assert started.get_all_models() == []


def test_logs_are_files(started, tmp_path):
    """Each log is a file in the folder, which is made; the paths come back."""
    deploy(started, "m", 1)
    files = started.get_clipper_logs(str(tmp_path / "new" / "logs"))
    assert len(files) == 2
    names = {file.rpartition("/")[2] for file in files}
    assert names == {"image_servd:container_daemon.log", "image_m-1:container_m-1-0.log"}
    assert started.inspect_instance()
    assert started.get_metric_addr() == started.cm.get_admin_addr()


def test_packages_that_are_there_already_are_not_installed(started):
    """pkgs_to_install of what is here costs nothing; what no index has is said."""
    deploy(started, "m", 1, pkgs_to_install=["numpy"])
    text = refusal(deploy, started, "m", 2, pkgs_to_install=["servd-has-no-such==1.0"])
    assert "servd-has-no-such==1.0 cannot be installed" in text


@pytest.mark.parametrize(("input_type", "is_one"), [("doubles", True), ("strings", False)])
def test_what_makes_arrays_is_a_package_of_a_model_of_numbers(started, place, input_type, is_one):
    """Its inputs are arrays in an image as well, though the function imports nothing."""
    deploy_python_closure(started, "m", 1, input_type, feature_sum)
    (manifest,) = place.data_dir.glob("bundles/*/model.json")
    assert ("numpy" in json.loads(manifest.read_text())["packages"]) is is_one


@pytest.mark.usefixtures("place")
def test_a_host_where_nothing_would_answer_is_refused(monkeypatch):
    """Before anything is started, and not after minutes of trying."""
    connection = ClipperConnection(DockerContainerManager(docker_ip_address="192.0.2.7"))
    monkeypatch.setenv("SERVD_CLIPPER_RUNTIME", "process")
    assert "SERVD_BIND=192.0.2.7" in refusal(connection.start_clipper)
    with pytest.raises(ClipperException, match='"host" docker network'):
        DockerContainerManager(docker_network="host")
    assert "num_frontend_replicas=1" in refusal(connection.start_clipper, num_frontend_replicas=2)


class RecordingManager:
    """A container manager of one's own: no more than the interface, over a daemon that runs."""

    cluster_identifier = "mine"

    def __init__(self, daemon):
        self.daemon = daemon
        self.calls = []

    def __getattr__(self, name):
        if name not in (
            *("start_clipper", "connect", "deploy_model", "get_num_replicas", "set_num_replicas"),
            *("get_logs", "stop_models", "stop_all_model_containers", "stop_all"),
        ):
            raise AttributeError(name)
        return lambda *args, **named: self.calls.append((name, args, named))

    def get_admin_addr(self):
        """Return where the daemon's admin API answers."""
        return f"localhost:{self.daemon.admin_port}"

    def get_query_addr(self):
        """Return where the daemon answers queries."""
        return f"localhost:{self.daemon.query_port}"

    def get_metric_addr(self):
        """Return some address."""
        return "localhost:9090"


def test_a_container_manager_of_ones_own(daemon):
    """It is called as the interface says, and what it deploys is registered for it."""
    manager = RecordingManager(daemon)
    connection = ClipperConnection(manager)
    connection.start_clipper(cache_size=1)
    (name, args, named) = manager.calls.pop()
    assert (name, len(args), args[3:], named) == ("start_clipper", 8, (1, 1, 5, 300, 1), {})
    connection.deploy_model("m", 1, "doubles", "image:1", ["l"], 2, 7)
    given = {"name": "m", "version": "1", "input_type": "doubles", "image": "image:1"}
    assert manager.calls.pop() == ("deploy_model", (), given | {"num_replicas": 2})
    assert connection.get_model_info("m", 1)["container_name"] == "image:1"
    connection.set_num_replicas("m", 3)
    assert manager.calls.pop() == ("set_num_replicas", ("m", "1", "doubles", "image:1", 3), {})
    connection.stop_models(["m"])
    assert manager.calls.pop() == ("stop_models", ({"m": ["1"]},), {})
    assert connection.get_all_models() == []
    connection.stop_all(graceful=False)
    assert manager.calls.pop() == ("stop_all", (), {"graceful": False})
    assert connection.get_metric_addr() == "localhost:9090"


@pytest.mark.usefixtures("place")
def test_a_daemon_with_a_token(monkeypatch):
    """Calls carry SERVD_TOKEN, where the daemon wants it."""
    monkeypatch.setenv("SERVD_TOKEN", "secret")
    connection = ClipperConnection(LocalContainerManager())
    connection.start_clipper()
    connection.register_application("app", "doubles", "0", 100_000)
    assert connection.inspect_instance() is not None
    connection.stop_all()


@pytest.mark.usefixtures("place")
def test_a_server_that_is_gone_is_not_wrapped():
    """Transport errors are those that scripts catch: requests' and Python's own."""
    requests = pytest.importorskip("requests")
    connection = ClipperConnection(LocalContainerManager())
    connection.start_clipper()
    connection.stop_all()
    with pytest.raises(requests.exceptions.ConnectionError, match="get_all_applications"):
        connection.get_all_apps()
    with pytest.raises(ConnectionError, match="get_all_models"):
        connection.get_all_models()
