"""The images that servd builds for its Docker replicas. Given to launchers/docker.py by daemon.py.

An image is named after the content that is in it, so daemons that deploy the same share it and
none takes another's for its own.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from model_runtime.manifest import read
from model_runtime.protocol import PROTOCOL_VERSION
from servd import __version__
from servd.datatypes import ModelVersion, VersionId
from servd.log import log

if TYPE_CHECKING:
    import docker

_DIGEST_LETTERS = 12


def ensure_image(
    base_image: str | None, client: "docker.DockerClient", version: ModelVersion, bundle_dir: Path
) -> str:
    """Return the id of an image that is a replica of a version; build it unless it is there.

    Without a base image it is the official one of the Python that the files were deployed with.
    Blocks, for minutes where packages have to be fetched.

    Raises:
        ServdError: it cannot be built.
    """
    from docker.errors import ImageNotFound  # noqa: PLC0415 - the SDK is an extra

    from servd.imaging.builder import Builder  # noqa: PLC0415 - wanted for containers only
    from servd.imaging.naming import image_name  # noqa: PLC0415
    from servd.imaging.spec import ImageSpec, default_base_image  # noqa: PLC0415

    base = base_image or default_base_image(read(bundle_dir).python)
    content = f"{version.version}-{digest_of(version, base)}"
    tag = image_name("replica", VersionId(version.model, content))
    with suppress(ImageNotFound):
        return str(client.images.get(tag).id)
    log.info("building the image %s", tag)
    spec = ImageSpec(
        kind="replica", tag=tag, base_image=base, version=version, bundle_dir=bundle_dir
    )
    return str(Builder(client).build(spec))


def digest_of(version: ModelVersion, base: str) -> str:
    """Return a short name for all that makes one image of a version differ from another."""
    parts = (version.bundle, version.max_batch, base, __version__, PROTOCOL_VERSION)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:_DIGEST_LETTERS]
