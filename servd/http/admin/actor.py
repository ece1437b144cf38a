"""Who sends a request to the admin API, in words for the log. Used by admin.py."""

import socket
import struct

from aiohttp import web

_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of a unix socket's peer (unix(7), SO_PEERCRED)."""


def actor_of(request: web.Request) -> str:
    """Return the user at the other end of the unix socket, or the address and how it was let in."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None:
        return "somebody who has gone"
    if sock.family == socket.AF_UNIX:
        told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(told)
        return f"uid {uid} (pid {pid})"
    token = " with a token" if "Authorization" in request.headers else ""
    return f"{request.remote}{token}"
