"""Who may talk to the admin API, and who does. Used by server.py for each request.

The API runs the code it is given. On the unix socket its owner and root need nothing more than
that they are it. Everywhere else a token is demanded where one is set; where none is, only
processes of the owner and of root are answered, on loopback, whatever other users run there. Over
TCP a web page must not reach it by a rebound name (Host) or a cross-site post (Origin).
"""

import asyncio
import os
import socket
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from aiohttp import web

from servd.config import Config, is_loopback
from servd.http.admin.problems import Handler, RequestRefusedError
from servd.http.bearer import carries
from servd.system import peers

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """The middleware that refuses requests; it knows the daemon's settings."""

    def __init__(self, config: Config) -> None:
        self._is_loopback = is_loopback(config.bind)
        self._port = config.admin_port
        self._hosts = _LOOPBACK_NAMES | {config.bind.lower()}
        self._token = (config.token or "").encode()
        self._owners: WeakKeyDictionary[Any, int | None] = WeakKeyDictionary()

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass the request on, or raise RequestRefusedError (401 or 403)."""
        is_local = is_unix(request)
        if not is_local:
            _check_origin(request, self._checked_host(request))
        if not (is_local and peers.may_act(await self._owner(request))):
            if self._token or not self._is_loopback:
                self._check_token(request)
            else:
                await self._check_owner(request)
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
        given = ", ".join(request.headers.getall("Authorization", []))
        if not carries(given.encode("utf-8", "surrogateescape"), self._token):
            raise RequestRefusedError(
                401,
                "the daemon has a token, and this request does not carry it",
                hint="send 'Authorization: Bearer …' with the daemon's SERVD_TOKEN",
            )

    async def _check_owner(self, request: web.Request) -> None:
        owner = await self._owner(request)
        if peers.may_act(owner):
            return
        hint = "start the daemon with SERVD_TOKEN and send 'Authorization: Bearer TOKEN'"
        if owner is not None:
            raise RequestRefusedError(
                403,
                f"the daemon belongs to user {os.geteuid()} and has no token: "
                f"user {owner} may not administer it",
                hint=hint,
            )
        raise RequestRefusedError(
            403,
            "the daemon has no token, and whose process sent this cannot be found out "
            "(it comes from elsewhere, or has closed its socket)",
            hint=hint,
        )

    async def _owner(self, request: web.Request) -> int | None:
        """Return the user at the other end, asked for once a connection; None: unknown."""
        transport = request.transport
        if transport is None:
            return None
        if transport not in self._owners:
            self._owners[transport] = await _find_owner(transport)
        return self._owners[transport]


async def _find_owner(transport: asyncio.Transport) -> int | None:
    local, remote = (transport.get_extra_info(name) for name in ("sockname", "peername"))
    if not isinstance(local, tuple):
        return peers.unix_peer(transport.get_extra_info("socket"))[1]
    if not isinstance(remote, tuple) or not peers.is_local(remote[:2]):
        return None
    # In a thread: where the kernel has to be asked by its tables, these may be long.
    return await asyncio.to_thread(peers.tcp_uid, local[:2], remote[:2])


def actor_of(request: web.Request) -> str:
    """Return the user at the other end of the unix socket, or the address and how it was let in."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return "somebody who has gone"
    if sock.family == socket.AF_UNIX:
        pid, uid = peers.unix_peer(sock)
        return f"uid {uid} (pid {pid})"
    token = " with a token" if "Authorization" in request.headers else ""
    return f"{request.remote}{token}"


def is_unix(request: web.Request) -> bool:
    """Return whether a request came through the unix socket. Used by api.py too."""
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
