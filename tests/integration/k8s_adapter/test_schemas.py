"""The oldest export before the schemas of its time, which come with `make checks`."""

from k8s_adapter.kube_version import OLDEST
from tests.export_state import GOLDEN
from tests.integration.k8s_adapter.checkers import needs_checks, run


@needs_checks
def test_the_oldest_export_passes_the_schemas_of_its_time():
    """What is recorded for the oldest release passes that release's own schemas."""
    done = run("kubernetes-validate", "--strict", "-k", str(OLDEST), GOLDEN / "oldest" / "all.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    unknown = [line for line in done.stdout.splitlines() if line.startswith("WARN")]
    assert len(unknown) == 1
    assert "ServiceMonitor" in unknown[0]
    assert done.stdout.count("passed for resource") > 20
