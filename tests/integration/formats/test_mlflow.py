"""MLflow's folders: read without MLflow, loaded by it, and the answers compared with its own."""

import re
import shutil

import pytest

from servd.environments import interpreter
from servd.errors import TargetError
from servd.finding.needs import Place
from servd.packing.formats import needed, table
from servd.packing.formats.peek import Peek
from servd.packing.targets import Asked
from tests import formats


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of MLflow's folders, and what MLflow answers by each."""
    folder = tmp_path_factory.mktemp("mlflow")
    return folder, formats.made("mlflow_models", folder)


@pytest.fixture(scope="module")
def loaded(made, tmp_path_factory):
    """What came of all of them in an environment with MLflow."""
    files, told = made
    folder = tmp_path_factory.mktemp("bundles")
    asked, keys = {}, {}
    for name in told:
        bundle = formats.bundled(folder / name, "mlflow", files / name / "MLmodel")
        asked[bundle], keys[bundle] = told[name][0], name
    climbing = folder / "climbing"
    formats.bundled(climbing, "mlflow", files / "income" / "MLmodel")
    file = climbing / "files" / "MLmodel"
    file.write_text(file.read_text().replace("model_path: ", "model_path: ../../"))
    asked[climbing], keys[climbing] = [], "climbing"
    said = formats.asked(asked, "mlflow.pyfunc")
    return {keys[bundle]: each for bundle, each in said.items()}


@pytest.mark.parametrize("name", ["income", "kinds", "sums"])
def test_answers_are_mlflow_s_own(made, loaded, name):
    """Each as the model's signature wants its inputs: narrow numbers, dates, arrays."""
    wanted = made[1][name][1]
    said = loaded[name]
    assert said.get("single") == wanted, said
    assert said["batch"] == wanted
    assert said["test"]["state"] == "ok"


def test_the_example_that_it_was_saved_with_is_what_is_tried(loaded):
    """Its values stand in the fields."""
    assert loaded["income"]["test"]["input"] == {"age": 20.0, "income": 20 / 7}


def test_a_path_that_climbs_out_is_refused_where_it_is_loaded(loaded):
    """Whatever has made the bundle."""
    assert "leads out of its folder" in loaded["climbing"]["error"]["message"]


def inspected(path):
    """Return what a folder says of itself."""
    return table.choose(path, None).inspect(Peek(path), Asked())


def test_its_requirements_are_compared_with_the_environment(made, tmp_path):
    """What is missing is named with the command, another version is said; both before it loads."""
    said = inspected(made[0] / "income")
    place = Place(cwd=tmp_path, interpreter=interpreter.at(formats.environment()))
    assert "scikit-learn" in needed.checked("income", said.needs, place)
    remarks = needed.remarks(said.needs, place)
    assert "not-there==3.0, which is not installed" in remarks[0]
    # By pip, or by uv where the environment has none of its own.
    assert re.search(r"pip install (--python \S+ )?'not-there==3\.0'$", remarks[0])
    assert any(each.startswith("model was made with scikit-learn 1.2.0") for each in remarks)


MODEL = """
flavors:
  python_function:
    loader_module: {module}
    model_path: {path}
mlflow_version: 2.9.0
"""


@pytest.mark.parametrize(
    ("module", "path"),
    [
        ("mlflow.sklearn", "../../../etc/passwd"),
        ("mlflow.sklearn", "/etc/passwd"),
        ("mlflow.sklearn", "'..\\\\up'"),
        ("../evil", "model.pkl"),
        ("os; import evil", "model.pkl"),
        ("''", "model.pkl"),
    ],
)
def test_what_leads_out_of_the_folder_is_refused(tmp_path, module, path):
    """A path as well as what stands for a module."""
    (tmp_path / "MLmodel").write_text(MODEL.format(module=module, path=path))
    with pytest.raises(TargetError, match=r"leads out of its folder|is no module's name"):
        inspected(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "says nothing"),
        (b"[1, 2]", "says nothing"),
        (b"a: [", "is no YAML"),
        (b"\xff\xfe\x00", "is no YAML"),
        (b"flavors: {sklearn: {}}", "no python_function flavor .it has sklearn."),
        (b"flavors: none", "names no flavors"),
        (b"!!python/object/apply:os.system ['touch pwned']", "is no YAML"),
    ],
)
def test_a_damaged_mlmodel_is_told(tmp_path, content, words):
    """Nothing in it is run."""
    (tmp_path / "MLmodel").write_bytes(content)
    with pytest.raises(TargetError, match=words):
        inspected(tmp_path)


def test_a_folder_that_is_two_formats_names_both(made, tmp_path):
    """And the flag that chooses."""
    shutil.copytree(made[0] / "income", tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TargetError, match=r"MLflow model .mlflow. and a Hugging Face") as refusal:
        table.choose(tmp_path / "model", None)
    assert "--loader mlflow or --loader transformers" in refusal.value.hint
