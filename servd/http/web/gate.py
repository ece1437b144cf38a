"""The way to the replicas of web applications: which application a path is, and kept connections.

Made by http/query/server.py, which is open as long as this is. What `find` returns leads a request
to an exchange (exchange.py).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import unquote_to_bytes
from weakref import WeakKeyDictionary

from servd.engine.engine import Engine
from servd.engine.route import Route
from servd.http.web.heads import Place
from servd.http.web.upstream import Upstream
from servd.logs import faults

if TYPE_CHECKING:
    from servd.engine.rpc import ReplicaConnection

IDLE_S: Final = 30
"""A connection that nobody needs is kept for so long."""
MAX_IDLE: Final = 1024
"""Connections that are kept to one replica."""
CONNECT_S: Final = 5.0
_FILE: Final = "unix://"
_OWN_PATHS: Final = frozenset({b"/healthz", b"/readyz", b"/metrics"})
"""What a prober asks for is answered here, whatever the default application is."""

_NAMING: Final = frozenset({"seldon"})
"""First parts of paths that name an application further down."""


class Destination(NamedTuple):
    """A web application and what it is asked for; `place` None: the path needs a slash."""

    route: Route
    place: Place | None


class Gate:
    """Kept connections to replicas; an async context manager. `second` counts them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: WeakKeyDictionary[ReplicaConnection, list[Upstream]] = WeakKeyDictionary()
        self._all: set[Upstream] = set()
        self._opening = asyncio.TaskGroup()
        self.second = 0

    async def __aenter__(self) -> Self:
        await self._opening.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for upstream in [*self._all]:
            upstream.close()
        await self._opening.__aexit__(None, None, None)

    @property
    def is_needed(self) -> bool:
        """Whether there is any web application."""
        return bool(self._engine.web)

    def find(self, method: bytes, url: bytes) -> Destination | None:
        """Return which web application a request's target is for; None: it is for none."""
        if not url.startswith(b"/"):
            scheme, _, rest = url.partition(b"://")
            url = b"/" + rest.partition(b"/")[2]
            if scheme.lower() not in (b"http", b"https"):
                return None
        path, mark, query = url.partition(b"?")
        name, slash, rest = path[1:].partition(b"/")
        engine = self._engine
        name = unquote_to_bytes(name) if b"%" in name else name
        route = engine.web.get(name)
        if route is None:
            return self._default(method, url, path)
        if not slash:
            return Destination(route, None)
        return Destination(route, Place(b"/" + name, b"/%b%b%b" % (rest, mark, query)))

    def lacks_slash(self, method: bytes, url: bytes) -> bool:
        """Whether a target is a web application's name and nothing else, not even a slash."""
        found = self.find(method, url)
        return found is not None and found.place is None

    def _default(self, method: bytes, url: bytes, path: bytes) -> Destination | None:
        """Return the default application for what nothing else has.

        Others have what is below their names, and what is for them by a rule or in a format that
        names them further down.
        """
        engine = self._engine
        if engine.web_default is None or path in _OWN_PATHS:
            return None
        text = unquote_to_bytes(path).decode(errors="replace").rstrip("/") or "/"
        parts = text.split("/")
        is_named = parts[1] in engine.by_name or (
            parts[1] in _NAMING and any(part in engine.by_name for part in parts[2:4])
        )
        verb = "GET" if method == b"HEAD" else method.decode("latin-1")
        if is_named or f"{verb} {text}" in engine.rules:
            return None
        return Destination(engine.web_default, Place(b"", url))

    def idle(self, replica: "ReplicaConnection") -> Upstream | None:
        """Return a kept connection to a replica that nobody uses, if there is one."""
        kept = self._idle.get(replica)
        while kept:
            upstream = kept.pop()
            if upstream.transport is not None and not upstream.transport.is_closing():
                return upstream
        return None

    def keep(self, upstream: Upstream) -> None:
        """Keep a connection for others."""
        kept = self._idle.setdefault(upstream.replica, [])
        if len(kept) >= MAX_IDLE or upstream.transport is None:
            upstream.close()
            return
        upstream.pause(is_paused=False)  # the client that it waited for has had its answer
        upstream.idle_since = self.second
        kept.append(upstream)

    def open(
        self, replica: "ReplicaConnection", on_open: Callable[[Upstream | None, str], None]
    ) -> None:
        """Connect to a replica, and tell the connection, or why there is none."""
        self._opening.create_task(self._open(replica, on_open))

    async def _open(
        self, replica: "ReplicaConnection", on_open: Callable[[Upstream | None, str], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        upstream = Upstream(replica, self._all.discard)
        address = replica.http or ""
        why = ""
        try:
            async with asyncio.timeout(CONNECT_S):
                if address.startswith(_FILE):
                    path = address.removeprefix(_FILE)
                    await loop.create_unix_connection(lambda: upstream, path)
                else:
                    host, _, port = address.partition("://")[2].rpartition(":")
                    await loop.create_connection(lambda: upstream, host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            why = f"it cannot be connected to: {error}"
        if not why:
            self._all.add(upstream)
        try:
            on_open(None if why else upstream, why)
        except Exception as error:  # noqa: BLE001 - a task boundary: the others' connections go on
            faults.report("a connection to a web application could not be used", error)

    def on_second(self) -> None:
        """Hang up where nobody has asked for long. Called once a second."""
        self.second += 1
        for kept in [*self._idle.values()]:
            while kept and self.second - kept[0].idle_since > IDLE_S:
                kept.pop(0).close()
