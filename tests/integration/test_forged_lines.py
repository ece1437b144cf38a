"""What clients call things does not write the daemon's log, nor steer whoever reads it."""

import json
import re

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import admin

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO   |WARNING|ERROR  ) \S+: \S")
FORGED = "2026-01-01T00:00:00.000Z WARNING servd: forged"
STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]")
NAMES = [
    f"a\n{FORGED}",
    f"a\r\n{FORGED}",
    f"a\u2028{FORGED}",
    f"a\x85{FORGED}",
    "a\x1b[2J\x1b]0;title\x07",
    "a\x9b2J\0\x7f\x08",
    "a\ud800",
    "a\u202eb",
]


def _ask_everything(daemon: Daemon, name: str) -> None:
    """Name something so in every call that takes a name."""
    quoted = "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))
    for path in ("applications/{}", "models/{}", "applications/{}/links/m", "models/{}/versions/1"):
        admin(daemon, "DELETE", f"/api/v1/{path.format(quoted)}?force=true")
    admin(daemon, "PUT", f"/api/v1/applications/{quoted}/links/{quoted}")
    admin(daemon, "PUT", f"/api/v1/models/{quoted}/replicas", {"replicas": 2})
    admin(daemon, "POST", f"/api/v1/models/{quoted}/rollback", {"version": name})
    admin(daemon, "POST", "/api/v1/applications", {"name": name, "input_type": "any"})
    admin(daemon, "POST", "/api/v1/deployments", {"model": name, "version": name, "bundle": name})
    model = {"model_name": name, "model_version": name, "input_type": "doubles", "labels": [name]}
    model |= {"container_name": name, "model_data_path": name, "batch_size": -1}
    admin(daemon, "POST", "/admin/add_model", model)
    app = {"name": name, "input_type": name, "default_output": name, "latency_slo_micros": 1}
    admin(daemon, "POST", "/admin/add_app", app)
    admin(daemon, "POST", "/admin/delete_app", {"name": name})
    version = {"model_name": name, "model_version": name}
    admin(daemon, "POST", "/admin/set_model_version", version)
    admin(daemon, "POST", "/admin/add_model_links", {"app_name": name, "model_names": [name]})


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_writes_a_line_of_the_log(daemon: Daemon, name: str) -> None:
    """Each record is one line with its own time, and nothing in the file steers a terminal."""
    _ask_everything(daemon, name)
    text = (daemon.data_dir / "logs" / "daemon.log").read_text("utf-8")
    for line in text.split("\n")[:-1]:
        assert RECORD.match(line) or line.startswith("    "), line
        assert not line.startswith(FORGED), line
    assert STEERING.search(text) is None
    assert text.count("failed:") >= 4  # JSON with half a character goes no further


def test_nothing_that_was_registered_steers_a_terminal(daemon: Daemon) -> None:
    """What the CLI shows of names, defaults and messages is plain; its JSON says the same."""
    default = f"\x1b[2J\x9b2J\n{FORGED}\u2028\u202e"
    app = {"name": "a", "input_type": "doubles", "default_output": default}
    assert admin(daemon, "POST", "/api/v1/applications", app)[0] == 201
    lines = [("app", "ls"), ("app", "show", "a"), ("app", "show", default), ("app", "rm", default)]
    lines += [("predict", "a", "[1]"), ("predict", default, "[1]"), ("logs", default)]
    lines += [("deploy", default), ("rollback", default), ("scale", default, "1"), (default,)]
    for words in lines:
        done = daemon.cli(*(word.replace("\0", "") for word in words))
        assert STEERING.search(done.stdout + done.stderr) is None, words
        assert not any(line.startswith(FORGED) for line in done.stdout.split("\n")), words
        assert not any(line.startswith(FORGED) for line in done.stderr.split("\n")), words
    (shown,) = json.loads(daemon.cli("app", "ls", "--json").stdout)
    assert shown["default_output"] == default
