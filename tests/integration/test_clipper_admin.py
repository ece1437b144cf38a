"""The unmodified clipper_admin client (0.4.1) against a daemon, and servd.clipper in its place."""

import pytest


class ServdContainerManager:
    """What clipper_admin needs of a container manager to talk to a daemon that runs already."""

    cluster_identifier = "servd"

    def __init__(self, daemon):
        self._daemon = daemon

    def connect(self):
        """Do nothing: the daemon runs."""

    def get_admin_addr(self):
        """Return the address of the admin API, without a scheme."""
        return f"127.0.0.1:{self._daemon.admin_port}"

    def get_query_addr(self):
        """Return the address of the query API, without a scheme."""
        return f"127.0.0.1:{self._daemon.query_port}"


@pytest.fixture(params=["clipper_admin", "servd.clipper"])
def connection(request, daemon):
    """Return a connected client of either package."""
    package = pytest.importorskip(request.param, reason="needs clipper_admin 0.4.1")
    client = package.ClipperConnection(ServdContainerManager(daemon))
    client.connect()
    return client


def refusal(call, *arguments):
    """Return the text with which a call is refused."""
    package = __import__(type(call.__self__).__module__.rpartition(".")[0], fromlist=["any"])
    with pytest.raises(package.ClipperException) as caught:
        call(*arguments)
    return caught.value.msg


def test_applications_are_registered_and_removed(connection, daemon):
    """A registered application is listed, answers its default, and is gone when deleted."""
    connection.register_application("app", "doubles", "-1.0", 100_000)
    assert connection.get_all_apps() == ["app"]
    assert connection.get_app_info("app") == {
        "name": "app",
        "input_type": "doubles",
        "default_output": "-1.0",
        "latency_slo_micros": 100_000,
        "linked_models": [],
    }
    assert connection.get_all_apps(verbose=True) == [connection.get_app_info("app")]
    status, answer = daemon.query("/app/predict", {"input": [1.0]})
    assert (status, answer["output"], answer["default"]) == (200, -1.0, True)
    assert answer["default_explanation"] == "No connected models found for query"
    text = refusal(connection.register_application, "app", "doubles", "0", 1)
    assert text.endswith("application 'app' already exists")
    connection.delete_application("app")
    assert connection.get_all_apps() == []
    assert connection.get_app_info("app") is None
    assert daemon.query("/app/predict", {"input": [1.0]})[0] == 404
    assert "Application 'app' does not exist" in refusal(connection.unregister_application, "app")


def test_a_new_registration_starts_clean(connection, daemon):
    """An application that takes a deleted one's name has its own default and no link."""
    connection.register_application("app", "doubles", "old", 100_000)
    connection.register_model("m", 1, "doubles")
    connection.link_model_to_app("app", "m")
    connection.unregister_application("app")
    connection.register_application("app", "strings", "new", 200_000)
    assert connection.get_linked_models("app") == []
    assert daemon.query("/app/predict", {"input": "x"})[1]["output"] == "new"


def test_links(connection):
    """Models are linked and unlinked; the rules answer in Clipper's words."""
    connection.register_application("app", "doubles", "-1.0", 100_000)
    assert connection.get_linked_models("app") == []
    assert "No model with name" in refusal(connection.link_model_to_app, "app", "m")
    connection.register_model("m", "1", "doubles")
    connection.register_model("s", "1", "strings")
    assert "No app with name 'gone' exists." in refusal(connection.link_model_to_app, "gone", "m")
    assert "has incompatible input_type 'strings'" in refusal(
        connection.link_model_to_app, "app", "s"
    )
    connection.link_model_to_app("app", "m")
    assert connection.get_linked_models("app") == ["m"]
    assert "is already linked to 'app'" in refusal(connection.link_model_to_app, "app", "m")
    connection.unlink_model_from_app("app", "m")
    assert connection.get_linked_models("app") == []
    assert "Cannot remove nonexistent link between app app and model m" in refusal(
        connection.unlink_model_from_app, "app", "m"
    )
    assert "No application with name 'gone' exists." in refusal(
        connection.get_linked_models, "gone"
    )


def test_versions_and_rollback(connection):
    """Versions are kept side by side, the newest is current, and any can be made current."""
    connection.register_model("m", 1, "doubles", labels=["a", "b"])
    connection.register_model("m", 2, "doubles")
    assert connection.get_all_models() == ["m:1", "m:2"]
    assert connection.get_current_model_version("m") == "2"
    connection.set_model_version("m", 1)
    assert connection.get_current_model_version("m") == "1"
    assert connection.get_model_info("m", 1) == {
        "model_name": "m",
        "model_version": "1",
        "input_type": "doubles",
        "labels": ["a", "b"],
        "container_name": "NO_CONTAINER",
        "model_data_path": "DEPRECATED",
        "is_current_version": True,
    }
    assert not connection.get_model_info("m", 2)["is_current_version"]
    assert connection.get_model_info("m", 3) is None
    assert "Cannot set non-existent version '3' for model with name 'm'" in refusal(
        connection.set_model_version, "m", 3
    )
    assert "model with name 'm' and version '1' already exists" in refusal(
        connection.register_model, "m", 1, "doubles"
    )
    assert "No versions of model gone registered" in refusal(
        connection.get_current_model_version, "gone"
    )


def test_a_model_without_a_container_cannot_be_scaled(connection):
    """What was only registered has nothing to run, as the client says."""
    connection.register_model("m", 1, "doubles")
    assert "containerless model" in refusal(connection.set_num_replicas, "m", 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a:b", 1, "doubles"), "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
        (("m", "1,2", "doubles"), "Invalid model version supplied: 1,2."),
        (("m", 1, "colours"), "'colours' is not an input type"),
    ],
)
def test_refused_models(connection, arguments, said):
    """Names with separators and unknown input types are refused with a text."""
    assert said in refusal(connection.register_model, *arguments)
    assert connection.get_all_models() == []


def test_replicas_of_a_deployed_model(connection, daemon, tmp_path):
    """What servd deployed is seen by Clipper's client, and a rollback by it changes the answers."""
    for number in (1, 2):
        (tmp_path / "func.py").write_text(f"def f(rows):\n    return ['{number}' for _ in rows]\n")
        done = daemon.cli("deploy", "func.py:f", "--name", "m", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert connection.get_all_models() == ["m:1", "m:2"]
    assert set(connection.get_all_model_replicas()) == {"m:1:0", "m:2:0"}
    assert connection.get_model_replica_info("m", 2, 0) == {
        "model_id": "m:2",
        "model_name": "m",
        "model_version": "2",
        "model_replica_id": 0,
        "input_type": "doubles",
    }
    assert connection.get_model_replica_info("m", 2, 7) is None
    assert daemon.query("/m/predict", {"input": [1.0]})[1]["output"] == 2
    connection.set_model_version("m", 1)
    assert daemon.query("/m/predict", {"input": [1.0]})[1]["output"] == 1
    assert isinstance(connection.inspect_instance(), dict)
    assert connection.inspect_instance()
