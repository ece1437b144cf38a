"""The life of a web application's replica: start it, serve by uvicorn, drain, end. Used by loop.py.

The main thread runs the application, as uvicorn would alone; the thread that answers heartbeats
while a model computes (connection.py) does so all the time. HTTP has a socket of its own beside the
replica's; where that is, STATE says.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging.config
import os
import socket as sockets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from model_runtime import protocol
from model_runtime.connection import ReplicaSocket
from model_runtime.contract import WEB_PORT
from model_runtime.manifest import WSGI
from model_runtime.older import dataclass
from model_runtime.web.lifespan import App, Lifespan
from model_runtime.web.origin import Placed
from model_runtime.web.runner import Runner

DRAIN_QUIET_S: Final = 0.2
"""Requests that are on their way when the front ends are told to send no more come within this."""
DRAIN_S: Final = 4
"""Then requests have so long to end: who ends a replica has let them go on before that."""
KEEP_ALIVE_S: Final = 3600
"""Connections are the front ends', who close those that they do not need any more."""
_BACKLOG: Final = 2048
_TICKS_A_SECOND: Final = 10
_FILES: Final = ("unix://", "ipc://")


@dataclass(frozen=True, slots=True)
class WebApp:
    """An application, of a kind of kinds.py; `threads` are for a WSGI application's requests."""

    app: Any
    kind: str
    threads: int | None = None

    def as_asgi(self) -> App:
        """Return what uvicorn runs."""
        if self.kind == WSGI:
            # Images of ASGI applications do without.
            from model_runtime.web.wsgi import THREADS, WsgiBridge  # noqa: PLC0415

            return Placed(WsgiBridge(self.app, self.threads or THREADS))
        return Placed(self.app)


@dataclass(frozen=True, slots=True)
class Life:
    """What ends a replica: asked ten times a second, as is `on_idle` called.

    An event loop that does not turn for `stuck_s` does not any more: the process ends, and what it
    was doing is in its log.
    """

    is_stopping: Callable[[], bool]
    is_orphan: Callable[[], bool]
    on_idle: Callable[[], None]
    stuck_s: float


def configure_logs() -> None:
    """Have uvicorn's loggers write as they do under uvicorn, but for its line a request.

    Before the application is imported, which may want it otherwise.
    """
    logging.config.dictConfig(LOGGING_CONFIG)
    logging.getLogger("uvicorn.access").handlers = []
    logging.getLogger("uvicorn.access").propagate = False


def config_of(app: WebApp) -> uvicorn.Config:
    """Return the settings with which an application is run."""
    return uvicorn.Config(
        app.as_asgi(),
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=_BACKLOG,
    )


class WebServer(uvicorn.Server):
    """uvicorn's server inside a replica: `on_started` is called when it serves."""

    def __init__(
        self,
        config: uvicorn.Config,
        link: ReplicaSocket,
        life: Life,
        on_started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._link = link
        self._life = life
        self._on_started = on_started
        self._draining_s: float | None = None
        self.failure: BaseException | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the replica (signals.py)."""
        yield

    async def _serve(self, sockets: list[sockets.socket] | None = None) -> None:
        if not self.config.loaded:
            self.config.load()
        self.lifespan = Lifespan(self.config.loaded_app)
        try:
            await self.startup(sockets=sockets)
        except SystemExit:
            self.failure = self.lifespan.failure
            return
        self._on_started()
        await self.main_loop()
        await self.shutdown(sockets=sockets)

    async def on_tick(self, counter: int) -> bool:
        """Look after the replica's own affairs; return whether it is to end."""
        self._life.on_idle()
        if counter % _TICKS_A_SECOND == 0:
            faulthandler.dump_traceback_later(self._life.stuck_s, exit=True)
        # So it shows that the application does not keep the event loop from turning.
        self._link.take_back()
        is_over = self._is_over()
        self._link.lend()
        return await super().on_tick(counter) or is_over

    def _is_over(self) -> bool:
        if self._life.is_orphan():
            return True
        now_s = time.monotonic()
        if self._draining_s is None and self._life.is_stopping():
            self._draining_s = now_s
            self._link.announce(protocol.DRAINING)
        return self._draining_s is not None and now_s - self._draining_s >= DRAIN_QUIET_S


def serve(app: WebApp, listen: str, link: ReplicaSocket, life: Life) -> BaseException | None:
    """Serve until told to end; return why the application did not start, if it did not.

    `listen` is the replica's own address. The socket `link` is lent meanwhile.
    """
    began_s = time.monotonic()
    sock, address = _open(listen)

    def on_started() -> None:
        link.take_back()
        link.info |= {
            "http": address,
            "web": app.kind,
            "test": {"state": "started"},
            "load_ms": round((time.monotonic() - began_s) * 1000),
        }
        link.announce(protocol.READY)
        link.lend()

    config = config_of(app)
    server = WebServer(config, link, life, on_started)
    link.lend()
    try:
        with Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[sock]))
    finally:
        faulthandler.cancel_dump_traceback_later()
        link.take_back()
        sock.close()
        if address.startswith(_FILES[0]):
            Path(address.removeprefix(_FILES[0])).unlink(missing_ok=True)
    return server.failure


def _open(listen: str) -> tuple[sockets.socket, str]:
    """Listen beside the replica's own address; return the socket and where it can be reached.

    A front end on another machine reaches it at the host at which it reaches the replica.
    """
    for scheme in _FILES:
        if listen.startswith(scheme):
            path = f"{listen.removeprefix(scheme)}.http"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108
            sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
            sock.bind(path)
            sock.listen(_BACKLOG)
            return sock, f"{_FILES[0]}{path}"
    family = sockets.AF_INET6 if sockets.has_ipv6 and "[" in listen else sockets.AF_INET
    sock = sockets.socket(family, sockets.SOCK_STREAM)
    sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    host = listen.partition("://")[2].rpartition(":")[0].strip("[]")
    sock.bind((host, WEB_PORT))
    sock.listen(_BACKLOG)
    return sock, f"tcp://:{WEB_PORT}"
