"""The images that servd builds for its Docker replicas. Given to launchers/docker.py by daemon.py.

An image is named after the content that is in it, so daemons that deploy the same share it and
none takes another's for its own. The Docker SDK is an extra, so this module is imported when the
first image is wanted.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from model_runtime.manifest import read
from servd.config import Config
from servd.imaging.additions import NONE, Additions
from servd.imaging.builder import Builder
from servd.imaging.context import content_of, packages_of
from servd.imaging.environment import python_of
from servd.imaging.naming import image_name
from servd.imaging.spec import ImageSpec, default_base_image
from servd.logs.log import log
from servd.replicas.launchers.base import LaunchSpec

_BUNDLE_LABEL = "io.servd.bundle"


def ensure_image(
    base_image: str | None,
    client: docker.DockerClient,
    launched: LaunchSpec,
    additions: Additions = NONE,
    environments: Path | None = None,
) -> str:
    """Return the id of an image that is a replica of a version; build it unless it is there.

    Without a base image it is the official one of the Python that the files were deployed with.
    `additions` are packages beyond what these need. The image is tried with the variables that its
    replicas have, which are not in it. Blocks, for minutes where packages come.

    Raises:
        ServdError: it cannot be built.
    """
    version, bundle_dir = launched.version, launched.bundle_dir
    base = base_image or default_base_image(python_of(read(bundle_dir)))
    spec = ImageSpec(
        kind="replica",
        tag="",
        base_image=base,
        version=version,
        bundle_dir=bundle_dir,
        additions=additions,
        environments=environments,
        variables=launched.variables,
    )
    tag = image_name("replica", version.id, content=content_of(spec, _id_of(client, base)))
    with suppress(ImageNotFound):
        found = client.images.get(tag)
        # Anybody may give an image a name.
        if found.labels.get(_BUNDLE_LABEL) == version.bundle:
            return str(found.id)
        log.warning("the image %s is not what its name says: it is built anew", tag)
    return _build(client, replace(spec, tag=tag))


def _build(client: docker.DockerClient, spec: ImageSpec) -> str:
    """Build an image, with what there is to say of its packages in the log; return its id."""
    planned = packages_of(spec)
    for remark in (*planned.notes, *planned.warnings):
        log.warning("%s: %s", spec.tag, remark)
    log.info("building the image %s", spec.tag)
    return str(Builder(client).build(spec))


def additions_of(config: Config) -> Additions:
    """Return what a daemon's settings say of packages; read whenever an image is built.

    Raises:
        InvalidValueError: a value cannot be built.
    """
    return Additions(
        requirements=config.requirements,
        extra_index=config.extra_index,
        wheel=config.wheel,
        apt=config.apt,
    )


def _id_of(client: docker.DockerClient, image: str) -> str:
    """Return which image a name stands for at an engine; nothing where it is not there yet."""
    try:
        return str(client.images.get(image).id)
    except ImageNotFound:
        return ""
