"""What `/readyz` of a daemon says while its models load."""

import urllib.error
import urllib.request

import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, running_daemon, until, write_model

GATED = """
import pathlib, time

GATE = pathlib.Path({gate!r})
while GATE.exists():
    time.sleep(0.01)
if {is_broken} and pathlib.Path({gate!r} + ".broken").exists():
    raise ValueError("broken meanwhile")


def gated(xs):
    return [1 for _ in xs]
"""


def _probe(daemon: Daemon, path: str) -> int:
    try:
        with urllib.request.urlopen(daemon.query_url + path, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.parametrize("frontends", [1, 2])
@pytest.mark.parametrize("is_broken", [False, True], ids=["loads", "fails"])
def test_it_is_not_ready_while_models_load(frontends: int, *, is_broken: bool) -> None:
    """It lives meanwhile; a model that has failed does not keep the others from being ready."""
    with running_daemon(f"frontends = {frontends}") as daemon:
        gate = daemon.data_dir.parent / "gate"
        source = GATED.format(gate=str(gate), is_broken=is_broken)
        assert _probe(daemon, "/readyz") == 200  # it has nothing to load
        deploy(daemon, write_model(daemon, "gated.py", source))
        assert _probe(daemon, "/readyz") == 200
        assert daemon.cli("stop").returncode == 0
        gate.touch()
        daemon.start()
        for _ in range(5):
            assert (_probe(daemon, "/readyz"), _probe(daemon, "/healthz")) == (503, 200)
        gate.with_name("gate.broken").touch()
        daemon.expected_errors.append("gated:1 is not brought up")
        gate.unlink()
        until(lambda: _probe(daemon, "/readyz") == 200, "ready")
