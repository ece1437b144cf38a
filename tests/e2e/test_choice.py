"""Each model in an environment of its own: the one that is said, active, or asked for."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import interpreters
from tests.daemon import Daemon
from tests.e2e.steps import until
from tests.wheels import write_wheel

MODEL = """
import sys
import alpha

def predict(xs):
    return [f"{alpha.VERSION} {sys.prefix}" for _ in xs]
"""
REPOSITORY = Path(__file__).parents[2]
OTHER = next(iter(interpreters.others()), "")


@pytest.fixture
def world(idle_daemon, monkeypatch):
    """Return a folder with the wheels of a package; the user works in no environment."""
    folder = idle_daemon.data_dir.parent
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "CONDA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    for version in ("1.0", "2.0", "3.0"):
        write_wheel(folder / "wheels", "alpha", version)
    return folder


def project(world, name, *requirements):
    """Make a project with a model, and what it says that it needs."""
    folder = world / name
    folder.mkdir()
    (folder / "m.py").write_text(MODEL)
    if requirements:
        lines = ["--no-index", f"--find-links {world / 'wheels'}", *requirements]
        (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def environment(folder, wheel, series=""):
    """Make an environment that holds one package and nothing else."""
    if series:
        interpreters.make_environment(folder, series)
    else:
        venv = [sys.executable, "-m", "venv", "--without-pip", folder]
        subprocess.run(venv, check=True, timeout=60)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return folder


def wheel(world, version):
    """Return the wheel of a version."""
    return world / "wheels" / f"alpha-{version}-py3-none-any.whl"


def document(daemon: Daemon, *args: str, cwd: Path | None = None):
    """Return the JSON document that a command writes; insist that it worked."""
    done = daemon.cli(*args, "--json", cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def answer(daemon, app):
    """Return what an application answers."""
    status, told = daemon.query(f"/{app}/predict", {"input": [1.0]})
    assert status == 200, told
    return str(told["output"])


def test_three_models_of_three_environments_answer_at_once(world, idle_daemon):
    """None of them is the daemon's; what is wanted again is there already."""
    first = project(world, "first", "alpha==1.0")
    second = project(world, "second", "alpha==2.0")
    third = project(world, "third")
    environment(third / ".venv", wheel(world, "3.0"), OTHER)
    made = document(idle_daemon, "deploy", "m.py", "--name", "first", cwd=first)
    assert made["environment"].startswith("new, of requirements.txt (Python ")
    assert "servd's own has not what requirements.txt asks for" in made["environment"]
    document(idle_daemon, "deploy", "m.py", "--name", "second", "--env", "new", cwd=second)
    found = document(idle_daemon, "deploy", "m.py", "--name", "third", cwd=third)
    assert found["environment"].startswith(".venv (Python ")
    answers = [answer(idle_daemon, name) for name in ("first", "second", "third")]
    assert [text.split()[0] for text in answers] == ["1.0", "2.0", "3.0"]
    assert answers[2].split()[1] == str(third / ".venv")
    assert sys.prefix not in {text.split()[1] for text in answers}

    again = project(world, "again", "alpha==1.0")
    document(idle_daemon, "deploy", "m.py", "--name", "again", cwd=again)
    assert answer(idle_daemon, "again") == answers[0]
    built = idle_daemon.data_dir / "environments" / "built"
    assert len([each for each in built.iterdir() if (each / "bin").is_dir()]) == 2

    rows = {row["model"]: row["environment"] for row in document(idle_daemon, "ps")}
    assert rows["third"].startswith(f"{third / '.venv'} (Python ")
    assert rows["first"] == rows["again"] != rows["second"]
    assert Path(answers[0].split()[1]).name in rows["first"]
    shown = idle_daemon.cli("model", "show", "third")
    assert f"version 1 runs in {third / '.venv'} (Python " in shown.stdout
    assert "ENVIRONMENT" in idle_daemon.cli("ps").stdout


def test_the_project_that_one_stands_in_gives_the_environment(world, idle_daemon, monkeypatch):
    """As where servd is a tool: activated, beside the model, or in the project above."""
    there = environment(world / "elsewhere", wheel(world, "1.0"))
    here = project(world, "here")
    (here / "pyproject.toml").write_text("[tool.black]\n")
    (here / "models").mkdir()
    (here / "m.py").rename(here / "models" / "m.py")
    environment(here / ".venv", wheel(world, "2.0"))
    told = document(idle_daemon, "test", "models/m.py", "[1.0]", cwd=here)
    assert told["answers"][0]["output"] == f"2.0 {here / '.venv'}"
    assert told["environment"].endswith(f": it lies in {here}")
    monkeypatch.setenv("VIRTUAL_ENV", str(there))
    told = document(idle_daemon, "test", "models/m.py", "[1.0]", cwd=here)
    assert told["answers"][0]["output"] == f"1.0 {there}"
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    own = idle_daemon.cli("test", "models/m.py", cwd=here)
    assert own.returncode == 1
    assert "No module named 'alpha'" in own.stderr
    assert "--env auto" in own.stderr


def test_an_environment_that_lacks_what_is_asked_for_is_told(world, idle_daemon):
    """It is taken all the same, with what makes another; what a model misses there is named."""
    folder = project(world, "lacking", "alpha==2.0", "beta")
    environment(folder / ".venv", wheel(world, "1.0"))
    told = document(idle_daemon, "test", "m.py", "[1.0]", cwd=folder)
    assert told["answers"][0]["output"].startswith("1.0 ")
    first, second = told["warnings"][:2]
    assert first.startswith(
        "requirements.txt asks for beta, which is not installed in .venv: "
        "uv pip install --python .venv/bin/python -r requirements.txt, or"
    )
    assert "--env new" in first
    assert second == "requirements.txt asks for alpha==2.0, and 1.0 is installed in .venv"
    (folder / "m.py").write_text("import gamma\n\ndef predict(xs):\n    return xs\n")
    refused = idle_daemon.cli("test", "m.py", cwd=folder)
    assert "No module named 'gamma'" in refused.stderr


