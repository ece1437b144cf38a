"""Discovery in a fresh process: what a file holds, what it imports and what it opens."""

import json
import subprocess
import sys

import pytest


def lines_of(folder, *arguments):
    """Run discover as the CLI does and return its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "model_runtime.discover", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def discover(folder, *arguments):
    """Return what the file holds."""
    file, *others = arguments
    (found,) = [
        line for line in lines_of(folder, f"--first={folder}", str(folder / file), *others)
        if not {"opened", "written", "listed", "entered", "own"}.intersection(line)
    ]  # fmt: skip
    return found


def opened_by(folder, *arguments):
    """Return the paths that were opened, in order."""
    found = lines_of(folder, f"--first={folder}", *arguments)
    return [path for line in found for path in line.get("opened", ())]


def test_modules_packages_and_prints(tmp_path):
    """Imported files and packages are told; prints do not disturb the answer."""
    (tmp_path / "inner").mkdir(parents=True)
    (tmp_path / "inner" / "__init__.py").write_text("")
    (tmp_path / "inner" / "deep.py").write_text("import yaml\n")
    (tmp_path / "func.py").write_text(
        "import os\nfrom inner import deep\nprint('hello')\nos.system('echo from C')\n"
        "def f(x: list[str]) -> list[str]:\n    return x\n"
    )
    found = discover(tmp_path, "func.py", "f")
    assert (found["kind"], found["signature"]["input_type"]) == ("function", "strings")
    own = {name: path for name, path in found["modules"].items() if path.startswith(str(tmp_path))}
    assert sorted(own) == ["func", "inner", "inner.deep"]
    assert list(found["packages"]["yaml"]) == ["PyYAML"]


def test_files_that_are_opened_are_told_and_what_is_written_is_not(tmp_path):
    """Also those of a class's own start, and of a process that it ends."""
    (tmp_path / "words.txt").write_text("a b")
    (tmp_path / "notes.txt").write_text("a b")
    (tmp_path / "m.py").write_text(
        "import os\n"
        "class Model:\n"
        "    def __init__(self):\n"
        "        open('words.txt').read()\n"
        "        open('out.txt', 'w').write('x')\n"
        "        open('notes.txt', 'a').write('x')\n"
        "        os._exit(7)\n"
        "    def predict(self, xs):\n"
        "        return xs\n"
    )
    command = [sys.executable, "-m", "model_runtime.discover", "--load-for=5"]
    done = subprocess.run(
        [*command, str(tmp_path / "m.py"), "Model"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 7
    found = [json.loads(line) for line in done.stdout.splitlines()]
    opened = [path for line in found for path in line.get("opened", ())]
    assert "words.txt" in opened
    assert not {"out.txt", "notes.txt"}.intersection(opened)
    assert any(line.get("kind") == "class" for line in found)


def test_a_model_that_goes_elsewhere_is_understood(tmp_path):
    """A relative path counts from where the process was when it was opened."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("a b")
    (tmp_path / "m.py").write_text(
        "import os\nos.chdir('data')\nopen('words.txt')\ndef f(xs): return xs\n"
    )
    assert str(tmp_path / "data" / "words.txt") in opened_by(tmp_path, str(tmp_path / "m.py"), "f")


@pytest.mark.repeats
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
        ("str", "strings", False),
        ("dict[str, float]", "any", False),
        ("int | None", "rows", False),
    ],
)
def test_annotations_tell_the_input_type(tmp_path, annotation, input_type, as_lists):
    """The first parameter's annotation is the guess, for functions and for predict methods."""
    head = "import numpy as np\nimport numpy.typing as npt\n"
    (tmp_path / "m.py").write_text(
        f"{head}def f(x: {annotation}): return x\n"
        f"class C:\n    def predict(self, X: {annotation}): return X\n"
    )
    for name, kind in (("f", "function"), ("C", "class")):
        found = discover(tmp_path, "m.py", name)
        assert (found["kind"], found["is_told"]) == (kind, input_type is not None)
        told = found["signature"]["input_type"]
        assert (told, found["as_lists"]) == (input_type or "doubles", as_lists)
        assert list(found["packages"]) == ["numpy"]
        assert list(found["packages"]["numpy"]) == ["numpy"]


def test_names_and_errors(tmp_path):
    """Without a name all are listed; a wrong name and a syntax error are told."""
    (tmp_path / "m.py").write_text("import json\ndef f(x): return x\nclass C: pass\n")
    found = discover(tmp_path, "m.py")
    assert (found["functions"], found["classes"]) == (["f"], ["C"])
    wrong = discover(tmp_path, "m.py", "g")
    assert (wrong["names"], wrong["error"]["message"]) == (["f", "C"], "m.py has no 'g'")
    (tmp_path / "w.py").write_text(
        "class _Web:\n    __module__ = 'framework'\n"
        "    async def __call__(self, scope, receive, send): ...\n"
        "app = _Web()\ndef f(x): return x\n"
    )
    for name, hint in (("apps", "did you mean app?"), ("zzz", "it defines: app, f")):
        assert discover(tmp_path, "w.py", name)["error"]["hint"] == hint
    (tmp_path / "bad.py").write_text("def f(x):\n    return [\n")
    error = discover(tmp_path, "bad.py", "f")["error"]
    assert error["message"].startswith("SyntaxError")
    assert 'bad.py", line 2' in error["traceback"]


def test_what_the_program_itself_opens_is_not_told(tmp_path):
    """It asks which packages were imported; in an editable clone their files are a project's."""
    info = tmp_path / "ours.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (info / "top_level.txt").write_text("ours\n")
    (tmp_path / "ours.py").write_text("")
    (tmp_path / "words.txt").write_text("")
    (tmp_path / "m.py").write_text(
        "import ours\nclass Model:\n    def __init__(self):\n        open('words.txt').close()\n"
        "    def predict(self, xs):\n        return xs\n"
    )
    opened = opened_by(tmp_path, "--load-for=5", str(tmp_path / "m.py"), "Model")
    assert "words.txt" in opened
    assert not [path for path in opened if "egg-info" in path]
