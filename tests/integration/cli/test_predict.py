"""`servd predict`."""

import json

import pytest

from servd.client.admin import query_base
from tests.fake_admin import STATUS, FakeAdmin

APP = {"name": "sums", "input_type": "doubles", "linked_models": ["m"]}


@pytest.fixture
def queries(admin):
    """Yield a query API that the admin API names."""
    server = FakeAdmin()
    url = f"http://127.0.0.1:{server.port}"
    admin.answers["GET /status"] = (200, STATUS | {"query_url": url})
    admin.answers["GET /applications"] = (200, [APP])
    server.answers["POST /sums/predict"] = (200, '{"query_id":0,"output":6.6}\n')
    yield server
    server.close()


@pytest.mark.parametrize(
    ("words", "stdin", "body"),
    [
        (("[1.5, 2]",), None, {"input": [1.5, 2]}),
        (("-1.5",), None, {"input": -1.5}),
        (("-",), "[3]", {"input": [3]}),
        (("[[1], [2]]", "--batch"), None, {"input_batch": [[1], [2]]}),
    ],
)
def test_every_form_of_input_is_sent(run, queries, words, stdin, body):
    """The answer is printed as it came."""
    done = run("predict", "sums", *words, stdin=stdin)
    assert done.stdout == '{"query_id":0,"output":6.6}\n'
    assert queries.requests == [("POST", "/sums/predict", body)]


def test_a_file_of_input_is_sent(run, queries, tmp_path):
    """Its name stands behind an @."""
    (tmp_path / "rows.json").write_text("[7]")
    assert run("predict", "sums", f"@{tmp_path}/rows.json").exit_code == 0
    assert queries.requests[0][2] == {"input": [7]}


def test_curl_prints_the_line_once_it_has_worked(run, queries):
    """It can be pasted into a shell."""
    shown = run("predict", "sums", '["it\'s"]', "--curl").stdout
    assert shown.startswith("curl -d '{")
    assert shown.endswith("/sums/predict\n")
    assert queries.requests == [("POST", "/sums/predict", {"input": ["it's"]})]


def test_curl_prints_no_line_that_is_refused(run, queries):
    """The refusal is told as without it."""
    queries.answers["POST /sums/predict"] = (400, {"error": "Json error", "cause": "no"})
    done = run("predict", "sums", '["a"]', "--curl")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "Json error: no" in done.stderr


def test_the_curl_line_names_the_token(run, queries, monkeypatch):
    """Its variable, not what is in it."""
    assert queries
    monkeypatch.setenv("SERVD_TOKEN", "not-a-token")
    shown = run("predict", "sums", "[1]", "--curl").stdout
    assert shown.startswith('curl -H "Authorization: Bearer $SERVD_TOKEN" -d')
    assert "not-a-token" not in shown


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1", "the input is not JSON"),
        ("1.5, 2", "the input is not JSON; did you mean '[1.5, 2]'?"),
        ("{'a': True}", """not JSON; did you mean '{"a": true}'?"""),
        ("a good day", """not JSON; did you mean '"a good day"'?"""),
        ("@/none/x", "/none/x: No such file"),
        ("-", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(run, queries, value, message):
    """Nothing is sent."""
    done = run("predict", "sums", value, stdin="")
    assert done.exit_code == 2
    assert message in done.stderr
    assert queries.requests == []


def test_an_unknown_application_names_the_nearest(run, queries):
    """Exit code 4."""
    done = run("predict", "sum", "[1]")
    assert done.exit_code == 4
    assert "did you mean sums?" in done.stderr
    assert len(queries.requests) == 1


def test_a_refusal_is_told_without_the_schema(run, queries):
    """The hint says what the application takes."""
    cause = "is not of type double. Expected JSON schema: \n {...}"
    queries.answers["POST /sums/predict"] = (400, {"error": "Json error", "cause": cause})
    done = run("predict", "sums", '["a"]')
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0] == "error: Json error: is not of type double."
    assert "sums takes doubles" in done.stderr
    refused = json.loads(run("predict", "sums", '["a"]', "--json").stderr)["error"]
    assert refused["code"] == "query_refused"


def test_a_refusal_by_a_web_application_says_what_it_is(run, admin, queries):
    """Its paths are its own, and what it says is not servd's."""
    admin.answers["GET /applications"] = (200, [APP | {"query_url": "http://host:1/sums/"}])
    queries.answers["POST /sums/predict"] = (404, {"detail": "Not Found"})
    done = run("predict", "sums", "[1]")
    assert done.exit_code == 1
    assert "sums is a web application" in done.stderr
    assert "curl http://host:1/sums/" in done.stderr


@pytest.mark.parametrize(
    ("current", "states", "hint"),
    [
        ("2", [], "m:2 has no replicas: servd scale m 1"),
        (None, [], "no version of m is current: servd rollback m"),
        ("2", ["starting"], "m:2 is still loading"),
        ("2", ["failed"], "servd logs m"),
    ],
)
def test_a_model_that_nothing_answers_for_is_told_why(run, admin, queries, current, states, hint):
    """Loading, scaled to nothing, rolled away and failed are different things."""
    rows = [{"model": "m", "version": "2", "state": state} for state in states]
    admin.answers |= {
        "GET /models/m": (200, {"current_version": current}),
        "GET /replicas": (200, rows),
    }
    cause = "No connected models found for query"
    queries.answers["POST /sums/predict"] = (503, {"error": "Unavailable", "cause": cause})
    assert hint in run("predict", "sums", "[1]").stderr


