"""What a TARGET of `servd deploy` turns out to be."""

import os
import pickle
import sys
from pathlib import Path

import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from model_runtime.contract import distribution
from servd.errors import TargetError
from servd.packing.kinds import find
from servd.packing.targets import Target, parse_target

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a folder with a function, its local module and a class; it is the working one."""
    (tmp_path / "helpers.py").write_text("def total(x):\n    return sum(x)\n")
    (tmp_path / "func.py").write_text(
        "import helpers\n\n"
        "def feature_sum(inputs: list[list[int]]) -> list[int]:\n"
        "    return [helpers.total(x) for x in inputs]\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_target_is_a_file_and_perhaps_an_object(project):
    """The name stands behind the last colon."""
    assert parse_target("func.py:feature_sum") == Target(project / "func.py", "feature_sum")
    assert parse_target("func.py") == Target(project / "func.py", None)
    assert parse_target("func.py:") == Target(project / "func.py", None)


@pytest.mark.parametrize("text", ["nothing", "func.txt:f", "model.pkl:x"])
def test_what_has_none_of_the_forms_is_refused(project, text):
    """The hint lists the forms."""
    assert project
    with pytest.raises(TargetError, match="is not something to deploy") as caught:
        parse_target(text)
    assert "file.py:function" in caught.value.hint


def test_a_pickle_is_known_by_the_name_of_its_link(project):
    """Data stores keep a model as a blob without an ending, and a link to it."""
    (project / "blob").write_bytes(pickle.dumps(LogisticRegression()))
    (project / "model.pkl").symlink_to(project / "blob")
    target = parse_target("model.pkl")
    assert target == Target(project / "model.pkl", None)
    assert find(target).files == (project / "model.pkl",)


def test_a_folder_or_pipe_is_not_a_missing_file(project):
    """Its name may end as a pickle's does; no nearest name is offered, which would be its own."""
    (project / "model.pkl").mkdir()
    (project / "dangling.pkl").symlink_to(project / "gone.pkl")
    with pytest.raises(TargetError, match=r"there is no file dangling\.pkl") as caught:
        parse_target("dangling.pkl")
    assert "is a link to" in caught.value.message
    assert "did you mean" not in caught.value.hint
    os.mkfifo(project / "pipe.pkl")
    with pytest.raises(TargetError, match=r"pipe\.pkl is not a file, but a pipe"):
        parse_target("pipe.pkl")
    with pytest.raises(TargetError, match=r"model\.pkl is a folder"):
        find(parse_target("model.pkl"))
    (project / "code.py").mkdir()
    with pytest.raises(TargetError, match=r"code\.py is not a file"):
        parse_target("code.py:f")


def test_a_missing_file_names_the_nearest(project):
    """Did you mean."""
    assert project
    with pytest.raises(TargetError, match=r"there is no file fun\.py") as caught:
        parse_target("fun.py:feature_sum")
    assert caught.value.hint == "did you mean func.py?"
    with pytest.raises(TargetError, match="there is no file"):
        parse_target("none/func.py")


def test_a_function_brings_its_local_modules(project):
    """Annotations say the input type; the local modules are among the files."""
    found = find(parse_target("func.py:feature_sum"))
    assert found.kind == "function"
    assert {path.name for path in found.files} == {"func.py", "helpers.py"}
    assert found.layout.root == project
    assert found.signature is not None
    assert found.signature.input_type == "integers"


def test_the_only_object_of_a_file_needs_no_name(project):
    """`file.py` is enough where there is one thing to deploy."""
    assert project
    assert find(parse_target("func.py")).object == "feature_sum"


def test_several_objects_are_listed(project):
    """The hint holds the targets to choose from."""
    (project / "two.py").write_text("def a(x): ...\nclass B: ...\n")
    with pytest.raises(TargetError, match="defines 2 functions and classes: a, B") as caught:
        find(parse_target("two.py"))
    assert "two.py:a, two.py:B" in caught.value.hint


def test_a_file_without_an_object_is_refused(project):
    """There is nothing to call."""
    (project / "empty.py").write_text("X = 1\n")
    with pytest.raises(TargetError, match="no public function and no class"):
        find(parse_target("empty.py"))


def test_a_misspelt_object_names_the_command_that_works(project):
    """The hint can be run as it stands."""
    assert project
    with pytest.raises(TargetError, match=r"func\.py has no 'feature_sun'") as caught:
        find(parse_target("func.py:feature_sun"))
    assert caught.value.hint == "did you mean feature_sum?   servd deploy func.py:feature_sum"


