"""Where services are deployed to: clusters of any manager, and replicas without servd."""

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from servd.bento.clipper import deploy_bentoml
from servd.bento.exceptions import BentoMLException
from servd.packing.bundling import BundleOptions, build, plan_bundle
from servd.packing.targets import parse_target
from tests.bentos import old_bundle

ROOT = Path(__file__).parents[3]
SERVICE = """
from servd.bento import BentoService, api, artifacts, load, save
from servd.bento.adapters import StringInput
from servd.bento.artifact import JSONArtifact
from servd.bento.clipper import deploy_bentoml

@artifacts([JSONArtifact("settings")])
class Loud(BentoService):
    @api(input=StringInput(), batch=True)
    def shout(self, texts):
        return [text.upper() + self.artifacts.settings["end"] for text in texts]

if __name__ == "__main__":
    print(Loud().pack("settings", {"end": "!"}).save())
"""
ALONE = """
import importlib.util, sys
from pathlib import Path
root, lib, bundle = sys.argv[1:]
sys.path[:] = [lib, *(each for each in sys.path if each != root)]
sys.meta_path[:] = [each for each in sys.meta_path if "editable" not in repr(each).lower()]
assert importlib.util.find_spec("servd") is None
from model_runtime import inputs, loaders
model = loaders.load(Path(bundle))
print(model.predictor.predict(inputs.pack(["a"], "strings", model.signature)))
import bentoml.adapters, servd.bento
print(servd.bento.BentoService is bentoml.BentoService)
"""


def test_a_replica_has_the_names_of_the_service_where_servd_is_not(tmp_path, monkeypatch):
    """In a container there is the runtime alone, and neither servd nor BentoML."""
    (tmp_path / "loud.py").write_text(SERVICE)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    saved = run("loud.py").strip()
    plan = plan_bundle(parse_target(f"{saved}:shout"), BundleOptions(), tmp_path)
    (tmp_path / "bundle").mkdir()
    build(plan, tmp_path / "bundle")
    shutil.copytree(ROOT / "model_runtime", tmp_path / "lib" / "model_runtime")
    words = (str(ROOT), str(tmp_path / "lib"), str(tmp_path / "bundle"))
    assert run("-c", textwrap.dedent(ALONE), *words) == "[b'\"A!\"']\nTrue\n"


class _Manager:
    """What every manager has, those of clipper_admin too."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get_admin_addr(self) -> str:
        return f"127.0.0.1:{self._port}"


class _Connection:
    """What is looked at of a connection, clipper_admin's or servd's."""

    connected = True

    def __init__(self, port: int) -> None:
        self.cm = _Manager(port)


def test_a_connection_of_clipper_admin_is_enough(daemon, tmp_path):
    """The cluster is where its manager says that it is; what fails is told with its reason."""
    bundle = old_bundle(tmp_path / "OldIris")
    connection = _Connection(daemon.admin_port)
    made = deploy_bentoml(connection, bundle, "predict_clipper", labels=["iris"])
    assert made == ("oldiris-predict-clipper", "20191113154121-123456")
    assert "oldiris-predict-clipper" in daemon.cli("model", "ls").stdout
    named = deploy_bentoml(connection, bundle, "predict_clipper", model_name="other")
    assert named[0] == "other"
    (bundle / "OldIris" / "old_iris.py").write_text("1 / 0\n")
    with pytest.raises(BentoMLException, match="ZeroDivisionError"):
        deploy_bentoml(connection, bundle, "predict_clipper", model_name="third")
