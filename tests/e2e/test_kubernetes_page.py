"""docs/kubernetes.md: each of its commands of servd, run as the page has it."""

import shutil
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.e2e.console import commands_of, run_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"


@pytest.fixture
def examples(idle_daemon: Daemon) -> Path:
    """Return a fresh copy of the examples, where nothing was trained."""
    copy = idle_daemon.data_dir.parent / "examples"
    ignored = shutil.ignore_patterns("*.pkl", "*.pickle", "__pycache__", "*.csv")
    shutil.copytree(ROOT / "examples", copy, ignore=ignored)
    return copy


def test_the_page_works_as_it_says(idle_daemon: Daemon, examples: Path) -> None:
    """Models are trained, deployed, asked, exported in each form and compared."""
    assert run_page(PAGE, idle_daemon, examples) == 2
    exported = [c.line for c in commands_of(PAGE) if c.line.startswith("servd export-k8s")]
    assert len(exported) == 6
    assert (examples / "k8s" / "ml-app-deployment.yaml").is_file()
    assert (examples / "ml-app-chart" / "templates" / "NOTES.txt").is_file()
    assert (examples / "kidney-k8s" / "query-frontend-service.yaml").is_file()
    pulled = (examples / "kidney-k8s" / "kidney-1-deployment.yaml").read_text()
    assert "myregistrykey" in pulled
