"""`servd deploy` against an admin API that answers as it is told."""

import json
import shlex

import pytest

from tests.fake_admin import FakeAdmin

LIVE = {
    "event": "live",
    "model": "total",
    "version": "1",
    "app": "total",
    "query_url": "http://127.0.0.1:1337/total/predict",
}
TESTED = {"state": "ok", "call_ms": 0.2, "input": [1.0]}
LOADED = {
    "event": "loaded",
    "model": "total",
    "version": "1",
    "replica": 0,
    "pid": 41,
    "test": TESTED,
}


class _AnyBundle(dict):
    """Answers in which every bundle is known."""

    def get(self, key, default=None):
        return (200, "") if key.startswith("HEAD /bundles/") else super().get(key, default)


@pytest.fixture
def queries():
    """Yield the query API that a deployment names, which answers at once."""
    server = FakeAdmin()
    server.answers["GET /metrics"] = (200, "{}")
    yield server
    server.close()


def live(queries, **more):
    """Return the last event of a deployment whose queries go there."""
    return LIVE | {"query_url": f"http://127.0.0.1:{queries.port}/total/predict"} | more


@pytest.fixture
def events(admin, tmp_path, monkeypatch):
    """Return a function that lays down the events of a deployment of func.py."""
    (tmp_path / "func.py").write_text("def total(inputs):\n    return inputs\n")
    monkeypatch.chdir(tmp_path)
    admin.answers = _AnyBundle(admin.answers)

    def lay_down(*lines):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        admin.answers["POST /deployments"] = (200, text)

    lay_down({"event": "starting", "model": "total", "version": "1"}, LOADED, LIVE)
    return lay_down


def test_each_step_is_a_line_and_curl_comes_last(run, events, queries):
    """What a newcomer sees."""
    events(LOADED, live(queries))
    done = run("deploy", "func.py")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "bundled   func.py",
        "loaded    replica 0, pid 41, test call ok",
        "live      total:1 → app total",
        f"""  curl -d '{{"input":[1.0]}}' http://127.0.0.1:{queries.port}/total/predict""",
    ]
    assert [request[:2] for request in queries.requests] == [("GET", "/metrics")]


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (TESTED, "test call ok"),
        ({"state": "unproven"}, "NOT TESTED: say what an input looks like with --example"),
        (
            {"state": "unproven", "tried": ["[1.0, 2.0]", "{}"]},
            "NOT TESTED: say what an input looks like with --example (it raised on [1.0, 2.0], {})",
        ),
        ({"state": "skipped"}, "not tested, as --skip-test says"),
        (None, "it does not say whether it was tested"),
        ({"state": "of a later servd"}, "it does not say whether it was tested"),
    ],
)
def test_only_a_call_that_returned_is_called_a_test(run, events, queries, test, words):
    """And without an input that was answered no curl line is printed."""
    events(LOADED | {"test": test}, live(queries))
    done = run("deploy", "func.py")
    assert f"loaded    replica 0, pid 41, {words}\n" in done.stdout
    assert ("curl" in done.stdout) == (test is TESTED)
    assert bool(queries.requests) == (test is TESTED)


def answered(value, output, **more):
    """Return what a replica says of a test call that returned."""
    return {"state": "ok", "call_ms": 1.2, "input": value, "output": output, **more}


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            answered({"age": 33, "city": "Oslo"}, 0.83),
            'tested with {"age": 33, "city": "Oslo"} -> 0.83 in 1.2 ms',
        ),
        (
            answered("text", {"label": "no"}, origin="example"),
            'tested with "text" -> {"label": "no"} in 1.2 ms (the input of --example)',
        ),
        (
            answered([1.0], 1, origin="guess"),
            "tested with [1.0] -> 1 in 1.2 ms (a guessed input: --example gives another)",
        ),
        (
            answered([1.0], None, origin="signature"),
            "tested with [1.0] -> null in 1.2 ms (an input made up by what the model takes)",
        ),
        (answered("aGVsbG8=", "é", input_bytes=5), 'tested with 5 bytes -> "é" in 1.2 ms'),
        (
            answered("aGVsbG8=", 1, input_bytes=1024, media="image/png"),
            "tested with a picture of 1,024 bytes -> 1 in 1.2 ms",
        ),
        (
            {"state": "ok", "input_bytes": 70_000, "output_bytes": 5000},
            "tested with 70,000 bytes -> 5,000 bytes of JSON",
        ),
        (
            answered([1.0], "a", is_stream=True),
            'tested with [1.0] -> "a", its first item, in 1.2 ms',
        ),
        (
            answered(["x" * 200], ["y" * 200]),
            f'tested with ["{"x" * 35}…"] -> ["{"y" * 35}…"] in 1.2 ms',
        ),
    ],
)
def test_a_test_call_says_what_was_tried_and_what_came(run, events, queries, test, words):
    """On one line, whatever their length, and what was made up is told from what was given."""
    events(LOADED | {"test": test}, live(queries))
    assert f"loaded    replica 0, pid 41, {words}\n" in run("deploy", "func.py").stdout


