"""The recorded exports before checkov, which has an environment of its own: `make checks`."""

from pathlib import Path

import pytest

from tests.unit.k8s_adapter.checkers import needs_checks, run

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s"


@needs_checks
@pytest.mark.parametrize("name", ["cluster", "oldest", "newest"])
def test_checkov_finds_nothing(name: str):
    """Checkov finds nothing but what checkov.yaml says why it does not count."""
    done = run("checkov", "--config-file", GOLDEN / "checkov.yaml", "-d", GOLDEN / name)
    assert "Failed checks: 0" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("settings", ["checkov.yaml", "checkov-standalone.yaml"])
def test_every_skip_has_its_reason(settings: str):
    """In checkov's settings a comment stands before each check that is skipped."""
    lines = (GOLDEN / settings).read_text().splitlines()
    skips = [number for number, line in enumerate(lines) if line.startswith("  - CKV")]
    assert skips
    assert all(lines[number - 1].startswith("  # ") for number in skips)
