"""From a target to the files that a replica loads."""

import json
import pickle
from importlib.metadata import version
from pathlib import Path

import pytest
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier

from model_runtime.bundle import digest_of
from model_runtime.manifest import Manifest
from servd import names
from servd.errors import TargetError
from servd.finding.layout import Layout, plan_layout
from servd.packing.bundling import (
    BundleOptions,
    BundlePlan,
    build,
    choose_name,
    packed,
    plan_bundle,
)
from servd.packing.targets import Found, Target, parse_target
from tests.replicas import bundle_tar


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return the working folder, with a function, a module and data."""
    (tmp_path / "helpers.py").write_text("A = 1\n")
    (tmp_path / "func.py").write_text(
        "import helpers\n\ndef total(inputs):\n    return [sum(x) for x in inputs]\n\n\n"
        "class Model:\n    def predict(self, X):\n        return X\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("a b\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(target="func.py:total", **options):
    """Return the plan of a target in the working folder."""
    return plan_bundle(parse_target(target), BundleOptions(**options), Path.cwd())


def test_a_bundle_holds_the_files_and_the_manifest(project, tmp_path_factory):
    """The digest is that of what a replica will see."""
    plan = planned(include=("data/*.txt",), method=None, example=[1.0])
    folder = tmp_path_factory.mktemp("bundle")
    digest = build(plan, folder)
    manifest = json.loads((folder / "model.json").read_text())
    assert digest == digest_of(folder)
    assert manifest["file"] == "func.py"
    assert manifest["object"] == "total"
    assert manifest["input_type"] == "doubles"
    assert manifest["example"] == [1.0]
    assert (folder / "files" / "helpers.py").read_text() == "A = 1\n"
    assert (folder / "files" / "data" / "words.txt").is_file()
    assert project.is_dir()


def test_the_packages_of_included_pickles_are_in_the_manifest(project, tmp_path_factory):
    """A file that only unpickles does not import them, and yet an image has to have them."""
    (project / "model.pkl").write_bytes(pickle.dumps(DummyClassifier()))
    (project / "notes.pickle").write_text("no pickle at all")
    folder = tmp_path_factory.mktemp("bundle")
    build(planned("func.py:Model", include=("*.pkl", "*.pickle")), folder)
    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["packages"]["scikit-learn"] == version("scikit-learn")
    assert "scikit-learn" not in planned("func.py:Model").manifest.packages


@pytest.mark.parametrize("is_table", [True, False], ids=["a table", "an array"])
def test_what_makes_tables_is_a_package_of_a_model_that_was_fitted_on_one(project, is_table):
    """The model names columns and no library: an image without one could not call it."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]})
    model = DecisionTreeClassifier().fit(frame if is_table else frame.to_numpy(), [0, 1])
    (project / "model.pkl").write_bytes(pickle.dumps(model))
    packages = planned("model.pkl").manifest.packages
    assert packages.get("pandas") == (version("pandas") if is_table else None)
    assert packages["scikit-learn"] == version("scikit-learn")


def test_what_makes_arrays_is_a_package_of_a_class_for_seldon_core(project):
    """Its messages become arrays, though its file imports nothing."""
    text = "class Score:\n    def predict(self, X, names):\n        return X\n"
    (project / "score.py").write_text(text)
    assert planned("score.py:Score").manifest.packages == {"numpy": version("numpy")}


def test_the_same_files_have_the_same_digest(project, tmp_path_factory):
    """Nothing of the time or the place is in it."""
    assert project
    digests = {build(planned(), tmp_path_factory.mktemp("bundle")) for _ in range(2)}
    assert len(digests) == 1


def test_what_is_sent_is_what_would_be_built(project, tmp_path_factory):
    """The tar is made of the files where they lie, with the size and digest of the bundle."""
    assert project
    folder = tmp_path_factory.mktemp("bundle")
    plan = planned()
    digest = build(plan, folder)
    sent = packed(plan)
    assert sent.digest() == digest
    assert b"".join(sent.chunks()) == bundle_tar(folder)
    assert sent.size == len(bundle_tar(folder))


def test_the_description_counts_what_comes_along(project):
    """People see what is sent."""
    assert planned().description == "func.py + 1 local module (helpers.py)"
    for name in "abcd":
        (project / "data" / f"{name}.txt").write_text(name)
    described = planned(include=("data",)).description
    assert described.endswith("+ 5 files (a.txt, b.txt, c.txt, …; 8 B)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"include": ("*.nope",)}, "matches no file"),
        ({"include": ("/etc/*",)}, "--include /etc"),
        ({"method": "predict_proba"}, "not for functions"),
    ],
)
def test_options_that_do_not_fit_are_refused(project, options, message):
    """Nothing is written."""
    assert project
    with pytest.raises(TargetError, match=message):
        planned(**options)


