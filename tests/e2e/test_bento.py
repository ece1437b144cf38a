"""Services of BentoML 0.13, as users save and deploy them; docs/bentoml.md."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bentos import OLD_MODULE, old_bundle
from tests.daemon import Daemon
from tests.e2e.steps import running_daemon

TRAINED = """
from sklearn import svm
from sklearn import datasets
clf = svm.SVC()
iris = datasets.load_iris()
X, y = iris.data, iris.target
fitted = clf.fit(X, y)
"""
SERVICE = """
from servd.bento import BentoService, api, env, artifacts
from servd.bento.artifact import PickleArtifact
from servd.bento.adapters import DataframeInput, ClipperFloatsInput

@artifacts([PickleArtifact('model')])
@env(pip_dependencies=["scikit-learn"])
class IrisClassifier(BentoService):
    @api(input=DataframeInput())
    def predict(self, df):
        return self.artifacts.model.predict(df)
    @api(input=ClipperFloatsInput())
    def predict_clipper(self, inputs):
        return self.artifacts.model.predict(inputs)

"""
SAVED = """
svc = IrisClassifier()
packed = svc.pack('model', clf)
saved_path = svc.save()
svc.predict_clipper([X[0]])
"""
DEPLOYED = """
import json, urllib.request
from servd.clipper import ClipperConnection, LocalContainerManager
cl = ClipperConnection(LocalContainerManager())
cl.start_clipper()
cl.register_application('bentoml-test', 'floats', 'default_pred', 100000)
from servd.bento.clipper import deploy_bentoml
clipper_model_name, clipper_model_version = deploy_bentoml(cl, saved_path, 'predict_clipper')
(clipper_model_name, clipper_model_version)
cl.get_all_models()
cl.link_model_to_app('bentoml-test', clipper_model_name)
addr = cl.get_query_addr()
headers = {"Content-type": "application/json"}
data = json.dumps({'input': [6.5, 3.0, 5.8, 2.2]}).encode()
url = "http://%s/%s/predict" % (addr, 'bentoml-test')
request = urllib.request.Request(url, data, headers)
result = json.load(urllib.request.urlopen(request))
sorted(result.items())
deploy_bentoml(cl, saved_path, 'predict')
cl.stop_all()
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """Yield one daemon for all tests here that do not start their own."""
    with running_daemon() as running:
        yield running


@pytest.mark.parametrize("is_typed", [True, False])
def test_the_guide_typed_into_an_interpreter(idle_daemon, tmp_path, is_typed):
    """Its numbers, names and tuples come, whether the class is typed in or in a file beside."""
    if not is_typed:
        (tmp_path / "iris_classifier.py").write_text(SERVICE)
    service = SERVICE if is_typed else "from iris_classifier import IrisClassifier\n"
    home = idle_daemon.data_dir.parent / "home"
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        cwd=tmp_path,
        env=idle_daemon.env | {"BENTOML_HOME": str(home), "PYTHON_BASIC_REPL": "1"},
        input=TRAINED + service + SAVED + DEPLOYED,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    [saved] = (home / "repository" / "IrisClassifier").iterdir()
    version = saved.name.lower().replace("_", "-")
    name = "irisclassifier-predict-clipper"
    answer = "[('default', False), ('output', 2), ('query_id', 0)]"
    assert done.stdout.splitlines() == [
        "array([0])",
        f"('{name}', '{version}')",
        f"['{name}:{version}']",
        answer,
    ], done.stderr
    assert f"BentoService bundle 'IrisClassifier:{saved.name}' created at: {saved}" in done.stderr
    refusal = "Only BentoService APIs using ClipperInput can be deployed to Clipper"
    assert f"BentoMLException: {refusal}" in done.stderr


def test_each_api_of_a_bundle_that_bentoml_has_written_is_a_model(daemon, tmp_path):
    """Its code imports bentoml, which is not there; each API answers in its own input type."""
    bundle = old_bundle(tmp_path / "OldIris")
    done = daemon.cli("deploy", str(bundle), "--slo", "10s")
    assert done.returncode == 0, done.stderr
    row = [6.5, 3.0, 5.8, 2.2]
    table = [dict(zip("abcd", each, strict=True)) for each in (row, [5.0, 3.4, 1.5, 0.2])]
    asked = {
        "oldiris-predict": (row, 2),
        "oldiris-predict-clipper": (row, 2),
        "oldiris-typed": (table[0], {"label": 2, "version": "20191113154121_123456"}),
        "oldiris-one": ({"x": row}, {"class": 2}),
        "oldiris-shouted": ("hello", "HELLO"),
    }
    for app, (value, output) in asked.items():
        status, answer = daemon.query(f"/{app}/predict", {"input": value})
        assert (status, answer.get("output")) == (200, output), (app, answer)
    _, answer = daemon.query("/oldiris-predict/predict", {"input": table})
    assert answer["output"] == [2, 0]
    _, answer = daemon.query("/oldiris-typed/predict", {"input": {"a": "x"}})
    assert answer["error"] == "Invalid input"


