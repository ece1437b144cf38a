"""`servd app` and `servd model`."""

import json

import pytest

APP = {
    "name": "sums",
    "input_type": "doubles",
    "default_output": "-1.0",
    "slo_us": 20000,
    "policy": "default",
    "linked_models": ["m"],
    "query_url": "http://127.0.0.1:1337/sums/predict",
}


def test_create_sends_what_the_options_say(run, admin):
    """The objective goes in microseconds."""
    admin.answers["POST /applications"] = (201, APP)
    done = run("app", "create", "sums", "--default", "-1.0", "--slo", "20ms")
    assert done.output == "created the application sums\n"
    assert admin.requests[-1][2] == {
        "name": "sums",
        "input_type": "doubles",
        "default_output": "-1.0",
        "slo_us": 20000,
    }
    assert json.loads(run("app", "create", "sums", "--json").stdout) == APP


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ('{"a":NaN}', "is not JSON (JSON has no NaN)"),
        ("{'a': 1}", "is not JSON"),
        ("[1,", "is not JSON"),
        ("NaN", "is not JSON"),
        ("True", "is not JSON"),
        ('{"a":1}', None),
        ("nobody knows", None),
        ("-1.0", None),
        ("null", None),
    ],
)
def test_a_default_that_was_meant_to_be_json_is_told(run, admin, default, said):
    """It is answered as a text then; a text that is no JSON is as good as any."""
    admin.answers["POST /applications"] = (201, APP)
    done = run("app", "create", "sums", f"--default={default}")
    assert done.exit_code == 0
    assert admin.requests[-1][2]["default_output"] == default
    if said is None:
        assert done.stderr == ""
    else:
        assert f"warning: the default output {default} {said}" in done.stderr
        assert "it is answered as a text" in done.stderr


def test_what_was_registered_breaks_no_table(run, admin):
    """A default output of several lines is one cell of one line."""
    admin.answers["GET /applications"] = (200, [APP | {"default_output": "a\nb\x1b[2J"}])
    assert run("app", "ls").stdout.splitlines()[1].split()[3] == r"a\nb\x1b[2J"


def test_ls_is_a_table_or_the_list(run, admin):
    """Without any, the next command is told."""
    admin.answers["GET /applications"] = (200, [APP, APP | {"default_output": None}])
    lines = run("app", "ls").stdout.splitlines()
    assert lines[0].split() == ["NAME", "INPUT", "SLO", "DEFAULT", "MODELS", "URL"]
    assert lines[1].split()[:5] == ["sums", "doubles", "20ms", "-1.0", "m"]
    assert lines[2].split()[3] == "-"
    assert len(json.loads(run("app", "ls", "--json").stdout)) == 2
    admin.answers["GET /applications"] = (200, [])
    assert "servd app create NAME" in run("app", "ls").stdout


def test_a_web_application_has_no_objective(run, admin):
    """None of its requests is held to one, whatever its application was registered with."""
    site = APP | {"name": "site", "query_url": "http://127.0.0.1:1337/site/"}
    admin.answers |= {
        "GET /applications": (200, [site, APP]),
        "GET /applications/site": (200, site),
    }
    rows = run("app", "ls").stdout.splitlines()
    assert [row.split()[2] for row in rows[1:]] == ["-", "20ms"]
    admin.answers["GET /replicas"] = (200, [])
    assert "slo      -" in run("app", "show", "site").stdout


def test_show_is_one_application(run, admin):
    """Names that need it are escaped in the path."""
    slow = {"model": "m", "version": "1", "replica": 0, "application": "sums"}
    slow |= {"test_ms": 305.0, "slo_ms": 20.0}
    admin.answers |= {
        "GET /applications/a%2Fb": (200, APP),
        "GET /replicas": (200, [slow, slow | {"model": "other"}]),
    }
    shown = run("app", "show", "a/b").stdout
    assert "slo      20ms" in shown
    assert "m:1 replica 0: one call took 305 ms when it was tested" in shown
    assert "other" not in shown
    assert json.loads(run("app", "show", "a/b", "--json").stdout) == APP
    missing = run("app", "show", "nope")
    assert missing.exit_code == 4


def test_rm_link_and_unlink_say_what_they_did(run, admin):
    """Each is one call."""
    admin.answers |= {
        "DELETE /applications/sums": (204, ""),
        "PUT /applications/sums/links/m": (204, ""),
        "DELETE /applications/sums/links/m": (204, ""),
    }
    assert run("app", "rm", "sums").stdout == "removed the application sums\n"
    assert run("app", "link", "sums", "m").stdout == "sums is answered by m\n"
    unlinked = "unlinked; sums now has no model, and answers its default output or 503\n"
    assert run("app", "unlink", "sums", "m").stdout == unlinked
    assert json.loads(run("app", "link", "sums", "m", "--json").stdout)["app"] == "sums"


def test_default_chooses_shows_and_takes_back(run, admin):
    """What it says is what the daemon answers."""
    chosen = {"name": "sums", "is_chosen": True}
    admin.answers["PUT /default-application"] = (200, chosen)
    told = "sums is the default application: it answers at the root too, as POST /predict\n"
    assert run("app", "default", "sums").output == told
    assert admin.requests[-1][2] == {"name": "sums"}
    admin.answers["GET /default-application"] = (200, chosen | {"is_chosen": False})
    assert "sums is the default application, as it is the only one" in run("app", "default").output
    admin.answers["PUT /default-application"] = (200, {"name": None, "is_chosen": False})
    assert run("app", "default", "--none").output.startswith("no default application: ")
    assert admin.requests[-1][2] == {"name": None}
    assert run("app", "default", "sums", "--none").exit_code == 2
