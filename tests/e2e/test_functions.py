"""Functions deployed with nothing else said: what they take is what their parameters say."""

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_runtime.pictures import picture
from tests.daemon import Daemon
from tests.e2e.steps import running_daemon
from tests.models import once

MODELS = Path(__file__).parents[1] / "models"
DIRECT = {
    "course": lambda given: once.course(**given),
    "price": lambda given: once.price(once.House(**given)),
    "greet": lambda given: once.greet(once.Person(**given)),
    "join": once.join,
    "mean": once.mean,
    "named": lambda given: once.named(**given),
}
"""What the function itself answers to an input."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here."""
    with running_daemon() as running:
        yield running


def deployed(daemon: Daemon, target: str) -> str:
    """Deploy with nothing else said and return the curl line that is printed."""
    done = daemon.cli("deploy", target, cwd=MODELS)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  curl ")]
    return line


def answered(line: str) -> Any:
    """Paste a curl line into a shell and return the output."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"{line} --silent"], capture_output=True, check=True, timeout=30
    )
    answer = json.loads(done.stdout)
    assert answer["default"] is False
    return answer["output"]


def asked(line: str) -> Any:
    """Return the input of a curl line."""
    return json.loads(line.split("'")[1])["input"]


@pytest.mark.parametrize("name", DIRECT)
def test_the_printed_line_gets_the_function_s_own_answer(daemon, name):
    """The names, types and defaults are the function's; pasted, its line is answered as it is."""
    line = deployed(daemon, f"once.py:{name}")
    assert answered(line) == json.loads(json.dumps(DIRECT[name](asked(line))))


def test_a_function_with_defaults(daemon):
    """By name, in order, without anything; each wrong input is told by its part."""
    done = daemon.cli("deploy", "course.py", "--name", "sum", "--app", "sum", cwd=MODELS)
    assert done.returncode == 0, done.stderr

    def ask(body):
        return daemon.query("/sum/predict", body)

    assert ask({"input": {"feature_1": 5}})[1]["output"] == {"sum": 5}
    assert ask({"input": {}})[1]["output"] == {"sum": 0}
    assert ask({"input": [2, 3]})[1]["output"] == {"sum": 5}
    found = ask({"input_batch": [{"feature_2": 1}, [2, 3]]})[1]["batch_predictions"]
    assert [each["output"]["sum"] for each in found] == [1, 5]
    status, refused = ask({"input": {"feature_1": "x"}})
    assert (status, refused["detail"][0]["loc"]) == (422, ["input", "feature_1"])
    status, refused = ask({"input": {"feature_3": 1}})
    assert (status, refused["detail"][0]["loc"]) == (422, ["input", "feature_3"])


def test_what_a_function_s_own_types_refuse_is_the_caller_s_fault(daemon):
    """The place and the words are the type's; the inputs beside it are answered."""
    done = daemon.cli("deploy", "once.py:price", "--default", "-1", cwd=MODELS)
    assert done.returncode == 0, done.stderr
    deployed(daemon, "once.py:greet")
    status, refused = daemon.query("/price/predict", {"input": {"rooms": -1}})
    assert (status, refused["error"]) == (422, "Invalid input")
    words = "rooms cannot be below 0"
    assert refused["cause"].startswith(f"input: {words}. Example: ")
    stood = {"rooms": -1, "city": "Oslo"}
    fault = {"msg": f"input: {words}", "type": "value_error", "input": stood}
    assert refused["detail"] == [{"loc": ["input"]} | fault]
    batch = [{"rooms": 1}, {"rooms": -1}, {"rooms": 2, "city": ""}]
    status, found = daemon.query("/price/predict", {"input_batch": batch})
    assert status == 200
    one, wrong, two = found["batch_predictions"]
    assert (one["output"], two["output"]) == (104.0, 200.0)
    assert (wrong["error"], wrong["detail"][0]["loc"]) == ("Invalid input", ["input_batch", 1])
    assert wrong["cause"].startswith(f"input_batch[1]: {words}. Example: ")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{daemon.query_url}/price/predict?rooms=-1", timeout=10)
    refused = json.loads(caught.value.read())
    assert (caught.value.code, refused["detail"][0]["loc"]) == (422, ["query"])
    assert refused["cause"].startswith(f"query: {words}. Example: ?rooms=")
    status, refused = daemon.query("/greet/predict", {"input": {"name": "Ada", "age": -1}})
    assert (status, refused["detail"][0]["loc"]) == (422, ["input", "age"])


def test_a_coroutine_function_answers_a_batch_at_once(daemon):
    """Each call waits until all of the batch have begun: one after the other none would end."""
    target = "once.py:together"
    done = daemon.cli("deploy", target, "--example", "[1, 0]", "--max-batch", "64", cwd=MODELS)
    assert done.returncode == 0, done.stderr
    batch = [{"at": at, "of": 0} for at in range(5)]
    found = daemon.query("/together/predict", {"input_batch": batch})[1]["batch_predictions"]
    assert [each["output"] for each in found] == [0, 1, 2, 3, 4]


def test_the_course_s_path_is_a_route(daemon):
    """The guide's own curl line, at the root; the route is listed, kept, and removed."""
    assert daemon.cli("deploy", "course.py", "--name", "sums", cwd=MODELS).returncode == 0
    added = daemon.cli("route", "add", "GET /predict", "sums", "--out", "output", "--json")
    assert added.returncode == 0, added.stderr
    url = json.loads(added.stdout)["query_url"] + "?feature_1=1&feature_2=2"
    done = subprocess.run(["curl", "-s", url], capture_output=True, check=True, timeout=30)
    assert json.loads(done.stdout) == {"output": {"sum": 3}}
    assert "GET /predict" in daemon.cli("route", "ls").stdout
    assert daemon.cli("route", "add", "/predict", "sums").returncode == 2
    assert daemon.cli("route", "rm", "GET /predict").returncode == 0
    gone = daemon.cli("route", "rm", "GET /predict")
    assert gone.returncode == 4
    assert "there are no routes" in gone.stderr


def test_a_function_of_pictures_gets_pictures(daemon):
    """They are decoded where the function is; what is none is said to be none."""
    pytest.importorskip("PIL", reason="the replicas of this Python have no PIL")
    line = deployed(daemon, "pictures.py")
    assert answered(line) == {"width": 64, "height": 64}
    half = base64.b64encode(picture()[:60]).decode()
    status, refused = daemon.query("/measure/predict", {"input": half})
    assert status == 422
    assert "are no image" in refused["cause"]
    assert daemon.query("/measure/predict", {"input": ""})[0] == 422


def test_what_can_be_meant_in_two_ways_is_refused_before_it_is_sent(daemon, tmp_path):
    """The message says how to say the one and the other."""
    (tmp_path / "two.py").write_text("def f(xs: list[float], k: int = 3):\n    return xs\n")
    done = daemon.cli("deploy", "two.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "'f' can be meant in two ways" in done.stderr
    assert "-> float" in done.stderr
    assert "bundled" not in done.stdout


def test_a_type_that_contradicts_the_function_is_refused_before_it_is_sent(daemon):
    """The message names both sides."""
    done = daemon.cli("deploy", "course.py", "--input-type", "doubles", cwd=MODELS)
    assert done.returncode == 1
    assert "takes feature_1, feature_2 by name" in done.stderr
    assert "deployed with the input type doubles" in done.stderr
    assert "bundled" not in done.stdout