@pytest.mark.parametrize(
    ("test_ms", "said"),
    [
        (305.0, "longer than 100 ms (its test call took 305 ms)"),
        (5.0, "longer than 100 ms: deploy"),
    ],
)
def test_a_late_answer_is_told_with_what_the_test_call_took(run, admin, queries, test_ms, said):
    """And which objective would do."""
    admin.answers |= {
        "GET /applications": (200, [APP | {"slo_us": 100_000}]),
        "GET /replicas": (200, [{"application": "sums", "test_ms": test_ms}]),
    }
    late = {"error": "Query processing error", "cause": "Failed to retrieve a prediction"}
    queries.answers["POST /sums/predict"] = (504, late)
    shown = run("predict", "sums", "[1]").stderr
    assert said in shown
    assert "--slo " in shown


def test_a_token_that_is_wanted_is_named(run, admin, queries):
    """The model's log has nothing to do with it."""
    assert admin
    queries.answers["POST /sums/predict"] = (401, {"error": "Unauthorized", "cause": "a token"})
    assert "set SERVD_TOKEN to the daemon's token" in run("predict", "sums", "[1]").stderr


def test_the_curl_line_comes_as_json_too(run, queries):
    """With --json the line is in a document."""
    assert queries
    document = json.loads(run("predict", "sums", "[1]", "--curl", "--json").stdout)
    assert document["curl"].startswith("curl -d '{\"input\": [1]}' http://")


@pytest.mark.parametrize(
    ("models", "hint"), [([], "servd app link sums MODEL"), (["m"], "servd logs m")]
)
def test_a_failed_query_tells_what_to_do(run, admin, queries, models, hint):
    """Without a model one has to be linked."""
    admin.answers["GET /applications"] = (200, [APP | {"linked_models": models}])
    queries.answers["POST /sums/predict"] = (500, {"error": "Query processing error"})
    assert hint in run("predict", "sums", "[1]").stderr
    queries.answers["POST /sums/predict"] = (502, "<html>")
    assert "was answered with 502" in run("predict", "sums", "[1]").stderr


def test_a_query_port_that_is_closed_is_told(run, admin):
    """The daemon's admin API may answer while its query API does not."""
    admin.answers["GET /status"] = (200, STATUS | {"query_url": "http://127.0.0.1:1"})
    done = run("predict", "sums", "[1]")
    assert done.exit_code == 1
    assert "http://127.0.0.1:1/sums/predict does not answer" in done.stderr


@pytest.mark.parametrize(
    ("url", "admin_url", "expected"),
    [
        ("http://127.0.0.1:1337", None, "http://127.0.0.1:1337"),
        ("http://127.0.0.1:1337", "http://10.0.0.9:1338", "http://10.0.0.9:1337"),
        ("http://127.0.0.1:1337", "http://[fe80::1]:1338", "http://[fe80::1]:1337"),
        ("http://10.0.0.8:1337", "http://10.0.0.9:1338", "http://10.0.0.8:1337"),
        ("http://127.0.0.1:1337", "/run/admin.sock", "http://127.0.0.1:1337"),
    ],
)
def test_another_machines_loopback_is_not_this_ones(url, admin_url, expected):
    """A daemon that listens on all addresses names its own loopback."""
    assert query_base(url, admin_url) == expected


def test_the_token_goes_with_the_query(run, queries, monkeypatch):
    """As it goes with admin calls."""
    monkeypatch.setenv("SERVD_TOKEN", "secret")
    run("predict", "sums", "[1]")
    assert queries.headers[0]["Authorization"] == "Bearer secret"


JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"


def raw(queries):
    """Return the type and the content of the body that came last."""
    return queries.headers[-1]["Content-Type"], queries.requests[-1][2]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cat.jpg", "image/jpeg"),
        ("cat", "application/octet-stream"),
        ("notes.txt", "text/plain"),
        ("doc.json", "application/octet-stream"),
    ],
)
def test_a_file_for_bytes_is_sent_as_it_is(run, admin, queries, tmp_path, name, kind):
    """Whatever is in it; curl sends the same."""
    content = b"[1]"
    admin.answers["GET /applications"] = (200, [APP | {"input_type": "bytes"}])
    (tmp_path / name).write_bytes(content)
    assert run("predict", "sums", f"@{tmp_path / name}").exit_code == 0
    assert raw(queries) == (kind, content)
    line = run("predict", "sums", f"@{tmp_path / name}", "--curl").stdout
    assert line.startswith(f"curl --data-binary @{tmp_path / name} http://")


def test_a_file_that_is_no_text_is_sent_as_it_is(run, queries, tmp_path):
    """Also where the application takes something else: it says so better."""
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    queries.answers["POST /sums/predict"] = (400, {"error": "Json error", "cause": "a JPEG"})
    done = run("predict", "sums", f"@{tmp_path}/cat.jpg")
    assert (done.exit_code, "a JPEG" in done.stderr) == (1, True)
    assert raw(queries) == ("image/jpeg", JPEG)
    (tmp_path / "rows.json").write_bytes(b"[1, 2")
    done = run("predict", "sums", f"@{tmp_path}/rows.json")
    assert (done.exit_code, "the input is not JSON" in done.stderr) == (2, True)


def test_a_batch_is_a_list_of_json(run, admin, queries, tmp_path):
    """Of bytes as well, as base64 texts."""
    admin.answers["GET /applications"] = (200, [APP | {"input_type": "bytes"}])
    (tmp_path / "rows.json").write_bytes(b'["aGk="]')
    assert run("predict", "sums", f"@{tmp_path}/rows.json", "--batch").exit_code == 0
    assert queries.requests[-1][2] == {"input_batch": ["aGk="]}
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    done = run("predict", "sums", f"@{tmp_path}/cat.jpg", "--batch")
    assert (done.exit_code, "--batch takes a list" in done.stderr) == (2, True)
