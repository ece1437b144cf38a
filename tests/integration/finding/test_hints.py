"""A load that failed for what lies in the project says where that is."""

import pytest

from servd.errors import TargetError

FILES = {
    "model.py": "def predict(xs):\n    return xs\n",
    "tools/pre.py": "",
    "pkg/deep/__init__.py": "",
    "data/words.txt": "",
    ".hidden/secret.py": "",
    "env/pyvenv.cfg": "",
    "env/lib/installed.py": "",
}


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("ModuleNotFoundError: No module named 'pre'", "tools/pre.py"),
        ("test call: ModuleNotFoundError: No module named 'deep.er'", "pkg/deep"),
        ("ModuleNotFoundError: No module named 'secret'", ""),
        ("ModuleNotFoundError: No module named 'installed'", ""),
        ("ModuleNotFoundError: No module named 'nowhere'", ""),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'words.txt'", "data/words.txt"),
        ("FileNotFoundError: No such file or directory: '/x/data/words.txt'", "data/words.txt"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'none.txt'", ""),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'model.py'", ""),
        ("ValueError: weights are damaged", ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_looked_for_in_the_project(projects, message, hint):
    """By its name; not in what is hidden or installed, and not what has come along."""
    projects.write(FILES)
    plan = projects.plan("model.py:predict")
    found = plan.failure_hint(message, projects.root)
    assert found == (f"{hint} is there and was not taken along: --include {hint}" if hint else "")


def test_it_is_looked_for_above_and_beside_as_well(projects):
    """And named as one would type it there."""
    projects.write({"svc/pyproject.toml": "", "svc/model.py": FILES["model.py"], "lib/pre.py": ""})
    plan = projects.plan("model.py:predict", cwd="svc")
    message = "ModuleNotFoundError: No module named 'pre'"
    assert "--include ../lib/pre.py" in plan.failure_hint(message, projects.root / "svc")
    taken = projects.plan("model.py:predict", "../lib/pre.py", cwd="svc")
    assert "lib/pre.py" in {entry["name"] for entry in taken.contents}


MISSING = {
    "sqlite": "sqlite3.OperationalError: unable to open database file",
    "h5py": "FileNotFoundError: [Errno 2] Unable to synchronously open file (unable to open file: "
    "name = 'w.bin', errno = 2, error message = 'No such file or directory')",
    "onnxruntime": "NoSuchFile: [ONNXRuntimeError] : 3 : NO_SUCHFILE : Load model from w.bin "
    "failed:Load model w.bin failed. File doesn't exist",
    "xgboost": "XGBoostError: [10:00:00] /workspace/dmlc-core/src/io/local_filesys.cc:9: Check "
    'failed: allow_null:  LocalFileSystem::Open "w.bin": No such file or directory',
    "lightgbm": "LightGBMError: Could not open w.bin",
    "fasttext": "ValueError: nets/w.bin cannot be opened for loading!",
    "sentencepiece": 'OSError: Not found: "nets/w.bin": No such file or directory Error #2',
    "torch": "ValueError: The provided filename /tmp/servd-model-x/files/nets/w.bin does not exist",
    "a folder": "OSError: nets is not a local folder and is not a valid model identifier",
    "numpy": "FileNotFoundError: nets/w.bin not found.",
    "a name in the test call": "test call: RuntimeError: failed to load nets/w.bin",
}  # fmt: skip


@pytest.mark.parametrize("library", MISSING)
def test_libraries_say_in_their_own_words_what_they_miss(projects, library):
    """What lies in the project and has not come along is named, with what takes it."""
    projects.write({"model.py": FILES["model.py"], "nets/w.bin": "", "data/t.sqlite": ""})
    plan = projects.plan("model.py:predict")
    wanted = {"sqlite": "data/t.sqlite", "a folder": "nets"}.get(library, "nets/w.bin")
    hint = plan.failure_hint(MISSING[library], projects.root)
    assert hint == f"{wanted} is there and was not taken along: --include {wanted}"
    plan = projects.plan("model.py:predict", "nets", "data")
    assert plan.failure_hint(MISSING[library], projects.root) == ""


def test_every_place_of_a_name_is_named(projects):
    """Of a module and of a file; which one is meant nobody can know."""
    projects.write(
        {
            "model.py": FILES["model.py"],
            **{f"{folder}/pre.py": "" for folder in "abcdefg"},
            **{f"{folder}/words.txt": "" for folder in "ab"},
        }
    )
    plan = projects.plan("model.py:predict")
    hint = plan.failure_hint("ModuleNotFoundError: No module named 'pre'", projects.root)
    assert hint == (
        "a/pre.py, b/pre.py, c/pre.py, d/pre.py, e/pre.py, and 2 more are there and none was taken "
        "along: --include the one that is meant, for example --include a/pre.py"
    )
    hint = plan.failure_hint(
        "FileNotFoundError: [Errno 2] No such file: 'words.txt'", projects.root
    )
    assert hint.startswith("a/words.txt, b/words.txt are there and none was taken along: --include")


WRONG_ONE = [
    "ImportError: cannot import name 'scale' from 'pre' (/x/files/a/pre.py)",
    "AttributeError: module 'pre' has no attribute 'scale'",
    "AttributeError: Can't get attribute 'Step' on <module 'pre' from '/x/files/a/pre.py'>",
    "ModuleNotFoundError: No module named 'pre.x'; 'pre' is not a package",
]


@pytest.mark.parametrize("message", WRONG_ONE)
def test_where_the_wrong_one_of_a_name_was_taken_both_are_named(projects, message):
    """Which one came, which did not, and how to choose."""
    projects.write({"model.py": FILES["model.py"], "a/pre.py": "", "b/pre.py": ""})
    plan = projects.plan("model.py:predict", "a/pre.py")
    hint = plan.failure_hint(message, projects.root)
    assert hint.startswith("for pre a/pre.py was taken along; of that name is also b/pre.py. ")
    assert "--include b/pre.py takes that" in hint
    plan = projects.plan("model.py:predict", "a/pre.py", "b/pre.py")
    assert plan.failure_hint(message, projects.root) == ""


def test_of_a_package_in_several_folders_the_part_that_is_missed_is_named(projects):
    """Not the part that has come along."""
    projects.write(
        {"model.py": "import ns.a\n" + FILES["model.py"], "ns/a.py": "", "lib/ns/b.py": ""}
    )
    plan = projects.plan("model.py:predict")
    message = "ModuleNotFoundError: No module named 'ns.b'"
    assert plan.failure_hint(message, projects.root) == (
        "lib/ns/b.py is there and was not taken along: --include lib/ns/b.py"
    )
    assert plan.failure_hint(message.replace("ns.b", "ns.c"), projects.root) == ""


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import ns.a, ns.b\n", "lib/ns/b.py is there, but not where Python would look for it"),
        ("from pre import y\n", "for pre pre.py was taken along; of that name is also lib/pre.py"),
        (
            "open('words.txt')\n",
            "lib/words.txt is there, but not where the code looks: deploy from",
        ),
        ("import ns.none\n", "if ns is a file of yours"),
    ],
)
def test_a_target_that_fails_in_its_project_is_told_where_things_lie(projects, code, hint):
    """Nothing was made of it yet, and what it lacks may lie elsewhere in the project."""
    projects.write(
        {
            "model.py": code + FILES["model.py"],
            "pre.py": "",
            "ns/a.py": "",
            "lib/pre.py": "y = 1\n",
            "lib/ns/b.py": "",
            "lib/words.txt": "",
        }
    )
    with pytest.raises(TargetError) as caught:
        projects.plan("model.py:predict")
    assert caught.value.hint.startswith(hint)
