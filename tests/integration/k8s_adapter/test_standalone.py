"""Standalone exports before programs that come with `make checks`."""

import dataclasses

from k8s_adapter.kube_version import OLDEST
from k8s_adapter.render import render_single_file
from k8s_adapter.standalone import standalone_apps, standalone_objects
from tests.integration.k8s_adapter.checkers import needs_checks, run
from tests.unit.k8s_adapter.test_standalone import GOLDEN, IMAGE, OPTIONS, snapshot_of


@needs_checks
def test_objects_pass_the_schemas_of_the_oldest_release(tmp_path):
    """Written for the oldest Kubernetes that is claimed, all pass the schemas of that release."""
    apps = standalone_apps(snapshot_of("ml-app"), {"ml-app:1": IMAGE})
    options = dataclasses.replace(OPTIONS, kube_version=OLDEST, token="not-a-token")
    file = tmp_path / "all.yaml"
    file.write_text(render_single_file(standalone_objects(apps, options)))
    done = run("kubernetes-validate", "--strict", "-k", str(OLDEST), file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("passed") == 5


@needs_checks
def test_checkov_finds_nothing():
    """Checkov finds nothing but what its settings say why it does not count."""
    settings = GOLDEN.with_name("checkov-standalone.yaml")
    done = run("checkov", "--config-file", settings, "-f", GOLDEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed checks" in done.stdout