def test_what_all_replicas_were_asked_is_told_once(run, events, queries):
    """One that was asked something else, or was not tested, is told by itself."""
    test = answered([1.0], 2)
    others = (test, {"state": "unproven"}, answered([2.0], 4))
    lines = [LOADED | {"replica": at, "test": each} for at, each in enumerate(others, 1)]
    events(LOADED | {"test": test}, *lines, live(queries))
    shown = [line for line in run("deploy", "func.py").stdout.splitlines() if "loaded" in line]
    assert [line.partition("pid 41, ")[2].partition(":")[0] for line in shown] == [
        "tested with [1.0] -> 2 in 1.2 ms",
        "test call ok",
        "NOT TESTED",
        "tested with [2.0] -> 4 in 1.2 ms",
    ]


def test_a_default_that_was_meant_to_be_json_is_told(run, events, queries):
    """It is deployed as the text that it is."""
    events(LOADED, live(queries))
    done = run("deploy", "func.py", "--default", '{"a":NaN}')
    assert done.exit_code == 0
    assert '{"a":NaN} is not JSON (JSON has no NaN): it is answered as a text' in done.stderr
    document = json.loads(run("deploy", "func.py", "--default", "{'a'}", "--json").stdout)
    assert "is not JSON" in document["warnings"][0]
    assert run("deploy", "func.py", "--default", '{"a":1}').stderr == ""


def test_what_the_guesses_raised_is_told_with_what_helps(run, events, queries):
    """Once, whatever the number of replicas."""
    reasons = ["KeyError: 'age'", "TypeError: no"]
    test = {"state": "unproven", "reasons": reasons, "hint": "its columns are: age"}
    events(LOADED | {"test": test}, LOADED | {"test": test, "replica": 1}, live(queries))
    shown = run("deploy", "func.py").stderr
    assert shown.count("KeyError: 'age'; TypeError: no") == 1
    assert shown.count("its columns are: age") == 1
    warnings = json.loads(run("deploy", "func.py", "--json").stdout)["warnings"]
    assert len(warnings) == 2


