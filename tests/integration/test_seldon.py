"""Classes that are written for Seldon Core, deployed with nothing else said."""

import json
import os
import subprocess
import urllib.parse
from pathlib import Path

import pytest

import servd
import servd.errors
from tests.models import seldon_model
from tests.seldon import CLASSES, answers, ask

PYTHON = os.environ.get("SERVD_TEST_SELDON") or str(
    Path(__file__).parents[2] / ".seldon" / "bin" / "python"
)
"""A Python that has seldon-core; it wants older packages than servd has."""


def deploy(daemon, name, *args):
    """Deploy a class; return what was said."""
    # So that no answer is late on a machine that does other things.
    done = daemon.cli("deploy", f"{CLASSES}:{name}", "--slo=20s", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(daemon, name):
    """Yield each request of a class whose answer is another than Seldon's own, with both."""
    for row in answers(name):
        given = row["method"], row["path"], row["body"], row["type"]
        status, text = ask(daemon.query_port, *given)
        if (status, text) != (row["status"], row["answer"]):
            yield given, (row["status"], row["answer"]), (status, text)


def test_the_answers_are_those_of_seldons_own_wrapper_to_the_byte(daemon):
    """Every form of a request to classes with everything that is said beside, and with nothing."""
    for name, more in (
        ("Score", ["--param", "alpha=0.5:FLOAT"]),
        ("Named", ["--param", "alpha=0.5:FLOAT"]),
        ("Raw", []),
    ):
        deploy(daemon, name, "--skip-test", *more)
        assert daemon.cli("app", "default", name).returncode == 0
        assert not [*same(daemon, name)]


def test_a_class_says_what_it_is_and_hears_of_feedback(daemon):
    """Metadata of its own over what servd knows; feedback with its parts."""
    deploy(daemon, "Named")
    port = daemon.query_port
    status, text = ask(port, "GET", "/metadata", None, None)
    assert status == 200
    assert json.loads(text) == {
        "custom": {},
        "inputs": [],
        "name": "named",
        "outputs": [],
        "platform": "own",
        "versions": ["v7"],
    }
    feedback = {
        "request": {"data": {"ndarray": [[1, 2]]}},
        "reward": 0.5,
        "truth": {"data": {"tensor": {"shape": [1], "values": [4]}}},
    }
    path = "/seldon/anywhere/Named/api/v1.0/feedback"
    status, text = ask(port, "POST", path, json.dumps(feedback), None)
    assert (status, json.loads(text)["data"]["ndarray"]) == (200, [0.5, 3.0, 4.0])


def test_behind_the_prefix_an_answer_has_all_of_its_meta(daemon):
    """A puid where none came, and the version that answered; v0.1 as v1.0."""
    deploy(daemon, "Score")
    body = {"data": {"names": ["a", "b"], "tensor": {"shape": [2, 2], "values": [0, 0, 1, 1]}}}
    for number in ("v0.1", "v1.0"):
        path = f"/seldon/ns/Score/api/{number}/predictions"
        status, text = ask(daemon.query_port, "POST", path, json.dumps(body), "application/json")
        found = json.loads(text)
        assert status == 200
        assert len(found["meta"].pop("puid")) == 32
        assert found == {
            "data": body["data"] | {"names": ["t:0", "t:1"]},
            "meta": {
                "metrics": [],
                "requestPath": {"Score": "Score:1"},
                "routing": {},
                "tags": {},
            },
        }
        given = body | {"meta": {"puid": "mine", "tags": {"a": 1}}}
        _, text = ask(daemon.query_port, "POST", path, json.dumps(given), "application/json")
        assert json.loads(text)["meta"]["puid"] == "mine"
        assert json.loads(text)["meta"]["tags"] == {"a": 1}


def test_clippers_clients_ask_the_same_class(daemon):
    """Bare inputs by name and at the root: rows as they are, others as what they are."""
    deploy(daemon, "Named", "--param", "alpha=2")
    for path in ("/Named/predict", "/predict"):
        assert daemon.query(path, {"input": [1, 2]})[1]["output"] == [3.0, 2]
        status, answer = daemon.query(path, {"input_batch": [[1, 2], [[1], [2]]]})
        found = [each["output"] for each in answer["batch_predictions"]]
        assert (status, found) == (200, [[3.0, 2], [[1.0, 2], [2.0, 2]]])
        status, answer = daemon.query(path, {"input": {"data": {"ndarray": [[5]]}}})
        assert answer["output"]["data"] == {"names": ["sum", "alpha"], "ndarray": [[5.0, 2]]}


def test_what_a_class_raises_is_told_in_seldons_shape(daemon):
    """Its own kind of exception with its status; any other as an internal error, by its text."""
    daemon.expected_errors = ["boom", "Traceback", "ValueError"]
    deploy(daemon, "Failing", "--skip-test")
    port = daemon.query_port
    one = json.dumps({"data": {"ndarray": [[1]]}})
    status, text = ask(port, "POST", "/predict", one, "application/json")
    told = {"code": -1, "info": "not this one", "reason": "MICROSERVICE_TEAPOT", "status": 1}
    assert (status, json.loads(text)) == (418, {"status": told})
    two = json.dumps({"data": {"ndarray": [[1], [2]]}})
    status, text = ask(port, "POST", "/predict", two, "application/json")
    found = json.loads(text)["status"]
    assert (status, found["reason"]) == (500, "MICROSERVICE_INTERNAL_ERROR")
    assert "ValueError: boom" in found["info"]
    deploy(daemon, "BadMetrics", "--skip-test")
    path = "/seldon/a/BadMetrics/api/v1.0/predictions"
    status, text = ask(port, "POST", path, one, "application/json")
    assert status == 500
    assert "a metric has a key, a number as value and a type" in text


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("NoInput", (), "'NoInput.predict' takes no input"),
        ("TooMany", (), "'TooMany.predict' needs X, names, meta, more"),
        ("Score", ("--param", "beta=1"), "unexpected keyword argument 'beta'"),
        ("Score", ("--param", "alpha=x:INT"), "'alpha' is not of type INT: 'x'"),
        ("Score", ("--param", "alpha=1:LONG"), "'alpha' has no type 'LONG'"),
        ("Score", ("--param", "=1"), "'=1' is not a parameter"),
        ("Score", ("--param", "alpha=1", "--param", "alpha=2"), "given twice"),
    ],
)
def test_what_cannot_be_called_or_made_is_said_at_the_deployment(daemon, name, args, words):
    """By name, and with what to do."""
    daemon.expected_errors = ["TypeError", "cannot be made"]
    done = daemon.cli("deploy", f"{CLASSES}:{name}", *args)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "hint:" in done.stderr


