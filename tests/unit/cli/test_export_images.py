# ruff: noqa: D102 - the stand-ins have the methods of the parts they stand for
"""Which images an export has built, and of what; a stand-in for the engine builds them."""

import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from model_runtime.manifest import Manifest, write
from servd import __version__
from servd.cli.export_images import build_images
from servd.cli.output import Output
from servd.config import Config
from servd.errors import BundleError
from servd.export.plan import plan_export
from servd.export.secrets import Secrets
from servd.export.settings import ExportSettings, Shape

BUNDLE = "0" * 32
OUTPUT = Output(is_json=False, is_quiet=True, no_color=True)
HERE = ".".join(map(str, sys.version_info[:2]))


@dataclass(kw_only=True)
class StandInSpec:
    """The fields of servd.imaging.spec.ImageSpec that exports set."""

    kind: str
    tag: str
    base_image: str
    version: Any = None
    applications: Any = ()
    bundle_dir: Any = None


class StandInBuilder:
    """Notes what servd.imaging.builder.Builder would be asked for."""

    def __init__(self, _client):
        self.built.clear()
        self.pushed.clear()

    built: list[StandInSpec] = []  # noqa: RUF012 - of all, as the verb makes its own
    pushed: list[str] = []  # noqa: RUF012 - as above

    def build(self, spec):
        self.built.append(spec)
        return "sha256:0123456789abcdef"

    def push(self, reference):
        self.pushed.append(reference)
        return "sha256:fedcba9876543210"


@pytest.fixture
def builder(monkeypatch):
    """Put stand-ins in the place of servd.imaging's parts that need an engine."""
    parts = {
        "builder": SimpleNamespace(Builder=StandInBuilder),
        "engine": SimpleNamespace(connect=lambda: None),
        "spec": SimpleNamespace(
            ImageSpec=StandInSpec, default_base_image=lambda python: f"python:{python}"
        ),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, f"servd.imaging.{name}", part)
    return StandInBuilder


@pytest.fixture
def stored(tmp_path):
    """Return a data directory with the one bundle that was made by Python 3.12."""
    manifest = Manifest(loader="python", file="f.py", kind="function", object="f", python="3.12.1")
    files = tmp_path / "bundles" / BUNDLE / "files"
    files.mkdir(parents=True)
    (files / "f.py").touch()
    write(manifest, files.parent)
    return tmp_path


@pytest.fixture
def registry():
    """Return a registry with one model, which two applications are linked to."""
    version = {"model": "m", "version": "1", "input_type": "doubles", "bundle": BUNDLE}
    apps = [{"name": name, "input_type": "doubles", "slo_us": 1000} for name in ("a", "b")]
    return {
        "applications": apps,
        "versions": [{**version, "replicas": 1}],
        "current": {"m": "1"},
        "links": {"a": ["m"], "b": ["m"]},
    }


def build(registry, data_dir, *, push=False, base_image=None, **settings):
    """Build the images of an export."""
    plan = plan_export(registry, ExportSettings(**settings), Secrets())
    config = Config(data_dir=data_dir, base_image=base_image)
    build_images(plan, registry, config, OUTPUT, push=push)


def test_a_cluster_needs_the_frontend_and_each_version(registry, stored, builder):
    """A replica is built for the Python of its bundle, the frontend for this one."""
    build(registry, stored, image_registry="host/team")
    frontend, replica = sorted(builder.built, key=lambda spec: spec.kind)
    assert (frontend.kind, frontend.base_image) == ("frontend", f"python:{HERE}")
    assert frontend.tag == f"host/team/servd-frontend:{__version__}"
    assert (replica.kind, replica.base_image) == ("replica", "python:3.12.1")
    assert replica.bundle_dir == stored / "bundles" / BUNDLE
    assert replica.version.model == "m"
    assert builder.pushed == []


def test_a_standalone_image_has_its_applications(registry, stored, builder):
    """All exported applications of the model are in its one image."""
    build(registry, stored, shape=Shape.STANDALONE)
    (spec,) = builder.built
    assert (spec.kind, spec.tag) == ("standalone", "m-standalone:1")
    assert [app.name for app in spec.applications] == ["a", "b"]
    build(registry, stored, shape=Shape.STANDALONE, apps=("b",))
    (spec,) = builder.built
    assert [app.name for app in spec.applications] == ["b"]


def test_what_is_built_is_pushed(registry, stored, builder):
    """Each image goes to the registry after it was built."""
    build(registry, stored, push=True, image_registry="host/team")
    assert builder.pushed == [spec.tag for spec in builder.built]


def test_the_base_image_can_be_given(registry, stored, builder):
    """The setting, a variable's or a file's, is what all of them are built on."""
    build(registry, stored, base_image="own:1")
    assert {spec.base_image for spec in builder.built} == {"own:1"}


def test_files_are_built_on_the_image_that_they_were_deployed_into(registry, stored, builder):
    """What they were mounted into has what they need, whatever the setting says of others."""
    registry["versions"][0] |= {"image": "theirs:1", "runtime": "docker"}
    build(registry, stored, base_image="own:1")
    bases = {spec.tag: spec.base_image for spec in builder.built}
    assert bases == {"m:1": "theirs:1", f"servd-frontend:{__version__}": "own:1"}


def test_files_that_are_not_here_are_named(registry, tmp_path, builder):
    """Of a daemon on another machine there are no bundles here."""
    with pytest.raises(BundleError, match="m:1") as refused:
        build(registry, tmp_path)
    assert "--data-dir" in refused.value.hint
    assert [spec.kind for spec in builder.built] in ([], ["frontend"])
