"""Bytes to requests, one at a time: how a query connection is read. Base of connection.py.

What comes behind the request that is being answered waits as the bytes that it is, so much of it
that reading stops. What is refused is answered and the connection closed. A subclass takes the
requests.
"""

import asyncio
from typing import Final

import httptools

from servd.http.query.endpoint import Endpoint
from servd.http.query.parsing import RequestParser
from servd.http.query.request import Request
from servd.http.query.state import ServerState

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of a head, to the byte; and about as much of a chunked body's trailers."""

MAX_AHEAD_BYTES: Final = 64 * 1024
"""Bytes that wait behind a request that is being answered before reading from the client stops."""

TURN_S: Final = 0.0005
"""How long one connection's requests are read and answered before the other connections' are."""

AHEAD: Final = 1
"""Reading is held since enough waits behind the request that is being answered."""
UNREAD: Final = 2
"""Reading, and answering, is held since the client does not read its answers."""

UNSENT: Final = 4
"""Reading is held since a web application does not take the request as fast as it comes."""

_HEAD_END: Final = b"\r\n\r\n"
_NO_HEAD: Final = b"\0"
"""What no request begins with."""
_UNKNOWN: Final = (None, 0)
_CHUNKED_PIECE_BYTES: Final = 8192


class RequestReader(RequestParser):
    """Reads the requests of one connection.

    `since` is the server's tick (a second) at which the client last got on. While `is_busy` a
    request is answered; once `is_closing` no more will be. `_rest` from `_at` on is what came and
    was not read yet; `_holds` says why reading is paused: it goes on when no reason is left.

    `_is_plain` says that an answer needs no thought: it is not the last, nothing waits behind it,
    and there is somebody to send it to. Whoever starts a request sets it.
    """

    __slots__ = (
        "_at",
        "_endpoint",
        "_head",
        "_holds",
        "_is_ended",
        "_is_plain",
        "_is_reading",
        "_is_turn_due",
        "_learning",
        "_rest",
        "_size",
        "is_busy",
        "is_closing",
        "since",
    )

    def __init__(self, server: ServerState) -> None:
        super().__init__(server)
        self._learning: bytes | None = None
        self._is_ended = False
        self._is_plain = False
        self._is_reading = False
        self._is_turn_due = False
        self._holds = 0
        self._rest = b""
        self._at = 0
        self._head = _NO_HEAD
        self._size = 0
        self._endpoint: Endpoint | None = None
        self.is_busy = False
        self.is_closing = False
        self.since = server.second

    # --- a subclass's part ---

    def on_request(self, request: Request) -> None:
        """Take a whole request; called in the order in which they came, one at a time."""
        raise NotImplementedError

    def on_refusal(self, status: int, cause: str) -> None:
        """Answer what was refused; nothing is owed before it, and nothing more will be read."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Take the news that the client has sent all and was answered all."""
        raise NotImplementedError

    def on_fault(self, error: Exception) -> None:
        """Answer for an exception that nobody foresaw; raises none."""
        raise NotImplementedError

    @property
    def _is_web_offer(self) -> bool:
        """Whether a web application is offered another protocol; who knows any says so."""
        return False

    def predict(self, endpoint: Endpoint, body: bytes) -> None:
        """Take a prediction whose head has been seen before: a POST that keeps the connection."""
        raise NotImplementedError

    # --- reading ---

    def forget_endpoint(self) -> None:
        """Look up anew what the head of the next request comes to. Called by the server."""
        self._endpoint = None

    def data_received(self, data: bytes) -> None:
        """Read what came. Called by the event loop.

        Clients repeat their heads to the byte. A chunk that is one whole request with a head that
        httptools has accepted before needs no parser: the same bytes would be parsed the same.
        """
        self.since = self._server.second
        head = self._head
        if data.startswith(head) and len(data) == self._size and not self.is_busy:
            endpoint = self._endpoint
            if endpoint is not None and endpoint.route.is_open and self.began is None:
                self.predict(endpoint, data[len(head) :])
                return
        if self._is_refused:
            return  # read and dropped, so that the answer is not lost to a reset connection
        if self.is_busy or self._rest or self.began is not None or not self._read_alone(data):
            self._rest = self._rest[self._at :] + data if self._rest else data
            self._at = 0
            self.read_on()

    def _read_alone(self, data: bytes) -> bool:
        """Take a chunk that is one whole request with a head that is known; False if it is none.

        What `_read_known` does, for the commonest of all cases.
        """
        at = data.find(_HEAD_END) + len(_HEAD_END)
        head = data[:at]
        endpoint, length = self._server.known_heads.get(head, _UNKNOWN)
        if endpoint is None or length != len(data) - at or not endpoint.route.is_open:
            return False
        self._head, self._size, self._endpoint = head, len(data), endpoint
        self.predict(endpoint, data[at:])
        return True

    def eof_received(self) -> bool:
        """Keep the connection of a client that has sent all until it is answered all."""
        if self.is_closing or self._is_refused:
            return False
        self._is_ended = True
        self._is_plain = False
        self._head = _NO_HEAD
        self.read_on()
        # What was closed just now is closed with its answer sent.
        return self.transport is not None and not self.transport.is_closing()

    def pause_writing(self) -> None:
        """Read and answer nothing more from a client that does not read its answers."""
        self._hold(UNREAD)

    def resume_writing(self) -> None:
        """Go on: the client has caught up."""
        self._release(UNREAD)
        self.read_on()

    @property
    def is_unread(self) -> bool:
        """Whether the client has to read before anything more is done for it."""
        return bool(self._holds & UNREAD)

    @property
    def has_more(self) -> bool:
        """Whether bytes wait behind the request that is being answered."""
        return self._at < len(self._rest)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked on it."""
        return not (self.is_busy or self.has_more) and self.began is None

    def read_on(self) -> None:
        """Read requests until one has to be waited for, or others should have their turn."""
        if self._is_reading:
            return
        if not self._is_turn_due:
            self._is_reading = True
            try:
                self._read_for_a_turn()
            except Exception as error:  # noqa: BLE001 - the boundary of a request
                self.on_fault(error)
                self._take_turns()
            finally:
                self._is_reading = False
        self._settle()

    def _read_for_a_turn(self) -> None:
        until_s = 0.0
        clock = self._server.engine.clock
        while self._is_able and self.has_more and self._read_piece() and self.has_more:
            now_s = clock()
            if not until_s:
                until_s = now_s + TURN_S
            elif now_s > until_s:
                self._take_turns()
                return

    @property
    def _is_able(self) -> bool:
        """Whether a request could be taken."""
        is_held = self._holds & (UNREAD | UNSENT)
        return not (self.is_busy or self._is_refused or self.is_closing or is_held)

    def _take_turns(self) -> None:
        """Read on when the others had their turn."""
        if self._is_able and self.has_more and not self._is_turn_due:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._is_turn_due = False
        self.read_on()

    def _settle(self) -> None:
        """Put away what was read; stop or go on taking more from the client."""
        left = len(self._rest) - self._at
        if left and not (self._is_refused or self.is_closing):
            self._is_plain = False
            self._head = _NO_HEAD  # what comes now comes after it
        else:
            left = 0
            self._rest, self._at = b"", 0
            if self._is_able:
                self._is_plain = not (self._is_ended or self._server.is_draining)
        if left >= MAX_AHEAD_BYTES:
            self._hold(AHEAD)
        elif self._holds & AHEAD:
            self._release(AHEAD)
        if self._is_ended and self._is_able and not self._is_turn_due:
            self._on_all_sent()

    def _on_all_sent(self) -> None:
        """End with a client that has closed its side and waits for nothing any more."""
        if self.began is None:
            self.on_end()
        else:
            self.refuse(400, "the connection was closed before the request was complete")

    def _hold(self, reason: int) -> None:
        if not self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._holds |= reason

    def _release(self, reason: int) -> None:
        """Take a reason back. The time for which nobody listened is not held against the client."""
        self._holds &= ~reason
        self.since = self._server.second
        if self.began is not None:
            self.began = self._server.second
        if not self._holds and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    # --- pieces: each ends where a request's head or body may end ---

    def _read_piece(self) -> bool:
        """Read up to the end of a head or of a body; False when that has not come yet."""
        rest, at = self._rest, self._at
        if self._body_left > 0:
            end = min(at + self._body_left, len(rest))
            self._body_left -= end - at
            (self._pass if self._is_past else self._feed)(at, end)
            return True
        if self.began is None:
            while at < len(rest) and rest[at] in b"\r\n":
                at += 1  # RFC 9112 §2.2: some clients end a body with a line end too many
            self._at = at
            if at == len(rest):
                return False
        end = rest.find(_HEAD_END, at) + len(_HEAD_END)
        is_whole = end >= len(_HEAD_END)
        if not is_whole:
            end = len(rest) - _begun_end(rest)
        elif self.began is None:
            head = rest[at:end]
            if self._read_known(head, end) or self._begin_known(head, end):
                return True
            self._learning = head
        return self._read_head(at, end) if self.is_reading_head else self._read_chunks(at, end)

    def _read_known(self, head: bytes, end: int) -> bool:
        """Take a request whose head has been seen before, by anybody; False if it is none."""
        server = self._server
        endpoint, length = server.known_heads.get(head, _UNKNOWN)
        if endpoint is None or len(self._rest) - end < length or not endpoint.route.is_open:
            return False
        self._at = end + length
        self._head, self._size, self._endpoint = head, len(head) + length, endpoint
        self._is_plain = not (self.has_more or self._is_ended or server.is_draining)
        self.predict(endpoint, self._rest[end : self._at])
        return True

    def _begin_known(self, head: bytes, end: int) -> bool:
        """Begin a request with a long body whose head has been seen before; False if it is none."""
        server = self._server
        known = server.known_long.get(head)
        if known is None or not known.is_as_before:
            return False
        self._at = end
        self._request = known.again()
        self.began = server.second
        self._head_bytes = 0
        self._body_left = known.length
        self._is_past = True
        self.is_reading_head = False
        self._learning = None
        return True

    def _pass(self, at: int, end: int) -> None:
        """Take a piece of a long body past the parser, and the request that it ends."""
        self._at = end
        request, rest = self._request, self._rest
        try:
            if request is not None:
                is_all = end - at == len(rest)
                self._take_long(request, rest if is_all else memoryview(rest)[at:end])
            if self._body_left or self._is_refused:
                return
            if request is not None and request.endpoint is not None:
                self._end_message(request, None)
            else:
                self._end_message(request, self._parser)
                self._parser = httptools.HttpRequestParser(self)  # that one waits for the body
        except Exception as error:  # noqa: BLE001 - the boundary of a request
            self._fail(error)
        self._take_whole()

    def _fail(self, error: Exception) -> None:
        """Answer for an exception amid a request, and read no more of its bytes."""
        self._is_refused = True  # who knows where the parser is now
        self.is_busy = True
        self.on_fault(error)

    def _read_head(self, at: int, end: int) -> bool:
        self._head_bytes += end - at
        if self._head_bytes > MAX_HEAD_BYTES:
            self.refuse(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
        elif end > at:
            self._feed(at, end)
        return end > at

    def _read_chunks(self, at: int, end: int) -> bool:
        end = min(end, at + _CHUNKED_PIECE_BYTES)
        self._head_bytes += end - at
        if end > at:
            self._feed(at, end)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.refuse(431, f"what is not its body is longer than {MAX_HEAD_BYTES} bytes")
        return end > at

    def _feed(self, at: int, end: int) -> None:
        """Give the parser a piece, and take the request that it ends."""
        self._at = end
        try:
            self._parser.feed_data(memoryview(self._rest)[at:end])
        except httptools.HttpParserUpgrade:
            if self._is_web_offer:
                self._parser = httptools.HttpRequestParser(self)  # the offer is the application's
            else:
                self._decline_upgrade()
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, Exception) else error)
        except httptools.HttpParserError as error:
            self.refuse(400, f"not HTTP: {error}")
        self._take_whole()

    def _take_whole(self) -> None:
        """Take the request that has come, if one has."""
        request, self._whole = self._whole, None
        if request is None or self._is_refused:
            return
        self.is_busy = True
        is_plain = request.method == b"POST" and not (
            request.is_last or request.encoding or request.is_expecting
        )
        if is_plain and self._learning is not None and request.length >= 0:
            request.head = self._learning
        self._learning = None
        self.on_request(request)

    def _decline_upgrade(self) -> None:
        """Ignore the offer of another protocol, as RFC 9110 §7.8 allows.

        httptools takes the body of such a request for the other protocol's bytes, so the request
        is begun again without the offer.
        """
        offer = self._request
        is_last = not self._parser.should_keep_alive()
        self._parser = httptools.HttpRequestParser(self)
        if self._whole is not None:  # CONNECT, which is refused as any method is
            self._whole.is_last = True
            return
        if offer is None:
            self.refuse(400, "this server speaks HTTP/1.1 only: no upgrade")
            return
        self._learning = None
        self._parser.feed_data(offer.without_offer(is_old=self._is_old, is_last=is_last))
        for request in (self._request, self._whole):
            if request is not None:
                request.encoding, request.authorization = offer.encoding, offer.authorization
                request.accept, request.headers = offer.accept, offer.headers
                request.heads, request.has_origin = offer.heads, offer.has_origin
                request.unless = offer.unless

    def abort(self) -> None:
        """Drop the connection without an answer."""
        self._is_refused = True
        self._head = _NO_HEAD
        self._request = self._whole = None
        if self.transport is not None:
            self.transport.abort()

    def refuse(self, status: int, cause: str) -> None:
        """Stop reading for good and have the reason answered."""
        if not self._is_refused:
            self._is_refused = True
            self._head = _NO_HEAD
            request = self._request or self._whole
            self._heads = (request and request.heads) or self._server.heads
            self._request = self._whole = None
            self.on_refusal(status, cause)


def _begun_end(data: bytes) -> int:
    """Return how many last bytes may be the beginning of a head's end: they wait for the rest."""
    for size in (3, 2, 1):
        if data.endswith(_HEAD_END[:size]):
            return size
    return 0
