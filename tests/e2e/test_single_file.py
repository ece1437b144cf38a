"""The file that `make pex` builds, run with a Python, an empty home and coreutils only."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.steps import deploy, replicas, write_model
from tests.single_file import FileDaemon, file_daemon, make_environment

SUM = "def feature_sum(xs):\n    return [str(sum(x)) for x in xs]\n"
LENGTH = "def length(xs):\n    return [len(x) for x in xs]\n"
STANDIN = """
import sys
import standin
def place(xs):
    return [f"{standin.NAME} {sys.prefix}" for x in xs]
"""
SEEN = """
import os
def seen(xs):
    return [os.environ.get(str(x), "none") for x in xs]
"""


@pytest.fixture(scope="module")
def users(tmp_path_factory) -> Path:
    """Return a project's environment, which holds one package that nobody else has."""
    return make_environment(tmp_path_factory.mktemp("users") / "venv", standin='NAME = "theirs"\n')


@pytest.fixture(scope="module")
def daemon() -> Iterator[FileDaemon]:
    """Yield a running daemon of the file, with two front ends and a model."""
    with file_daemon() as made:
        done = made.cli("start", "--frontends", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        deploy(made, write_model(made, "model.py", SUM))
        yield made


def processes(daemon: FileDaemon) -> list[psutil.Process]:
    """Return the daemon's process and all below it."""
    top = psutil.Process(daemon.pid)
    return [top, *top.children(recursive=True)]


def test_it_tells_its_version(daemon):
    """As the installed command does, from what the file has of servd's metadata."""
    done = daemon.cli("--version")
    assert re.fullmatch(r"servd \d+\.\d+\.\d+\n", done.stdout)


def test_it_deploys_and_predicts(daemon):
    """The replica runs in the file's environment, as it has what the model needs."""
    done = daemon.cli("predict", "feature_sum", "[1, 2]", "--json")
    assert json.loads(done.stdout)["output"] == 3.0
    assert [row["state"] for row in replicas(daemon)] == ["ready"]


def test_what_it_starts_is_from_the_file(daemon):
    """Front ends, readers, the replica and what cleans up: none runs from anywhere else."""
    said = [" ".join(process.cmdline()) for process in processes(daemon)]
    for module, count in {
        "servd.processes.frontend": 2,
        "servd.http.query.body_reader": 2,
        "model_runtime": 1,
        "aftermath": 1,
    }.items():
        found = [words for words in said if re.search(rf"-m \S*{re.escape(module)}\b", words)]
        assert len(found) == count, said
        assert all(str(daemon.folder / "pex") in words for words in found), said


def test_long_bodies_are_read_beside(daemon):
    """A reader of the file's answers for a body of megabytes."""
    deploy(daemon, write_model(daemon, "length.py", LENGTH), "--slo", "20s")
    status, answer = daemon.query("/length/predict", {"input": [0.5] * 500_000})
    assert (status, answer.get("output")) == (200, 500_000)


def test_it_exports(daemon):
    """From the daemon that runs; the manifests name the front end's image of this version."""
    done = daemon.cli("export-k8s", "--image-registry", "registry.example/team", "--out", "k8s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any("servd-frontend:" in path.read_text() for path in _written(daemon))


def _written(daemon):
    return (daemon.folder / "home" / "k8s").rglob("*.yaml")


def test_a_model_is_tried_without_a_daemon(daemon):
    """`servd test` loads it in a process of the file's environment."""
    done = daemon.cli("test", write_model(daemon, "again.py", SUM))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tested with" in done.stdout


def test_modules_that_the_shell_names_are_found(daemon):
    """PYTHONPATH is the user's, as it is where servd is installed."""
    (daemon.folder / "modules").mkdir()
    (daemon.folder / "modules" / "besides.py").write_text("MORE = 3\n")
    model = "import besides\ndef plus(xs):\n    return [sum(x) + besides.MORE for x in xs]\n"
    daemon.variables["PYTHONPATH"] = str(daemon.folder / "modules")
    try:
        deploy(daemon, write_model(daemon, "plus.py", model))
    finally:
        del daemon.variables["PYTHONPATH"]
    assert daemon.query("/plus/predict", {"input": [1.0]})[1]["output"] == 4.0


@pytest.mark.parametrize("is_active", [True, False])
def test_models_run_in_their_projects_environment(daemon, users, is_active):
    """In the one that the shell has active, or in the one that is named; the file has neither."""
    told = () if is_active else ("--env", f"venv:{users}")
    daemon.variables = {"VIRTUAL_ENV": str(users)} if is_active else {}
    name = f"place-{is_active}".lower()
    try:
        deploy(daemon, write_model(daemon, "place.py", STANDIN), "--name", name, *told)
    finally:
        daemon.variables = {}
    answer = daemon.query(f"/{name}/predict", {"input": [1.0]})[1]
    assert answer["output"] == f"theirs {users}"


def test_models_see_the_users_variables(daemon):
    """What the file's start puts into the environment, or takes out, is undone in it."""
    deploy(daemon, write_model(daemon, "seen.py", SEEN), "--input-type", "strings")
    found = {
        name: daemon.query("/seen/predict", {"input": name})[1]["output"]
        for name in ("PEX", "VIRTUAL_ENV", "PEX_ROOT")
    }
    assert found == {"PEX": "none", "VIRTUAL_ENV": "none", "PEX_ROOT": daemon.env["PEX_ROOT"]}


def test_nowhere_to_unpack_is_said(daemon):
    """A daemon would run on in a folder that goes when the command ends: none is started."""
    daemon.variables = {"PEX_ROOT": "/dev/null/pex"}
    try:
        done = daemon.cli("start")
    finally:
        daemon.variables = {}
    assert done.returncode == 1
    assert "PEX_ROOT=DIR" in done.stderr
