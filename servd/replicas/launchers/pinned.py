"""Which image a version that was deployed with an image's name runs. Used by docker.py, in threads.

A name with a tag may be given to another image at any time, by a build or a pull; replicas that are
started later are to be the version that was deployed all the same.
"""

from typing import TYPE_CHECKING, Any

from servd.datatypes import ModelVersion
from servd.errors import ImageError
from servd.logs.log import log

if TYPE_CHECKING:
    from servd.replicas.launchers.docker_engine import Engine


def digest_of(reference: str, description: dict[str, Any]) -> str:
    """Return what names an image for ever, by the engine's description of it.

    That is REPOSITORY@sha256:… where it came from, or was pushed to, the registry in its name;
    else the engine's own id.
    """
    repository = _repository(reference)
    for known in description.get("RepoDigests") or ():
        if known.partition("@")[0] == repository:
            return str(known)
    return str(description["Id"])


def pinned_image(engine: "Engine", version: ModelVersion) -> str:
    """Return the id of the image that a version was deployed with; pulled where it is not here.

    Raises:
        ImageError: it can be had nowhere; says what its name stands for now.
    """
    name, digest = str(version.image), version.image_digest
    if digest is None:
        return str(engine.find_image(name)["Id"])
    found = engine.inspect_image(name)
    if found is not None and digest in (found["Id"], *(found.get("RepoDigests") or ())):
        return str(found["Id"])
    kept = engine.inspect_image(digest)
    if kept is None and "@" in digest:
        kept = engine.find_image(digest)
    if kept is None:
        is_other = f"stands for another one now ({found['Id']})" if found else "is gone"
        raise ImageError(
            f"{version.id} was deployed with the image {digest}, which the engine no longer has, "
            f"and the name {name} {is_other}",
            hint="bring that image back, or deploy the new one as a version of its own: "
            f"servd deploy --image {name} --name {version.model}",
        )
    log.warning("%s is another image now; %s goes on with %s", name, version.id, digest)
    return str(kept["Id"])


def _repository(reference: str) -> str:
    """Return a reference without its tag and its digest."""
    name = reference.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
