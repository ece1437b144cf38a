"""The import contracts of pyproject.toml, each broken in a copy of the packages."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).parent / "lint-imports"
DOWN = "An import goes down only, and every package has its floor"
SERVERS = "The two servers know nothing of each other, and codecs nothing of either"
CIRCLE = "No import goes round in a circle"
CODECS = "The query path knows wire formats by what a codec is, not by their names"
SCHEMAS = "Schemas know signatures and nouns, and nothing of HTTP, engines or files"
CLIENT = "The command line reaches a daemon through its client only"
RUNTIME = "The model runtime depends on the standard library, pyzmq and msgpack at most"
PURE = "The Kubernetes adapter is pure: it reads no file, asks nobody, and knows nothing of servd"
PICKLES = "The daemon never unpickles and never imports a model's libraries"
FOR_TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.fixture
def copy(tmp_path):
    """A copy of what the contracts are about."""
    for package in ("servd", "model_runtime", "k8s_adapter"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken(tree):
    """Return the names of the contracts that a tree breaks."""
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    assert "Contracts:" in text, done.stdout + done.stderr
    said = re.findall(r"^(.*?) (KEPT|BROKEN)", re.sub(r"\n(?=of servd )", " ", text), re.MULTILINE)
    found = {name for name, verdict in said if verdict == "BROKEN"}
    assert bool(found) == (done.returncode != 0)
    return found


def test_each_contract_is_tried():
    """Whoever adds one adds its break below."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {each["name"] for each in config["contracts"]} == {name for *_, name in BREAKS}
    assert config["exclude_type_checking_imports"] is False


def test_all_are_kept(copy):
    """Nothing of the copy is broken before."""
    assert broken(copy) == set()


BREAKS = [
    ("servd/engine/slot.py", "from servd.replicas import link", DOWN),
    ("servd/registry/rules.py", FOR_TYPES + "from servd.deploying import deployer", DOWN),
    ("servd/newcomer.py", "", DOWN),
    ("servd/http/admin/guard.py", "from servd.http.query import pages", SERVERS),
    ("servd/http/newcomer.py", "", SERVERS),
    ("servd/engine/cache.py", FOR_TYPES + "from servd.engine import dispatcher", CIRCLE),
    ("model_runtime/tensors.py", "from model_runtime import loop", CIRCLE),
    ("servd/http/query/pages.py", "from servd.http.codecs import clipper", CODECS),
    ("servd/engine/route.py", "from servd.http.codecs import refusals", CODECS),
    ("servd/schemas/faults.py", "from servd import config", SCHEMAS),
    ("servd/cli/ps.py", "from servd.registry import store", CLIENT),
    ("servd/cli/ps.py", "from servd.http import wire", CLIENT),
    ("model_runtime/health.py", "from servd import errors", RUNTIME),
    ("model_runtime/health.py", "import msgspec", RUNTIME),
    ("k8s_adapter/render.py", "import os", PURE),
    ("servd/packing/targets.py", "import pickle", PICKLES),
    ("servd/packing/formats/onnx.py", "import onnxruntime", PICKLES),
    ("servd/packing/formats/xgboost.py", "from xgboost import Booster", PICKLES),
]


@pytest.mark.parametrize(("file", "lines", "contract"), BREAKS)
def test_a_break_is_found(copy, file, lines, contract):
    """One import too many, or a module that has no floor, breaks the contract that forbids it."""
    with (copy / file).open("a") as opened:
        opened.write(f"\n{lines}\n")
    assert contract in broken(copy)


def test_the_query_server_does_not_name_clipper():
    """Not in its words either: what is Clipper's is in codecs/ and in the admin API of its name."""
    for file in (ROOT / "servd/http/query").glob("*.py"):
        assert "clipper" not in file.read_text().lower(), file
