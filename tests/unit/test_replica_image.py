"""What the images of Docker replicas are named after."""

from servd.replica_image import digest_of
from tests.replicas import version_of


def test_an_image_is_named_after_its_content():
    """What is in the image or on its command line makes another of it; the rest does not."""
    name = digest_of(version_of(), "python:3.11-slim")
    assert digest_of(version_of(replicas=5, created_s=1.0, cpus=2.0), "python:3.11-slim") == name
    others = [
        digest_of(version_of(bundle="c"), "python:3.11-slim"),
        digest_of(version_of(max_batch=4), "python:3.11-slim"),
        digest_of(version_of(), "python:3.12-slim"),
    ]
    assert len({name, *others}) == 4
