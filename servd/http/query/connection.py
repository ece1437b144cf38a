"""The query frontend: HTTP/1.1 on :1337, requests to queries to answers. The hot path begins here.

One `QueryConnection` per TCP connection, one request of it at a time, so answers keep their order.
No task and no future per request. Whatever goes wrong with a request is answered: `on_fault` has
what nobody foresaw.
"""

import asyncio
from typing import Any, Final, cast

from msgspec.structs import replace

from servd.carriers.long_bytes import LongBytes
from servd.engine.dispatcher import Dispatcher
from servd.engine.query import OF_THE_MODEL, Miss, Query, Why
from servd.engine.route import NoSuchVersionError, Route
from servd.engine.stream import Stream
from servd.http.codecs.base import BEGIN_BYTES, Asked, BesideError, Codec, RequestError, Resource
from servd.http.query.answers import BatchAnswer, Several
from servd.http.query.bodies import BodyError
from servd.http.query.endpoint import Endpoint, OtherFormatError, is_stream, the_one
from servd.http.query.event_stream import EventStream
from servd.http.query.held_bodies import LongBody
from servd.http.query.long_request import TURN_ROWS, LongBatch, as_it_is, job_of, new_long
from servd.http.query.request import Request, long_of, unpack_request
from servd.http.query.state import Found, PageReply, ServerState
from servd.http.query.web_client import WebClient, WebEndpoint, Whole
from servd.http.web.exchange import Exchange
from servd.http.wire import CACHE_HIT, TOO_MANY_CONNECTIONS, Reply, error_reply
from servd.logs import faults

OVERDUE_S = 5.0
"""A query without an answer so long after its deadline is one that was lost: see server.py."""

_NO_CODEC: Final = Codec()
"""Says what went wrong before it is known in which format it is to be said."""


