# ruff: noqa: D102 - the stand-ins have the methods of the parts they stand for
"""Which images an export has built, and of what; a stand-in for the engine builds them."""

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from model_runtime.bundle import digest_of
from model_runtime.manifest import Manifest, write
from servd import __version__
from servd.cli.build_body import _named
from servd.cli.export_images import ExportImages
from servd.cli.export_k8s_body import _remembered
from servd.cli.output import Output
from servd.client.admin import find_daemon
from servd.config import Config
from servd.datatypes import Application, InputType, ModelVersion, RegistryState, VersionId
from servd.errors import BundleError
from servd.export.plan import plan_export
from servd.export.secrets import Secrets
from servd.export.settings import ExportSettings, Shape
from servd.imaging.additions import Additions
from servd.imaging.spec import ImageSpec


def make_bundle(folder):
    """Write the one bundle, made by Python 3.12, and return its digest."""
    manifest = Manifest(loader="python", file="f.py", kind="function", object="f", python="3.12.1")
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "f.py").touch()
    write(manifest, folder)
    return digest_of(folder)


with tempfile.TemporaryDirectory() as _folder:
    BUNDLE = make_bundle(Path(_folder, "b"))
M_1 = VersionId("m", "1")
OUTPUT = Output(is_json=False, is_quiet=True, no_color=True)
HERE = ".".join(map(str, sys.version_info[:2]))


class StandInBuilder:
    """Notes what servd.imaging.builder.Builder would be asked for."""

    def __init__(self, _client):
        self.built.clear()
        self.pushed.clear()

    built: list[ImageSpec] = []  # noqa: RUF012 - of all, as the verb makes its own
    pushed: list[str] = []  # noqa: RUF012 - as above

    def build(self, spec):
        self.built.append(spec)
        return "sha256:0123456789abcdef"

    def push(self, reference):
        self.pushed.append(reference)
        return "sha256:fedcba9876543210"


@pytest.fixture
def builder(monkeypatch):
    """Put stand-ins in the place of servd's parts that need an engine."""
    parts = {
        "imaging.builder": SimpleNamespace(Builder=StandInBuilder),
        "system.docker_client": SimpleNamespace(connect=lambda: None),
    }
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, f"servd.{name}", part)
    return StandInBuilder


@pytest.fixture
def stored(tmp_path):
    """Return a data directory with the one bundle that was made by Python 3.12."""
    make_bundle(tmp_path / "bundles" / BUNDLE)
    return tmp_path


@pytest.fixture
def registry():
    """Return a registry with one model, which two applications are linked to."""
    version = ModelVersion(
        model="m", version="1", input_type=InputType.DOUBLES, bundle=BUNDLE, replicas=1
    )
    return RegistryState(
        applications={
            name: Application(name=name, input_type=InputType.DOUBLES, slo_us=1000)
            for name in ("a", "b")
        },
        versions={version.id: version},
        current={"m": "1"},
        links={"a": ("m",), "b": ("m",)},
    )


def change(registry, **fields):
    """Make another version out of the one that is registered."""
    registry.versions[M_1] = msgspec.structs.replace(registry.versions[M_1], **fields)


def images_of(registry, data_dir, base_image=None, **settings):
    """Return the images of an export, and the export."""
    given = ExportSettings(**settings)
    config = Config(data_dir=data_dir, base_image=base_image)
    session = SimpleNamespace(config=config, client=lambda: find_daemon(config, None))
    images = ExportImages(session, registry, given)
    return images, plan_export(registry, given, Secrets(), images.contents())


def build(registry, data_dir, *, push=False, **settings):
    """Build the images of an export."""
    images, plan = images_of(registry, data_dir, **settings)
    images.build(plan, OUTPUT, push=push)
    return plan


def test_a_cluster_needs_the_frontend_and_each_version(registry, stored, builder):
    """A replica is built for the Python of its bundle, the frontend for this one."""
    build(registry, stored, image_registry="host/team")
    frontend, replica = sorted(builder.built, key=lambda spec: spec.kind)
    assert (frontend.kind, frontend.base_image) == ("frontend", f"python:{HERE}-slim")
    assert frontend.tag.startswith(f"host/team/servd-frontend:{__version__}-")
    assert (replica.kind, replica.base_image) == ("replica", "python:3.12-slim")
    assert replica.bundle_dir == stored / "bundles" / BUNDLE
    assert replica.version.model == "m"
    assert builder.pushed == []


