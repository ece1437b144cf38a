"""Images of models, as Docker builds and pushes them. Used by clipper_admin.py for managers that
do not make models themselves, and by docker_container_manager.py for base images of one's own.
"""

import importlib
import io
import tarfile
import tempfile
from dataclasses import dataclass
from typing import Any, Final

from servd.clipper.container_manager import ClusterAdapter
from servd.clipper.decorators import retry
from servd.clipper.exceptions import ClipperException

_PUSH_TRIES: Final = 5
NO_DOCKER: Final = (
    "Unable to Connect to Docker. Please Check if Docker is running. ({why}) "
    "What to do: start Docker, or set DOCKER_HOST to where it answers"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBuild:
    """What an image is made of: a folder or a file, what it is built on, packages for pip."""

    tag: str
    data_path: str
    base_image: str
    packages: tuple[str, ...] = ()
    registry: str | None = None


def engine() -> Any:
    """Return Docker's client.

    Raises:
        ClipperException: its package is not installed, or no engine answers.
    """
    try:
        docker = importlib.import_module("docker")
    except ImportError as error:
        raise ClipperException(
            NO_DOCKER.format(why="the Python package docker is not installed")
            + "; and install its client: pip install 'servd[docker]'"
        ) from error
    client = None
    try:
        client = docker.from_env()
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        if client is not None:
            client.close()
        raise ClipperException(NO_DOCKER.format(why=error)) from error
    return client


def build(wanted: ModelBuild, logger: ClusterAdapter) -> None:
    """Build an image: the base, the packages, and the data under /model/.

    Raises:
        ClipperException: no engine answers.
    """
    client = engine()
    with tempfile.NamedTemporaryFile("w+b", suffix="tar") as file:
        with tarfile.open(fileobj=file, mode="w") as context:
            context.add(wanted.data_path)
            text = dockerfile(wanted).encode()
            member = tarfile.TarInfo("Dockerfile")
            member.size = len(text)
            context.addfile(member, io.BytesIO(text))
        file.seek(0)
        _, lines = client.images.build(fileobj=file, custom_context=True, tag=wanted.tag)
    for line in lines:
        if line.get("stream", "\n") != "\n":
            logger.info(line["stream"].rstrip())


def dockerfile(wanted: ModelBuild) -> str:
    """Return the file that an image is built by."""
    run = ""
    if wanted.packages:
        packages = " ".join(wanted.packages)
        run = f"RUN apt-get -y install build-essential && pip install {packages}"
    return f"FROM {wanted.base_image}\n{run}\nCOPY {wanted.data_path} /model/\n"


def push(wanted: ModelBuild, logger: ClusterAdapter) -> None:
    """Push an image to where its tag says, tried several times."""
    client = engine()
    errors = importlib.import_module("docker.errors")
    late = importlib.import_module("requests.exceptions").Timeout

    @retry((errors.APIError, TimeoutError, late), tries=_PUSH_TRIES, logger=logger)
    def upload() -> None:
        for line in client.images.push(repository=wanted.tag, stream=True):
            logger.debug(line)

    upload()
