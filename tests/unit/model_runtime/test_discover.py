"""Discovery in a fresh process: what a file holds and what it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def discover(folder, *arguments):
    """Run discover as the CLI does and return its one line."""
    done = subprocess.run(
        [sys.executable, "-m", "model_runtime.discover", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_local_modules_packages_and_prints(tmp_path):
    """Local files and packages are found; prints do not disturb the answer."""
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "app" / "inner").mkdir(parents=True)
    (tmp_path / "app" / "inner" / "__init__.py").write_text("")
    (tmp_path / "app" / "inner" / "deep.py").write_text("import yaml\n")
    (tmp_path / "shared.py").write_text("")
    (tmp_path / "app" / "func.py").write_text(
        "import os, shared\nfrom inner import deep\nprint('hello')\nos.system('echo from C')\n"
        "def f(x: list[str]) -> list[str]:\n    return x\n"
    )
    found = discover(tmp_path, "app/func.py", "f")
    assert (found["kind"], found["input_type"]) == ("function", "strings")
    names = [path.removeprefix(f"{tmp_path}/") for path in found["modules"]]
    assert names == ["app/func.py", "app/inner/__init__.py", "app/inner/deep.py", "shared.py"]
    assert (found["file"], found["sys_path"]) == ("app/func.py", ["app", "."])
    assert list(found["packages"]) == ["PyYAML"]


@pytest.mark.parametrize(
    ("annotation", "input_type", "as_lists"),
    [
        ("list[list[int]]", "integers", True),
        ("'list[list[float]]'", "doubles", True),
        ("np.ndarray", "doubles", False),
        ("npt.NDArray[np.float32]", "floats", False),
        ("list[bytes]", "bytes", False),
        ("list[dict]", "any", False),
        ("list", None, False),
        ("'NoSuchName'", None, False),
    ],
)
def test_annotations_tell_the_input_type(tmp_path, annotation, input_type, as_lists):
    """The first parameter's annotation is the guess, for functions and for predict methods."""
    head = "import numpy as np\nimport numpy.typing as npt\n"
    (tmp_path / "m.py").write_text(
        f"{head}def f(x: {annotation}): return x\n"
        f"class C:\n    def predict(self, X: {annotation}, names=None): return X\n"
    )
    for name, kind, most in (("f", "function", 1), ("C", "class", 2)):
        found = discover(tmp_path, "m.py", name)
        assert (found["kind"], found["max_params"]) == (kind, most)
        assert (found["input_type"], found["as_lists"]) == (input_type, as_lists)
        assert list(found["packages"]) == ["numpy"]


def test_names_and_errors(tmp_path):
    """Without a name all are listed; a wrong name and a syntax error are told."""
    (tmp_path / "m.py").write_text("import json\ndef f(x): return x\nclass C: pass\n")
    found = discover(tmp_path, "m.py")
    assert (found["functions"], found["classes"]) == (["f"], ["C"])
    wrong = discover(tmp_path, "m.py", "g")
    assert (wrong["names"], wrong["error"]["message"]) == (["f", "C"], "m.py has no 'g'")
    (tmp_path / "bad.py").write_text("def f(x):\n    return [\n")
    error = discover(tmp_path, "bad.py", "f")["error"]
    assert error["message"].startswith("SyntaxError")
    assert 'File "bad.py", line 2' in error["traceback"]


def test_a_package_whose_folder_is_the_project_is_found(tmp_path):
    """A project that is itself a package is bundled from the folder above it."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").touch()
    (project / "__init__.py").touch()
    (project / "helper.py").write_text("FACTOR = 2\n")
    (project / "model.py").write_text(
        "from project.helper import FACTOR\n\n\ndef predict(xs):\n    return [FACTOR for _ in xs]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "model_runtime.discover", str(project / "model.py"), "predict"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["root"] == str(tmp_path)
    assert "." in found["sys_path"]
    assert str(project / "helper.py") in found["modules"]
