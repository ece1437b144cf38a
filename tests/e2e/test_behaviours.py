"""What Clipper's own integration tests asked of it, asked of servd."""

import json
import pickle
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.daemon import Daemon
from tests.e2e.steps import admin, deploy, ready, replicas, running_daemon, write_model

NO_MODEL = "No connected models found for query"
LENGTH = "def length(inputs):\n    return [str(len(x)) for x in inputs]\n"
BATCHES = """
import time

def batches(inputs):
    time.sleep(0.05)
    return [len(inputs)] * len(inputs)
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here, each of which uses names of its own."""
    with running_daemon() as running:
        yield running


def _constant(daemon: Daemon, name: str, value: object) -> str:
    """Write a model that answers `value` to everything; return its target."""
    text = f"def {name}(inputs):\n    return [{value!r} for _ in inputs]\n"
    return write_model(daemon, f"{name}.py", text) + f":{name}"


def _register_app(
    daemon: Daemon, name: str, default: str = "-1.0", slo_us: int = 1_000_000
) -> None:
    body = {
        "name": name,
        "input_type": "doubles",
        "default_output": default,
        "latency_slo_micros": slo_us,
    }
    assert admin(daemon, "POST", "/admin/add_app", body)[0] == 200


def _register_model(daemon: Daemon, name: str, version: str) -> None:
    body = {
        "model_name": name,
        "model_version": version,
        "labels": ["one", "two"],
        "input_type": "doubles",
        "container_name": "nobody/nothing",
        "model_data_path": "/nowhere",
        "batch_size": -1,
    }
    assert admin(daemon, "POST", "/admin/add_model", body)[0] == 200


def _link(daemon: Daemon, app: str, model: str) -> None:
    body = {"app_name": app, "model_names": [model]}
    assert admin(daemon, "POST", "/admin/add_model_links", body)[0] == 200


def _defaults(daemon: Daemon, path: str, rows: list[Any]) -> int:
    """Send queries one by one, all of which must be answered; return how many were defaults."""
    count = 0
    for row in rows:
        status, answer = daemon.query(path, {"input": row})
        assert status == 200
        count += answer["default"]
    return count


def _outputs(daemon: Daemon, path: str, rows: list[Any]) -> list[Any]:
    """Send queries one by one; return their outputs, none of which may be the default."""
    found = []
    for row in rows:
        status, answer = daemon.query(path, {"input": row})
        assert (status, answer["default"]) == (200, False), answer
        found.append(answer["output"])
    return found


def test_application_info_is_there_for_known_names_only(daemon: Daemon) -> None:
    """A registered application is described; an unknown one is an empty object, and exit code 4."""
    _register_app(daemon, "info", default="nothing", slo_us=250_000)
    _, found = admin(daemon, "POST", "/admin/get_application", {"name": "info"})
    assert found == {
        "name": "info",
        "input_type": "doubles",
        "default_output": "nothing",
        "latency_slo_micros": 250_000,
        "linked_models": [],
    }
    assert admin(daemon, "POST", "/admin/get_application", {"name": "unheard-of"}) == (200, {})
    assert json.loads(daemon.cli("app", "show", "info", "--json").stdout)["name"] == "info"
    assert daemon.cli("app", "show", "unheard-of").returncode == 4


def test_registered_model_without_files_cannot_be_scaled(daemon: Daemon) -> None:
    """There is nothing to run, and the message says so in Clipper's words."""
    _register_model(daemon, "containerless", "1")
    refused = daemon.cli("scale", "containerless", "2")
    assert refused.returncode == 1
    assert "containerless model" in refused.stderr
    assert replicas(daemon, "containerless") == []


def test_older_version_can_be_made_current(daemon: Daemon) -> None:
    """The version that was set is the current one, the newer one is not any more."""
    for version in ("1", "2"):
        _register_model(daemon, "turned-back", version)
    chosen = {"model_name": "turned-back", "model_version": "1"}
    assert admin(daemon, "POST", "/admin/set_model_version", chosen)[0] == 200
    _, first = admin(daemon, "POST", "/admin/get_model", chosen)
    _, second = admin(daemon, "POST", "/admin/get_model", chosen | {"model_version": "2"})
    assert (first["is_current_version"], second["is_current_version"]) == (True, False)


