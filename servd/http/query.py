"""The query frontend: HTTP/1.1 on :1337, requests to queries to answers. The hot path begins here.

One `QueryConnection` per TCP connection, one request of it at a time, so answers keep their order.
No task and no future per request. Whatever goes wrong with a request is answered: `on_fault` has
what nobody foresaw.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from servd import faults
from servd.http.answers import BatchAnswer, long_answer
from servd.http.bodies import BodyError, inflate_short
from servd.http.body_reader import Job
from servd.http.bounds import LONG_BODY_BYTES
from servd.http.codecs import clipper
from servd.http.codecs.clipper_long import too_many_rows
from servd.http.codecs.refusals import RequestError
from servd.http.long_bodies import BusyError, LongBody
from servd.http.long_request import (
    TURN_ROWS,
    Asked,
    Long,
    LongBatch,
    LongFeedback,
    LongRequest,
)
from servd.http.parsing import Request
from servd.http.reading import RequestReader
from servd.http.wire import JSON
from servd.long_bytes import TURN_BYTES, Piece
from servd.query import OF_THE_MODEL, Miss, Query, Why
from servd.route import NoSuchVersionError, Route

if TYPE_CHECKING:
    from servd.dispatcher import Dispatcher
    from servd.http.server import QueryServer

OVERDUE_S = 5.0
"""A query without an answer so long after its deadline is one that was lost: see server.py."""


_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Content-Length: 84\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    b'{"error":"Too many connections","cause":"this server has no descriptor left for it"}'
)


class QueryConnection(RequestReader):
    """One client. It is the sink of its single queries; `BatchAnswer` is that of an input_batch."""

    __slots__ = ("_asked", "_is_last", "_page_form", "_pieces", "_query", "_query_id", "_unsent")

    _asked: Route
    """Of the request that is answered; set before its queries are asked."""

    def __init__(self, server: "QueryServer") -> None:
        super().__init__(server)
        self._query: Query | BatchAnswer | Long | None = None
        self._query_id = 0
        self._is_last = False
        self._page_form: Sequence[Any] = ()
        self._pieces: deque[Piece] = deque()
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
            self.transport.write(_TOO_MANY)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the places of what nobody waits for any more."""
        del exc
        self.transport = None
        self._is_plain = False
        self.is_closing = True
        self._server.connections.discard(self)
        self._rest, self._at = b"", 0
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
            self.since = self._server.tick
        self._unsent = unsent
        return unsent

    def is_overdue(self, now_s: float) -> bool:
        """Whether the query that is asked should long have been answered, at its deadline."""
        query = self._query
        return query is not None and now_s > query.deadline_s + OVERDUE_S

    # --- a request ---

    def on_request(self, request: Request) -> None:
        """Start a request's queries, or hand it to the slow routes."""
        server = self._server
        self._is_last = request.is_last
        self._is_plain = not (
            self._is_last or self.has_more or self._is_ended or server.is_draining
        )
        self.is_busy = True
        route = server.engine.routes.get(request.url)
        if (
            route is None
            or request.method != b"POST"
            or request.encoding
            or request.long is not None
            or server.token
        ):
            self._handle_slowly(request)
        else:
            self.predict(route, request.body)

    def predict(self, route: Route, body: bytes) -> None:
        """Answer a body that was seen before without reading its JSON; else submit its queries."""
        self.is_busy = True
        self._asked = route
        server = self._server
        self._query_id = server.next_id
        dispatcher = route.dispatcher
        try:
            if dispatcher is not None:
                bodies = dispatcher.bodies
                if bodies is not None and (
                    output := bodies.young.get(body) or (bodies.old and bodies.get(body))
                ):
                    server.next_id += 1
                    route.body_hits += 1
                    dispatcher.body_hits += 1
                    self.on_output(None, output)
                    return
                # A batch's answer has another form, so what may be one is read all the same.
                if dispatcher.tick.lag_s > route.patience_s and body.startswith(b'{"input":'):
                    self._shed(route, dispatcher)
                    return
            row = clipper.DECODE[route.input_type](body)
            if not isinstance(row, bytes):
                self._predict_asked(route, row)
                return
            server.next_id += 1
            query = server.engine.ask(route, row, self)
            if not query.is_done:
                self._query = query
            elif query.is_hit and dispatcher is not None:
                # Seen twice: from the third time on, the body itself is the key.
                dispatcher.remember(body, row)
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            self.on_error(error)

    def _shed(self, route: Route, dispatcher: "Dispatcher") -> None:
        """Refuse a query that has waited for too long to be read, for as little as possible."""
        self._server.next_id += 1
        route.shed += 1
        dispatcher.tick.count()
        self._answer_miss(*clipper.miss_object(self._query_id, route, Miss.OVERLOADED))

    def _predict_asked(self, route: Route, asked: clipper.Asked) -> None:
        """Ask for several inputs, or for one of a version.

        Raises:
            NoSuchVersionError: there is none; nothing has been begun then.
        """
        rows, version = asked
        if version is not None:
            route.named(version)
        if isinstance(rows, list):
            slo_s = self._server.engine.clock() + route.slo_s
            self.start_batch(Asked(route, version, rows, len(rows), slo_s))
            return
        self.take_id()
        query = self._server.engine.ask(route, rows, self, version=version)
        if not query.is_done:
            self._query = query

    def take_id(self) -> None:
        """Give the request the next query id."""
        self._query_id = self._server.take_ids(1)

    def start_batch(self, asked: Asked) -> None:
        """Submit several inputs: at once where they are few, else in turns."""
        server, count = self._server, asked.count
        if count > server.bounds.max_rows:
            raise too_many_rows(server.bounds)
        if not count:
            self.respond(200, b'{"batch_predictions":[]}')
            return
        first_id = server.take_ids(count)
        if count > TURN_ROWS:
            self._query = turns = LongBatch(self, server.engine, first_id, asked)
            turns.go_on()
            return
        self._query = batch = BatchAnswer(self, asked.route, first_id, count)
        ask = server.engine.ask
        for index, row in enumerate(asked.rows):
            query = ask(asked.route, row, batch, index, asked.version)
            if not query.is_done:
                batch.queries.append(query)

    def _handle_slowly(self, request: Request) -> None:
        """Serve what the fast path does not: other paths and methods, packed bodies, tokens."""
        self._query_id = self._server.next_id
        try:
            self._unpack(request)
        except BodyError as error:
            text = clipper.error_object("Bad request", str(error))
            self.respond(error.status, text, has_body=request.method != b"HEAD")
            return
        answer = self._server.answer_slowly(request)
        if isinstance(answer, tuple) and len(answer) == 3:
            page, *self._page_form = answer
            page.ask(self)
        elif isinstance(answer, tuple):
            status, body, kind, extra, has_body = answer
            # Whatever the answer is: a body after HEAD would be read as the next answer.
            has_body = has_body and request.method != b"HEAD"
            self.respond(status, body, kind=kind, extra=extra, has_body=has_body)
        elif request.long is None:
            self.predict(answer, request.body)
        else:
            self._read_long(answer, request, request.long)

    def _unpack(self, request: Request) -> None:
        """Unpack a body that is short; one that is not is unpacked where it is read.

        Raises:
            BodyError: it cannot be unpacked.
        """
        if request.encoding in (b"", b"identity"):
            request.encoding = b""
        elif request.long is None:
            encoding = request.encoding.decode("latin-1")
            short = inflate_short(request.body, encoding, LONG_BODY_BYTES)
            if short is not None:
                request.body, request.encoding = short, b""
                return
            request.long = LongBody(self._server.reader.held)
            try:
                request.long.write(request.body)
                request.long.flush()
            except (BusyError, OSError):
                raise BodyError(503, "too many long bodies are read; try again later") from None

    def _read_long(self, route: Route, request: Request, body: LongBody) -> None:
        """Have a long body read; what it holds is submitted, or answered, after that."""
        server = self._server
        long: LongRequest | LongFeedback = (
            LongFeedback(self) if request.is_feedback else LongRequest(self, server.engine, route)
        )
        self._query = long
        self._asked = route
        job = Job(
            input_type=route.input_type,
            encoding=request.encoding.decode("latin-1"),
            is_feedback=request.is_feedback,
            bounds=server.bounds,
        )
        long.await_rows(server.reader.read(body, job, long.on_read))

    def on_page(self, text: bytes) -> None:
        """Answer with the text that was waited for."""
        if self._page_form:
            kind, has_body = self._page_form
            self._page_form = ()
            self.respond(200, text, kind=kind, has_body=has_body)

    # --- the answer: `Sink` of a single query ---

    def on_output(self, query: Query | None, output: bytes) -> None:  # noqa: ARG002  # Sink's
        """Write a prediction. Called by the dispatcher, or by `submit` on a cache hit."""
        try:
            body = b'{"query_id":%d,"output":%b,"default":false}' % (self._query_id, output)
        except TypeError:
            self.respond_long(200, long_answer(self._query_id, output))
            return
        if self._is_plain:
            self._query = None
            self.is_busy = False
            self.transport.write(self._server.heads.ok[len(body)] + body)  # type: ignore[union-attr]
        else:
            self.respond(200, body)

    def on_miss(self, query: Query, miss: Why) -> None:
        """Write the default output or an error."""
        if miss.kind in OF_THE_MODEL:
            self.note_failed(self._asked, miss, self._query_id)
        self._answer_miss(*clipper.miss_object(self._query_id, self._asked, miss, query.row))

    def note_failed(self, route: Route, miss: Why, query_id: int) -> None:
        """Have the log name a query that its model failed on. Called for each place of a batch."""
        self._server.failed.note(route, miss, query_id)

    def _answer_miss(self, status: int, body: bytes) -> None:
        if status == 200 and self._is_plain:
            self._query = None
            self.is_busy = False
            self.transport.write(self._server.heads.ok[len(body)] + body)  # type: ignore[union-attr]
        else:
            self.respond(status, body)

    def respond(
        self,
        status: int,
        body: bytes,
        *,
        kind: bytes = JSON,
        extra: bytes = b"",
        has_body: bool = True,
    ) -> None:
        """Write an answer and go on to the next request, or close where this was the last.

        Without `has_body` the head is that of the body and the body is left out (HEAD).
        """
        self._query = None
        if self.transport is None:
            return
        if status == 503:
            extra += b"Retry-After: 1\r\n"
        is_last = self._is_the_last
        heads = self._server.heads
        if status == 200 and kind is JSON and not is_last and not extra:
            text = heads.ok[len(body)] + body
        else:
            text = heads.answer(status, body, kind=kind, extra=extra, is_last=is_last)
        self.transport.write(text if has_body else text[: len(text) - len(body)])
        self._end_request(is_last=is_last)

    def respond_long(self, status: int, pieces: Sequence[Piece]) -> None:
        """Write an answer whose body is in pieces: none is copied, each is let go of in turn."""
        self._query = None
        if self.transport is None:
            return
        self._is_last = self._is_the_last
        size = sum(map(len, pieces))
        head = self._server.heads.answer(status, b"", is_last=self._is_last, length=size)
        self._pieces.extend((head, *pieces))
        self._write_on()

    def resume_writing(self) -> None:
        """Go on with the answer, or with the next request: the client has caught up."""
        super().resume_writing()
        if self._pieces:
            self._write_on()

    def _write_on(self) -> None:
        """Write a turn's share of a long answer, unless the client is to read first; or end it.

        One that reads as fast as this writes never is: it would have all of it in one turn.
        """
        pieces, left = self._pieces, TURN_BYTES
        while pieces and left > 0 and self.transport is not None and not self.is_unread:
            left -= len(pieces[0])
            self.transport.write(pieces.popleft())
        if not pieces and self.transport is not None:
            self._end_request(is_last=self._is_last)
        elif pieces and not self.is_unread:
            asyncio.get_running_loop().call_soon(self._write_on)

    @property
    def _is_the_last(self) -> bool:
        return self._is_last or ((self._server.is_draining or self._is_ended) and not self.has_more)

    def _end_request(self, *, is_last: bool) -> None:
        self.is_busy = False
        if is_last:
            self._close()
        self.read_on()

    def on_refusal(self, status: int, cause: str) -> None:
        """End the connection with an error."""
        self._is_last = True
        self.respond(status, clipper.error_object("Bad request", cause))

    def on_end(self) -> None:
        """Hang up on a client that has closed its side and has all of its answers."""
        self._close()

    def _close(self) -> None:
        """Say that no more will come, and wait a moment for the client to hang up first.

        Closing with unread bytes would reset the connection and could destroy the answer.
        """
        self.is_closing = True
        self.since = self._server.tick
        if self.transport is None:
            return
        if self._is_refused and not self._is_ended and self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    # --- what went wrong ---

    def on_error(self, error: Exception) -> None:
        """Answer for what a body or its queries led to."""
        if isinstance(error, NoSuchVersionError):
            error = clipper.no_such_version(error)
        if isinstance(error, RequestError):
            self.respond(error.status, clipper.error_object(error.error, error.cause))
        else:
            self.on_fault(error)

    def on_fault(self, error: Exception) -> None:
        """Answer for an exception that nobody foresaw, and be ready for the next request.

        It is logged with the query id that the answer has. Queries that were submitted before it
        are taken back, so that none of them answers a later request.
        """
        server = self._server
        query_id = self._query_id
        server.next_id = max(server.next_id, query_id + 1)
        faults.report(f"query {query_id} could not be handled", error)
        self._page_form = ()
        try:
            if self._query is not None and not isinstance(self._query, Query):
                self._query.cancel(server.engine)
            server.engine.disown(self)
            if self.is_busy:
                self._is_last = self._is_last or self._is_refused
                self.respond(500, clipper.fault_object(query_id))
        except Exception as again:  # noqa: BLE001 - nothing is left to try
            faults.report(f"query {query_id} could not be answered", again)
            self.abort()
