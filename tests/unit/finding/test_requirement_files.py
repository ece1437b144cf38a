"""What projects say that they need, in the file of each tool, becomes lines that pip reads."""

import pytest

from servd.finding.requirement_files import found_in, read

UV_LOCK = """
version = 1
requires-python = ">=3.10"
[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
dependencies = [{ name = "pandas" }, { name = "old", marker = "python_version < '3.9'" }]
[package.dev-dependencies]
dev = [{ name = "tool" }]
[[package]]
name = "pandas"
version = "2.2.3"
source = { registry = "https://example.org/simple" }
dependencies = [{ name = "numpy", extra = ["fast"] }]
[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://example.org/simple" }
[package.optional-dependencies]
fast = [{ name = "blas" }]
[[package]]
name = "blas"
version = "1.0"
source = { git = "https://example.org/blas?rev=1#abc" }
[[package]]
name = "old"
version = "1"
source = { registry = "https://example.org/simple" }
[[package]]
name = "tool"
version = "9"
source = { registry = "https://example.org/simple" }
"""
PIPFILE_LOCK = """{"_meta": {"requires": {"python_version": "3.12"}}, "default": {
  "numpy": {"version": "==2.1.0", "markers": "python_version >= '3.10'", "hashes": ["sha256:0"]},
  "mine": {"git": "https://example.org/mine", "ref": "abc"},
  "plain": {"version": "==1", "extras": ["x"]}}, "develop": {"tool": {"version": "==9"}}}"""
CONDA = """
name: x
dependencies:
  - python=3.11.4
  - conda-forge::lightgbm=4.*
  - pip
  - pip:
      - scikit-learn==1.3.2   # pinned
      - "./local"
"""
POETRY = """
[tool.poetry.dependencies]
python = "^3.10"
caret = "^1.2.3"
zero = "^0.2"
tilde = "~1.4"
exact = "1.0"
any = "*"
extras = {version = ">=1", extras = ["a", "b"]}
maybe = {version = "1", optional = true}
here = {path = "../here"}
"""
DYNAMIC = """
[project]
name = "x"
dynamic = ["dependencies"]
[tool.setuptools.dynamic]
dependencies = {file = ["needs.txt"]}
"""
HEADER = """# /// script
# requires-python = ">=3.12"
# dependencies = [
#   "numpy<3",
#   "six",
# ]
# ///

def predict(xs):
    return xs
"""


@pytest.mark.parametrize(
    ("name", "text", "lines", "python"),
    [
        ("requirements.txt", "numpy>=1 # why\n\n--hash-nothing\nsix \\\n ==1\n", 3, None),
        ("uv.lock", UV_LOCK, ["pandas==2.2.3", "old==1 ; python_version < '3.9'", "numpy==2.1.0",
                              "blas @ git+https://example.org/blas@abc"], ">=3.10"),
        ("Pipfile.lock", PIPFILE_LOCK, ["numpy==2.1.0 ; python_version >= '3.10'",
                                        "mine @ git+https://example.org/mine@abc",
                                        "plain[x]==1"], "==3.12.*"),
        ("Pipfile", ("[packages]\na = '*'\nb = {version='>=1', markers=\"os_name=='x'\"}\n"
         "[requires]\npython_version='3.12'\n"), ["a", "b>=1 ; os_name=='x'"], "==3.12.*"),
        ("environment.yml", CONDA, ["scikit-learn==1.3.2", "./local"], "==3.11.4.*"),
        ("pyproject.toml", POETRY, ["caret>=1.2.3,<2", "zero>=0.2,<0.3", "tilde>=1.4,<1.5",
                                    "exact==1.0", "any", "extras[a,b]>=1", "../here"],
         ">=3.10,<4"),
        ("pyproject.toml", ("[project]\nname='x'\nrequires-python='>=3.9'\n"
         "dependencies=['numpy']\n"), ["numpy"], ">=3.9"),
        ("model.py", HEADER, ["numpy<3", "six"], ">=3.12"),
    ],
)  # fmt: skip
def test_each_file_is_read(tmp_path, name, text, lines, python):
    """What is for development is left out, as is what is optional."""
    file = tmp_path / name
    file.write_text(text)
    found = read(file)
    assert found.problem == ""
    assert len(found.lines) == lines if isinstance(lines, int) else list(found.lines) == lines
    assert found.python == python


def test_what_conda_itself_would_install_is_said(tmp_path):
    """Only pip's part is taken."""
    file = tmp_path / "environment.yml"
    file.write_text(CONDA)
    assert read(file).remarks == (
        "of environment.yml only what pip installs is taken, not lightgbm",
    )


def test_dependencies_that_setuptools_reads_of_a_file_are_read_there(tmp_path):
    """Those of another kind are known when the project is built, and that is said."""
    file = tmp_path / "pyproject.toml"
    file.write_text(DYNAMIC)
    assert "needs.txt, which cannot be read" in read(file).problem
    (tmp_path / "needs.txt").write_text("numpy\n")
    assert read(file).lines == ("numpy",)
    file.write_text("[project]\nname='x'\ndynamic=['dependencies']\n")
    assert "(dynamic)" in read(file).problem


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("requirements.txt", b"\0\1\2", "is not a text"),
        ("requirements.txt", b"\xff\xfe\xff", "is not a text"),
        ("requirements.txt", b"-r more.txt\n", "names more.txt, which cannot be read: No such"),
        ("pyproject.toml", b"[project", "is not TOML"),
        ("pyproject.toml", b"[project]\ndependencies=3\n", "has dependencies that are no list"),
        ("Pipfile.lock", b"{", "is not JSON"),
        ("model.py", b"# /// script\n# a = [\n# ///\n", "has a script header that is not TOML"),
        ("model.py", b"# /// script\n# a = 1\n", "does not close the script header"),
        ("model.py", HEADER.encode() * 2, "has several script headers"),
        ("model.py", b"x = 1\n", "has no header of a script"),
        ("gone.txt", None, "cannot be read: No such file"),
        (".", None, "is a folder"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, content, problem):
    """A file that is broken, in any way, is no exception."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    assert problem in read(file).problem
    assert read(file).lines == ()


def test_files_that_include_others_are_one(tmp_path):
    """Paths stay right, a circle ends, and a constraint is found from anywhere."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text("a\n-r sub/more.txt\n-c limits.txt\n")
    (tmp_path / "sub" / "more.txt").write_text("b\n./local\n-r ../requirements.txt\n")
    found = read(tmp_path / "requirements.txt")
    assert found.lines == ("a", "b", f"{tmp_path}/sub/./local", f"-c {tmp_path}/limits.txt")
    assert [file.name for file in found.origins] == [
        "requirements.txt", "more.txt", "more.txt", "requirements.txt"
    ]  # fmt: skip


def test_what_counts_first_comes_first(tmp_path):
    """The target's own header, then what lies beside it, locks before what leaves a choice."""
    beside = tmp_path / "src"
    beside.mkdir()
    (tmp_path / "requirements.txt").write_text("six\n")
    (beside / "pyproject.toml").write_text("[project]\nname='x'\ndependencies=['numpy']\n")
    (beside / "uv.lock").write_text(UV_LOCK)
    (beside / "Pipfile").write_text("# nothing\n")
    code = beside / "model.py"
    code.write_text(HEADER)
    found = found_in([beside, tmp_path], code)
    assert [each.file.name for each in found] == [
        "model.py", "uv.lock", "pyproject.toml", "requirements.txt"
    ]  # fmt: skip
    code.write_text("x = 1\n")
    assert found_in([beside], code)[0].file.name == "uv.lock"