def test_an_interpreter_that_is_gone_is_named_at_the_next_start(world, idle_daemon):
    """With what to do; the daemon and its other models go on."""
    idle_daemon.expected_errors.append("cannot be used")
    folder = project(world, "gone")
    environment(folder / ".venv", wheel(world, "1.0"))
    document(idle_daemon, "deploy", "m.py", "--name", "gone", cwd=folder)
    assert idle_daemon.cli("stop").returncode == 0
    (folder / ".venv").rename(folder / "moved")
    idle_daemon.start()
    until(lambda: _error(idle_daemon), "the error is told", timeout_s=30)
    error = _error(idle_daemon)
    assert f"there is no Python at {folder / '.venv'}" in error
    (row,) = (row for row in document(idle_daemon, "ps") if row["model"] == "gone")
    assert row["environment"].startswith(f"{folder / '.venv'} (Python ")
    (folder / "moved").rename(folder / ".venv")
    until(lambda: _status(idle_daemon) == 200, "it answers again", timeout_s=60)


def _status(daemon):
    return daemon.query("/gone/predict", {"input": [1.0]})[0]


def _error(daemon):
    rows = document(daemon, "ps")
    return next((row["last_error"] for row in rows if row.get("last_error")), "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--env", "venv:nowhere"), "there is no Python at"),
        (("--env", "venv:m.py"), "is no program"),
        (("--env", "conda"), "--env conda is no environment"),
        (("--env", "shared", "--python", "3.12"), "is there already"),
        (("--python", "3.7"), "models do not run in Python 3.7"),
        (("--requirements", "gone.txt"), "there is no file gone.txt"),
        (("--requirements", "."), "is a folder"),
        (("--requirements", "binary.txt"), "is not a text"),
        (("--requirements", "odd.txt"), "alpha===="),
        (("--requirements", "none.txt"), "alpha"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_sent(world, idle_daemon, options, words):
    """One error, with what was wrong; no traceback of servd's own."""
    folder = project(world, "bad")
    (folder / "binary.txt").write_bytes(b"\0\1")
    (folder / "odd.txt").write_text("alpha====\n")
    none = f"--no-index\n--find-links {world / 'wheels'}\nalpha==9\n"
    (folder / "none.txt").write_text(none)
    refused = idle_daemon.cli("test", "m.py", *options, cwd=folder)
    assert refused.returncode in (1, 2)
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stderr.count("error: ") == 1


def test_an_image_has_the_lock_and_the_python_of_the_environment(world, idle_daemon):
    """What came from no index comes along as the file that it is."""
    folder = project(world, "image", "alpha==2.0")
    done = document(
        *(idle_daemon, "deploy", "m.py", "--name", "image", "--env", "new"),
        *(("--python", OTHER) if OTHER else ()),
        cwd=folder,
    )
    assert done["environment"].startswith("new, of requirements.txt")
    context = world / "context"
    built = idle_daemon.cli("build", "image:1", "--context-only", str(context))
    assert built.returncode == 0, built.stderr
    required = (context / "requirements.txt").read_text().splitlines()
    assert "alpha @ file:///opt/servd/wheels/alpha-2.0-py3-none-any.whl" in required
    # In a version that is for that Python, where the one that is here is not.
    assert any(line == "msgpack" or line.startswith("msgpack==") for line in required)
    series = OTHER or f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"FROM python:{series}-slim" in (context / "Dockerfile").read_text()
    assert (context / "bundle" / "environment.lock").is_file()


@pytest.fixture
def tool(world):
    """Return the Python of another environment that has servd: what is here lies on its path."""
    folder = world / "tool"
    venv = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(venv, check=True, timeout=60)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    here = [each for each in sys.path if each.endswith("site-packages")]
    (packages / "servds.pth").write_text("\n".join([*here, str(REPOSITORY)]))
    return folder / "bin" / "python"


def test_a_daemon_of_another_environment_runs_models_in_their_clients(world, idle_daemon, tool):
    """What was looked at here runs here; what is said to be the daemon's runs there."""
    folder = world / "client"
    folder.mkdir()
    (folder / "m.py").write_text(
        "import sys\n\ndef predict(xs):\n    return [sys.prefix] * len(xs)\n"
    )
    start = [tool, "-m", "servd", "start"]
    subprocess.run(start, env=idle_daemon.env, cwd=folder, check=True, timeout=60)
    status = document(idle_daemon, "status")
    assert status["prefix"] == str(tool.parents[1])
    assert status["python"].startswith("3.")
    told = document(idle_daemon, "deploy", "m.py", "--name", "mine", cwd=folder)
    assert told["environment"].startswith(f"{sys.prefix} (Python ")
    document(idle_daemon, "deploy", "m.py", "--name", "shared", "--env", "shared", cwd=folder)
    assert answer(idle_daemon, "mine") == sys.prefix
    assert answer(idle_daemon, "shared") == str(tool.parents[1])


def test_servd_as_a_tool_serves_the_model_of_the_project_that_one_stands_in(
    world, idle_daemon, tool
):
    """Its own environment has nothing of the model's, nor the model's anything of servd's."""
    here = project(world, "here")
    environment(here / ".venv", wheel(world, "2.0"), OTHER)
    command = [tool, "-m", "servd", "deploy", "m.py", "--name", "here", "--json"]
    subprocess.run(command, env=idle_daemon.env, cwd=here, check=True, timeout=120)
    assert answer(idle_daemon, "here") == f"2.0 {here / '.venv'}"