def test_as_numbers_such_a_class_is_called_as_any_other(daemon):
    """Where its deployer says what an input is, it gets batches of that."""
    deploy(daemon, "Score", "--input-type", "doubles")
    assert daemon.query("/Score/predict", {"input": [1, 2]})[1]["output"] == [1.0, 2.0]
    tensor = {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}}
    status, answer = daemon.query("/api/v1.0/predictions", tensor)
    assert (status, answer["data"]["tensor"]["values"]) == (200, [1.0, 2.0])


def test_an_object_of_such_a_class_is_a_target_like_its_file(daemon):
    """An instance as it is, or the class with its parameters, from Python."""
    client = servd.Client(url=daemon.admin_url)
    client.deploy(seldon_model.Named(alpha=7.0), name="made", slo_ms=20_000)
    client.deploy(seldon_model.Named, name="kind", parameters={"alpha": 8.0}, slo_ms=20_000)
    for name, alpha in (("made", 7.0), ("kind", 8.0)):
        body = json.dumps({"data": {"names": ["x"], "ndarray": [[1], [2]]}})
        path = f"/seldon/n/{name}/api/v1.0/predictions"
        status, text = ask(daemon.query_port, "POST", path, body, "application/json")
        found = json.loads(text)
        assert (status, found["data"]["ndarray"]) == (200, [[1.0, alpha], [2.0, alpha]])
        assert found["meta"]["tags"] == {"names": ["x"]}
    with pytest.raises(servd.errors.TargetError, match="takes no input"):
        client.deploy(seldon_model.NoInput, name="none")


