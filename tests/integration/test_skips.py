"""tests/skips.py in a run of pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """import pytest

@pytest.mark.skip(reason="by mark")
def test_mark():
    pass

def test_inside():
    pytest.skip("by call")

@pytest.fixture
def lacking():
    pytest.skip("by fixture")

def test_fixture(lacking):
    pass

@pytest.mark.xfail
def test_expected():
    assert False
"""


@pytest.mark.parametrize(
    ("ci", "counts"), [("", "3 skipped, 1 xfailed"), ("true", "1 failed, 1 xfailed, 2 errors")]
)
def test_a_skip_fails_in_ci_only(tmp_path: Path, ci: str, counts: str) -> None:
    """Whatever way a test skips, CI fails with the reason; an expected failure stays one."""
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run(tmp_path, ci)
    assert counts in done.stdout
    assert done.returncode == (1 if ci else 0)
    for reason in ("by mark", "by call", "by fixture"):
        assert reason in done.stdout
    assert ("CI must run every test" in done.stdout) is bool(ci)


def test_a_file_that_skips_itself_fails_in_ci(tmp_path: Path) -> None:
    """A module that lacks an import is not passed over either."""
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_thing')\n")
    assert run(tmp_path, "").returncode == 5  # nothing was run
    done = run(tmp_path, "true")
    assert done.returncode == 2
    assert "could not import 'no_such_thing'" in done.stdout


def run(folder: Path, ci: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder with the plugin."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "-rs"]
    return subprocess.run(
        [*command, "--rootdir", folder, folder],
        cwd=folder,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
