"""One application in one wire format: what a request's path, and its head, come to.

Made by server.py when a path or a head is first seen, and kept by it while the application
lives.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from servd.engine.route import Route
from servd.http.codecs.base import BEGIN_BYTES, Asked, Codec, Decode, Head, RequestError
from servd.http.wire import CACHE_HIT, Heads


class OtherFormatError(Exception):
    """A body at a path of several formats is in the format of another endpoint."""

    def __init__(self, endpoint: "Endpoint") -> None:
        super().__init__(endpoint.codec.spelled)
        self.endpoint = endpoint


class Endpoint:
    """Everything that answering one kind of request takes, looked up once.

    `decode` makes rows of bodies by the route's `inputs`, `render` an answer of an output, for the
    head of a request like this. `key` is what bodies are known by in the cache, None where they are
    not. `heads` are those of answers, `ok_heads` of good ones, `hit_heads` of good ones from the
    cache; HEAD has no more (`has_body`). What is known of an input is forgotten first where the
    request `is_fresh`. Where it `is_events`, a model that yields answers with a stream of events.
    An endpoint ends with its route (`Route.is_open`). `others` are the formats that have the same
    path, and their endpoints once they are known.
    """

    __slots__ = (
        "begins",
        "codec",
        "decode",
        "has_body",
        "head",
        "heads",
        "hit_heads",
        "inputs",
        "is_events",
        "is_fresh",
        "key",
        "kind",
        "ok_heads",
        "others",
        "render",
        "route",
    )

    def __init__(
        self, route: Route, codec: Codec, head: Head, heads: Heads, others: Sequence[Codec] = ()
    ) -> None:
        """Look everything up.

        Raises:
            RequestError: the codec does not take requests with such a head.
        """
        self.others: dict[Codec, Endpoint | None] = dict.fromkeys(others)
        self.route = route
        self.codec = codec
        self.head = head
        self.is_fresh = codec.is_fresh(head)
        self.key = None if self.is_fresh else codec.body_key(head)
        self.learn_inputs()
        self.render = codec.renderer(head)
        self.kind = codec.kind(head)
        self.heads = heads
        self.ok_heads = heads.ok(self.kind)
        self.hit_heads = heads.ok(self.kind, CACHE_HIT)
        self.begins = codec.begins
        self.has_body = head.method != "HEAD"

    def learn_inputs(self) -> Decode:
        """Return how bodies are read by what the application takes now, and go on so.

        Raises:
            RequestError: the codec does not take such requests.
        """
        inputs = self.route.inputs
        decode = self._decoder()
        decode = self._freshly(decode) if self.is_fresh else decode
        decode = self._shared(decode) if self.others else decode
        self.is_events = self.head.method != "HEAD" and asks_for_events(self.head, self.route)
        # What is one input is told from others without a look at this: on the way of what is rare.
        self.decode = _asking(decode) if self.is_events else decode
        self.inputs = inputs
        return self.decode

    def _decoder(self) -> Decode:
        """Return how bodies are read; where other formats have the path, what is not is said then.

        Raises:
            RequestError: the codec does not take such requests.
        """
        try:
            return self.codec.decoder(self.route, self.head)
        except RequestError as error:
            if not self.others:
                raise
            return _refusing(error)

    def _shared(self, decode: Decode) -> Decode:
        """Return a decoder that raises OtherFormatError for a body of another format."""

        def decode_own(body: bytes) -> bytes | Asked:
            found = self.of(body[:BEGIN_BYTES])
            if found is not self:
                raise OtherFormatError(found)
            return decode(body)

        return decode_own

    def of(self, begin: bytes) -> "Endpoint":
        """Return the endpoint of the format that a body is in which begins like this.

        Raises:
            RequestError: it does not take requests with such a head.
        """
        for codec, known in self.others.items():
            if codec.claims(self.route, self.head, begin):
                found = known or Endpoint(self.route, codec, self.head, self.heads)
                self.others[codec] = found
                return found
        return self

    def renewed(self, rows: Iterable[bytes]) -> Iterable[bytes]:
        """Give inputs one after the other, for a request that `is_fresh` forgotten before."""
        return map(self._forgotten, rows) if self.is_fresh else rows

    def _forgotten(self, row: bytes) -> bytes:
        self.route.renew(row, b"")
        return row

    def _freshly(self, decode: Decode) -> Decode:
        def decode_and_forget(body: bytes) -> bytes | Asked:
            found = decode(body)
            rows = found if isinstance(found, bytes) else found.rows
            for row in [rows] if isinstance(rows, bytes) else rows:
                self.route.renew(row, body)
            return found

        return decode_and_forget


def _refusing(error: RequestError) -> Decode:
    """Return a decoder that refuses all bodies."""

    def decode(body: bytes) -> bytes:
        del body
        raise error

    return decode


def _asking(decode: Decode) -> Decode:
    """Return a decoder that has all it reads looked at."""

    def decode_asked(body: bytes) -> Asked:
        row = decode(body)
        return Asked(row) if isinstance(row, bytes) else row

    return decode_asked


EVENTS: Final = "text/event-stream"
_REFUSING: Final = frozenset({"q=0", "q=0.0", "q=0.00", "q=0.000"})
_ASKING: Final = frozenset({("stream", "1"), ("stream", "true")})


def asks_for_events(head: Head, route: Route) -> bool:
    """Whether a request asks for events: by what it accepts, or by `stream=1` in its query.

    Where a field of the inputs has that name, a query string speaks of that.
    """
    for accepted in head.headers.get("accept", "").split(","):
        kind, *parameters = (part.strip().lower() for part in accepted.split(";"))
        if kind == EVENTS and not _REFUSING.intersection(parameters):
            return True
    signature = route.inputs.signature
    is_field = signature is not None and "stream" in (signature.fields or ())
    return not is_field and not _ASKING.isdisjoint(parse_qsl(head.query))


def is_stream(route: Route, version: str | None) -> bool:
    """Whether the version that answers yields items; a selection is taken to choose alike.

    Raises:
        NoSuchVersionError: there is no such version.
    """
    dispatcher = route.current if version is None else route.named(version)
    return dispatcher is not None and dispatcher.streams is not None


def the_one(rows: bytes | list[bytes]) -> bytes:
    """Return the one input that a stream answers.

    Raises:
        RequestError: there are others.
    """
    if isinstance(rows, bytes):
        return rows
    if len(rows) != 1:
        cause = (
            f"a stream of events answers one input, and the request has {len(rows)}: send one "
            "request for each, or ask without 'Accept: text/event-stream' and '?stream=1' for lists"
        )
        raise RequestError(400, "Query processing error", cause)
    return rows[0]
