"""Requests that take several turns of the event loop: long bodies, batches of many inputs.

Made by connection.py. Each has a timer of its own, as its time runs from when it came and not from
when it was read; for these few that costs nothing beside what they take.
"""

import asyncio
from collections.abc import Iterator
from math import inf
from typing import Final

from servd.datatypes import Inputs
from servd.engine.engine import Engine
from servd.engine.query import Miss, Query, Why, miss
from servd.engine.route import Route
from servd.engine.stream import Stream
from servd.http.bounds import Bounds
from servd.http.codecs.base import BEGIN_BYTES, PREDICT, RequestError, Resource, Wanted
from servd.http.query.answers import BatchAnswer, Client, Several
from servd.http.query.body_reader import Job, Refused
from servd.http.query.endpoint import Endpoint
from servd.http.query.held_bodies import BytesHeld, LongBody, LongRows
from servd.http.query.long_bodies import Reading
from servd.http.wire import Reply

KNOWN_LATE_S: Final = 0.4
"""How long after its deadline it is waited for whether a body is JSON, where that is found out now:
a broken body is not answered as one that is late. The longest takes 0.15 s, packed 0.4 s."""

TURN_ROWS: Final = 256
"""Inputs of a batch that are submitted, or given up, in one turn: about a millisecond's work."""


class LongRequest:
    """A request whose body is read beside; then the sink of its query, if it has one input."""

    __slots__ = (
        *("_client", "_deadline_s", "_endpoint", "_engine", "_inputs", "_query", "_reading"),
        "_timer",
    )

    def __init__(self, client: Client, engine: Engine, endpoint: Endpoint) -> None:
        self._client = client
        self._engine = engine
        self._endpoint = endpoint
        self._reading: Reading | None = None
        self._query: Query | None = None
        self._inputs = endpoint.route.inputs
        slo_s = endpoint.route.slo_s
        self._deadline_s = engine.clock() + slo_s
        self._timer = asyncio.get_running_loop().call_later(slo_s, self._on_deadline)

    @property
    def deadline_s(self) -> float:
        """When it is answered at the latest; a stream that has begun takes its time."""
        has_begun = self._query is not None and self._query.is_done
        return inf if has_begun else self._deadline_s

    def await_rows(self, reading: Reading) -> None:
        """Take note of who reads the body."""
        self._reading = reading

    @property
    def owner(self) -> object:
        """The connection that waits."""
        return self._client

    def cancel(self, engine: Engine) -> None:
        """Free what it takes: the caller has hung up, or is told of a fault."""
        self._timer.cancel()
        if self._reading is not None:
            self._reading.cancel()
        if self._query is not None:
            engine.cancel(self._query)
        self._end()

    def on_read(self, read: LongRows | Refused) -> None:
        """Go on with what the body holds. Called by the reader."""
        self._reading = None
        try:
            if isinstance(read, LongRows):
                self._submit(read)
            else:
                self._timer.cancel()
                self._client.respond(_refusal(self._endpoint, read))
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            self._timer.cancel()
            self._client.on_error(error)

    def _submit(self, read: LongRows) -> None:
        client, endpoint = self._client, self._endpoint
        check_same(endpoint.route, self._inputs, read.version)
        if read.version is not None:
            endpoint.route.named(read.version)
        if read.is_batch:
            self._timer.cancel()
            rows = endpoint.renewed(read)
            deadline_s = self.deadline_s
            client.start_several(
                Several(endpoint, read.version, rows, read.count, deadline_s, read.told)
            )
            return
        (row,) = endpoint.renewed(read)
        if endpoint.is_events:
            self._end()
            client.ask_one(endpoint, row, read.version)
            return
        client.take_id()
        query = self._engine.ask(endpoint.route, row, self, version=read.version)
        if not query.is_done:
            self._query = query

    def _end(self) -> None:
        """Let go: a query and its sink hold each other, and a long row must not wait for that."""
        self._timer.cancel()
        self._query = None

    def _on_deadline(self) -> None:
        reading = self._reading
        if reading is not None and reading.is_in_question:
            reading.when_known = self._give_up
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(KNOWN_LATE_S, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._timer.cancel()
        query = self._query
        if query is not None and query.is_done:
            return  # a stream, which has begun
        if query is not None:
            self._endpoint.route.lost += 1
        else:
            if self._reading is not None:
                self._reading.cancel()
            self._client.take_id()
            route = self._endpoint.route
            query = Query(route, b"", self, 0, self.deadline_s - route.slo_s)
        miss(query, Miss.TIMED_OUT)

    # --- `Sink` of its query ---

    def on_output(self, query: Query, output: bytes) -> None:
        """Pass the output on."""
        self._end()
        self._client.on_output(query, output)

    def on_miss(self, query: Query, miss: Why) -> None:
        """Pass the reason on."""
        self._end()
        self._client.on_miss(query, miss)

    def on_fault(self, error: Exception) -> None:
        """Pass the fault on."""
        self._end()
        self._client.on_fault(error)


class LongFeedback:
    """What is no prediction and has a long body, which is read beside; the codec answers it."""

    __slots__ = ("_client", "_endpoint", "_reading", "_resource", "deadline_s")

    def __init__(self, client: Client, endpoint: Endpoint, resource: Resource) -> None:
        self._client = client
        self._endpoint = endpoint
        self._resource = resource
        self._reading: Reading | None = None
        self.deadline_s = float("inf")

    def await_rows(self, reading: Reading) -> None:
        """Take note of who reads the body."""
        self._reading = reading

    def cancel(self, engine: Engine) -> None:
        """Let go of the body."""
        del engine
        if self._reading is not None:
            self._reading.cancel()

    def on_read(self, read: LongRows | Refused) -> None:
        """Answer."""
        endpoint = self._endpoint
        if isinstance(read, Refused):
            reply = _refusal(endpoint, read)
        else:
            reply = endpoint.codec.answer(self._resource, endpoint.route, endpoint.head, None)
        self._client.respond(reply)


def _refusal(endpoint: Endpoint, refused: Refused) -> Reply:
    error = RequestError(refused.status, refused.error, refused.cause, refused.detail)
    return endpoint.codec.refused(error)


class LongBatch(BatchAnswer):
    """An input_batch that is submitted in turns, and the sink of its queries."""

    __slots__ = ("_engine", "_inputs", "_is_ended", "_is_late", "_rows", "_several", "_timer")

    def __init__(self, client: Client, engine: Engine, first_id: int, several: Several) -> None:
        super().__init__(client, several.endpoint, first_id, several.count, several.told)
        self._engine = engine
        self._several = several
        self._inputs = several.endpoint.route.inputs
        self._rows: Iterator[tuple[int, bytes]] = iter(enumerate(several.rows))
        self._is_ended = False
        self._is_late = False
        delay_s = max(several.deadline_s - engine.clock(), 0)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_deadline)

    @property
    def deadline_s(self) -> float:
        """When it is answered at the latest; streams that have begun take their time."""
        if self.queries and isinstance(self.queries[0], Stream):
            return super().deadline_s
        return self._several.deadline_s

    def cancel(self, engine: Engine) -> None:
        """Free all places, and submit no more."""
        super().cancel(engine)
        self._end()

    def go_on(self) -> None:
        """Submit a turn's share; whoever has several turns lets others have theirs between."""
        several = self._several
        try:
            if not self._is_ended:
                check_same(several.endpoint.route, self._inputs, several.version)
            for _ in range(TURN_ROWS):
                index, row = next(self._rows, (-1, b""))
                if index < 0 or self._is_ended:
                    return
                self._submit(index, row)
        except RequestError as error:
            self.cancel(self._engine)
            self._client.on_error(error)
            return
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            self.on_fault(error)
            return
        asyncio.get_running_loop().call_soon(self.go_on)

    def _submit(self, index: int, row: bytes) -> None:
        route = self._several.endpoint.route
        if self._is_late:
            query = Query(route, row, self, index, self.deadline_s - route.slo_s)
            miss(query, Miss.TIMED_OUT)
            return
        query = self._engine.ask(route, row, self, index, self._several.version)
        if not query.is_done:
            self.queries.append(query)

    def _on_deadline(self) -> None:
        self._is_late = True
        self._give_up(0)

    def _give_up(self, at: int) -> None:
        for query in self.queries[at : at + TURN_ROWS]:
            if not query.is_done and not self._is_ended:
                query.lane.lost += 1
                miss(query, Miss.TIMED_OUT)
        if at + TURN_ROWS < len(self.queries) and not self._is_ended:
            asyncio.get_running_loop().call_soon(self._give_up, at + TURN_ROWS)

    def on_fault(self, error: Exception) -> None:
        """Give up on the whole request, and submit no more of it."""
        if not self._is_ended:
            self._end()
            super().on_fault(error)

    def answer(self) -> None:
        """Write the answer."""
        self._end()
        super().answer()

    def _end(self) -> None:
        self._is_ended = True
        self._rows = iter(())
        self._timer.cancel()


