"""What the connections of a query server share. Base of server.py, which makes it.

Reading, connections and answers import this and not the server, so that they know nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec.structs import replace

from servd.config import Config
from servd.engine.engine import Engine
from servd.engine.route import Route
from servd.http.bounds import LONG_BODY_BYTES, bounds_of
from servd.http.codecs.base import Codec, Head
from servd.http.query.cors import Cors
from servd.http.query.endpoint import Endpoint
from servd.http.query.failed_queries import FailedQueries
from servd.http.query.long_bodies import BodyReaders
from servd.http.query.request import Request
from servd.http.web.gate import Gate
from servd.http.wire import Reply

MAX_KNOWN: Final = 4096
MAX_KNOWN_HEAD_BYTES: Final = 2048
MAX_KNOWN_URL_BYTES: Final = 512
"""A path has many spellings: query strings, escapes, slashes. What is kept of them is bounded."""


class Page(Protocol):
    """A text that may have to be rendered before it can be told."""

    def ask(self, waiter: Any) -> None:
        """Have a waiter's `on_page` told the text, now or in a later turn of the loop."""


@dataclass(frozen=True, slots=True)
class PageReply:
    """A reply whose body is a page, which may have to be rendered first."""

    page: Page
    reply: Reply

    def of(self, text: Any) -> Reply:
        """Return the answer, now that the text is there."""
        return replace(self.reply, body=text)


Found = Endpoint | Reply | PageReply
"""What a request comes to: the endpoint of a prediction, or an answer."""


class ServerState:
    """The engine, the endpoints, and what has been learnt of heads.

    `endpoints` are those of paths, `known_heads` those of heads that were seen before, to the byte,
    with the length of the body, `known_long` the requests of those before long bodies: of all,
    whoever takes one asks whether its route `is_open`.
    `second` counts them. `gate` leads to web applications. Where it `tells_errors`, callers read
    what a model has raised.
    `wanted_headers` are those that a codec asks for, with the values that change nothing to any;
    `wanted_lengths` those of their names. Probers are told whether it `is_ready`, and
    `why_unready`.
    """

    def __init__(self, engine: Engine, config: Config, codecs: Sequence[Codec]) -> None:
        self.engine = engine
        self.codecs = codecs
        self.wanted_headers = _wanted_headers(codecs)
        self.wanted_lengths = frozenset(map(len, self.wanted_headers))
        self.connections: set[Any] = set()
        self.max_connections = 1
        self.cors = Cors(config.cors)
        self.heads = self.cors.usual
        self.failed = FailedQueries()
        self.is_draining = False
        self.is_ready = True
        self.why_unready = ""
        self.endpoints: dict[bytes, Endpoint] = {}
        self.known_long: dict[bytes, Request] = {}
        self.known_heads: dict[bytes, tuple[Endpoint, int]] = {}
        self.max_body_bytes = config.max_body_bytes
        self.bounds = bounds_of(config)
        self.reader = BodyReaders(self.bounds)
        self.gate = Gate(engine)
        self.second = 0
        self.token = config.query_token
        self.tells_errors = config.tells_errors
        self.next_id = 0

    def take_ids(self, count: int) -> int:
        """Return the first of `count` query ids; they count up from 0 in this process."""
        first = self.next_id
        self.next_id += count
        return first

    def bind(
        self,
        codec: Codec,
        route: Route,
        head: Head,
        request: Request,
        others: Sequence[Codec] = (),
    ) -> Endpoint:
        """Return the endpoint of a request; the next ordinary one to its URL is spared this.

        `others` are the formats that have the same path.

        Raises:
            RequestError: the codec does not take requests with such a head.
        """
        endpoint = Endpoint(route, codec, head, request.heads or self.heads, others)
        url = request.url
        is_ordinary = request.method == b"POST" and not (request.headers or request.heads)
        if is_ordinary and not codec.wants_head and len(url) <= MAX_KNOWN_URL_BYTES:
            if len(self.endpoints) >= MAX_KNOWN:
                self.endpoints.clear()
            self.endpoints[url] = endpoint
        return endpoint

    def learn_head(self, head: bytes, endpoint: Endpoint, length: int) -> None:
        """Keep the head of a plain prediction, with its endpoint and the length of its body.

        Clients that put something new into every head would fill any table: it is emptied then.
        """
        if self.token or len(head) > MAX_KNOWN_HEAD_BYTES or length > LONG_BODY_BYTES:
            return
        if len(self.known_heads) >= MAX_KNOWN:
            self.known_heads.clear()
        self.known_heads[head] = (endpoint, length)

    def learn_long(self, request: Request, endpoint: Endpoint) -> None:
        """Keep the head of a plain prediction whose body is long."""
        if self.token or len(request.head) > MAX_KNOWN_HEAD_BYTES:
            return
        if len(self.known_long) >= MAX_KNOWN:
            self.known_long.clear()
        known = request.again()
        known.endpoint = endpoint
        self.known_long[request.head] = known

    def forget_endpoints(self) -> None:
        """Look up anew what paths and heads come to: what is named, and by what, has changed."""
        self.endpoints.clear()
        self.known_heads.clear()
        self.known_long.clear()
        for connection in self.connections:
            connection.forget_endpoint()

    def answer_slowly(self, request: Request) -> Found:
        """Return the endpoint of a prediction, or an answer."""
        raise NotImplementedError

    def on_turned_away(self) -> None:
        """Take the news that a connection was refused: there are too many."""
        raise NotImplementedError


def _wanted_headers(codecs: Sequence[Codec]) -> dict[bytes, frozenset[bytes]]:
    """Return the headers that are asked for, and which values of each change nothing to any."""
    wanted: dict[bytes, frozenset[bytes]] = {}
    for codec in codecs:
        for name, values in codec.headers.items():
            key, usual = name.encode(), frozenset(value.encode() for value in values)
            wanted[key] = wanted.get(key, usual) & usual
    return wanted
