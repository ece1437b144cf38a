"""The recorded exports before checkov, which has an environment of its own: `make checks`."""

import pytest

from tests.export_state import GOLDEN
from tests.integration.k8s_adapter.checkers import needs_checks, run


@needs_checks
@pytest.mark.parametrize("name", ["cluster", "oldest", "newest"])
def test_checkov_finds_nothing(name: str):
    """Checkov finds nothing but what checkov.yaml says why it does not count."""
    done = run("checkov", "--config-file", GOLDEN / "checkov.yaml", "-d", GOLDEN / name)
    assert "Failed checks: 0" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
