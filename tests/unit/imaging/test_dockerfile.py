"""Dockerfiles, against the texts in tests/golden/images."""

import json
from pathlib import Path

import msgspec
import pytest

from servd import __version__
from servd.imaging.dockerfile import MARK, dockerfile, labels_of
from servd.imaging.spec import default_base_image
from tests.image_specs import VERSION, spec_of

GOLDEN = Path(__file__).parents[2] / "golden" / "images"
KINDS = ("replica", "standalone", "frontend")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dockerfile_is_what_was_reviewed(kind):
    """Every kind of image has its text in the golden folder, whatever the version of servd."""
    text = dockerfile(spec_of(kind), "3.11.7").replace(__version__, "SERVD_VERSION")
    assert text == (GOLDEN / f"{kind}.Dockerfile").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_has_one_port_no_root_and_an_exec_entry(kind):
    """What Docker and Kubernetes are told by every image, in the order that the cache likes."""
    lines = dockerfile(spec_of(kind)).splitlines()
    assert lines[0] == MARK
    assert lines.count("USER 10001:10001") == 1
    assert [line for line in lines if line.startswith("EXPOSE")] == [f"EXPOSE {spec_of(kind).port}"]
    entry = next(line for line in lines if line.startswith("ENTRYPOINT"))
    assert json.loads(entry.removeprefix("ENTRYPOINT "))[0] == "python3"
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert copied[:2] == ["requirements.txt", "lib"]
    assert copied[-1] == ("lib" if kind == "frontend" else "bundle")


@pytest.mark.parametrize("kind", KINDS)
def test_the_user_of_the_base_image_does_not_install(kind):
    """A base image may have a user that is not root; the first step is root's, the last is not."""
    lines = dockerfile(spec_of(kind)).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("RUN"))
    assert "USER 0:0" in lines[:first]
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER 0:0", "USER 10001:10001"]


def test_threads_are_one_unless_told():
    """Replicas share processors: numeric libraries start one thread each, or as many as told."""
    assert "OMP_NUM_THREADS=1" in dockerfile(spec_of("replica"))
    assert "OMP_NUM_THREADS=4" in dockerfile(spec_of("replica", threads=4))


def test_a_strange_name_stays_inside_its_quotes():
    """Quotes and dollars of a name that Clipper allows end neither a label nor an argument."""
    strange = msgspec.structs.replace(VERSION, model="a'$HOME\"b")
    text = dockerfile(spec_of("replica", version=strange))
    assert 'io.servd.model="a\'\\$HOME\\"b"' in text
    assert 'SERVD_MODEL_NAME="a\'\\$HOME\\"b"' in text


def test_labels_say_what_is_inside():
    """Kind, model, version, input type, bundle and protocol can be read without running it."""
    labels = labels_of(spec_of("standalone"), "3.11.7")
    assert labels["io.servd.kind"] == "standalone"
    assert labels["io.servd.model"] == "iris"
    assert labels["io.servd.input-type"] == "doubles"
    assert labels["io.servd.bundle"] == VERSION.bundle
    assert labels["io.servd.protocol"] == "2"
    assert labels["org.opencontainers.image.version"] == "1"
    assert "io.servd.model" not in labels_of(spec_of("frontend"))


@pytest.mark.parametrize(
    ("python", "base"),
    [("3.12.4", "python:3.12-slim"), ("3.13", "python:3.13-slim"), ("", "python:3.11-slim")],
)
def test_the_base_image_has_the_python_of_the_bundle(python, base):
    """A pickle loads in the Python that wrote it; what does not say gets the oldest."""
    assert default_base_image(python) == base
