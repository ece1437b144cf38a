"""One request, as it is read: made by parsing.py, answered by connection.py and pages.py."""

from servd.http.bounds import LONG_BODY_BYTES
from servd.http.codecs.base import Resource
from servd.http.query.bodies import BodyError, inflate_short
from servd.http.query.endpoint import Endpoint
from servd.http.query.held_bodies import BusyError, BytesHeld, LongBody
from servd.http.wire import Heads


class Request:
    """What is known of one request while it is parsed.

    `length` is that of the body where the head says it, -1 where it does not. `long` is the body
    where it is long; `body` is empty then. `headers` are those that a codec wants and that say
    something unusual, None where none does. `head` is all of the head, to the byte, where the same
    head will mean the same again. `unless` are the tags of what the client has already. `heads` are
    those of its answers where these are not the usual ones: those for its origin. `resource` is
    what it is for, where that is no prediction. `endpoint` is that of a head which is known. `host`
    is what the client calls the server, None as long as that is not read. `raw` are all of its
    headers, where it may be for a web application.
    """

    __slots__ = (
        "accept",
        "authorization",
        "body",
        "encoding",
        "endpoint",
        "has_origin",
        "head",
        "headers",
        "heads",
        "host",
        "is_chunked",
        "is_expecting",
        "is_last",
        "is_offering",
        "length",
        "long",
        "method",
        "raw",
        "resource",
        "unless",
        "url",
    )

    def __init__(self) -> None:
        self.url = b""
        self.head = b""
        self.headers: dict[str, str] | None = None
        self.resource: Resource | None = None
        self.body = b""
        self.method = b""
        self.encoding = b""
        self.endpoint: Endpoint | None = None
        self.accept = b""
        self.authorization = b""
        self.unless = b""
        self.length = -1
        self.long: LongBody | None = None
        self.host: bytes | None = None
        self.raw: list[tuple[bytes, bytes]] | None = None
        self.has_origin = False
        self.heads: Heads | None = None
        self.is_chunked = False
        self.is_expecting = False
        self.is_last = False
        self.is_offering = False

    @property
    def is_as_before(self) -> bool:
        """Whether its head is known, and its application takes what it took then."""
        endpoint = self.endpoint
        return (
            endpoint is not None
            and endpoint.route.is_open
            and endpoint.inputs is endpoint.route.inputs
        )

    def again(self) -> "Request":
        """Return a request with the same head, whose body is to come."""
        request = Request()
        request.url, request.method, request.length = self.url, self.method, self.length
        request.accept, request.headers, request.unless = self.accept, self.headers, self.unless
        request.heads, request.has_origin = self.heads, self.has_origin
        request.authorization = self.authorization
        request.endpoint = self.endpoint
        return request

    def without_offer(self, *, is_old: bool, is_last: bool) -> bytes:
        """Return the head of the same request without its offer of another protocol.

        `is_old` is whether it is HTTP/1.0, `is_last` whether its connection ends with it.
        """
        left_out = (b"upgrade", b"connection", b"content-length", b"transfer-encoding", b"expect")
        kept = [
            b"%b: %b\r\n" % (name, value)
            for name, value in self.raw or ()
            if name.lower() not in left_out
        ]
        first = b"%b %b HTTP/%b\r\n" % (self.method, self.url, b"1.0" if is_old else b"1.1")
        if self.is_chunked:
            kept.append(b"Transfer-Encoding: chunked\r\n")
        elif self.length >= 0:
            kept.append(b"Content-Length: %d\r\n" % self.length)
        kept.append(b"Connection: %b\r\n" % (b"close" if is_last else b"keep-alive"))
        return b"".join((first, *kept, b"\r\n"))

    def keep(self, name: bytes, value: bytes, wanted: dict[bytes, frozenset[bytes]]) -> None:
        """Keep a header, if a codec wants it and it says something unusual."""
        name = name.lower()
        usual = wanted.get(name)
        if usual is None or value.lower() in usual:
            return
        if self.headers is None:
            self.headers = {}
        key = name.decode("latin-1")
        before = self.headers.get(key, "").encode("latin-1")
        self.headers[key] = joined(before, value).decode("latin-1")


def joined(before: bytes, value: bytes) -> bytes:
    """Return the value of a header that may be there several times (RFC 9110 §5.3)."""
    return b"%b, %b" % (before, value) if before else value


def unpack_request(request: Request, held: BytesHeld) -> None:
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
        request.long = long_of(request.body, held)


def long_of(body: bytes, held: BytesHeld) -> LongBody:
    """Return a body as a long one, whatever its length.

    Raises:
        BodyError: there is no room for it.
    """
    long = LongBody(held)
    try:
        long.write(body)
        long.end()
    except (BusyError, OSError):
        raise BodyError(503, "too many long bodies are read; try again later") from None
    return long
