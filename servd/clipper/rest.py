"""HTTP to a cluster, in Clipper's words for what goes wrong. Used by clipper_admin.py."""

import http.client
import importlib
import json
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from servd.clipper.exceptions import ClipperException

_TIMEOUT_S: Final = 300.0
"""A change may have to launch replicas of an older version before it is in force."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status and its text."""

    status: int
    text: str

    def json(self) -> Any:
        """Return the JSON value that it is."""
        return json.loads(self.text)

    def failure(self) -> ClipperException:
        """Return the error that stands for an answer whose status is not 200."""
        return ClipperException(
            f"Received error status code: {self.status} and message: {self.text}"
        )


def send(
    method: Literal["GET", "POST"],
    address: str,
    path: str,
    body: object = None,
    *,
    token: str | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Reply:
    """Send a request to "host:port", which a proxy's path may follow, and return the answer.

    Raises:
        ConnectionError: nothing answers; also requests' error of that name, where requests is
            installed: scripts catch that.
    """
    where = urlsplit(address if "://" in address else f"http://{address}")
    secured = where.scheme == "https"
    kind = http.client.HTTPSConnection if secured else http.client.HTTPConnection
    connection = kind(where.hostname or "localhost", where.port, timeout=timeout_s)
    headers = {"Content-type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, f"{where.path.rstrip('/')}{path}", text, headers)
        response = connection.getresponse()
        return Reply(response.status, response.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        raise _lost(f"http://{address}{path}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _lost(text: str) -> OSError:
    """Return the error that scripts catch where a server does not answer."""
    try:
        known = importlib.import_module("requests.exceptions").ConnectionError
    except ImportError:
        return ConnectionError(text)
    # Of both kinds: whoever has requests catches its own.
    both: type[OSError] = type("ConnectionError", (known, ConnectionError), {})
    return both(text)