def test_what_the_guesses_missed_is_looked_for_in_the_project(run, events, queries, tmp_path):
    """No input would have helped; where the file lies is said, once."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "w.bin").write_text("")
    missed = "FileNotFoundError: [Errno 2] No such file or directory: 'nets/w.bin'"
    test = {"state": "unproven", "reasons": [missed, f"LoadError: {missed}", "KeyError: 'age'"]}
    events(LOADED | {"test": test}, live(queries))
    shown = run("deploy", "func.py").stderr
    assert shown.count("nets/w.bin is there and was not taken along: --include nets/w.bin") == 1


def test_a_curl_line_that_would_not_arrive_is_not_printed(run, events, queries):
    """What came in its place is told."""
    events(LOADED, live(queries))
    queries.answers["GET /metrics"] = (502, "<html>")
    done = run("deploy", "func.py")
    assert done.exit_code == 0
    assert "curl" not in done.stdout
    assert "queries are answered with 502" in done.stderr
    assert "curl" not in json.loads(run("deploy", "func.py", "--json").stdout)


def test_a_curl_line_carries_the_token_by_name(run, events, queries, monkeypatch):
    """The one with which it was tried; never the token itself."""
    events(LOADED, live(queries))
    monkeypatch.setenv("SERVD_TOKEN", "not-a-token")
    done = run("deploy", "func.py")
    assert queries.headers[0]["Authorization"] == "Bearer not-a-token"
    assert '  curl -H "Authorization: Bearer $SERVD_TOKEN" -d' in done.stdout
    assert "not-a-token" not in done.stdout + done.stderr


def test_a_token_that_is_missing_is_asked_for(run, events, queries):
    """Where the daemon wants one for queries and the command line has none."""
    events(LOADED, live(queries))
    queries.answers["GET /metrics"] = (401, {"error": "Unauthorized"})
    done = run("deploy", "func.py")
    assert "curl" not in done.stdout
    assert "set SERVD_TOKEN" in done.stdout


def test_a_query_port_that_does_not_answer_is_told(run, events):
    """The version is live all the same."""
    events(LOADED, LIVE | {"query_url": "http://127.0.0.1:1/total/predict"})
    done = run("deploy", "func.py")
    assert done.exit_code == 0
    assert "queries do not arrive" in done.stderr


@pytest.mark.parametrize(
    ("call_ms", "slo_ms", "flag"),
    [(305.0, 100.0, "--slo 1s"), (12.0, 10.0, "--slo 50ms"), (2_500.0, 1_000.0, "--slo 10s")],
)
def test_a_model_that_is_slower_than_its_objective_is_told(
    run, events, queries, call_ms, slo_ms, flag
):
    """With both figures and the flag; no query is tried that would be late."""
    events(LOADED | {"test": TESTED | {"call_ms": call_ms}}, live(queries, slo_ms=slo_ms))
    done = run("deploy", "func.py")
    assert (
        f"test call took {call_ms:.0f} ms and the objective of total is {slo_ms:g} ms"
        in done.stderr
    )
    assert flag in done.stderr
    assert queries.requests == []


def test_a_model_that_is_in_time_is_not_warned_about(run, events, queries):
    """At the objective it just is."""
    events(LOADED | {"test": TESTED | {"call_ms": 100.0}}, live(queries, slo_ms=100.0))
    assert run("deploy", "func.py").stderr == ""


def test_json_is_one_document(run, events, queries):
    """The last event with the bundle, the replicas and the curl line."""
    events(LOADED, live(queries))
    document = json.loads(run("deploy", "func.py", "--json").stdout)
    assert document["event"] == "live"
    assert document["replicas"] == [{"replica": 0, "pid": 41, "duration_ms": 0, "test": TESTED}]
    assert len(document["bundle"]) == 32
    assert document["curl"].startswith("curl -d")
    assert document["warnings"] == []


def test_the_options_go_into_the_request(run, events, admin):
    """Times go in microseconds."""
    assert events
    words = "--name n --version 7 --app a --default -1.0 --slo 50ms --replicas 2 --max-batch 8"
    assert run("deploy", "func.py", *words.split(), "--batch-wait", "2ms").exit_code == 0
    request = admin.requests[-1][2]
    assert len(request.pop("bundle")) == 32
    assert request.pop("source").endswith("/func.py")
    assert request == {
        "is_name_given": True,
        "model": "n",
        "version": "7",
        "app": "a",
        "default_output": "-1.0",
        "slo_us": 50000,
        "replicas": 2,
        "max_batch": 8,
        "batch_wait_us": 2000,
        "batching": "aimd",
        "runtime": "process",
    }


def test_what_is_not_given_is_left_to_the_daemon(run, events, admin):
    """No version, no objective, no application."""
    assert events
    run("deploy", "func.py", "--no-app", "-q")
    request = admin.requests[-1][2]
    assert (request["version"], request["slo_us"], request["app"]) == (None, None, None)
    assert (request["max_batch"], request["replicas"]) == (-1, None)
    assert request["is_name_given"] is False


def test_a_batching_controller_may_be_chosen(run, events, admin):
    """`--batching` goes into the request; beside a fixed size it means nothing."""
    assert events
    assert run("deploy", "func.py", "--batching", "quantile").exit_code == 0
    assert admin.requests[-1][2]["batching"] == "quantile"
    wrong = run("deploy", "func.py", "--batching", "quantile", "--max-batch", "8")
    assert wrong.exit_code == 2
    assert "--max-batch N fixes it" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("--slo", "0"), "--slo must be above zero, not 0", 2),
        (("--replicas", "0"), "--replicas must be 1 or above, not 0", 2),
        (("--max-batch", "0"), "--max-batch must be 1 or above", 2),
        (("--batch-wait", "-1s"), "--batch-wait must be zero or above", 2),
        (("--input-type", "foo"), "'foo' is not an input type", 2),
        (("--example", "[1"), "--example is not JSON", 2),
        (("--example", "1,2"), "--example is not JSON; did you mean '[1, 2]'?", 2),
        (("--app", "a", "--no-app"), "contradict each other", 2),
        (("--name", "bad name!"), "'bad name!' is not a valid model name", 2),
        (("--version", "a:b"), "'a:b' is not a valid model version", 2),
        (("--app", "metrics"), "'metrics' is reserved", 2),
        (("--include", "*.nope"), "matches no file", 1),
    ],
)
def test_a_wrong_option_sends_nothing(run, events, admin, words, message, code):
    """One message, the exit code, no request."""
    assert events
    done = run("deploy", "func.py", *words)
    assert done.exit_code == code
    assert message in done.stderr
    assert admin.requests == []


def test_a_failed_load_shows_the_model_and_says_that_nothing_changed(run, events):
    """Message, the model's frames, what became of it, hint."""
    problem = {
        "code": "load_failed",
        "message": "test call: ValueError: no",
        "hint": "mend it",
        "traceback": 'File "func.py", line 2\nValueError: no',
        "status": 422,
    }
    events(
        {"event": "starting", "model": "total", "version": "2"},
        {"event": "error", "error": problem},
    )
    done = run("deploy", "func.py")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "error: test call: ValueError: no",
        'File "func.py", line 2',
        "ValueError: no",
        "(total:2 was not switched in; nothing else changed)",
        "hint:  mend it",
    ]
    shown = json.loads(run("deploy", "func.py", "--json").stderr)["error"]
    assert shown["traceback"] == problem["traceback"]


