"""What `/readyz` of a daemon says while its models load."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


LOADING = "gated:1 is still loading; try again later"


def _query(daemon: Daemon) -> tuple[int, Any]:
    return daemon.query("/gated/predict", {"input": [1]})


def _probe(daemon: Daemon, path: str) -> int:
    try:
        with urllib.request.urlopen(daemon.query_url + path, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except urllib.error.URLError:
        return 0  # it does not listen yet


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
        with ThreadPoolExecutor() as pool:
            starting = pool.submit(daemon.cli, "start")
            until(lambda: _probe(daemon, "/healthz") == 200, "it lives")
            until(lambda: _query(daemon)[1].get("cause") == LOADING, "queries are told")
            for _ in range(5):
                assert (_probe(daemon, "/readyz"), _probe(daemon, "/healthz")) == (503, 200)
            assert _query(daemon)[0] == 503
            shown = daemon.cli("predict", "gated", "[1]").stderr
            assert "gated:1 is still loading" in shown
            assert not starting.done()
            gate.with_name("gate.broken").touch()
            daemon.expected_errors.append("gated:1 is not brought up")
            gate.unlink()
            started = starting.result()
        assert started.returncode == 0
        # What has returned has not returned too early.
        assert _probe(daemon, "/readyz") == 200
        if is_broken:
            assert "gated:1 replica 0 is not up: ValueError: broken meanwhile" in started.stderr
        else:
            assert started.stderr == ""
            until(lambda: _query(daemon)[0] == 200, "it answers", 2.0 * (frontends > 1) + 0.1)
