"""Projects made of texts, deployed as bundles and asked with the project out of sight."""

import shutil

import pytest

from servd.packing.bundling import BundleOptions, build, plan_bundle
from servd.packing.targets import parse_target
from tests.answering_bundle import answers_of


class Projects:
    """Makes projects in a folder, and what would be deployed of them."""

    def __init__(self, folder, monkeypatch):
        self.root = folder / "work" / "project"
        self.root.mkdir(parents=True)
        self._bundle = folder / "bundle"
        self._monkeypatch = monkeypatch
        monkeypatch.chdir(self.root)

    def write(self, files):
        """Write files by their names; folders come by themselves."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def plan(self, target, *include, cwd=None, **options):
        """Return the plan of a target's bundle; `cwd` is where the user is."""
        here = self.root / cwd if cwd else self.root
        self._monkeypatch.chdir(here)
        # As from a command line: relative to where the user is.
        return plan_bundle(parse_target(target), BundleOptions(include=include, **options), here)

    def answers(self, plan, *batch):
        """Build the bundle, move the project away, and return the outputs of what is left."""
        shutil.rmtree(self._bundle, ignore_errors=True)
        self._bundle.mkdir()
        build(plan, self._bundle)
        away = self.root.parents[1] / "away"
        self.root.parent.rename(away)
        try:
            return answers_of(self._bundle, *batch)
        finally:
            away.rename(self.root.parent)


@pytest.fixture
def projects(tmp_path, monkeypatch):
    """Return what makes projects."""
    return Projects(tmp_path, monkeypatch)


@pytest.fixture
def names():
    """Return what names the files of a plan."""
    return lambda plan: sorted(entry["name"] for entry in plan.contents)