@pytest.mark.parametrize(
    ("file", "message", "frame"),
    [
        ("syntax_error.py", "SyntaxError", "line 5"),
        ("raises_on_load.py", "ValueError: weights are damaged", "read_weights"),
        ("import_error.py", "No module named 'surely_not", "line 3"),
        ("exits_on_load.py", "SystemExit: done training", "line 10"),
    ],
)
def test_a_file_that_does_not_load_shows_its_own_frames(file, message, frame):
    """Neither servd's nor Python's import frames are in the traceback."""
    with pytest.raises(TargetError, match=message) as caught:
        find(Target(MODELS / file, "predict"))
    assert frame in caught.value.traceback
    assert "importlib" not in caught.value.traceback
    assert "model_runtime/" not in caught.value.traceback


def test_a_file_that_hangs_is_given_up():
    """The message says after how long, the hint how to wait longer."""
    with pytest.raises(TargetError, match=r"still loading after 0\.5 s") as caught:
        find(Target(MODELS / "hangs_on_load.py", "predict"), timeout_s=0.5)
    assert "SERVD_LOAD_TIMEOUT" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("os._exit(5)", "exit code 5"),
        ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    ],
)
def test_a_file_that_ends_its_process_is_refused(project, code, ending):
    """What it printed last comes with the error."""
    (project / "dies.py").write_text(f"import os\nprint('so long', flush=True)\n{code}\n")
    with pytest.raises(TargetError, match=ending) as caught:
        find(parse_target("dies.py:f"))
    assert "so long" in caught.value.traceback


def test_a_pickle_tells_its_versions(project):
    """Framework, version and number of features are read, not loaded."""
    model = LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    (project / "m.pkl").write_bytes(pickle.dumps(model))
    found = find(parse_target("m.pkl"))
    assert found.kind == "pickle"
    assert found.row_items == 2
    assert found.packages["scikit-learn"] == sklearn.__version__
    assert found.summary == f"pickle protocol 4, scikit-learn {sklearn.__version__}"
    assert found.remarks == ()


def test_a_pickle_of_another_version_is_remarked_on(project):
    """It is said before anything is loaded."""
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    version = sklearn.__version__.encode()
    old = b"0.1.9".ljust(len(version), b"9")
    (project / "m.pkl").write_bytes(pickle.dumps(model).replace(version, old))
    found = find(parse_target("m.pkl"))
    assert "was made with scikit-learn 0.1.9" in found.remarks[0]


def test_a_pickle_that_needs_a_missing_package_is_refused(project):
    """The hint installs it."""
    (project / "m.pkl").write_bytes(b"\x80\x02csurely_missing\nModel\n)\x81.")
    with pytest.raises(TargetError, match="needs surely_missing, which is not installed") as error:
        find(parse_target("m.pkl"))
    assert error.value.hint == "pip install surely_missing"


def test_a_module_beside_the_pickle_comes_along(project):
    """A class of the user's own travels with its model."""
    (project / "own_model.py").write_text("class Model: ...\n")
    (project / "own_package").mkdir()
    (project / "own_package" / "__init__.py").write_text("class Model: ...\n")
    (project / "m.pkl").write_bytes(b"\x80\x02cown_model\nModel\n)\x81.")
    assert {path.name for path in find(parse_target("m.pkl")).files} == {"m.pkl", "own_model.py"}
    (project / "n.pkl").write_bytes(b"\x80\x02cown_package\nModel\n)\x81.")
    assert {path.name for path in find(parse_target("n.pkl")).files} == {"n.pkl", "__init__.py"}


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        (b"(dp0\nS'weights'\np1\n(lp2\nF1.5\nas.", "written by Python 2"),
        (b"\x80\x02c__main__\nMine\n)\x81.", r"of the script that wrote it"),
    ],
)
def test_what_may_go_wrong_is_remarked_on(project, content, remark):
    """Python 2 and __main__ are said before the load."""
    (project / "m.pkl").write_bytes(content)
    assert remark in find(parse_target("m.pkl")).remarks[0]


def test_distributions_are_named_as_pip_names_them():
    """The module's name is not always the package's."""
    assert distribution("sklearn") == "scikit-learn"
    assert distribution("xgboost") == "xgboost"
    assert "sklearn" in sys.modules
