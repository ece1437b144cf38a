"""`servd model`, `servd scale`, `servd rollback` and `servd rm`."""

import json

VERSION = {
    "model": "m",
    "version": "2",
    "input_type": "doubles",
    "max_batch": -1,
    "replicas": 2,
    "ready": 1,
    "is_current": True,
}
MODEL = {"name": "m", "current_version": "2", "versions": [VERSION, VERSION | {"max_batch": 8}]}


def test_models_are_a_table_or_the_list(run, admin):
    """Ready of wanted replicas in each row."""
    admin.answers |= {"GET /models": (200, [MODEL]), "GET /models/m": (200, MODEL)}
    lines = run("model", "ls").stdout.splitlines()
    assert lines[1].split() == ["m", "2", "yes", "doubles", "1/2", "adaptive"]
    assert lines[2].split()[-1] == "8"
    assert "m  current version 2" in run("model", "show", "m").stdout
    assert json.loads(run("model", "ls", "--json").stdout) == [MODEL]
    assert json.loads(run("model", "show", "m", "--json").stdout) == MODEL
    admin.answers["GET /models"] = (200, [])
    assert "servd deploy" in run("model", "ls").stdout


def test_rm_of_a_model_or_a_version(run, admin):
    """The version stands behind a colon."""
    admin.answers |= {"DELETE /models/m": (204, ""), "DELETE /models/m/versions/1": (204, "")}
    assert run("model", "rm", "m:1").stdout == "removed the model m:1\n"
    assert json.loads(run("model", "rm", "m", "--json").stdout)["removed"] == ["model"]
    admin.answers["DELETE /models/m/versions/2?force=true"] = (204, "")
    assert run("model", "rm", "m:2", "--force").exit_code == 0


def test_scale_takes_a_model_or_a_version(run, admin):
    """The answer says which version was meant."""
    admin.answers |= {
        "PUT /models/m/replicas": (200, VERSION),
        "PUT /models/m/versions/1/replicas": (200, VERSION | {"version": "1"}),
    }
    assert run("scale", "m", "2").stdout == "m:2 has 2 replicas\n"
    assert run("scale", "m:1", "1").stdout == "m:1 has 1 replica\n"
    assert admin.requests[-1][2] == {"replicas": 1}


def test_rollback_says_what_is_current(run, admin):
    """No version means the one before."""
    admin.answers["POST /models/m/rollback"] = (200, {"model": "m", "version": "1"})
    assert run("rollback", "m").stdout == "m:1 is current\n"
    assert admin.requests[-1][2] == {"version": None}
    assert json.loads(run("rollback", "m", "1", "--json").stdout)["version"] == "1"
    assert run("rollback", "m:1").exit_code == 0
    assert admin.requests[-1][2] == {"version": "1"}


def test_rm_removes_whichever_exists(run, admin):
    """It says what it removed."""
    admin.answers |= {
        "DELETE /models/m?force=true": (204, ""),
        "GET /applications": (200, []),
    }
    assert run("rm", "m").stdout == "removed the model m\n"
    admin.answers["DELETE /applications/m"] = (204, "")
    assert json.loads(run("rm", "m", "--json").stdout)["removed"] == ["application", "model"]


def test_rm_does_not_take_the_model_of_other_applications(run, admin):
    """Nothing is removed unless it is meant."""
    admin.answers |= {
        "GET /applications": (200, [{"name": n, "linked_models": ["m"]} for n in ("m", "other")]),
        "DELETE /models/m?force=true": (204, ""),
    }
    done = run("rm", "m")
    assert done.exit_code == 1
    assert "the model m answers other too" in done.stderr
    assert [request[0] for request in admin.requests] == ["GET"]
    assert run("rm", "m", "--force").stdout == "removed the model m\n"


def test_rm_of_nothing_names_the_nearest(run, admin):
    """Exit code 4."""
    admin.answers |= {
        "GET /applications": (200, [{"name": "sums", "linked_models": []}]),
        "GET /models": (200, [{"name": "other"}]),
    }
    done = run("rm", "sum")
    assert done.exit_code == 4
    assert "did you mean sums?" in done.stderr
