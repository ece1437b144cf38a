"""tests/measuring.py in a run of pytest of its own, as `make coverage` runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import measuring

ROOT = Path(__file__).resolve().parents[2]
TEST = """import subprocess, sys

def test_it():
    subprocess.run([sys.executable, "-c", "import child"], check=True)
"""
CONFIG = """[run]
source = .
parallel = true
patch = subprocess
"""


@pytest.mark.parametrize(("name", "lines"), [("e2e/test_cli.py", "100%"), ("test_it.py", "0%")])
def test_processes_of_some_tests_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, lines: str
) -> None:
    """Those of the tests that are listed, and of no others."""
    for variable in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "COVERAGE_RCFILE"):
        monkeypatch.delenv(variable, raising=False)  # of the run that this test is in
    file = tmp_path / "tests" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / ".coveragerc").write_text(CONFIG)
    (tmp_path / "child.py").write_text("A = 1\n")
    (tmp_path / "conftest.py").write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from tests.measuring import pytest_runtest_protocol\n"
    )
    (tmp_path / "tests" / "__init__.py").write_text(f"__path__.append({str(ROOT / 'tests')!r})\n")
    command = ["-m", "pytest", "-q", "-n", "2", "--cov", "--cov-report=term", "tests"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    [told] = [line for line in done.stdout.splitlines() if line.startswith("child.py")]
    assert told.split()[-1] == lines


def test_what_is_listed_is_there() -> None:
    """Where a file gets another name, its processes go on being measured."""
    assert [name for name in measuring.MEASURED if not (ROOT / name).exists()] == []