def test_logs_and_metrics_of_a_daemon_are_there(daemon: Daemon) -> None:
    """The daemon's log is not empty, and both ports tell figures."""
    assert daemon.cli("logs", "daemon").stdout.strip()
    status, figures = admin(daemon, "GET", "/metrics")
    assert status == 200
    assert "servd" in figures
    with urllib.request.urlopen(f"{daemon.query_url}/metrics", timeout=30) as answer:
        assert isinstance(json.load(answer), dict)


def test_one_deployment_makes_one_of_everything() -> None:
    """It makes one application of that name, version 1 of one model, a link and one replica."""
    with running_daemon() as daemon:
        deploy(daemon, _constant(daemon, "all", 1))
        assert admin(daemon, "POST", "/admin/get_all_applications", {"verbose": False})[1] == [
            "all"
        ]
        assert admin(daemon, "POST", "/admin/get_all_models", {"verbose": False})[1] == ["all:1"]
        assert admin(daemon, "POST", "/admin/get_linked_models", {"app_name": "all"})[1] == ["all"]
        _, running = admin(daemon, "POST", "/admin/get_all_containers", {"verbose": False})
        assert running == ["all:1:0"]


def test_query_answers_what_the_function_returns(daemon: Daemon) -> None:
    """Through HTTP, single and in a batch, and through `servd predict`, it is the same value."""
    deploy(daemon, write_model(daemon, "length.py", LENGTH) + ":length")
    inputs = [[1.0], [1.0, 2.0, 3.0]]
    scope: dict[str, Any] = {}
    exec(LENGTH, scope)
    wanted = [int(text) for text in scope["length"](inputs)]
    assert wanted == [1, 3]
    for path in ("/length/predict", "/length/predict/"):
        _, single = daemon.query(path, {"input": inputs[1]})
        assert (single["output"], single["default"]) == (3, False)
        _, batch = daemon.query(path, {"input_batch": inputs})
        assert [part["output"] for part in batch["batch_predictions"]] == wanted
    done = daemon.cli("predict", "length", json.dumps(inputs[1]), "--json")
    assert json.loads(done.stdout)["output"] == 3


def test_query_can_name_a_version(daemon: Daemon) -> None:
    """It is answered by that version though another is current; an unknown one is refused."""
    for number in (1, 2):
        deploy(daemon, _constant(daemon, "named", str(number)), "--version", f"v{number}")
    path = "/named/predict"
    _, old = daemon.query(path, {"input": [1.0], "version": "v1"})
    _, new = daemon.query(path, {"input": [1.0]})
    assert (old["output"], new["output"]) == (1, 2)
    status, refused = daemon.query(path, {"input": [1.0], "version": "v9"})
    assert status == 400
    assert refused["cause"] == "Requested version: v9 does not exist for model: named"


def test_application_defaults_until_it_is_linked(daemon: Daemon) -> None:
    """Without a link there is the default output; with one the model's, without redeploying."""
    _register_app(daemon, "waiting", default="-7")
    deploy(daemon, _constant(daemon, "noop", 5), "--no-app")
    _, before = daemon.query("/waiting/predict", {"input": [1.0]})
    assert (before["output"], before["default"]) == (-7, True)
    assert before["default_explanation"] == NO_MODEL
    _link(daemon, "waiting", "noop")
    _, after = daemon.query("/waiting/predict", {"input": [1.0]})
    assert (after["output"], after["default"]) == (5, False)


def test_batch_query_has_an_answer_for_each_input(daemon: Daemon) -> None:
    """Four inputs get four predictions with ids of their own."""
    deploy(daemon, _constant(daemon, "four", 4))
    _, answer = daemon.query("/four/predict", {"input_batch": [[float(n)] for n in range(4)]})
    parts = answer["batch_predictions"]
    assert [part["output"] for part in parts] == [4] * 4
    assert len({part["query_id"] for part in parts}) == 4


