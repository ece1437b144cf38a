"""An answer that goes on: the items of a stream as Server-Sent Events, as the caller reads them.

Made by connection.py, which is busy with it until it has ended; what is pipelined behind it waits.
The format is that of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from servd.carriers.long_bytes import LongBytes, Piece
from servd.engine.engine import Engine
from servd.engine.query import OF_THE_MODEL, Query, Why
from servd.engine.route import Route
from servd.engine.stream import Hearer, Items, Stream
from servd.http.query.endpoint import EVENTS, Endpoint
from servd.http.wire import Reply, error_body

_HEAD: Final = b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
_COMMENT: Final = b":\n\n"
"""Means nothing; whoever has hung up answers it with a reset."""

KEEP_ALIVE_S: Final = 15
"""Proxies hang up on what is silent for a minute."""

PROBE_S: Final = 0.1
"""A client that has closed its sending side, and does not read either, is found out in this."""

_LAST_CHUNK: Final = b"0\r\n\r\n"


class Client(Protocol):
    """The connection that is answered."""

    @property
    def is_unread(self) -> bool:
        """Whether the client is to read before anything more is written."""

    @property
    def is_ended(self) -> bool:
        """Whether the client has closed its sending side."""

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write what follows."""

    def begin_answer(self) -> tuple[bool, bool]:
        """Return whether the answer is the connection's last, and whether chunks are understood."""

    def end_answer(self) -> None:
        """Go on to the next request: all of the answer was written."""

    def respond(self, reply: Reply) -> None:
        """Answer otherwise."""

    def note_failed(self, route: Route, miss: Why, query_id: int) -> Why:
        """Have the log name a query that its model failed on; return what its caller is told."""

    def on_output(self, query: Query | None, output: bytes) -> None:
        """Answer with one output."""

    def on_fault(self, error: Exception) -> None:
        """Answer for an exception that nobody foresaw."""


class EventStream(Hearer):
    """The answer to one input of a caller that asks for events, and the sink of its query.

    `_unread` is what was written of the stream while the client did not read.
    """

    def __init__(self, client: Client, endpoint: Endpoint, query_id: int) -> None:
        self._client = client
        self._endpoint = endpoint
        self._query_id = query_id
        self._query: Query | None = None
        self._is_begun = False
        self._is_chunked = True
        self._is_ended = False
        self._unread = 0
        self._silent_s = 0

    @property
    def owner(self) -> object:
        """The connection that waits."""
        return self._client

    @property
    def deadline_s(self) -> float:
        """When it has begun at the latest."""
        return float("inf") if self._query is None else self._query.deadline_s

    def hear(self, query: Query) -> None:
        """Take note of the query that was begun."""
        self._query = query

    def cancel(self, engine: Engine) -> None:
        """End the stream: the caller has hung up."""
        self._is_ended = True
        if self._query is not None:
            engine.cancel(self._query)

    # --- `Hearer` ---

    def on_items(self, stream: Stream, items: Items, size: int) -> None:
        """Write items."""
        self._begin()
        self._write(_events(items))
        if self._client.is_unread:
            self._unread += size
        else:
            stream.release(size)

    def on_end(self, stream: Stream, why: Why | None) -> None:
        """Write the end, and before it why it is none of the model's."""
        self._begin()
        if why is not None:
            if why.kind in OF_THE_MODEL:
                why = self._client.note_failed(self._endpoint.route, why, self._query_id)
            text = error_body("Query processing error", why.value, self._query_id)
            self._write([b"event: error\ndata: %b\n\n" % text])
        self._end({"items": stream.items})

    def on_output(self, query: Query, output: bytes) -> None:
        """Answer as if no events had been asked for: the model does not yield any."""
        self._is_ended = True
        self._client.on_output(query, output)

    def on_miss(self, query: Query, miss: Why) -> None:
        """Answer with an error, or with the default output as the one item."""
        if isinstance(query, Stream):
            query.stop()
        endpoint = self._endpoint
        route = endpoint.route
        if miss.kind in OF_THE_MODEL:
            miss = self._client.note_failed(route, miss, self._query_id)
        reply = endpoint.codec.missed(route, self._query_id, miss, query.row, endpoint.head)
        if reply.status != 200 or route.default is None:
            self._is_ended = True
            self._client.respond(reply)
            return
        self._begin()
        self._write(_events([route.default]))
        explanation = json.loads(miss.json)
        self._end({"items": 1, "default": True, "default_explanation": explanation})

    def on_fault(self, error: Exception) -> None:
        """Give up on it."""
        self._is_ended = True
        self._client.on_fault(error)

    # --- what the connection tells ---

    def on_read(self) -> None:
        """Let more come: the client has caught up."""
        unread, self._unread = self._unread, 0
        if isinstance(self._query, Stream) and unread:
            self._query.release(unread)

    def on_second(self) -> None:
        """Say now and then that there is still somebody; find out whether somebody still reads."""
        self._silent_s += 1
        if self._silent_s >= KEEP_ALIVE_S or self._client.is_ended:
            self._comment()

    def probe(self) -> None:
        """Find out whether a client that has closed its sending side reads at all.

        One that does not answers what it is sent with a reset, which the next writing comes to.
        """
        self._comment()
        asyncio.get_running_loop().call_later(PROBE_S, self._comment)

    def break_off(self, why: Why) -> None:
        """End it before its end: the server is to end."""
        if isinstance(self._query, Stream) and self._is_begun and not self._is_ended:
            self._query.stop()
            self.on_end(self._query, why)

    # --- writing ---

    def _comment(self) -> None:
        if self._is_begun and not self._is_ended and not self._client.is_unread:
            self._write([_COMMENT])

    def _begin(self) -> None:
        if self._is_begun:
            return
        self._is_begun = True
        is_last, self._is_chunked = self._client.begin_answer()
        extra = b"Transfer-Encoding: chunked\r\n" if self._is_chunked else b""
        self._client.write(
            [self._endpoint.heads.unsized(EVENTS.encode(), _HEAD + extra, is_last=is_last)]
        )

    def _write(self, pieces: Sequence[Piece]) -> None:
        self._silent_s = 0
        if self._is_chunked:
            pieces = [b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"]
        self._client.write(pieces)

    def _end(self, said: dict[str, Any]) -> None:
        self._is_ended = True
        text = msgspec.json.encode({"query_id": self._query_id} | said)
        self._write([b"event: end\ndata: %b\n\n" % text])
        if self._is_chunked:
            self._client.write([_LAST_CHUNK])
        self._client.end_answer()


def _events(items: Items) -> list[Piece]:
    """Return items as events: JSON has no line ends but between its tokens."""
    first = items[0]
    if isinstance(first, LongBytes):
        return [b"data: ", *first.pieces, b"\n\n"]
    text = b"\n\ndata: ".join(items)  # type: ignore[arg-type]  # one that is long comes alone
    if b"\r" in text:
        text = text.replace(b"\r", b" ")
    return [b"data: ", text, b"\n\n"]
