"""Where a request came from, as whoever passes it on says in one header. Used by serving.py.

An application sees the client's address, the scheme and the server as if the client had connected
to it, and the path below which it is reached as `root_path` (ASGI) or SCRIPT_NAME (WSGI).
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Final

from model_runtime.web.lifespan import App

HEADER: Final = b"x-servd-origin"
"""CLIENT PORT SERVER PORT SCHEME [PREFIX]; it comes first, and the application does not see it."""
_KEPT: Final = 1024


class Placed:
    """An ASGI application that is reached where the header says."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Awaitable[None]:
        """Call the application."""
        headers = scope.get("headers")
        if headers:
            if headers[0][0] == HEADER:
                _place(scope, headers.pop(0)[1])
            elif (value := dict(headers).get(HEADER)) is not None:
                headers[:] = [pair for pair in headers if pair[0] != HEADER]
                _place(scope, value)
        return self._app(scope, receive, send)


def _place(scope: dict[str, Any], value: bytes) -> None:
    client, server, scheme, prefix = _parsed(value)
    scope["client"], scope["server"] = client, server
    scope["scheme"] = scheme if scope["type"] == "http" else f"ws{scheme[4:]}"
    if prefix:
        scope["root_path"] = prefix
        scope["path"] = prefix + scope["path"]
        if scope.get("raw_path") is not None:
            scope["raw_path"] = prefix.encode() + scope["raw_path"]


@lru_cache(_KEPT)
def _parsed(value: bytes) -> tuple[tuple[str, int], tuple[str, int], str, str]:
    host, port, server, server_port, scheme, *rest = value.decode("latin-1").split(" ")
    prefix = rest[0] if rest else ""
    return (host, int(port)), (server, int(server_port)), scheme, prefix
