"""The query server: listens on :1337, keeps the connections, serves what is off the hot path.

Made by daemon.py. `QueryConnection` (http/query.py) does the work for each connection.
"""

import asyncio
import logging
import socket
from typing import Any, Self
from urllib.parse import unquote_to_bytes

import msgspec

from servd import faults
from servd.config import Config
from servd.descriptors import max_connections
from servd.engine import Engine
from servd.figures import Figures
from servd.http.bearer import carries
from servd.http.bounds import LONG_BODY_BYTES, bounds_of
from servd.http.codecs import clipper
from servd.http.codecs.clipper import check_json
from servd.http.codecs.refusals import SCHEMA, UPDATE_SCHEMA, RequestError
from servd.http.exposition import clipper_metrics, prometheus_metrics
from servd.http.failed_queries import FailedQueries
from servd.http.long_bodies import BodyReaders
from servd.http.metrics_page import MetricsPage
from servd.http.parsing import Request
from servd.http.query import QueryConnection
from servd.http.wire import JSON, TEXT, Heads
from servd.route import Route

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

MAX_KNOWN_HEADS = 4096
MAX_KNOWN_HEAD_BYTES = 2048

SAY_EVERY_S = 60

BACKLOG = 4096

_ADMIN_PLACE = "the admin API is on the daemon's other port, by default 1338"

Answer = tuple[int, bytes, bytes, bytes, bool]
"""Status, body, kind, headers, and whether the body is sent."""

PageAnswer = tuple[MetricsPage, bytes, bool]
"""What will be the body, its kind, and whether it is sent."""


class LostQueryError(RuntimeError):
    """A query that nobody answered: a fault of ours that left no other trace."""