def test_a_standalone_image_has_its_applications(registry, stored, builder):
    """All exported applications of the model are in its one image."""
    build(registry, stored, shape=Shape.STANDALONE)
    (spec,) = builder.built
    assert spec.kind == "standalone"
    assert spec.tag.startswith(f"m-standalone:1-{BUNDLE[:12]}-")
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


def test_packages_are_in_images_and_their_names_and_passwords_are_not_kept(registry, stored):
    """What an export remembers gives the same names, and holds no password."""
    index = "https://me:secret@packages.example/simple"
    given = Additions(extra_index=(index,), apt=("gcc",))
    kept = _remembered(given)
    assert "secret" not in str(kept)
    config = Config(data_dir=stored)
    session = SimpleNamespace(config=config, client=lambda: find_daemon(config, None))
    settings = ExportSettings(**kept)
    built = ExportImages(session, registry, settings, given).contents()
    assert built == ExportImages(session, registry, settings).contents()
    plain, _ = images_of(registry, stored)
    assert set(built.values()).isdisjoint(plain.contents().values())


def test_files_are_built_on_the_image_that_they_were_deployed_into(registry, stored, builder):
    """What they were mounted into has what they need, whatever the setting says of others."""
    change(registry, image="theirs:1", runtime="docker")
    build(registry, stored, base_image="own:1")
    bases = {spec.kind: spec.base_image for spec in builder.built}
    assert bases == {"replica": "theirs:1", "frontend": "own:1"}


def test_files_that_are_not_here_are_named(registry, tmp_path, builder):
    """Of a daemon on another machine there are no bundles here."""
    builder.built.clear()
    with pytest.raises(BundleError, match="m:1") as refused:
        build(registry, tmp_path)
    assert "--data-dir" in refused.value.hint
    assert builder.built == []


@pytest.mark.parametrize("shape", list(Shape))
def test_a_name_is_another_one_where_what_is_inside_is(registry, stored, monkeypatch, shape):
    """Files, settings, objectives, base image, packages and servd itself are in the name."""

    def named(**given):
        _, plan = images_of(registry, stored, shape=shape, apps=("a",), **given)
        return next(name for name, version in plan.images.items() if version)

    names = [named(), named(base_image="own:1"), named(base_image="own:2")]
    assert named() == names[0]
    monkeypatch.setattr("servd.imaging.requirements.RUNTIME", ("msgpack",))
    monkeypatch.setattr("servd.imaging.requirements.SERVING", ("msgpack",))
    names.append(named())
    monkeypatch.setattr("servd.imaging.context._digest_of_code", lambda _: "newer")
    names.append(named())
    change(registry, max_batch=7)
    names.append(named())
    if shape is Shape.STANDALONE:
        slower = msgspec.structs.replace(registry.applications["a"], slo_us=2000)
        registry.applications["a"] = slower
        names.append(named())
    assert len(set(names)) == len(names)


def test_only_what_is_exported_is_asked_for(registry, stored):
    """The files of a model that stays here need not be at hand."""
    other = msgspec.structs.replace(registry.versions[M_1], model="n", bundle="1" * 32)
    registry.versions[other.id] = other
    images_of(registry, stored, apps=("a",))
    with pytest.raises(BundleError, match="n:1"):
        images_of(registry, stored)


def test_servd_build_makes_the_names_that_an_export_wants(registry, stored):
    """Who builds and pushes by hand has pushed what the export's nodes pull."""
    (_, plan) = images_of(registry, stored, image_registry="host/team")
    version = ModelVersion(
        model="m", version="1", input_type=InputType.DOUBLES, bundle=BUNDLE, replicas=1
    )
    spec = ImageSpec(
        kind="replica",
        tag="",
        base_image="python:3.12-slim",
        version=version,
        bundle_dir=stored / "bundles" / BUNDLE,
    )
    named = _named(spec, {"registry": "host/team", "tag": None})
    assert named.tag == "host/team/m:1"
    assert set(named.also) < set(plan.images)
