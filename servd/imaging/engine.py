"""The container engine's client. Used by cli/build.py and the tests of images."""

import os
from typing import TYPE_CHECKING

from servd.errors import EngineError
from servd.imaging.failures import no_engine

if TYPE_CHECKING:
    import docker

TIMEOUT_S = 600
"""For one silent stretch of a call: a step of a build may say nothing for long."""


def connect() -> "docker.DockerClient":
    """Return a client of the engine that DOCKER_HOST names, or of this machine's.

    Raises:
        EngineError: the SDK is not installed, or no engine answers; says what to do.
    """
    try:
        import docker  # noqa: PLC0415 - an extra
        from docker.errors import DockerException  # noqa: PLC0415
        from requests.exceptions import RequestException  # noqa: PLC0415
    except ImportError as error:
        raise EngineError(
            f"the Docker SDK is not installed ({error.name})", hint="pip install 'servd[docker]'"
        ) from error
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        client = docker.from_env(timeout=TIMEOUT_S)
        client.ping()
    except (DockerException, RequestException) as error:
        raise no_engine(where, _innermost(error)) from error
    return client


def _innermost(error: BaseException) -> str:
    """Return the reason at the bottom of the SDK's chain: the system's own words."""
    found: BaseException = error
    while (below := found.__cause__ or found.__context__) is not None:
        found = below
    return str(getattr(found, "strerror", None) or found)
