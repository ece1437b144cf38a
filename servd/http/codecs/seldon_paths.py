"""What the paths of Seldon's protocol stand for. Used by seldon.py.

Those of one microservice stand at the root, for the default application; behind a gateway they
begin with /seldon/NAMESPACE/DEPLOYMENT, where a deployment is an application.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from servd.http.codecs.base import ROOT

PREDICTIONS: Final = "predictions"
FEEDBACK: Final = "send-feedback"
TRANSFORM_INPUT: Final = "transform-input"
TRANSFORM_OUTPUT: Final = "transform-output"
HEALTH: Final = "health"
METADATA: Final = "metadata"
PING: Final = "ping"

_POST: Final = (b"POST",)
_BOTH: Final = (b"GET", b"POST")
_GET: Final = (b"GET", b"HEAD")

_PLACES: Final = {
    "predict": (PREDICTIONS, _BOTH),
    "api/v0.1/predictions": (PREDICTIONS, _POST),
    "api/v1.0/predictions": (PREDICTIONS, _POST),
    "send-feedback": (FEEDBACK, _BOTH),
    "api/v0.1/feedback": (FEEDBACK, _POST),
    "api/v1.0/feedback": (FEEDBACK, _POST),
    "transform-input": (TRANSFORM_INPUT, _BOTH),
    "transform-output": (TRANSFORM_OUTPUT, _BOTH),
    "health/ping": (PING, _GET),
    "health/status": (HEALTH, _GET),
    "api/v1.0/health/ping": (PING, _GET),
    "api/v1.0/health/status": (HEALTH, _GET),
    "metadata": (METADATA, _GET),
    "api/v1.0/metadata": (METADATA, _GET),
}


class Place(NamedTuple):
    """A place of an application's: what is wanted there, by which methods.

    `is_gateway` says that it is behind the prefix, where answers say more.
    """

    application: str
    verb: str
    methods: tuple[bytes, ...]
    is_gateway: bool = False


@lru_cache(maxsize=1024)
def place_of(path: str) -> Place | None:
    """Return what a path stands for; None where it is none of Seldon's.

    Kept, as it is asked for each answer.
    """
    found = _PLACES.get(path.strip("/"))
    if found is not None:
        return Place(ROOT, *found)
    if not path.startswith("/seldon/"):
        return None
    parts = path.split("/", 4)
    if len(parts) < 5 or not parts[2] or not parts[3]:
        return None
    rest = parts[4].rstrip("/")
    found = _PLACES.get(rest)
    if found is None and rest.startswith("api/v1.0/metadata/"):
        found = _PLACES["metadata"]
    return None if found is None else Place(parts[3], *found, is_gateway=True)
