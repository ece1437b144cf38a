"""The settings of checkov, which looks at the recorded exports."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[2] / "golden" / "k8s"


@pytest.mark.parametrize("settings", ["checkov.yaml", "checkov-standalone.yaml"])
def test_every_skip_has_its_reason(settings: str):
    """In checkov's settings a comment stands before each check that is skipped."""
    lines = (GOLDEN / settings).read_text().splitlines()
    skips = [number for number, line in enumerate(lines) if line.startswith("  - CKV")]
    assert skips
    assert all(lines[number - 1].startswith("  # ") for number in skips)
