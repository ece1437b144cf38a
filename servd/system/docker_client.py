"""The container engine's client, and what it raises in servd's errors.

Used by cli/build_body.py, servd/imaging and launchers/docker_engine.py. The SDK is an extra.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from servd.errors import EngineError, ServdError

if TYPE_CHECKING:
    import docker
    from docker.errors import APIError

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


@contextmanager
def engine_errors(refused: Callable[[str], ServdError]) -> Iterator[None]:
    """Turn what the SDK raises into errors of servd; `refused` makes that of the engine's words."""
    from docker.errors import APIError, DockerException  # noqa: PLC0415 - an extra
    from requests.exceptions import RequestException  # noqa: PLC0415

    try:
        yield
    except APIError as error:
        raise refused(words_of(error)) from error
    except (DockerException, RequestException) as error:
        raise EngineError(
            f"the container engine broke off: {innermost(error)}",
            hint="docker info    shows its state",
        ) from error


def words_of(error: "APIError") -> str:
    """Return what an engine says that refuses something."""
    return str(error.explanation or error).strip()


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
