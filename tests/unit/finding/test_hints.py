"""A load that failed for what lies in the project says where that is."""

import pytest

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
