"""Bytes to requests: the part of a query connection that httptools calls. Base of http/query.py.

It enforces the limits on what comes from outside; what it refuses is answered and the connection
closed. A subclass takes the requests.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

import httptools

from servd.http.wire import CONTINUE

if TYPE_CHECKING:
    from servd.http.server import QueryServer
    from servd.route import Route

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 * 1024
"""Of a head; and of all that is neither head nor body, such as a chunked body's trailers."""


_NO_HEAD = b"\0"
"""What no request begins with."""


class Request:
    """What is known of one request while it is parsed, and while it waits behind another.

    `length` is that of the body where the head says it, -1 where it does not.
    """

    __slots__ = (
        "accept",
        "authorization",
        "body",
        "encoding",
        "is_expecting",
        "is_last",
        "is_offering",
        "length",
        "method",
        "url",
    )

    def __init__(self) -> None:
        self.url = b""
        self.body = b""
        self.method = b""
        self.encoding = b""
        self.accept = b""
        self.authorization = b""
        self.length = -1
        self.is_expecting = False
        self.is_last = False
        self.is_offering = False


class RequestReader(asyncio.Protocol):
    """Reads the requests of one connection. The `on_` methods are httptools' names.

    `since` is the server's tick (a second) at which bytes last came, `began` the one at which the
    request that is being read began, None between requests. While `is_busy` a request is answered.
    """

    __slots__ = (
        "_body_bytes",
        "_chunks",
        "_head",
        "_head_bytes",
        "_is_old",
        "_is_refused",
        "_parser",
        "_plain",
        "_request",
        "_route",
        "_server",
        "_size",
        "began",
        "is_busy",
        "is_reading_head",
        "since",
        "transport",
    )

    def __init__(self, server: "QueryServer") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._body_bytes = 0
        self._is_old: bool | None = None
        self._is_refused = False
        self._head = _NO_HEAD
        self._size = 0
        self._route: Route | None = None
        self._plain: Request | None = None
        self.is_busy = False
        self.is_reading_head = True
        self.since = server.tick
        self.began: int | None = None
        self.transport: asyncio.Transport | None = None

    def on_request(self, request: Request) -> None:
        """Take a whole request; called in the order in which they came."""
        raise NotImplementedError

    def on_refusal(self, status: int, cause: str) -> None:
        """Answer what was refused, after the requests before it; nothing more will be read."""
        raise NotImplementedError

    def predict(self, route: "Route", body: bytes) -> None:
        """Take a prediction whose head has been seen before: a POST that keeps the connection."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read its answers."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on: the client has caught up."""
        if self.transport is not None:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Read what came. Called by the event loop.

        Clients repeat their heads to the byte. A chunk that is one whole request with a head that
        httptools has accepted before needs no parser: the same bytes would be parsed the same.
        """
        self.since = self._server.tick
        head = self._head
        if data.startswith(head) and len(data) == self._size and not self.is_busy:
            route = self._route
            if route is not None and route.is_open and self.began is None:
                self.predict(route, data[len(head) :])
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Read what is not the same head as before on this connection."""
        if self._is_refused:
            return  # read and dropped, so that the answer is not lost to a reset connection
        if self.is_busy or self.began is not None:
            self._parse(data)
            return
        server = self._server
        at = data.find(b"\r\n\r\n") + 4
        known = server.known_heads.get(data[:at])
        if known is not None and known[1] == len(data) - at:
            route = server.engine.routes.get(known[0])
            if route is not None:
                self._head, self._size, self._route = data[:at], len(data), route
                self.predict(route, data[at:])
                return
        plain = self._parse(data)
        if plain is not None and plain.length == len(data) - at:
            server.learn_head(data[:at], plain.url, plain.length)

    def _parse(self, data: bytes) -> Request | None:
        """Feed the parser; return the last request that it completed if that was a plain one."""
        self._plain = None
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            logger.exception("a request could not be handled")
            self.abort()
        except httptools.HttpParserError as error:
            self.refuse(400, f"not HTTP: {error}")
        if self._head_bytes > MAX_HEAD_BYTES:
            self.refuse(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
        return self._plain

    def _go_on(self, data: bytes) -> None:
        """Ignore the offer of another protocol, as RFC 9110 §7.8 allows; `data` follows the head.

        httptools takes the body of such a request for the other protocol's bytes, so the request
        is begun again without the offer.
        """
        offer = self._request
        if offer is None or offer.length < 0:
            self.refuse(400, "this server speaks HTTP/1.1 only: no upgrade")
            return
        self._parser = httptools.HttpRequestParser(self)
        head = b"%b %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
        self._parser.feed_data(head % (offer.method, offer.url, offer.length))
        request = self._request
        if request is not None:
            request.encoding, request.authorization = offer.encoding, offer.authorization
        self._parse(data)

    def abort(self) -> None:
        """Drop the connection without an answer."""
        self._is_refused = True
        self._head = _NO_HEAD
        self._request = None
        if self.transport is not None:
            self.transport.abort()

    def refuse(self, status: int, cause: str) -> None:
        """Stop reading for good and have the reason answered."""
        if not self._is_refused:
            self._is_refused = True
            self._head = _NO_HEAD
            self._request = None
            self.on_refusal(status, cause)

    def on_message_begin(self) -> None:
        """Begin a request."""
        if not self._is_refused:
            self._request = Request()
            self._body_bytes = 0
            self.began = self._server.tick

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a piece of it."""
        if self._request is not None:
            self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; only few are of interest, and their lengths tell most others."""
        request = self._request
        if request is None or len(name) not in (6, 7, 13, 14, 16):
            return
        name = name.lower()
        if name == b"content-length":
            request.length = int(value)
            self._check_size(request.length)
        elif name == b"content-encoding":
            request.encoding = value.lower()
        elif name == b"accept":
            request.accept = value
        elif name == b"authorization":
            request.authorization = value
        elif name == b"upgrade":
            request.is_offering = True
        elif name == b"expect" and value.lower() == b"100-continue" and self.transport is not None:
            request.is_expecting = True
            self.transport.write(CONTINUE)

    def on_headers_complete(self) -> None:
        """Go on from the head to the body."""
        self.is_reading_head = False
        self._head_bytes = 0
        if self._is_old is None:
            # A client of HTTP/1.0 takes an answer that does not say keep-alive to end with the
            # connection. Asked once: no client changes its version in the middle.
            self._is_old = self._parser.get_http_version() == "1.0"
        if self._request is not None:
            self._request.method = self._parser.get_method()

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body; most bodies are one piece."""
        if self._request is None:
            return
        self._head_bytes = 0
        self._body_bytes += len(chunk)
        if self._body_bytes == len(chunk):
            self._request.body = chunk
        else:
            self._chunks.append(chunk)
        if self._body_bytes > self._server.max_body_bytes:
            self._check_size(self._body_bytes)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        request = self._request
        if request is not None and request.is_offering and self._parser.should_upgrade():
            return  # its body is still to come: see `_go_on`
        self._request = None
        self.is_reading_head = True
        self._head_bytes = 0
        self.began = None
        if request is not None:
            if self._chunks:
                request.body = b"".join((request.body, *self._chunks))
                self._chunks.clear()
            request.is_last = self._is_old or not self._parser.should_keep_alive()
            if request.method == b"POST" and not (
                request.is_last or request.encoding or request.is_expecting
            ):
                self._plain = request
            self.on_request(request)

    def _check_size(self, size: int) -> None:
        if size > self._server.max_body_bytes:
            self._chunks.clear()
            self.refuse(413, f"the body is longer than {self._server.max_body_bytes} bytes")
