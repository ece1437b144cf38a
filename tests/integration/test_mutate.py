"""scripts/mutate.py on a small repository of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

MUTATE = Path(__file__).resolve().parents[2] / "scripts" / "mutate.py"
SOURCE = '''"""A module."""
import time

def is_adult(age):
    """Say it."""
    return age >= 18


def countdown(n, step):
    """Count."""
    while n > 0:
        n -= step
        time.sleep(0.001)  # one that hangs is not to keep a processor
    return "done"
'''
TESTS = """from servd.ages import countdown, is_adult


def test_old():
    assert is_adult(40)


def test_young():
    assert not is_adult(3)


def test_countdown():
    assert countdown(3, 1) == "done"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a repository of one module and its tests."""
    for name, text in {
        "servd/__init__.py": "",
        "servd/ages.py": SOURCE,
        "tests/unit/test_ages.py": TESTS,
        "pytest.ini": "[pytest]\npythonpath = .\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def mutate(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tool on the module."""
    command = [sys.executable, str(MUTATE), "servd/ages.py", "--tree", str(tree), "--jobs", "1"]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, timeout=300
    )


def test_what_no_test_notices_is_told(tree: Path) -> None:
    """The boundary that no test tries survives; the others die; the tree stays as it was."""
    done = mutate(tree, "--line", "6", "--killers")
    assert done.returncode == 1, done.stderr
    assert "servd/ages.py:6: survived in is_adult: >= -> >" in done.stdout
    assert "servd/ages.py:6: survived in is_adult: 18 -> 19" in done.stdout
    assert "killed by tests/unit/test_ages.py::test_old in is_adult: negated" in done.stdout
    assert done.stdout.splitlines()[-1].split() == [
        *("servd/ages.py", "4", "0", "2", "0", "2", "50.0", "%"),
    ]
    assert (tree / "servd" / "ages.py").read_text() == SOURCE


def test_a_hang_is_noticed(tree: Path) -> None:
    """A loop that does not end any more counts as killed, after the time that it may take."""
    done = mutate(tree, "--line", "12", "--killers", "--patience", "1")
    assert "killed by a test that hung in countdown: - -> +" in done.stdout
    assert done.returncode in {0, 1}, done.stderr


def test_tests_that_fail_as_they_stand_are_refused(tree: Path) -> None:
    """Nothing is mutated where the tests fail already: everything would seem noticed."""
    (tree / "tests" / "unit" / "test_ages.py").write_text(TESTS.replace("40", "4"))
    done = mutate(tree)
    assert done.returncode == 2
    assert "refused: the tests of servd/ages.py fail as they stand" in done.stderr
    assert "killed %" not in done.stdout


def test_a_file_without_tests_is_refused(tree: Path) -> None:
    """A file that no test imports is refused, with what to do."""
    tests = tree / "tests" / "unit"
    (tests / "test_ages.py").unlink()
    (tests / "test_other.py").write_text("def test_nothing():\n    pass\n")
    done = mutate(tree)
    assert done.returncode == 2
    assert "no unit or integration test imports servd/ages.py; name some: --tests" in done.stderr
