"""tests/measuring.py in a run of pytest of its own, as `make coverage` runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from coverage import CoverageData
from coverage.config import CoverageConfig

from tests import measuring

ROOT = Path(__file__).resolve().parents[2]
TEST = """import subprocess, sys

def test_it():
    subprocess.run([sys.executable, "-c", "import child"], check=True)
"""
EXAMPLES = """from hypothesis import given, settings, strategies

@given(strategies.booleans())
@settings(database=None)
def test_it(_):
    import child

def test_that_measuring_goes_on():
    import other
"""
CONFIG = """[run]
source = .
parallel = true
patch = subprocess
"""


@pytest.fixture
def measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], dict[str, str]]:
    """Return a function that runs one file of tests and says how much of which file was run."""
    for variable in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "COVERAGE_RCFILE"):
        monkeypatch.delenv(variable, raising=False)  # of the run that this test is in

    def run(name: str, tests: str) -> dict[str, str]:
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(tests)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / ".coveragerc").write_text(CONFIG)
        for module in ("child.py", "other.py"):
            (tmp_path / module).write_text("A = 1\n")
        (tmp_path / "conftest.py").write_text(
            f"import sys\nsys.path.append({str(ROOT)!r})\n"
            "from tests.measuring import pytest_runtest_protocol\n"
        )
        (tmp_path / "tests" / "__init__.py").write_text(
            f"__path__.append({str(ROOT / 'tests')!r})\n"
        )
        command = ["-m", "pytest", "-q", "-n", "1", "--cov", "--cov-report=term", "tests"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        lines = (line.split() for line in done.stdout.splitlines())
        return {words[0]: words[-1] for words in lines if words and words[0].endswith(".py")}

    return run


@pytest.mark.parametrize(("name", "lines"), [("e2e/test_cli.py", "100%"), ("test_it.py", "0%")])
def test_processes_of_some_tests_are_measured(
    measured: Callable[[str, str], dict[str, str]], name: str, lines: str
) -> None:
    """Those of the tests that are listed, and of no others."""
    assert measured(name, TEST)["child.py"] == lines


def test_examples_that_are_made_up_are_not_measured(
    measured: Callable[[str, str], dict[str, str]],
) -> None:
    """What only they run does not count; what comes after them does."""
    told = measured("test_it.py", EXAMPLES)
    assert (told["child.py"], told["other.py"]) == ("0%", "100%")


@pytest.mark.parametrize("mark", ["slow", "repeats"])
def test_slow_tests_are_not_measured(
    measured: Callable[[str, str], dict[str, str]], mark: str
) -> None:
    """Neither here nor in their processes, also where those of other tests of the file are."""
    slow = f"import pytest\npytestmark = pytest.mark.{mark}\n{TEST}    import other\n"
    told = measured("e2e/test_cli.py", slow)
    assert (told["child.py"], told["other.py"]) == ("0%", "0%")


def test_what_is_listed_is_there() -> None:
    """Where a file gets another name, its processes go on being measured."""
    assert [name for name in measuring.MEASURED if not (ROOT / name).exists()] == []


def test_processes_note_no_file_that_they_do_not_run(tmp_path):
    """What no process runs is noted by pytest's own; the others have what they run, as before."""
    config = CoverageConfig()
    config.source = [str(tmp_path)]
    config.data_file = str(tmp_path / "data")
    config.branch = True
    for name in ("child.py", "other.py"):
        (tmp_path / name).write_text("A = 1\n")
    found = {}
    for told in (config.serialize(), measuring._without_search(config.serialize())):
        environment = {**os.environ, "COVERAGE_PROCESS_CONFIG": told}
        command = [sys.executable, "-c", "import child"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        data = CoverageData(config.data_file)
        data.read()
        found[told] = {Path(file).name: data.arcs(file) for file in data.measured_files()}
        data.erase()
    with_search, without = found.values()
    assert with_search == {**without, "other.py": []}
    assert without["child.py"]
