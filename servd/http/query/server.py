"""The query server: listens on :1337, keeps the connections, watches over their times.

Made by daemon.py. `QueryConnection` (connection.py) does the work for each connection.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any, Self

from servd.config import Config
from servd.engine.engine import Engine
from servd.engine.query import Because, Miss
from servd.http.codecs import CODECS
from servd.http.codecs.base import Codec
from servd.http.query.connection import QueryConnection
from servd.http.query.pages import Pages
from servd.http.query.request import Request
from servd.http.query.state import Found, ServerState
from servd.logs import faults
from servd.metrics.exposition import json_metrics, prometheus_metrics
from servd.metrics.page import MetricsPage
from servd.metrics.source import MetricsSource
from servd.system.descriptors import max_connections

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10
"""From a request's first byte to the end of its head."""

BODY_TIMEOUT_S = 30
"""Without a single byte of the body."""

REQUEST_TIMEOUT_S = 300
"""From a request's first byte to its last: a body that trickles is ended too."""

IDLE_TIMEOUT_S = 75
"""A kept-alive connection without a request."""

LINGER_S = 2
"""How long a refused client has to read why."""

SAY_EVERY_S = 60

ENDING = Because(Miss.FAULT, "The stream broke off: the server is told to end")

BACKLOG = 4096


class LostQueryError(RuntimeError):
    """A query that nobody answered: a fault of ours that left no other trace."""


class QueryServer(ServerState):
    """An HTTP/1.1 server over an engine. An async context manager: listens from enter to exit.

    `figures` are what `GET /metrics` shows, by default the engine's own. `is_ready` is what
    `GET /readyz` says: a composition root gives it once the models that it begins with are loaded,
    and takes it back before it closes the door. `codecs` are the wire formats.
    """

    connections: set[QueryConnection]

    def __init__(
        self,
        engine: Engine,
        config: Config,
        sock: socket.socket | None = None,
        *,
        figures: MetricsSource | None = None,
        is_ready: bool = True,
        codecs: Sequence[Codec] = CODECS,
    ) -> None:
        super().__init__(engine, config, codecs)
        self.is_ready = is_ready
        shown = figures or engine
        self.pages = Pages(
            self, MetricsPage(json_metrics, shown), MetricsPage(prometheus_metrics, shown)
        )
        self._turned_away_at = -SAY_EVERY_S
        self._config = config
        self._server: asyncio.Server | None = None
        self._socket = sock
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.max_connections = max_connections()
        await self.gate.__aenter__()
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"sock": self._socket}
        if self._socket is None:
            where = {"host": self._config.bind, "port": self._config.query_port}
        self._server = await loop.create_server(
            lambda: QueryConnection(self), backlog=BACKLOG, **where
        )
        self.engine.on_names.append(self.forget_endpoints)
        self.reader.nursery.warm_up()
        self._on_second()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.stop_accepting()
        self.engine.on_names.remove(self.forget_endpoints)
        self.failed.flush()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self.gate.__aexit__()
        await self.reader.close()

    @property
    def port(self) -> int:
        """The port that is really listened on (a port of 0 asks for a free one)."""
        assert self._server is not None  # noqa: S101  # only asked while it listens
        return int(self._server.sockets[0].getsockname()[1])

    def set_ready(self) -> None:
        """Tell probers from now on that queries are welcome."""
        self.is_ready = True

    def end_connections(self) -> None:
        """Make each answer its connection's last; new connections are still accepted."""
        self.is_draining = True
        for connection in self.connections:
            connection.close_soon()

    def close_door(self) -> None:
        """Accept no new connection; each answer is its connection's last."""
        self.end_connections()
        if self._server is not None:
            self._server.close()

    def stop_accepting(self) -> None:
        """Close the door, and the connections on which nothing is asked."""
        self.close_door()
        for connection in list(self.connections):
            if connection.is_idle and connection.transport is not None:
                connection.transport.close()

    async def drain(self, timeout_s: float) -> None:
        """Wait until every open request is answered, `timeout_s` at most."""
        deadline_s = self.engine.clock() + timeout_s
        # A connection leaves the set when its last answer is written; nobody signals that.
        while self.connections and self.engine.clock() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.break_off(ENDING)

    def answer_slowly(self, request: Request) -> Found:
        """Return the endpoint of a prediction, or an answer: what pages.py says.

        Raises:
            RequestError: the codec does not take requests with such a head.
        """
        return self.pages.answer(request)

    def on_turned_away(self) -> None:
        """Say, once a minute at most, that connections are refused."""
        if self.second - self._turned_away_at >= SAY_EVERY_S:
            self._turned_away_at = self.second
            logger.warning(
                "%d connections are open, all that the limit of descriptors (ulimit -n) leaves: "
                "others are answered with 503",
                len(self.connections),
            )

    # --- once a second ---

    def _on_second(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._on_second)
        self.second += 1
        self.gate.on_second()
        self.cors.refresh()
        self.failed.flush()
        now_s = self.engine.clock()
        for connection in list(self.connections):
            try:
                self._check(connection, now_s)
            except Exception as error:  # noqa: BLE001 - the others' times are watched all the same
                faults.report("a connection could not be watched", error)
                connection.abort()

    def _check(self, connection: QueryConnection, now_s: float) -> None:
        """Close a connection that has not got on for longer than what it does may take."""
        unsent_bytes = connection.note_unsent()
        silent_s = self.second - connection.since
        if connection.is_closing or connection.is_unread:
            # An answer that is still on its way has longer: the client may read slowly.
            if silent_s > (IDLE_TIMEOUT_S if unsent_bytes else LINGER_S):
                connection.abort()
        elif connection.is_busy:
            # It waits for us, under the deadline of its query, whose timer answers it.
            if connection.is_overdue(now_s):
                connection.on_fault(LostQueryError("its deadline passed without an answer"))
        elif connection.began is None:
            if silent_s > IDLE_TIMEOUT_S:
                connection.abort()
        elif self._is_too_slow(connection, silent_s, self.second - connection.began):
            connection.refuse(408, "the request took too long to arrive")

    def _is_too_slow(self, connection: QueryConnection, silent_s: int, age_s: int) -> bool:
        if connection.is_held:
            return False  # it waits for an application, whose time is the exchange's to limit
        if connection.is_reading_head:
            return age_s > HEAD_TIMEOUT_S
        # A web application may take an upload as slowly as it wishes.
        is_long = age_s > REQUEST_TIMEOUT_S and not connection.is_passing
        return silent_s > BODY_TIMEOUT_S or is_long
