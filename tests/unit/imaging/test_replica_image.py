"""What the images of Docker replicas are named after, and which of them are used again."""

from types import SimpleNamespace

import docker.errors
import msgspec
import pytest

from servd.datatypes import Variables
from servd.imaging import replica_image
from servd.imaging.replica_image import ensure_image
from servd.replicas.launchers.base import LaunchSpec
from tests.image_specs import make_bundle, version_in

BASE = "python:3.11-slim"


class Engine:
    """Has images by name, as an engine's client has; `built` are the names of those made here."""

    def __init__(self, **images):
        self.known = {BASE: SimpleNamespace(id="sha256:base", labels={}), **images}
        self.built = []
        self.images = SimpleNamespace(get=self._get)

    def _get(self, name):
        if name not in self.known:
            raise docker.errors.ImageNotFound(name)
        return self.known[name]

    def build(self, spec):
        """Build as the `Builder` does that stands in for this."""
        labels = {"io.servd.bundle": spec.version.bundle}
        self.known[spec.tag] = SimpleNamespace(id=f"sha256:{len(self.built)}", labels=labels)
        self.built.append(spec.tag)
        return self.known[spec.tag].id


def launch(version, bundle, **variables):
    """Return a replica of a version that is to be launched."""
    return LaunchSpec(version, 0, bundle, bundle / "log", Variables(variables))


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    """Return an engine without any image but the base."""
    monkeypatch.setattr(replica_image, "Builder", lambda client: client)
    return Engine()


@pytest.fixture
def bundle(tmp_path):
    """Return the folder of a bundle."""
    return make_bundle(tmp_path / "bundle")


def test_an_image_is_built_once(engine, bundle):
    """What is not in the image makes no other of it."""
    version = version_in(bundle)
    first = ensure_image(None, engine, launch(version, bundle))
    scaled = msgspec.structs.replace(version, replicas=5, created_s=9.0, cpus=2.0)
    scaled = msgspec.structs.replace(scaled, threads=3, device="cpu", env_vars=("TOKEN",))
    assert ensure_image(None, engine, launch(scaled, bundle, TOKEN="secret")) == first
    (tag,) = engine.built
    assert tag.startswith(f"iris:1-{version.bundle[:12]}-")


def test_whatever_is_in_an_image_makes_another_of_it(engine, bundle, tmp_path):
    """Files, settings, the base image's name, and what that name stands for."""
    version = version_in(bundle)
    ensure_image(None, engine, launch(version, bundle))
    other = make_bundle(tmp_path / "other", example=[3.0])
    ensure_image(None, engine, launch(version_in(other), other))
    ensure_image(None, engine, launch(msgspec.structs.replace(version, max_batch=4), bundle))
    ensure_image("python:3.12-slim", engine, launch(version, bundle))
    engine.known[BASE].id = "sha256:pulled again"
    ensure_image(None, engine, launch(version, bundle))
    assert len(set(engine.built)) == 5


def test_a_name_that_somebody_else_has_given_is_not_believed(engine, bundle, caplog):
    """An image of that name which holds other files is replaced, and that is said."""
    version = version_in(bundle)
    ensure_image(None, engine, launch(version, bundle))
    engine.known[engine.built[0]] = SimpleNamespace(id="sha256:x", labels={})
    assert ensure_image(None, engine, launch(version, bundle)) != "sha256:x"
    assert "is not what its name says" in caplog.text