def check_same(route: Route, inputs: Inputs, version: str | None) -> None:
    """Raise RequestError where what was read by these inputs would be answered by other ones."""
    now = route.inputs
    if now is not inputs and now.of(version) != inputs.of(version):
        cause = "what the application takes has changed while the request was read: send it again"
        raise RequestError(503, "Changed inputs", cause)


Long = LongRequest | LongFeedback | LongBatch
"""What a connection may wait for instead of a query."""


def new_long(
    client: Client, engine: Engine, endpoint: Endpoint, resource: Resource | None
) -> LongRequest | LongFeedback:
    """Return what waits for a long body: a prediction, or what else is at a place of its own."""
    if resource is None:
        return LongRequest(client, engine, endpoint)
    return LongFeedback(client, endpoint, resource)


def as_it_is(endpoint: Endpoint, body: LongBody, held: BytesHeld) -> LongRows | None:
    """Return the row that a long body is; None where it has to be read.

    Raises:
        OSError: there is no memory for it.
    """
    asked = endpoint.codec.as_it_is(endpoint.route, endpoint.head, body.begin(BEGIN_BYTES))
    return None if asked is None else LongRows.of(body, asked.version, held)


def job_of(endpoint: Endpoint, resource: Resource | None, encoding: str, bounds: Bounds) -> Job:
    """Return what a reader is to do with the body of a request."""
    wanted = Wanted(
        inputs=endpoint.route.inputs,
        verb=PREDICT if resource is None else resource.verb,
        head=endpoint.head,
        bounds=bounds,
    )
    return Job(codec=endpoint.codec.spelled, encoding=encoding, wanted=wanted)
