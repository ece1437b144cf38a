"""How answers are written: at once, in turns of the loop, or as long as a stream goes on.

Base of connection.py. One answer at a time; after it the next request is read, or the connection
closed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from servd.carriers.long_bytes import TURN_BYTES, Piece
from servd.engine.query import Query, Why
from servd.http.query.answers import BatchAnswer
from servd.http.query.endpoint import Endpoint
from servd.http.query.event_stream import EventStream
from servd.http.query.long_request import Long
from servd.http.query.reading import RequestReader
from servd.http.query.state import ServerState
from servd.http.web.exchange import Exchange
from servd.http.wire import Reply, error_reply


class AnswerWriter(RequestReader):
    """Writes the answers of one connection. `_query` is what is waited for, if anything is.

    `_pieces` are what is left of an answer that is written in turns; where it `_is_last` the
    connection is closed after it.
    """

    __slots__ = ("_asked", "_is_last", "_pieces", "_query")

    _asked: Endpoint
    """Of the request that is answered; set before its queries are asked, None until then."""

    def __init__(self, server: ServerState) -> None:
        super().__init__(server)
        self._query: Query | BatchAnswer | Long | EventStream | Exchange | None = None
        self._asked = None  # type: ignore[assignment]
        self._is_last = False
        self._pieces: deque[Piece] = deque()

    def respond(self, reply: Reply) -> None:
        """Write an answer and go on to the next request, or close where this was the last.

        A body in pieces is not copied, and each piece is let go of in turn.
        """
        self._query = None
        if self.transport is None:
            return
        asked = self._asked
        if asked is not None and not asked.has_body:
            reply = replace(reply, has_body=False)
        body, heads = reply.body, self._heads if asked is None else asked.heads
        if type(body) is not bytes:
            self._is_last = self._is_the_last
            self._pieces.append(heads.answer(reply, is_last=self._is_last))
            self._pieces.extend(body if reply.has_body else ())  # type: ignore[arg-type]  # pieces
            self._write_on()
            return
        if self._is_plain and reply.status == 200 and reply.has_body and not reply.extra:
            self.is_busy = False
            self.transport.write(heads.ok(reply.kind)[len(body)] + body)
            return
        is_last = self._is_the_last
        self.transport.write(heads.answer(reply, is_last=is_last))
        self._end_request(is_last=is_last)

    def resume_writing(self) -> None:
        """Go on with the answer, or with the next request: the client has caught up."""
        super().resume_writing()
        if self._pieces:
            self._write_on()
        elif type(self._query) is EventStream:
            self._query.on_read()

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

    # --- an answer that goes on: what an `EventStream` uses ---

    @property
    def is_ended(self) -> bool:
        """Whether the client has closed its sending side."""
        return self._is_ended

    def eof_received(self) -> bool:
        """Keep the connection until all is answered, if somebody still reads."""
        is_kept = super().eof_received()
        if type(self._query) is EventStream:
            self._query.probe()
        return is_kept

    def begin_answer(self) -> tuple[bool, bool]:
        """Return whether the answer is the connection's last, and whether chunks are understood."""
        self._is_last = self._is_the_last or self._is_old
        return self._is_last, not self._is_old

    def write(self, pieces: Sequence[Piece]) -> None:
        """Write a part of the answer; a long piece is not copied."""
        if self.transport is not None:
            self.transport.writelines(pieces)

    def end_answer(self) -> None:
        """Go on to the next request: all of the answer was written."""
        self._query = None
        if self.transport is not None:
            self._end_request(is_last=self._is_the_last)

    def break_off(self, why: Why) -> None:
        """End an answer that goes on: the server is to end."""
        if type(self._query) is EventStream:
            self._query.break_off(why)

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
        self._asked = None  # type: ignore[assignment]  # it was of the request before
        self.respond(error_reply(status, "Bad request", cause))

    def on_end(self) -> None:
        """Hang up on a client that has closed its side and has all of its answers."""
        self._close()

    def _close(self) -> None:
        """Say that no more will come, and wait a moment for the client to hang up first.

        Closing with unread bytes would reset the connection and could destroy the answer.
        """
        self.is_closing = True
        self.since = self._server.second
        if self.transport is None:
            return
        if self._is_refused and not self._is_ended and self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()
