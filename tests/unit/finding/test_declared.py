"""What a project asks for, in its own files, held against what is installed."""

import pytest

from servd.finding import declared

REQUIREMENTS = """
# what it needs
click>=1     # is here
no-such-thing==1.0
No_Such_Other[extra] ~= 2.0 --hash=sha256:00
msgspec==0.0.1
-r more.txt
-e git+https://example.org/x#egg=x
./local
skipped; python_version < "3"
"""
PIPFILE = """
[packages]
no-such-thing = "*"
msgspec = "==0.0.1"
elsewhere = {git = "https://example.org"}
click = {version = ">=1"}
[dev-packages]
no-such-tool = "*"
"""
PROJECT = """
[project]
dependencies = ["no-such-thing>=1", "click", "gone; sys_platform == 'x'"]
[tool.poetry.dependencies]
python = "^3.11"
no-such-poem = "^1.0"
"""


def said(folder):
    """Return the remarks of a folder."""
    return declared.remarks(declared.lacking([folder]))


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path):
    """Of requirements.txt and of what it refers to, each once."""
    (tmp_path / "requirements.txt").write_text(REQUIREMENTS)
    (tmp_path / "more.txt").write_text("no-such-more\nno.such.thing\n-r requirements.txt\n")
    first, pin, more = said(tmp_path)
    assert first == (
        "requirements.txt asks for no-such-thing==1.0, No_Such_Other~= 2.0, which are not "
        "installed here: pip install -r requirements.txt"
    )
    assert pin.startswith("requirements.txt asks for msgspec==0.0.1, and ")
    assert more.startswith("more.txt asks for no-such-more, which is not installed")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "Pipfile",
            PIPFILE,
            ["Pipfile asks for no-such-thing, which is not", "msgspec==0.0.1, and"],
        ),
        ("pyproject.toml", PROJECT, ["no-such-thing>=1, no-such-poem>=1.0,<2, which are not"]),
    ],
)
def test_other_files_are_read_as_well(tmp_path, name, text, words):
    """Pipenv's and the project's own, poetry's table too; what is for development is not needed."""
    (tmp_path / name).write_text(text)
    remarks = said(tmp_path)
    assert len(remarks) == len(words)
    for remark, word in zip(remarks, words, strict=True):
        assert word in remark


@pytest.mark.parametrize(
    "text", ["\0\1", "[packages", "packages = 1\nproject = 2\n", "[project]\ndependencies=3"]
)
def test_a_file_that_says_nothing_is_passed_over(tmp_path, text):
    """Whatever is wrong with it is not for this to tell."""
    for name in ("requirements.txt", "Pipfile", "pyproject.toml"):
        (tmp_path / name).write_text(text)
    assert not [line for line in said(tmp_path) if "not installed" in line and "Pipfile" in line]