class QueryServer:
    """An HTTP/1.1 server over an engine. An async context manager: listens from enter to exit.

    `figures` are what `GET /metrics` shows, by default the engine's own. `is_ready` is what
    `GET /readyz` says: a composition root gives it once the models that it begins with are loaded,
    and takes it back before it closes the door. `why_unready` is told beside.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        sock: socket.socket | None = None,
        *,
        figures: Figures | None = None,
        is_ready: bool = True,
    ) -> None:
        self.engine = engine
        self._clipper_page = MetricsPage(clipper_metrics, figures or engine)
        self._prometheus_page = MetricsPage(prometheus_metrics, figures or engine)
        self.connections: set[QueryConnection] = set()
        self.max_connections = 1
        self._turned_away_at = -SAY_EVERY_S
        self.heads = Heads()
        self.failed = FailedQueries()
        self.is_draining = False
        self.is_ready = is_ready
        self.why_unready = ""
        self.known_heads: dict[bytes, tuple[bytes, int]] = {}
        self.max_body_bytes = config.max_body_bytes
        self.bounds = bounds_of(config)
        self.reader = BodyReaders(self.bounds)
        self.tick = 0
        self.token = config.query_token
        self._config = config
        self.next_id = 0
        self._server: asyncio.Server | None = None
        self._socket = sock
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.max_connections = max_connections()
        loop = asyncio.get_running_loop()
        where: dict[str, Any] = {"sock": self._socket}
        if self._socket is None:
            where = {"host": self._config.bind, "port": self._config.query_port}
        self._server = await loop.create_server(
            lambda: QueryConnection(self), backlog=BACKLOG, **where
        )
        self.reader.nursery.warm_up()
        self._on_second()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.stop_accepting()
        self.failed.flush()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self.reader.close()

    @property
    def port(self) -> int:
        """The port that is really listened on (a port of 0 asks for a free one)."""
        assert self._server is not None  # noqa: S101  # only asked while it listens
        return int(self._server.sockets[0].getsockname()[1])

    def take_ids(self, count: int) -> int:
        """Return the first of `count` query ids; they count up from 0 in this process."""
        first = self.next_id
        self.next_id += count
        return first

    def learn_head(self, head: bytes, url: bytes, length: int) -> None:
        """Keep the head of a plain prediction, with its path and the length of its body.

        Clients that put something new into every head would fill any table: it is emptied then.
        """
        if self.token or url not in self.engine.routes or len(head) > MAX_KNOWN_HEAD_BYTES:
            return
        if length > LONG_BODY_BYTES:
            return
        if len(self.known_heads) >= MAX_KNOWN_HEADS:
            self.known_heads.clear()
        self.known_heads[head] = (url, length)

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

    # --- off the hot path ---

    def answer_slowly(self, request: Request) -> Route | Answer | PageAnswer:
        """Return the route of a prediction, or an answer.

        Feedback whose body is still to be read is marked as such, and has its route too.
        """
        path = _path(request.url)
        if path in (b"/healthz", b"/readyz") and request.method in (b"GET", b"HEAD"):
            return self._answer_health(path)  # a prober has no token
        if self.token and not carries(request.authorization, self.token.encode()):
            cause = "this server asks for a token: send 'Authorization: Bearer TOKEN'"
            body = clipper.error_object("Unauthorized", cause)
            return 401, body, JSON, b"WWW-Authenticate: Bearer\r\n", True
        if request.method == b"OPTIONS":
            return 204, b"", TEXT, b"Allow: GET, HEAD, OPTIONS, POST\r\n", True
        if path in (b"/", b"/metrics"):
            return self._answer_get(path, request)
        route = self.engine.routes.get(path)
        if route is not None:
            return route if request.method == b"POST" else _not_allowed(b"POST, OPTIONS")
        return self._answer_named(path, request)

    def _answer_health(self, path: bytes) -> Answer:
        """Answer a prober: alive as long as the loop turns; ready as the composition root says."""
        if path == b"/healthz" or (self.is_ready and not self.is_draining):
            return 200, b"ok\n", TEXT, b"", True
        why = f": {self.why_unready}" if self.why_unready else ""
        said = "draining\n" if self.is_draining else f"not ready{why}\n"
        return 503, said.encode(), TEXT, b"", True

    def _answer_get(self, path: bytes, request: Request) -> Answer | PageAnswer:
        if request.method not in (b"GET", b"HEAD"):
            return _not_allowed(b"GET, HEAD, OPTIONS")
        has_body = request.method == b"GET"
        if path == b"/":
            return 200, b"servd is running\n", TEXT, b"", has_body
        if b"text/plain" in request.accept or b"openmetrics" in request.accept:
            kind = b"text/plain; version=0.0.4; charset=utf-8"
            return self._prometheus_page, kind, has_body
        return self._clipper_page, JSON, has_body

    def _answer_named(self, path: bytes, request: Request) -> Route | Answer:
        if request.method == b"CONNECT":
            return _not_allowed(b"GET, HEAD, OPTIONS, POST")
        name, _, verb = path.strip(b"/").partition(b"/")
        text = name.decode(errors="replace")
        route = self.engine.by_name.get(text)
        if verb == b"update" and route is not None:
            if request.method != b"POST":
                return _not_allowed(b"POST, OPTIONS")
            if request.long is not None:
                request.is_feedback = True
                return route
            return (*_answer_update(route, request.body), JSON, b"", True)
        if verb in (b"predict", b"update"):
            cause = f"No application with name '{text}' exists"
            return 404, clipper.error_object("Unknown application", cause), JSON, b"", True
        cause = "There is nothing at this path; predictions are at /<application>/predict"
        if name in (b"admin", b"api"):
            cause = f"This is the query port; {_ADMIN_PLACE}"
        return 404, clipper.error_object("Not found", cause), JSON, b"", request.method != b"HEAD"

    def on_turned_away(self) -> None:
        """Say, once a minute at most, that connections are refused."""
        if self.tick - self._turned_away_at >= SAY_EVERY_S:
            self._turned_away_at = self.tick
            logger.warning(
                "%d connections are open, all that the limit of descriptors (ulimit -n) leaves: "
                "others are answered with 503",
                len(self.connections),
            )

    # --- once a second ---

    def _on_second(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(1.0, self._on_second)
        self.tick += 1
        self.heads.refresh()
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
        silent_s = self.tick - connection.since
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
        elif self._is_too_slow(connection, silent_s, self.tick - connection.began):
            connection.refuse(408, "the request took too long to arrive")

    def _is_too_slow(self, connection: QueryConnection, silent_s: int, age_s: int) -> bool:
        if connection.is_reading_head:
            return age_s > HEAD_TIMEOUT_S
        return silent_s > BODY_TIMEOUT_S or age_s > REQUEST_TIMEOUT_S


def _path(url: bytes) -> bytes:
    if b"://" in url and not url.startswith(b"/"):
        # The absolute form, which RFC 9112 §3.2.2 wants accepted.
        url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
    return unquote_to_bytes(url.partition(b"?")[0])


def _not_allowed(allow: bytes) -> Answer:
    body = clipper.error_object("Method not allowed", f"allowed here: {allow.decode()}")
    return 405, body, JSON, b"Allow: %b\r\n" % allow, True


class _Feedback(msgspec.Struct):
    uid: int
    label: float
    input: msgspec.Raw


def _answer_update(route: Route, body: bytes) -> tuple[int, bytes]:
    """Take feedback. The default selection policy learns nothing from it, as in Clipper."""
    try:
        check_json(body)
        feedback = msgspec.json.decode(body, type=_Feedback)
        clipper.DECODE[route.input_type](b'{"input":%b}' % bytes(feedback.input))
    except (msgspec.MsgspecError, RecursionError) as error:
        cause = f"Error parsing JSON: {error}. {UPDATE_SCHEMA}"
        return 400, clipper.error_object("Json error", cause)
    except RequestError as error:
        cause = error.cause.replace(SCHEMA, UPDATE_SCHEMA)
        return error.status, clipper.error_object(error.error, cause)
    return 200, clipper.FEEDBACK_RECEIVED
