"""A client's connection as one of a web application's. Base of connection.py.

A request for a web application is passed on as soon as its head has come, and is not held here: an
`Exchange` has it, and tells what is to be written.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from servd.engine.route import Route
from servd.http.bearer import carries
from servd.http.query.reading import UNSENT
from servd.http.query.request import Request
from servd.http.query.state import ServerState
from servd.http.query.writing import AnswerWriter
from servd.http.web.exchange import Exchange
from servd.http.web.heads import Peer, peer_of, request_head
from servd.http.web.tunnel import Tunnel
from servd.http.wire import Reply


class Whole(NamedTuple):
    """The body of a request whose head has come before on the same connection."""

    body: bytes


class WebEndpoint:
    """What requests with one head, to the byte, come to on one connection: `head` is passed on.

    It stands in an `Endpoint`'s place on the way of heads that are known (reading.py), and leads
    out of it where bodies are decoded: `decode` returns what is no row.
    """

    __slots__ = ("head", "inputs", "method", "route")

    begins: tuple[bytes, ...] = ()
    decode = Whole

    def __init__(self, route: Route, method: bytes, head: bytes) -> None:
        self.route = route
        self.method = method
        self.head = head
        self.inputs = route.inputs

    def learn_inputs(self) -> Callable[[bytes], Whole]:
        """Return the same: there are no inputs."""
        return Whole


class WebClient(AnswerWriter):
    """What an exchange needs of the connection whose request it passes on."""

    __slots__ = ("_peer",)

    def __init__(self, server: ServerState) -> None:
        super().__init__(server)
        self._peer: Peer | None = None

    # --- the request ---

    def on_web(self, request: Request) -> bool:
        """Begin to pass on a request whose head has come, if it is for a web application.

        One that lacks the token is left to be refused as any, and so is the offer of a protocol
        that is none of the application's: it comes again without the offer.
        """
        server = self._server
        found = server.gate.find(request.method, request.url)
        if found is None or found.place is None or request.method == b"CONNECT":
            return False
        token = server.token.encode() if server.token else b""
        has_token = bool(token) and carries(request.authorization, token)
        is_refused = bool(token) and not has_token
        is_other = request.is_offering and self._parser.should_upgrade() and not _is_socket(request)
        if is_refused or is_other:
            return False
        head = request_head(
            request.method,
            found.place,
            request.raw or (),
            self._peer or self._meet(),
            # What this server is shown is nobody else's.
            dropped=b"authorization" if has_token else b"",
        )
        self._take(request)
        is_chunked = request.is_chunked
        self._query = self._web = web = Exchange(
            self, server.gate, server.engine, found.route, (request.method, head)
        )
        web.is_chunked, web.is_offer = is_chunked, request.is_offering
        if not (is_chunked or request.is_expecting or request.is_offering or self._is_last):
            self._learn(found.route, request, head)
        web.start()
        return True

    def _learn(self, route: Route, request: Request, head: bytes) -> None:
        """Have the next request with the same head, if it is whole, spared its reading."""
        learning = self._learning
        if learning is not None and request.heads is None and not self._server.token:
            self._endpoint = WebEndpoint(route, request.method, head)  # type: ignore[assignment]
            self._head, self._size = learning, len(learning) + max(request.length, 0)

    def pass_on(self, endpoint: WebEndpoint, body: bytes) -> None:
        """Pass on a whole request with a head that has come before."""
        server = self._server
        self._asked = None  # type: ignore[assignment]
        self._heads = server.heads
        self._is_last = False
        head = endpoint.head + body if body else endpoint.head
        self._query = web = Exchange(
            self, server.gate, server.engine, endpoint.route, (endpoint.method, head)
        )
        web.is_whole = True
        web.start()

    def _take(self, request: Request) -> None:
        """Be busy with a request whose body is passed on."""
        self._request = None
        self._heads = request.heads or self._server.heads
        self._asked = None  # type: ignore[assignment]
        self._is_plain = False
        self._is_last = self._is_old or not self._parser.should_keep_alive()

    def _meet(self) -> Peer:
        """Return who the client is."""
        transport = self.transport
        name: Any = None if transport is None else transport.get_extra_info("peername")
        own: Any = None if transport is None else transport.get_extra_info("sockname")
        self._peer = peer_of(name, own)
        return self._peer

    def on_web_whole(self) -> None:
        """Wait for the answer, now that all of the request is passed on."""
        web, self._web = self._web, None
        self.is_reading_head = True
        self._head_bytes = 0
        self._body_left = 0
        self.began = None
        if web is not None and self._query is web:
            self.is_busy = True
            web.on_whole()

    @property
    def is_passing(self) -> bool:
        """Whether a request is being passed on."""
        return self._web is not None

    @property
    def _is_web_offer(self) -> bool:
        return type(self._query) is Exchange

    def hold_request(self, *, is_held: bool) -> None:
        """Read no more of the request, or again."""
        if is_held:
            self._hold(UNSENT)
        else:
            self._release(UNSENT)
            self.read_on()

    # --- the answer ---

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the answer anyway."""
        return self._is_the_last

    @property
    def is_held(self) -> bool:
        """Whether a request is not read on, as its application does not take it."""
        return bool(self._holds & UNSENT)

    @property
    def may_pass(self) -> bool:
        """Whether the answer needs no head of its own."""
        return self._is_plain or not (self._is_old or self._is_the_last)

    def end_answer(self) -> None:
        """Go on to the next request: all of the answer was written."""
        if self._is_plain:
            self._query = None
            self.is_busy = False
        else:
            super().end_answer()

    def answer(self, reply: Reply, *, is_whole: bool) -> None:
        """Answer in the application's place; the rest of a request is not wanted any more."""
        if type(self._query) is Exchange and self._query.is_head:
            reply = replace(reply, has_body=False)
        if not is_whole:
            self._end_reading()
        self.respond(reply)

    def end_early(self) -> None:
        """End the connection: the answer is whole and the request is not."""
        self._query = None
        self._end_reading()
        self.is_busy = False
        self._close()

    def _end_reading(self) -> None:
        """Read and drop what comes: the answer would be lost to a reset connection."""
        self._web = None
        self._is_last = self._is_refused = True
        self._head = b"\0"

    def drop(self) -> None:
        """Hang up amid an answer: so the client sees that it is not whole."""
        query, self._query, self._web = self._query, None, None
        if type(query) is Exchange:
            query.cancel(self._server.engine)
        self.is_closing = True
        self.since = self._server.second
        if self.transport is None:
            return
        if self._is_old:
            self.transport.abort()  # the end of the connection would be the end of the answer
        else:
            self.transport.close()

    def become(self, tunnel: Tunnel) -> bytes:
        """Have what the client says go to a replica; return what it has said already."""
        said, self._rest, self._at = self._rest[self._at :], b"", 0
        transport = self.transport
        if transport is not None:
            if self._holds:
                self._holds = 0
                transport.resume_reading()
            transport.set_protocol(tunnel.client_end())
        return said

    def pause_writing(self) -> None:
        """Read no more of an answer that the client does not read."""
        super().pause_writing()
        if type(self._query) is Exchange:
            self._query.pause(is_paused=True)

    def resume_writing(self) -> None:
        """Go on."""
        if type(self._query) is Exchange:
            self._query.pause(is_paused=False)
        super().resume_writing()

    def break_off(self, why: Any) -> None:
        """End an answer that goes on: the server is to end."""
        super().break_off(why)
        if type(self._query) is Exchange:
            self.drop()

    def on_refusal(self, status: int, cause: str) -> None:
        """End the connection with an error, unless an answer has begun already."""
        if not self.give_up_web():
            super().on_refusal(status, cause)

    def give_up_web(self) -> bool:
        """End an exchange; whether its answer had begun, so that no other can be given."""
        query = self._query
        if type(query) is not Exchange:
            return False
        self._web = None
        if query.is_begun:
            self.drop()
            return True
        query.cancel(self._server.engine)
        self._query = None
        self.is_busy = True
        return False


def _is_socket(request: Request) -> bool:
    """Tell whether a request is the beginning of a WebSocket (RFC 6455 §4.1)."""
    offered = (value for name, value in request.raw or () if name.lower() == b"upgrade")
    is_bare = request.method == b"GET" and request.length <= 0 and not request.is_chunked
    return is_bare and any(value.strip().lower() == b"websocket" for value in offered)