def test_one_api_is_deployed_by_its_name_and_scaled_as_any_model(daemon, tmp_path):
    """`PATH:api` takes a model's options; the other APIs are none."""
    bundle = old_bundle(tmp_path / "OldIris")
    example = "[6.5, 3.0, 5.8, 2.2]"
    done = daemon.cli("deploy", f"{bundle}:predict", "--name", "only", "--example", example)
    assert done.returncode == 0, done.stderr
    assert "tested with [6.5, 3.0, 5.8, 2.2] -> 2" in done.stdout
    refused = daemon.cli("deploy", str(bundle), "--name", "all")
    assert refused.returncode == 2
    assert "--name is of one model" in refused.stderr


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: (b / "bentoml.yml").write_text("metadata: [\n"), "bentoml.yml is damaged: line"),
        (lambda b: (b / "bentoml.yml").write_text("version: 0.13.1\n"), "no metadata.service_name"),
        (lambda b: (b / "bentoml.yml").write_text("version: 1.0\n"), "is of BentoML 1.0"),
        (lambda b: (b / "OldIris/artifacts/model.pkl").unlink(), "the artifact 'model' of OldIris"),
        (
            lambda b: (b / "OldIris/artifacts/model.pkl").write_bytes(b"\x80\x04junk"),
            "the artifact 'model' (PickleArtifact) cannot be loaded: UnpicklingError",
        ),
        (lambda b: shutil.move(b / "OldIris/old_iris.py", b / "x.py"), "the file of the service"),
        (
            lambda b: (b / "OldIris/old_iris.py").write_text("import bentoml.frameworks.keras\n"),
            "servd does not have bentoml.frameworks.keras",
        ),
        (
            lambda b: (b / "OldIris/old_iris.py").write_text(f"{OLD_MODULE}\n1 / 0\n"),
            "ZeroDivisionError",
        ),
    ],
)
def test_what_is_damaged_is_named(daemon, tmp_path, damage, words):
    """The file, what is wrong with it, and nothing is deployed."""
    bundle = old_bundle(tmp_path / "OldIris")
    damage(bundle)
    done = daemon.cli("deploy", f"{bundle}:predict", "--name", "damaged")
    assert done.returncode == 1, done.stdout
    assert words in done.stderr
    assert "damaged" not in daemon.cli("ps").stdout


def test_an_artifact_with_code_of_another_python_is_refused_before_it_is_read(daemon, tmp_path):
    """What the other has compiled would end the replica."""
    bundle = old_bundle(tmp_path / "OldIris")
    pickle = bundle / "OldIris" / "artifacts" / "model.pkl"
    pickle.write_bytes(b"\x80\x04\x8c\x17cloudpickle.cloudpickle\x8c\x05_x_y_\x93.")
    done = daemon.cli("deploy", f"{bundle}:predict", "--name", "older")
    assert done.returncode == 1
    assert "model.pkl was written by Python 3.7" in done.stderr


def test_a_service_is_tried_without_a_daemon(daemon, tmp_path):
    """`servd test` calls an API as a replica would."""
    bundle = old_bundle(tmp_path / "OldIris")
    done = daemon.cli("test", f"{bundle}:one", "--example", '{"x": [6.5, 3.0, 5.8, 2.2]}')
    assert done.returncode == 0, done.stderr
    assert '{"class": 2}' in done.stdout or '{"class":2}' in done.stdout, done.stdout


def test_a_script_saves_itself_and_its_modules(daemon, tmp_path):
    """A class of `__main__`, a package beside it, and a module that only an artifact needs."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "words.py").write_text("def loud(text):\n    return text.upper()\n")
    (tmp_path / "held.py").write_text("class Held:\n    end = '!'\n")
    script = """
        from servd.bento import BentoService, api, artifacts, load
        from servd.bento.adapters import StringInput
        from servd.bento.artifact import JSONArtifact, PickleArtifact
        from lib import words

        @artifacts([PickleArtifact('held'), JSONArtifact('settings')])
        class Loud(BentoService):
            @api(input=StringInput(), batch=True)
            def shout(self, texts):
                end = self.artifacts.held.end * self.artifacts.settings['times']
                return [words.loud(text) + end for text in texts]

        if __name__ == "__main__":
            import held
            service = Loud().pack('held', held.Held()).pack('settings', {'times': 2})
            path = service.save()
            print(path)
            print(load(path).shout(['a']))
    """
    (tmp_path / "loud.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "loud.py"],
        cwd=tmp_path,
        env=daemon.env | {"BENTOML_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path, shouted = done.stdout.splitlines()
    assert shouted == "['A!!']"
    code = {each.relative_to(path).as_posix() for each in Path(path).rglob("*.py")}
    assert {"Loud/loud.py", "Loud/lib/words.py", "Loud/held.py"} <= code
    deployed = daemon.cli("deploy", path, "--slo", "10s")
    assert deployed.returncode == 0, deployed.stderr
    assert daemon.query("/loud-shout/predict", {"input": "hey"})[1]["output"] == "HEY!!"