def test_data_far_outside_the_project_is_refused(project):
    """A bundle keeps the places of the files to each other; code is found wherever it lies."""
    inner = project / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("")
    (inner / "f.py").write_text("def f(x):\n    return x\n")
    with pytest.raises(TargetError, match=r"--include /etc/hostname: it is outside the project"):
        planned("inner/f.py:f", include=("/etc/hostname",))
    beside = planned("inner/f.py:f", include=("data/words.txt", "helpers.py"))
    assert beside.manifest.file == "inner/f.py"
    names = {entry["name"] for entry in beside.contents}
    assert names == {"inner/f.py", "helpers.py", "data/words.txt"}


def test_a_file_that_vanishes_is_named(project, tmp_path_factory):
    """It may be removed between the look and the copy."""
    plan = planned()
    (project / "helpers.py").unlink()
    with pytest.raises(TargetError, match=r"helpers\.py cannot be copied: No such file"):
        build(plan, tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize(
    ("file", "object_", "expected"),
    [
        ("func.py", "total", ("total", "")),
        ("credit.py", "predict", ("credit", "'predict' is reserved")),
        ("predict.py", "predict", ("predict-model", "'predict' is reserved")),
        ("my model.py", "größe", ("gr-e", "'größe' breaks the rules")),
        ("x.py", "ñ", ("model", "'ñ' breaks the rules")),
    ],
)
def test_the_default_name_keeps_the_rules(project, file, object_, expected):
    """A name that breaks them, or is a path of the query API, is replaced and said."""
    (project / file).write_text(f"def {object_}(inputs):\n    return inputs\n")
    plan = plan_bundle(Target(project / file, object_), BundleOptions(), project)
    assert choose_name(plan) == expected
    names.check_model_name(expected[0])
    names.check_application_name(expected[0])


def made_plan(folder, *names, object_=None):
    """Return a plan of files that are there, without looking at what they are."""
    for name in names:
        (folder / name).write_bytes(b"x" * 500)
    target = Target(folder / names[0], object_)
    files = tuple(folder / name for name in names)
    found = Found(
        project=folder,
        layout=Layout(folder),
        files=files,
        kind="pickle",
        object=object_,
        packages={},
    )
    manifest = Manifest(loader="pickle", file=names[0], kind="pickle")
    return BundlePlan(target, found, manifest, files)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["m.pkl"], "m.pkl"),
        (["m.pkl", "a.py"], "m.pkl + 1 local module (a.py)"),
        (["m.pkl", "a.py", "b.py", "c.py"], "m.pkl + 3 local modules (a.py, b.py, c.py)"),
        (["m", "1.py", "2.py", "3.py", "4.py"], "m + 4 local modules (1.py, 2.py, 3.py, …)"),
        (["m.pkl", "a.txt"], "m.pkl + 1 file (a.txt; 500 B)"),
        (["m.pkl", "a", "b", "c"], "m.pkl + 3 files (a, b, c; 1.5 kB)"),
        (["m.pkl", "a.so", "b.py"], "m.pkl + 1 local module (b.py) + 1 file (a.so; 500 B)"),
    ],
)  # fmt: skip
def test_a_description_lists_three_of_each(tmp_path, names, said):
    """More are counted; data are told with their size."""
    assert made_plan(tmp_path, *names).description == said


def test_contents_are_told_by_name_and_size(tmp_path):
    """For programs; a file that has vanished is told of when it is copied."""
    plan = made_plan(tmp_path, "m.pkl", "a.txt")
    (tmp_path / "a.txt").unlink()
    assert plan.contents == [{"name": "m.pkl", "bytes": 500}, {"name": "a.txt", "bytes": 0}]


@pytest.mark.parametrize(
    ("object_", "expected"),
    [
        ("x" * 300, "x" * names.MAX_LENGTH),
        ("-.ab.-", "ab"),
        ("a_b.c-d9", "a_b.c-d9"),
        ("a  b", "a-b"),
    ],
)
def test_a_name_is_changed_as_little_as_the_rules_want(tmp_path, object_, expected):
    """Its letters, its length, its ends."""
    name, why = choose_name(made_plan(tmp_path, "m.pkl", object_=object_))
    assert name == expected
    assert bool(why) == (expected != object_)


def test_files_lie_in_a_bundle_as_their_layout_says(tmp_path):
    """Below the project, or under a name for each folder elsewhere."""
    project, elsewhere = tmp_path / "p", Path("/usr/share/x")
    layout = plan_layout(project, [project, elsewhere, project.parent / "q"], [])
    assert layout.root == tmp_path
    assert layout.name_of(project / "a" / "b.py") == "p/a/b.py"
    assert layout.name_of(elsewhere / "lib" / "c.py") == "outside/0/lib/c.py"
    assert layout.name_of(elsewhere) == "outside/0"
    with pytest.raises(ValueError, match="is outside the project"):
        layout.name_of(Path("/etc/hosts"))
