"""The names of images, by pure functions. Used by imaging, by cli/build_body.py and by exports.

What a registry accepts is narrower than what servd and Clipper accept as a model's name. A name
that had to be changed gets a short digest of the original, so that two models never share an image.
"""

import hashlib
import re
from typing import Final, Literal

from servd import __version__
from servd.datatypes import VersionId
from servd.errors import InvalidNameError

Kind = Literal["replica", "standalone", "frontend"]

FRONTEND: Final = "servd-frontend"
STANDALONE_SUFFIX: Final = "-standalone"

DOCKER_HUB: Final = "docker.io"

_DIGEST_LETTERS: Final = 8
_MAX_TAG: Final = 128
# The grammar of the OCI distribution specification, with the host that Docker puts before it.
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REGISTRY: Final = re.compile(rf"(?:{_HOST}|{_PATH})(?:/{_PATH})?")
_REFERENCE: Final = re.compile(
    rf"(?:{_HOST}/)?{_PATH}(?::(?P<tag>{_TAG}))?(?P<digest>@sha256:[0-9a-f]{{64}})?"
)
_WHOLE_COMPONENT: Final = re.compile(_COMPONENT)
_WHOLE_TAG: Final = re.compile(_TAG)


def image_name(
    kind: Kind, version: VersionId | None = None, registry: str | None = None, content: str = ""
) -> str:
    """Return the reference that an image has where none is given.

    Without `content` it is the one that people run, and that the next build of that version takes
    over. With it, it names one content for ever: numbers of versions begin again with a new data
    directory or after a removal, and nodes keep the images that they have.

    Args:
        kind: of image; a front end's does not depend on a model.
        version: the model version inside; None for a front end.
        registry: what comes before the name: `host[:port][/path]`.
        content: what `content_of` (context.py) says of what is inside.

    Raises:
        InvalidNameError: the registry cannot stand before an image's name.
    """
    prefix = f"{checked_registry(registry)}/" if registry else ""
    if kind == "frontend" or version is None:
        return f"{prefix}{FRONTEND}:{_tag(tag_of(__version__), content)}"
    suffix = STANDALONE_SUFFIX if kind == "standalone" else ""
    return (
        f"{prefix}{repository_of(version.model)}{suffix}:{_tag(tag_of(version.version), content)}"
    )


def repository_of(model: str) -> str:
    """Return a model's name as a repository: itself, where a registry accepts it."""
    # These two are what other kinds of images are called.
    is_taken = model == FRONTEND or model.endswith(STANDALONE_SUFFIX)
    if _WHOLE_COMPONENT.fullmatch(model) and not is_taken:
        return model
    cleaned = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-") or "model"
    return f"{cleaned}-{_digest(model)}"


def tag_of(version: str) -> str:
    """Return a version as a tag: itself, where a registry accepts it."""
    if _WHOLE_TAG.fullmatch(version):
        return version
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", version).strip("-.") or "v"
    return f"{cleaned[: _MAX_TAG - _DIGEST_LETTERS - 1]}-{_digest(version)}"


def _tag(version: str, content: str) -> str:
    return f"{version[: _MAX_TAG - len(content) - 1]}-{content}" if content else version


def checked_registry(registry: str) -> str:
    """Return a registry without slashes around it.

    Raises:
        InvalidNameError: an image's name cannot begin with it.
    """
    name = registry.strip("/")
    if "://" in name or _REGISTRY.fullmatch(name) is None:
        raise InvalidNameError(
            f"'{registry[:100]}' is not a registry",
            hint="a registry is HOST[:PORT][/PATH] without a scheme, as in localhost:5000/team",
        )
    return name


def checked_tag(tag: str) -> str:
    """Return a reference that was given for a new image, with the tag `latest` where it has none.

    Raises:
        InvalidNameError: it is not the name of an image, or names one by its digest.
    """
    found = _REFERENCE.fullmatch(tag)
    if found is None or found["digest"]:
        raise InvalidNameError(
            f"'{tag[:100]}' is not a name for an image",
            hint="a name is [REGISTRY/]NAME[:TAG]; NAME in lower case, as in localhost:5000/iris:1",
        )
    return tag if found["tag"] else f"{tag}:latest"


def registry_of(reference: str) -> str:
    """Return the host that a reference is pushed to: Docker Hub where it names none."""
    first, slash, _ = reference.partition("/")
    is_host = slash and (first == "localhost" or "." in first or ":" in first)
    return first if is_host else DOCKER_HUB


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LETTERS]
