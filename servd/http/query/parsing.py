"""What httptools tells of a request, and the limit on its body. Base of reading.py."""

import asyncio
import re
from typing import Final

import httptools

from servd.http.bounds import LONG_BODY_BYTES
from servd.http.query.held_bodies import BusyError, LongBody
from servd.http.query.request import Request, joined
from servd.http.query.state import ServerState
from servd.http.web.exchange import Exchange
from servd.http.wire import CONTINUE, refused_version

_NO_HOST: Final = re.compile(rb"[\s/?#@\\\"<>]")


class RequestParser(asyncio.Protocol):
    """The request of one connection that is being parsed. The `on_` methods are httptools' names.

    `began` is the server's tick (a second) at which it began, None between requests. Of a body
    whose length the head says, `_body_left` bytes are still to come; a long one goes past the
    parser (`_is_past`), which would copy it. `_heads` are those of its answer, unless that has an
    endpoint. `_web` is whoever takes the body of a request for a web application, as it comes.
    """

    __slots__ = (
        "_body_bytes",
        "_body_left",
        "_body_rest",
        "_head_bytes",
        "_heads",
        "_host",
        "_is_old",
        "_is_past",
        "_is_refused",
        "_parser",
        "_request",
        "_server",
        "_web",
        "_whole",
        "began",
        "is_reading_head",
        "transport",
    )

    def __init__(self, server: ServerState) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._whole: Request | None = None
        self._web: Exchange | None = None
        self._body_rest = bytearray()
        self._head_bytes = 0
        self._heads = server.heads
        self._host = b""  # the last that was found to be one
        self._body_bytes = 0
        self._body_left = 0
        self._is_old = False
        self._is_past = False
        self._is_refused = False
        self.is_reading_head = True
        self.began: int | None = None
        self.transport: asyncio.Transport | None = None

    def refuse(self, status: int, cause: str) -> None:
        """Stop reading for good and have the reason answered."""
        raise NotImplementedError

    def on_web(self, request: Request) -> bool:
        """Take a request whose head has come if it is for a web application."""
        raise NotImplementedError

    def on_web_whole(self) -> None:
        """Take the end of such a request's body."""
        raise NotImplementedError

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_refused:
            return
        self._request = Request()
        if self._server.engine.web:
            self._request.raw = []
        self.is_reading_head = True
        self._body_bytes = 0
        self.began = self._server.second

    def on_url(self, url: bytes) -> None:
        """Take the request target, or a piece of it."""
        if self._request is not None:
            self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; only few are of interest, and their lengths tell most others.

        What stands behind a body in chunks is no header (RFC 9110 §6.5.1).
        """
        request = self._request
        if request is None or not self.is_reading_head:
            return
        if request.raw is not None:
            request.raw.append((name, value))
        server = self._server
        if len(name) in server.wanted_lengths:
            request.keep(name, value, server.wanted_headers)
        if len(name) not in (4, 6, 7, 13, 14, 16, 17):
            return
        name = name.lower()
        if name == b"host":
            if request.host is not None or value != self._host:
                self._take_host(request, value)
            request.host = value
        elif name == b"content-length":
            request.length = int(value)
        else:
            self._take_rare(request, name, value)

    def _take_rare(self, request: Request, name: bytes, value: bytes) -> None:
        """Take a header that few requests have."""
        if name == b"content-encoding":
            request.encoding = joined(request.encoding, value.lower())
        elif name == b"accept":
            request.accept = value
        elif name == b"authorization":
            request.authorization = joined(request.authorization, value)
        elif name == b"origin":
            self._take_origin(request, value)
        elif name == b"if-none-match":
            request.unless = joined(request.unless, value)
        elif name == b"transfer-encoding":
            request.is_chunked = True  # httptools takes no other
        else:
            request.is_offering |= name == b"upgrade"
            request.is_expecting |= name == b"expect" and value.lower() == b"100-continue"

    def _take_origin(self, request: Request, value: bytes) -> None:
        """Have answers say what the setting says of pages of this origin."""
        cors = self._server.cors
        if cors.is_on:
            request.heads = None if request.has_origin else cors.named(value)
            request.has_origin = True

    def _take_host(self, request: Request, value: bytes) -> None:
        """Refuse what may be for one host or for another, to whoever reads it (RFC 9112 §3.2)."""
        if request.host is not None:
            self.refuse(400, "the request has two Host headers")
        elif _NO_HOST.search(value):
            self.refuse(400, "the Host header does not name a host")
        else:
            self._host = value

    def on_headers_complete(self) -> None:
        """Go on from the head to the body."""
        self.is_reading_head = False
        self._head_bytes = 0
        request = self._request
        if request is None:
            return
        version = self._parser.get_http_version()
        # A client of HTTP/1.0 takes an answer that does not say keep-alive to end with the
        # connection.
        self._is_old = version == "1.0"
        if version != "1.1" and not self._is_old:
            self.refuse(*refused_version(version))
            return
        request.method = self._parser.get_method()
        self._body_left = max(request.length, 0)
        if request.raw is not None and self.on_web(request):
            return
        self._is_past = request.length > LONG_BODY_BYTES and not request.is_offering
        self._check_size(request.length)
        if request.is_expecting and self.transport is not None and not self._is_refused:
            self.transport.write(CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """Take a piece of the body; most bodies are one piece."""
        if self._request is None:
            if self._web is not None:
                self._head_bytes = 0
                self._web.on_body(chunk)
            return
        self._head_bytes = 0
        self._is_past = False
        self._body_bytes += len(chunk)
        if self._body_bytes > self._server.max_body_bytes:
            self._check_size(self._body_bytes)
        elif self._body_bytes > LONG_BODY_BYTES or self._request.length > LONG_BODY_BYTES:
            self._take_long(self._request, chunk)
        elif self._body_bytes == len(chunk):
            self._request.body = chunk
        else:
            # Not a list of them: a client may send a byte at a time.
            self._body_rest += chunk

    def _take_long(self, request: Request, chunk: bytes | memoryview) -> None:
        """Take a piece of a body that is not kept in this process's memory."""
        try:
            if request.long is None:
                request.long = LongBody(self._server.reader.held)
                request.long.write(request.body)
                request.long.write(self._body_rest)
                request.body = b""
                self._body_rest = bytearray()
            request.long.write(chunk)
        except (BusyError, OSError):
            self._refuse_long()

    def _end_long(self, body: LongBody) -> bool:
        """Have all of a long body in its file; False where it is refused."""
        try:
            body.end()
        except OSError:
            self._refuse_long()
            return False
        return True

    def _refuse_long(self) -> None:
        self.refuse(503, "too many long bodies are read at the same time; try again later")

    def on_message_complete(self) -> None:
        """Keep the request until the parser has returned."""
        request = self._request
        if request is None and self._web is not None:
            self.on_web_whole()
            return
        if request is not None and request.is_offering and self._parser.should_upgrade():
            return  # its body is still to come: see `_decline_upgrade`
        self._end_message(request, self._parser)

    def _end_message(
        self, request: Request | None, parser: httptools.HttpRequestParser | None
    ) -> None:
        """Keep the request whose body has come; `parser` has read its head, if any has."""
        self._request = None
        self.is_reading_head = True
        self._head_bytes = 0
        self._body_left = 0
        self.began = None
        if request is not None:
            if self._body_rest:
                request.body = b"".join((request.body, self._body_rest))
                self._body_rest = bytearray()
            if request.long is not None and not self._end_long(request.long):
                return
            if parser is not None:
                request.is_last = self._is_old or not parser.should_keep_alive()
            self._whole = request

    def _check_size(self, size: int) -> None:
        if size > self._server.max_body_bytes:
            self._body_rest = bytearray()
            self.refuse(413, f"the body is longer than {self._server.max_body_bytes} bytes")