CLIENT = """
import json, sys
import numpy as np
from google.protobuf.json_format import MessageToDict
from seldon_core.seldon_client import SeldonClient

port = sys.argv[1]
rows = np.array([[1.0, 2.0], [3.0, 4.0]])
payloads = {
    "tensor": dict(data=rows, payload_type="tensor"),
    "ndarray": dict(data=rows, payload_type="ndarray"),
    "names": dict(data=rows, payload_type="ndarray", names=["a", "b"]),
    "flat": dict(data=np.array([1.0, 2.0]), payload_type="tensor"),
    "texts": dict(data=np.array([["a", "b"]]), payload_type="ndarray"),
    "strData": dict(str_data="hi"),
    "binData": dict(bin_data=b"hi"),
    "jsonData": dict(json_data={"a": [1]}),
}
found = {}
def client(gateway):
    return SeldonClient(
        deployment_name="Score", namespace="ns", gateway=gateway, transport="rest",
        gateway_endpoint="127.0.0.1:" + port, client_return_type="dict",
    )
for gateway in ("seldon", "istio", "ambassador"):
    for name, payload in payloads.items():
        answer = client(gateway).predict(**payload)
        found[gateway + " " + name] = [answer.success, answer.response]
    raw = client(gateway).predict(raw_data={"data": {"tensor": {"shape": [9], "values": [1]}}})
    found[gateway + " bad"] = [raw.success, raw.response]
    asked = client(gateway).predict(data=rows)
    taken = client(gateway).feedback(
        prediction_request=asked.request, prediction_response=asked.response, reward=1.0
    )
    found[gateway + " feedback"] = [taken.success, taken.response]
nobody = SeldonClient(
    deployment_name="nobody", namespace="ns", gateway="istio", client_return_type="dict",
    gateway_endpoint="127.0.0.1:" + port,
).predict(data=rows)
found["nobody"] = [nobody.success, nobody.response]
one = SeldonClient(microservice_endpoint="127.0.0.1:" + port, client_return_type="dict")
for method in ("predict", "transform-input", "transform-output"):
    for name, payload in payloads.items():
        answer = one.microservice(method=method, transport="rest", **payload)
        found[method + " " + name] = [answer.success, MessageToDict(answer.response)]
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="seldon-core comes with `make checks`")
def test_seldons_own_client_is_understood_and_understands(daemon):
    """Every payload by every path that it knows: a gateway's two, one container's, feedback."""
    deploy(daemon, "Score")
    command = [PYTHON, "-W", "ignore", "-c", CLIENT, str(daemon.query_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, (is_good, answer) in found.items():
        assert is_good is ("bad" not in name and name != "nobody"), (name, answer)
        if not is_good:
            assert answer["status"]["reason"] == "MICROSERVICE_BAD_DATA"
    rows = [[1.0, 2.0], [3.0, 4.0]]
    for way in ("seldon", "istio", "ambassador"):
        tensor = found[f"{way} tensor"][1]["data"]["tensor"]
        assert tensor == {"shape": [2, 2], "values": [1.0, 2.0, 3.0, 4.0]}
        for name in ("ndarray", "names"):
            assert found[f"{way} {name}"][1]["data"]["ndarray"] == rows
        assert found[f"{way} texts"][1]["data"]["ndarray"] == [["a", "b"]]
        assert found[f"{way} strData"][1]["strData"] == "hi"
        assert found[f"{way} binData"][1]["binData"] == "aGk="
        assert found[f"{way} jsonData"][1]["jsonData"] == {"a": [1.0]}


def test_a_message_is_found_wherever_it_may_be(daemon):
    """In a body whatever its type, in a form's field, in the query string."""
    deploy(daemon, "Score")
    text = json.dumps({"strData": "x"})
    form = urllib.parse.urlencode({"json": text})
    kind = "application/x-www-form-urlencoded"
    for method, path, body, given in (
        ("POST", "/predict", text, None),
        ("POST", "/predict", text, kind),
        ("POST", "/predict", form, kind),
        ("POST", f"/predict?{form}", "", None),
        ("GET", f"/predict?{form}", None, None),
        ("POST", f"/api/v1.0/predictions?{form}", "", None),
        ("POST", "/api/v1.0/predictions", form, kind),
    ):
        status, answer = ask(daemon.query_port, method, path, body, given)
        assert (status, json.loads(answer)["strData"]) == (200, "x"), (method, path, given)
