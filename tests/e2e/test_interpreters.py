"""Models in environments that hold nothing, of each Python that is here: as in servd's own."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import interpreters
from tests.daemon import Daemon
from tests.e2e.steps import MODELS, replicas, running_daemon, until

OTHERS = interpreters.others()
EDGES = sorted({*OTHERS[:1], *OTHERS[-1:]}, key=OTHERS.index)
"""The oldest and the newest: what lies between is as one of both."""
at_the_edges = pytest.mark.parametrize("environment", EDGES, indirect=True, scope="module")
FILE = MODELS / "anywhere.py"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all of them."""
    with running_daemon('predict_timeout = "1s"\n') as running:
        yield running


@pytest.fixture(scope="module", params=OTHERS)
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an empty environment, named after its series."""
    folder = tmp_path_factory.mktemp("envs") / f"py{request.param.replace('.', '-')}"
    interpreters.make_environment(folder, str(request.param))
    return folder


def _deploy(daemon: Daemon, environment: Path, name: str, *more: str) -> str:
    """Deploy a function of the file; return its application's name."""
    app = f"{name}-{environment.name}"
    done = daemon.cli(
        *("deploy", f"{FILE}:{name}", "--name", app, "--env", f"venv:{environment}"),
        *("--slo", "5s", *more),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return app


def _log(daemon: Daemon, app: str) -> str:
    return daemon.cli("logs", app).stdout


def _await_other(daemon: Daemon, app: str, pid: int) -> None:
    """Wait until a replica is ready that is not the process that was."""
    until(
        lambda: any(row["state"] == "ready" and row["pid"] != pid for row in replicas(daemon, app)),
        "another replica is ready",
    )


def test_a_function_answers_and_fails_there_as_anywhere(daemon: Daemon, environment: Path) -> None:
    """It answers, prints to its log, raises, ends and hangs, and another comes in its place."""
    app = _deploy(daemon, environment, "numbers", "--default", "0")

    status, answer = daemon.query(f"/{app}/predict", {"input": [1.0, 2.0]})

    assert (status, answer["output"]) == (200, [str(environment), False, False, 3.0])
    until(lambda: "printed in" in _log(daemon, app), "what was printed is in the log")
    _, answer = daemon.query(f"/{app}/predict", {"input": [-1.0]})
    assert "none of these" in answer["default_explanation"]
    until(lambda: "in numbers\n" in _log(daemon, app), "the traceback is in the log")
    for bad in (-2.0, -3.0):
        pid = replicas(daemon, app)[0]["pid"]
        daemon.query(f"/{app}/predict", {"input": [bad]})
        _await_other(daemon, app, pid)
        _, answer = daemon.query(f"/{app}/predict", {"input": [4.0]})
        assert answer["output"][-1] == 4.0


@at_the_edges
def test_a_failed_load_shows_the_models_own_frames(daemon: Daemon, environment: Path) -> None:
    """Neither the runtime's frames are told nor those of the import system, wherever they lie."""
    file = daemon.data_dir.parent / f"broken_{environment.name.replace('-', '_')}.py"
    file.write_text("def load():\n    import gone_module\n\nload()\n\ndef predict(xs): ...\n")

    done = daemon.cli("deploy", str(file), "--env", f"venv:{environment}", "--skip-test")

    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert "gone_module" in told
    assert "runtime-" not in told
    assert "importlib" not in told


def test_what_is_annotated_is_read_there(daemon: Daemon, environment: Path) -> None:
    """Dataclasses, TypedDicts, dates and unions are taken in each Python alike."""
    app = _deploy(daemon, environment, "price")
    house = {"rooms": 2, "built": "2020-01-02", "beside": [{"rooms": 3}]}

    _, answer = daemon.query(
        f"/{app}/predict", {"input": {"house": house, "when": "2026-11-26T08:00:00Z"}}
    )

    assert answer["output"] == {"price": 5.0, "when": "2026-11-26T08:00:00+00:00"}
    status, refused = daemon.query(f"/{app}/predict", {"input": {"house": {"rooms": "x"}}})
    assert status == 422
    assert "rooms" in str(refused)


@at_the_edges
def test_what_yields_streams(daemon: Daemon, environment: Path) -> None:
    """An asynchronous generator's items come one by one."""
    app = _deploy(daemon, environment, "items")

    _, answer = daemon.query(f"/{app}/predict", {"input": [1.0, 2.0, 3.0]})

    assert answer["output"] == [1.0, 2.0, 3.0]


@at_the_edges
def test_a_web_application_runs_on_what_servd_has(daemon: Daemon, environment: Path) -> None:
    """Without uvicorn there, servd's own runs it; where that is for later Pythons, that is said."""
    app = f"app-{environment.name}"
    done = daemon.cli("deploy", f"{FILE}:app", "--name", app, "--env", f"venv:{environment}")
    if done.returncode:
        told = done.stdout + done.stderr
        assert f"not installed in {environment}" in told
        assert f"{environment}/bin/python -m pip install uvicorn" in told
        return
    with urllib.request.urlopen(f"{daemon.query_url}/{app}/", timeout=10) as answer:
        assert answer.read().decode() == str(environment)


@at_the_edges
def test_a_replica_drains(daemon: Daemon, environment: Path) -> None:
    """Told to end, it ends by itself, and another comes."""
    app = _deploy(daemon, environment, "items", "--replicas", "1")
    pid = replicas(daemon, app)[0]["pid"]
    os.kill(pid, signal.SIGTERM)

    _await_other(daemon, app, pid)

    assert "killed" not in _log(daemon, app)
