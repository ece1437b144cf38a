"""Who may talk to the admin API. Used by admin.py for each request.

The API runs the code it is given. The unix socket is guarded by its file mode; over TCP a web
page must not reach it by a rebound name (Host) or a cross-site post (Origin), and off loopback a
token is demanded.
"""

import hmac
from urllib.parse import urlsplit

from aiohttp import web

from servd.config import Config, is_loopback
from servd.http.problems import Handler, RequestRefusedError

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """The middleware that refuses requests; it knows the daemon's settings."""

    def __init__(self, config: Config) -> None:
        self._is_loopback = is_loopback(config.bind)
        self._port = config.admin_port
        self._hosts = _LOOPBACK_NAMES | {config.bind.lower()}
        self._token = (config.token or "").encode()

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass the request on, or raise RequestRefusedError (401 or 403)."""
        if not _is_unix(request):
            host = self._checked_host(request)
            _check_origin(request, host)
            if not self._is_loopback:
                self._check_token(request)
        return await handler(request)

    def _checked_host(self, request: web.Request) -> str:
        hosts = request.headers.getall("Host", [])
        if len(hosts) == 1 and (not self._is_loopback or _hostname(hosts[0]) in self._hosts):
            return hosts[0].lower()
        raise RequestRefusedError(
            403,
            "the Host header does not name this daemon",
            hint=f"use http://localhost:{self._port}",
        )

    def _check_token(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        is_right = hmac.compare_digest(given, self._token)
        if scheme.lower() != "bearer" or not self._token or not is_right:
            raise RequestRefusedError(
                401,
                "a token is demanded, as the daemon does not listen on loopback only",
                hint="send 'Authorization: Bearer …' with the daemon's SERVD_TOKEN",
            )


def _is_unix(request: web.Request) -> bool:
    transport = request.transport
    return transport is not None and not isinstance(transport.get_extra_info("sockname"), tuple)


def _check_origin(request: web.Request, host: str) -> None:
    for origin in request.headers.getall("Origin", []):
        if origin.lower() not in {f"http://{host}", f"https://{host}"}:
            raise RequestRefusedError(403, "requests from other sites are refused")


def _hostname(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # a port that is none raises
    except ValueError:
        return None
    # "a@localhost" and "localhost/x" are no hosts, whatever urlsplit makes of them.
    is_plain = parts.netloc == host and parts.username is None
    return parts.hostname if is_plain else None