def test_fixed_batch_size_is_used_in_full(daemon: Daemon) -> None:
    """Of 450 inputs at once at least 70 % are computed in batches of exactly the nine allowed."""
    target = write_model(daemon, "batches.py", BATCHES) + ":batches"
    deploy(daemon, target, "--max-batch", "9", "--slo", "30s", "--default", "-1")
    rows = [[float(number)] for number in range(450)]
    _, answer = daemon.query("/batches/predict", {"input_batch": rows})
    sizes = [part["output"] for part in answer["batch_predictions"]]
    assert len(sizes) == 450
    assert not any(part["default"] for part in answer["batch_predictions"])
    assert max(sizes) == 9
    assert sizes.count(9) >= 0.7 * 450


def test_scaled_model_answers_with_any_number_of_replicas_but_none(daemon: Daemon) -> None:
    """With two, three and one replica it answers; with none the default comes at once."""
    deploy(
        daemon, _constant(daemon, "sized", 6), "--replicas", "2", "--default", "0", "--slo", "5s"
    )
    path = "/sized/predict"
    for count, version in ((2, ""), (3, ""), (1, ":1")):
        assert daemon.cli("scale", f"sized{version}", str(count)).returncode == 0
        assert len(ready(daemon, "sized")) == len(replicas(daemon, "sized")) == count
        _, answer = daemon.query(path, {"input": [float(count)]})
        assert (answer["output"], answer["default"]) == (6, False)
    assert daemon.cli("scale", "sized", "0").returncode == 0
    started_s = time.monotonic()
    _, answer = daemon.query(path, {"input": [9.0]})
    assert time.monotonic() - started_s < 2.5  # it does not wait for the objective
    assert (answer["output"], answer["default"]) == (0, True)
    assert answer["default_explanation"] == NO_MODEL


def test_many_applications_with_several_versions(daemon: Daemon) -> None:
    """Each answers before it has a model, and each version with its own outputs."""
    for name in ("many_a", "many_b", "many_c"):
        _register_app(daemon, name, slo_us=20_000_000)
        assert _defaults(daemon, f"/{name}/predict", [[0.0]]) == 1
        for version in (1, 2):
            deploy(daemon, _constant(daemon, name, version))
            rows = [[version + number / 100] for number in range(25)]
            assert _outputs(daemon, f"/{name}/predict", rows) == [version] * 25
        assert daemon.cli("logs", name).returncode == 0
    for call in ("applications", "models", "containers"):
        status, rows = admin(daemon, "POST", f"/admin/get_all_{call}", {"verbose": True})
        assert status == 200
        assert len([row for row in rows if "many_" in json.dumps(row)]) >= 3


def test_two_daemons_side_by_side_do_not_mix(daemon: Daemon) -> None:
    """Two data directories on one machine have applications of one name with their own models."""
    with running_daemon() as other:
        deploy(daemon, _constant(daemon, "shared", 1))
        deploy(other, _constant(other, "shared", 2))
        for each, wanted in ((daemon, 1), (other, 2)):
            status, answer = each.query("/shared/predict", {"input": [1.0]})
            assert (status, answer["output"], answer["default"]) == (200, wanted, False)
        assert other.cli("stop").returncode == 0
        _, answer = daemon.query("/shared/predict", {"input": [2.0]})
        assert (answer["output"], answer["default"]) == (1, False)


def test_trained_models_answer_within_the_objective(daemon: Daemon) -> None:
    """Pickled scikit-learn models give their own predictions, version 2 other ones unlinked."""
    inputs, kinds = load_iris(return_X_y=True)
    rows = inputs[::6].tolist()
    seen: list[list[int]] = []
    for version, strength in enumerate((1.0, 0.001), start=1):
        model = LogisticRegression(C=strength, max_iter=1000).fit(inputs, kinds)
        path = daemon.data_dir.parent / f"trained_{version}.pkl"
        path.write_bytes(pickle.dumps(model))
        args = ("--name", "trained", "--slo", "20s", "--default", "-1")
        deploy(daemon, str(path), *args)
        wanted = model.predict(rows).tolist()
        seen.append(wanted)
        assert _outputs(daemon, "/trained/predict", rows) == wanted
        _, answer = daemon.query("/trained/predict", {"input_batch": rows})
        parts = answer["batch_predictions"]
        assert [(part["output"], part["default"]) for part in parts] == [(w, False) for w in wanted]
    assert seen[0] != seen[1]  # or version 2 could not be told from version 1
    linked = {"app_name": "trained"}
    assert admin(daemon, "POST", "/admin/get_linked_models", linked) == (200, ["trained"])
