"""Models of PyTorch, Keras, MLflow, Hugging Face and LitServe, as they are saved, asked over HTTP.

They run in an environment that has their libraries, which the daemon's has not.
"""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from tests import formats

pytestmark = pytest.mark.slow
WIDE = ["--param", "inputs=3:INT", "--param", "hidden=5:INT"]
API = Path(__file__).parents[1] / "models" / "lit_api.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a script's models once; returns their folder, and what their library answers."""
    known = {}

    def make(maker):
        if maker not in known:
            folder = tmp_path_factory.mktemp(maker)
            known[maker] = folder, formats.made(maker, folder)
            shutil.copyfile(formats.MAKERS / "net.py", folder / "net.py")
        return known[maker]

    return make


def deployed(daemon, folder, target, *flags):
    """Deploy what lies in a folder, in the environment of its library; return what was said."""
    given = ("--env", f"venv:{formats.environment()}", "--slo", "20s", *flags)
    done = daemon.cli("deploy", target, *given, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked(daemon, name, inputs):
    """Return what an application answers to some inputs, one by one."""
    return [daemon.query(f"/{name}/predict", {"input": value})[1]["output"] for value in inputs]


@pytest.mark.parametrize(
    ("maker", "targets"),
    [
        (
            "torch_models",
            {
                "scripted.pt": [],
                "any.pt2": [],
                "weights.safetensors": ["--class", "net.py:Net"],
                "wide.pt": ["--class", "net.py:Net", *WIDE],
            },
        ),
        ("keras_models", {"rows.keras": [], "pair.keras": []}),
        ("mlflow_models", {"income": []}),
        ("pipelines", {"reviews": [], "pictures": [], "heads": ["--task", "feature-extraction"]}),
    ],
)
def test_the_answers_are_those_of_the_library(daemon, made, maker, targets):
    """Bit for bit, with nothing said but what the file itself cannot say."""
    folder, told = made(maker)
    for target, flags in targets.items():
        said = deployed(daemon, folder, target, *flags)
        assert "(Python " in said.splitlines()[0]
        inputs, wanted = told[target]
        assert asked(daemon, target.partition(".")[0], inputs) == wanted, target


def test_a_litapi_streams(daemon, tmp_path):
    """What its encode_response yields comes as events, or as a list where nobody asks for those."""
    shutil.copyfile(API, tmp_path / "api.py")
    example = '{"text": "a b"}'
    deployed(daemon, tmp_path, "api.py:Words", "--example", example)
    assert asked(daemon, "Words", [{"text": "a b"}]) == [[{"word": "a."}, {"word": "b."}]]
    request = urllib.request.Request(
        f"{daemon.query_url}/Words/predict",
        json.dumps({"input": {"text": "a b"}}).encode(),
        {"Accept": "text/event-stream"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert lines[0] == 'data: {"word":"a."}'
    assert 'data: {"word":"b."}' in lines


@pytest.mark.parametrize(
    ("maker", "words", "needs"),
    [
        ("torch_models", ["scripted.pt"], "torch"),
        ("torch_models", ["any.pt2"], "torch"),
        (
            *("torch_models", ["weights.safetensors", "--class", "net.py:Net"]),
            "torch and safetensors",
        ),
        ("keras_models", ["rows.keras"], "keras and torch"),
        ("mlflow_models", ["income"], "mlflow"),
        ("pipelines", ["reviews"], "transformers and torch"),
    ],
)
def test_what_is_not_installed_is_named(idle_daemon, made, tmp_path, maker, words, needs):
    """With the command, against an environment that holds nothing; nothing is loaded or sent."""
    folder, _ = made(maker)
    empty = formats.empty(tmp_path / "empty")
    done = idle_daemon.cli("deploy", *words, "--env", f"venv:{empty}", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{words[0]} needs {needs}" in done.stderr
    assert f"not installed in {empty}" in done.stderr
    assert "pip install" in done.stderr