class QueryConnection(WebClient):
    """One client. It is the sink of its single queries; `BatchAnswer` is that of several inputs."""

    __slots__ = ("_has_body", "_page", "_query_id", "_unsent")

    def __init__(self, server: ServerState) -> None:
        super().__init__(server)
        self._query_id = 0
        self._page: PageReply | None = None
        self._has_body = True
        self._unsent = 0

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register with the server, which watches over its connections' times."""
        self.transport = transport  # type: ignore[assignment]  # TCP transports are Transports
        if len(self._server.connections) >= self._server.max_connections:
            self._turn_away()
            return
        self._server.connections.add(self)
        self._is_plain = not self._server.is_draining

    def _turn_away(self) -> None:
        """Answer and close: the descriptors that are left are the server's own."""
        self.is_closing = True
        self._server.on_turned_away()
        if self.transport is not None:
            self.transport.write(self._heads.answer(TOO_MANY_CONNECTIONS, is_last=True))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the places of what nobody waits for any more."""
        del exc
        self.transport = None
        self._is_plain = False
        self.is_closing = True
        self._server.connections.discard(self)
        # A body that was coming gives its room back now: the collector of garbage may be late.
        self._rest, self._at, self._request, self._whole = b"", 0, None, None
        self._pieces.clear()
        if isinstance(self._query, Query):
            self._server.engine.cancel(self._query)
        elif self._query is not None:
            self._query.cancel(self._server.engine)
        self._query = None

    def close_soon(self) -> None:
        """Close after the next answer: the server is draining."""
        self._is_plain = False

    def note_unsent(self) -> int:
        """Return how much still waits for the client to read; whoever reads some is not silent."""
        unsent = 0 if self.transport is None else self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self.since = self._server.second
        self._unsent = unsent
        if type(self._query) is EventStream:
            self._query.on_second()
        elif type(self._query) is Exchange:
            self._query.on_second(is_unread=self.is_unread)
        return unsent

    def is_overdue(self, now_s: float) -> bool:
        """Whether the query that is asked should long have been answered, at its deadline."""
        query = self._query
        return query is not None and now_s > query.deadline_s + OVERDUE_S

    # --- a request ---

    def on_request(self, request: Request) -> None:
        """Start a request's queries, or hand it to the slow routes."""
        server = self._server
        self._heads = request.heads or server.heads
        self._is_last = request.is_last
        self._is_plain = not (
            self._is_last or self.has_more or self._is_ended or server.is_draining
        )
        self.is_busy = True
        endpoint = server.endpoints.get(request.url)
        if (
            endpoint is None
            or not endpoint.route.is_open
            or request.method != b"POST"
            or request.encoding
            or request.long is not None
            or request.headers is not None
            or request.heads is not None
            or server.token
        ):
            self._handle_slowly(request)
        else:
            if request.head:
                server.learn_head(request.head, endpoint, request.length)
            self.predict(endpoint, request.body)

    def predict(self, endpoint: Endpoint, body: bytes) -> None:
        """Answer a body that was seen before without decoding it; else submit its queries."""
        self.is_busy = True
        self._asked = endpoint
        server = self._server
        self._query_id = server.next_id
        route = endpoint.route
        dispatcher = route.dispatcher
        try:
            if dispatcher is not None:
                bodies = dispatcher.bodies
                if (
                    bodies is not None
                    and (known := bodies.get(endpoint.key)) is not None
                    and (output := known.young.get(body) or (known.old and known.get(body)))
                ):
                    server.next_id += 1
                    route.body_hits += 1
                    dispatcher.body_hits += 1
                    self.on_output(None, output)
                    return
                # A batch's answer has another form, so what may be one is read all the same.
                if dispatcher.turn.lag_s > route.patience_s and body.startswith(endpoint.begins):
                    self._shed(endpoint, dispatcher)
                    return
            is_as_before = endpoint.inputs is route.inputs
            row = (endpoint.decode if is_as_before else endpoint.learn_inputs())(body)
            if not isinstance(row, bytes):
                self._predict_asked(endpoint, row)
                return
            server.next_id += 1
            query = server.engine.ask(route, row, self)
            if not query.is_done:
                self._query = query
            elif query.is_hit and dispatcher is not None:
                # Seen twice: from the third time on, the body itself is the key.
                dispatcher.remember(endpoint.key, body, row)
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            self._on_failed(endpoint, body, error)

    def _on_failed(self, endpoint: Endpoint, body: bytes, error: Exception) -> None:
        """Have a body that is much work read as a long one is; answer for all other errors.

        One of another format that has this path is its codec's.
        """
        if isinstance(error, BesideError):
            try:
                self._read_long(endpoint, long_of(body, self._server.reader.held))
            except BodyError as why:
                self.respond(error_reply(why.status, "Bad request", str(why)))
            except Exception as why:  # noqa: BLE001 - the boundary of a request
                self.on_error(why)
        elif isinstance(error, OtherFormatError):
            self.predict(error.endpoint, body)
        else:
            self.on_error(error)

    def _shed(self, endpoint: Endpoint, dispatcher: Dispatcher) -> None:
        """Refuse a query that has waited for too long to be read, for as little as possible."""
        self._server.next_id += 1
        endpoint.route.shed += 1
        dispatcher.turn.count()
        self._answer_miss(Miss.OVERLOADED, b"")

    def _predict_asked(self, endpoint: Endpoint, asked: Asked | Whole) -> None:
        """Ask for several inputs, or for one of a version.

        Raises:
            NoSuchVersionError: there is none; nothing has been begun then.
        """
        if isinstance(asked, Whole):
            self.pass_on(cast("WebEndpoint", endpoint), asked.body)
            return
        rows, version = asked
        route = endpoint.route
        if version is not None:
            route.named(version)
        if endpoint.is_events and is_stream(route, version):
            rows = the_one(rows)
        if isinstance(rows, list):
            deadline_s = self._server.engine.clock() + route.slo_s
            several = Several(endpoint, version, rows, len(rows), deadline_s, asked.told)
            self.start_several(several)
            return
        self.ask_one(endpoint, rows, version)

    def ask_one(self, endpoint: Endpoint, row: bytes, version: str | None) -> None:
        """Ask for one input; where events are asked for they are the answer."""
        self.take_id()
        engine = self._server.engine
        if not endpoint.is_events:
            query = engine.ask(endpoint.route, row, self, version=version)
            if not query.is_done:
                self._query = query
            return
        self._query = events = EventStream(self, endpoint, self._query_id)
        events.hear(engine.ask(endpoint.route, row, events, version=version))

    def take_id(self) -> None:
        """Give the request the next query id."""
        self._query_id = self._server.take_ids(1)

    def start_several(self, several: Several) -> None:
        """Submit several inputs: at once where they are few, else in turns."""
        server, count, endpoint = self._server, several.count, several.endpoint
        if count > server.bounds.max_rows:
            raise endpoint.codec.too_many_rows(server.bounds)
        first_id = server.take_ids(count)
        if count > TURN_ROWS:
            self._query = turns = LongBatch(self, server.engine, first_id, several)
            turns.go_on()
            return
        self._query = batch = BatchAnswer(self, endpoint, first_id, count, several.told)
        if not count:
            batch.answer()
            return
        ask = server.engine.ask
        for index, row in enumerate(several.rows):
            query = ask(endpoint.route, row, batch, index, several.version)
            if not query.is_done:
                batch.queries.append(query)

    def _handle_slowly(self, request: Request) -> None:
        """Serve what the fast path does not: other paths and methods, packed bodies, tokens."""
        server = self._server
        self._query_id = server.next_id
        self._asked = None  # type: ignore[assignment]
        found = self._find(request)
        if isinstance(found, Endpoint):
            if request.long is not None:
                if found.others:
                    found = found.of(request.long.begin(BEGIN_BYTES))
                self._learn_long(request, found)
                encoding = request.encoding.decode("latin-1")
                self._read_long(found, request.long, request.resource, encoding)
                return
            if request.head and found.codec.is_lasting(found.head):
                server.learn_head(request.head, found, request.length)
            self._is_plain &= found.has_body
            self.predict(found, request.body)
            return
        has_body = request.method != b"HEAD"  # a body would be read as the next answer
        if isinstance(found, PageReply):
            self._page, self._has_body = found, has_body
            found.page.ask(self)
        else:
            self.respond(found if has_body else replace(found, has_body=False))

    def _find(self, request: Request) -> Found:
        """Return the endpoint of a prediction, or an answer."""
        if request.is_as_before and request.endpoint is not None:
            return request.endpoint
        try:
            unpack_request(request, self._server.reader.held)
            return self._server.answer_slowly(request)
        except BodyError as error:
            return error_reply(error.status, "Bad request", str(error))

    def _learn_long(self, request: Request, found: Endpoint) -> None:
        """Have the next request with this head spared what finding its endpoint takes."""
        is_plain = request.head and request.resource is None and not request.encoding
        if is_plain and found.codec.is_lasting(found.head):
            self._server.learn_long(request, found)

    def _read_long(
        self,
        endpoint: Endpoint,
        body: LongBody,
        resource: Resource | None = None,
        encoding: str = "",
    ) -> None:
        """Have a long body read; what it holds is submitted, or answered, after that.

        One that is its own row nobody has to read.
        """
        server = self._server
        self._asked = endpoint
        if resource is None and not encoding and body.is_short and self._ask_whole(endpoint, body):
            return
        self._query = long = new_long(self, server.engine, endpoint, resource)
        if resource is None and not encoding:
            rows = as_it_is(endpoint, body, server.reader.held)
            if rows is not None:
                long.on_read(rows)
                return
        job = job_of(endpoint, resource, encoding, server.bounds)
        long.await_rows(server.reader.read(body, job, long.on_read))

    def _ask_whole(self, endpoint: Endpoint, body: LongBody) -> bool:
        """Ask for the input that a body in memory is, as for a short one; False if it is none.

        So it is of one that is scanned only, unless that is too much work after all.
        """
        try:
            rows = as_it_is(endpoint, body, self._server.reader.held)
            if rows is not None:
                (row,) = endpoint.renewed(rows)
                self._predict_asked(endpoint, Asked(row, rows.version))
                return True
            begin = body.begin(BEGIN_BYTES)
            if not endpoint.codec.is_scanned(endpoint.route, endpoint.head, begin):
                return False
            is_as_before = endpoint.inputs is endpoint.route.inputs
            found = (endpoint.decode if is_as_before else endpoint.learn_inputs())(body.whole())
            body.close()
            self._predict_asked(endpoint, found if isinstance(found, Asked) else Asked(found))
        except BesideError:
            return False
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            body.close()
            self.on_error(error)
        return True

    def on_page(self, text: Any) -> None:
        """Answer with the text that was waited for."""
        page, self._page = self._page, None
        if page is not None:
            self.respond(replace(page.of(text), has_body=self._has_body))

    # --- the answer: `Sink` of a single query ---

    def on_output(self, query: Query | None, output: bytes) -> None:
        """Write a prediction. Called by the dispatcher; what was known may have no query."""
        asked = self._asked
        try:
            body = asked.render((self._query_id, output))
        except TypeError:
            pieces = asked.codec.long_output(self._query_id, cast("LongBytes", output), asked.head)
            self.respond(Reply(200, pieces, asked.kind))
            return
        is_hit = query is None or query.is_hit
        if self._is_plain:
            self._query = None
            self.is_busy = False
            heads = asked.hit_heads if is_hit else asked.ok_heads
            self.transport.write(heads[len(body)] + body)  # type: ignore[union-attr]
        else:
            self.respond(Reply(200, body, asked.kind, CACHE_HIT if is_hit else b""))

    def on_miss(self, query: Query, miss: Why) -> None:
        """Write the default output or an error."""
        if miss.kind in OF_THE_MODEL:
            miss = self.note_failed(self._asked.route, miss, self._query_id)
        self._answer_miss(miss, query.row)

    def note_failed(self, route: Route, miss: Why, query_id: int) -> Why:
        """Have the log name a query that its model failed on; return what its caller is told."""
        self._server.failed.note(route, miss, query_id)
        return miss.shown if self._server.tells_errors else miss

    def _answer_miss(self, miss: Why, row: bytes) -> None:
        asked = self._asked
        self.respond(asked.codec.missed(asked.route, self._query_id, miss, row, asked.head))

    # --- what went wrong ---

    def on_error(self, error: Exception) -> None:
        """Answer for what a body or its queries led to."""
        codec = self._asked.codec
        if isinstance(error, NoSuchVersionError):
            error = codec.no_such_version(error)
        if isinstance(error, RequestError):
            self.respond(codec.refused(error))
        else:
            self.on_fault(error)

    def on_fault(self, error: Exception) -> None:
        """Answer for an exception that nobody foresaw, and be ready for the next request.

        The log has it by its query id. Queries that were submitted before it are taken back.
        """
        server, query_id = self._server, self._query_id
        server.next_id = max(server.next_id, query_id + 1)
        faults.report(f"query {query_id} could not be handled", error)
        self._page = None
        if self.give_up_web():
            return
        try:
            if isinstance(self._query, Stream):
                server.engine.cancel(self._query)
            elif self._query is not None and not isinstance(self._query, Query):
                self._query.cancel(server.engine)
            server.engine.disown(self)
            if self.is_busy:
                self._is_last = self._is_last or self._is_refused
                codec = self._asked.codec if self._asked else _NO_CODEC
                self.respond(codec.fault(query_id))
        except Exception as again:  # noqa: BLE001 - nothing is left to try
            faults.report(f"query {query_id} could not be answered", again)
            self.abort()