def test_a_report_that_ends_early_is_an_error(run, events):
    """The daemon was killed in the middle."""
    events({"event": "starting", "model": "total", "version": "1"})
    done = run("deploy", "func.py")
    assert done.exit_code == 1
    assert "ended the deployment's report early" in done.stderr


def test_an_unchanged_version_is_told_with_its_note(run, events):
    """Deploying the same again is not an error."""
    events(LIVE | {"event": "unchanged", "message": "total:1 exists and is not current"})
    done = run("deploy", "func.py", "--version", "1")
    assert "unchanged total:1 → app total" in done.stdout
    assert "note: total:1 exists and is not current" in done.stdout


def test_no_wait_returns_when_it_is_accepted(run, events, admin):
    """The daemon goes on alone."""
    assert events
    admin.answers["POST /deployments?wait=false"] = (202, {"model": "total", "version": "1"})
    assert "total:1 is being deployed" in run("deploy", "func.py", "--no-wait").stdout
    document = json.loads(run("deploy", "func.py", "--no-wait", "--json").stdout)
    assert document["event"] == "accepted"


def test_an_interrupt_says_that_the_daemon_goes_on(run, events, monkeypatch):
    """The deployment is the daemon's by then: exit code 130, and where to look for it."""
    assert events

    def interrupted(*_):
        yield LOADED
        raise KeyboardInterrupt

    monkeypatch.setattr("servd.client.admin.AdminClient.events", interrupted)
    done = run("deploy", "func.py")
    assert done.exit_code == 130
    assert "warning: total:1 is still being deployed: servd ps" in done.stderr


def test_no_start_refuses_without_a_daemon(run, data_dir, tmp_path, monkeypatch):
    """Exit code 3, and nothing is started."""
    (tmp_path / "func.py").write_text("def total(inputs):\n    return inputs\n")
    monkeypatch.chdir(tmp_path)
    done = run("deploy", "func.py", "--no-start")
    assert done.exit_code == 3
    assert list(data_dir.iterdir()) == []


def test_a_reserved_function_name_is_replaced_and_said(run, events, tmp_path, admin):
    """`predict` is a path of the query API."""
    assert events
    (tmp_path / "credit.py").write_text("def predict(inputs):\n    return inputs\n")
    done = run("deploy", "credit.py")
    assert "note: the model is named credit, as 'predict' is reserved" in done.stdout
    assert admin.requests[-1][2]["model"] == "credit"


@pytest.mark.parametrize("value", ["some text", {"key": "it's"}, [1, 2]])
def test_the_curl_line_has_the_input_that_was_answered(run, events, queries, value):
    """Quoted so that a shell takes it as it is."""
    events(LOADED | {"test": TESTED | {"input": value}}, live(queries))
    line = run("deploy", "func.py").stdout.splitlines()[-1]
    words = shlex.split(line)
    assert json.loads(words[words.index("-d") + 1]) == {"input": value}


