"""The container engine's client. Used by cli/build_body.py and launchers/docker_engine.py."""

import os
import socket
from typing import TYPE_CHECKING

from servd.errors import EngineError

if TYPE_CHECKING:
    import docker

TIMEOUT_S = 600
"""For one silent stretch of a call: a step of a build may say nothing for long."""

KNOCK_S = 5


def connect(timeout_s: float = TIMEOUT_S) -> "docker.DockerClient":
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
        _knock(where)
        # Making a client asks the engine for its version, so it is known to answer.
        return docker.from_env(timeout=timeout_s)
    except (DockerException, RequestException, OSError) as error:
        raise EngineError.unanswered(where, innermost(error)) from error


def _knock(where: str) -> None:
    """Connect to a unix socket and hang up: the SDK leaves its socket open where that fails."""
    if where.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(KNOCK_S)
            probe.connect("/" + where.removeprefix("unix://").lstrip("/"))


def innermost(error: BaseException) -> str:
    """Return the reason at the bottom of the SDK's chain: the system's own words."""
    found: BaseException = error
    while (below := found.__cause__ or found.__context__) is not None:
        found = below
    return str(getattr(found, "strerror", None) or found)