def test_the_example_of_the_owner_is_tried_where_nothing_else_is_known(run, events, queries):
    """An unchanged version has not been tested again."""
    events(live(queries, event="unchanged"))
    shown = run("deploy", "func.py", "--example", "[4.5]").stdout
    assert '{"input":[4.5]}' in shown
    assert "curl" not in run("deploy", "func.py").stdout


def test_a_new_bundle_is_uploaded(run, events, admin, monkeypatch):
    """A disk that is full on the daemon's side is its answer, told here."""
    assert events
    plain = dict(admin.answers)
    admin.answers = plain
    done = run("deploy", "func.py")
    assert done.exit_code == 4
    method, path, content = admin.requests[-1]
    assert (method, path[:9]) == ("PUT", "/bundles/")
    assert b"model.json" in content
    monkeypatch.undo()


def test_container_options_go_into_the_request(run, events, admin):
    """Sizes go in bytes; an image makes it a deployment of containers."""
    assert events
    words = "--image python:3.11 --memory 2g --cpus 1.5 --gpus all"
    assert run("deploy", "func.py", *words.split()).exit_code == 0
    request = admin.requests[-1][2]
    assert request["runtime"] == "docker"
    assert (request["image"], request["memory_bytes"]) == ("python:3.11", 2 * 1024**3)
    assert (request["cpus"], request["gpus"]) == (1.5, "all")


def test_an_image_is_deployed_without_a_target(run, events, admin):
    """It needs a name, and nothing is uploaded."""
    assert events
    assert run("deploy", "--image", "x:1", "--name", "m", "--input-type", "d").exit_code == 0
    request = admin.requests[-1][2]
    assert (request["model"], request["app"], request["input_type"]) == ("m", "m", "doubles")
    assert "bundle" not in request


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "TARGET"),
        ("--image x", "--name is needed"),
        ("--image x --name m --method f", "--method needs a TARGET"),
        ("func.py --gpus 1", "--gpus is for containers"),
        ("func.py --runtime process --image x", "--image is for containers"),
        ("func.py --runtime docker --memory much", "not a size"),
        ("func.py --runtime docker --gpus some", "which GPUs"),
    ],
    ids=["nothing", "no name", "method", "gpus of a process", "image", "size", "gpus"],
)
def test_container_options_that_are_refused(run, events, words, said):
    """What contradicts itself is refused before anything is sent."""
    assert events
    done = run("deploy", *words.split())
    assert done.exit_code == 2
    assert said in done.stderr


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
JPEG_BASE64 = "/9j/4AAQSkZJRg=="


@pytest.mark.parametrize("flags", [(), ("--input-type", "bytes")])
def test_a_file_is_an_example(run, events, queries, tmp_path, flags):
    """Its line sends it as it is, and can be pasted where it was given."""
    (tmp_path / "my cat.jpg").write_bytes(JPEG)
    events(LOADED | {"test": TESTED | {"input": JPEG_BASE64}}, live(queries))
    done = run("deploy", "func.py", "--example", "@my cat.jpg", *flags)
    assert done.stdout.splitlines()[-1] == (
        f"  curl --data-binary '@my cat.jpg' http://127.0.0.1:{queries.port}/total/predict"
    )
    events(LOADED | {"test": TESTED | {"input": "aGk="}}, live(queries))
    done = run("deploy", "func.py", "--example", "@my cat.jpg", *flags)
    assert '{"input":"aGk="}' in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("content", "flags", "words"),
    [
        (b"[1, 2", (), "--example is not JSON"),
        (b"\xff" * (513 << 10), (), "an example may have 524 kB: give a smaller one"),
        (b"x" * (513 << 10), ("--input-type", "bytes"), "an example may have 524 kB"),
    ],
)
def test_a_file_that_is_no_example_is_refused(run, events, tmp_path, content, flags, words):
    """Before anything is sent."""
    assert events
    (tmp_path / "given").write_bytes(content)
    done = run("deploy", "func.py", "--example", "@given", *flags)
    assert (done.exit_code, words in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("flags", [(), ("--no-cache",)], ids=["cached", "asked"])
def test_a_model_that_answers_alike_inputs_differently_is_warned_of(run, events, queries, flags):
    """Unless nothing of it is kept: then it may."""
    events(LOADED | {"test": TESTED | {"varies": True}}, live(queries))
    done = run("deploy", "func.py", *flags)
    assert ("asked the same twice, the model returned two outputs" in done.stderr) is not bool(
        flags
    )
