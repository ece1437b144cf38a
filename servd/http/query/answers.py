"""Gathers the answers of one request's inputs. Made by connection.py, filled by the engine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from servd.carriers.long_bytes import LONG_BYTES, Piece
from servd.engine.engine import Engine
from servd.engine.query import OF_THE_MODEL, Query, Why
from servd.engine.route import Route
from servd.http.codecs.base import Frame, Part
from servd.http.query.endpoint import Endpoint
from servd.http.wire import Reply

_JOINED_BYTES: Final = 4096
_JOINED: Final = 64
"""So many of the answers that are shorter than that are written in one piece."""


@dataclass(frozen=True, slots=True)
class Several:
    """Several inputs for a version of an application, to be answered by `deadline_s`.

    `told` is what their codec wants to know when it answers.
    """

    endpoint: Endpoint
    version: str | None
    rows: Iterable[bytes]
    count: int
    deadline_s: float
    told: bytes = b""


class Client(Protocol):
    """Who is answered: what the sinks of a connection's queries use of it."""

    def respond(self, reply: Reply) -> None:
        """Answer the request."""

    def note_failed(self, route: Route, miss: Why, query_id: int) -> Why:
        """Have the log name a query that its model failed on; return what its caller is told."""

    def on_error(self, error: Exception) -> None:
        """Answer for what a body or its queries led to."""

    def on_fault(self, error: Exception) -> None:
        """Answer for an exception that nobody foresaw."""

    def on_output(self, query: Query | None, output: bytes) -> None:
        """Answer with the output of the one input."""

    def on_miss(self, query: Query, miss: Why) -> None:
        """Answer with the reason why the one input has none."""

    def start_several(self, several: Several) -> None:
        """Submit several inputs."""

    def ask_one(self, endpoint: Endpoint, row: bytes, version: str | None) -> None:
        """Submit one input."""

    def take_id(self) -> None:
        """Give the request the next query id."""


class BatchAnswer:
    """The sink of the queries of several inputs; answers when the last of them is done."""

    __slots__ = (
        "_client",
        "_endpoint",
        "_first_id",
        "_gathering",
        "_is_long",
        "_missing",
        "_parts",
        "queries",
    )

    def __init__(
        self, client: Client, endpoint: Endpoint, first_id: int, count: int, told: bytes = b""
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._first_id = first_id
        self._gathering = endpoint.codec.gather_as(endpoint.route, endpoint.head, told)
        self._missing = count
        self._parts: list[Part] = [b""] * count
        self._is_long = False
        self.queries: list[Query] = []

    def on_output(self, query: Query, output: bytes) -> None:
        """Keep one prediction. Called by the dispatcher, or by `submit` on a cache hit."""
        self._keep(query.index, self._gathering.output(self._first_id + query.index, output))

    def on_miss(self, query: Query, miss: Why) -> None:
        """Keep one default, or the error where there is no default."""
        query_id = self._first_id + query.index
        if miss.kind in OF_THE_MODEL:
            miss = self._client.note_failed(self._endpoint.route, miss, query_id)
        part = self._gathering.missed(query.index, query_id, miss, query.row)
        self._keep(query.index, part)

    def on_fault(self, error: Exception) -> None:
        """Give up on the whole request."""
        self._client.on_fault(error)

    @property
    def owner(self) -> object:
        """The connection that waits."""
        return self._client

    @property
    def deadline_s(self) -> float:
        """When the last of its queries is answered at the latest."""
        return max((query.deadline_s for query in self.queries), default=0.0)

    def cancel(self, engine: Engine) -> None:
        """Free all places: the caller has hung up."""
        queries, self.queries = self.queries, []
        for query in queries:
            engine.cancel(query)

    def _keep(self, index: int, part: Part) -> None:
        self._parts[index] = part
        self._missing -= 1
        self._is_long |= type(part) is list
        if self._missing == 0:
            self.answer()

    def answer(self) -> None:
        """Write the answer, joined if that is little work."""
        # Each query holds this: what is long must not wait for the collector of garbage.
        self.queries = []
        parts, self._parts = self._parts, []
        frame = self._gathering.frame(len(parts))
        if not self._is_long and sum(map(len, parts)) <= LONG_BYTES:
            joined = frame.separator.join(parts)  # type: ignore[arg-type]  # none is in pieces
            body: bytes | list[Piece] = b"".join((frame.opening, joined, frame.closing))
        else:
            body = _pieces(parts, frame)
        self._client.respond(Reply(frame.status, body, self._endpoint.kind))


def _pieces(parts: list[Part], frame: Frame) -> list[Piece]:
    """Return what is written, one after the other, for the answers of a batch."""
    pieces: list[Piece] = []
    short = [frame.opening]
    for number, part in enumerate(parts):
        if number:
            short.append(frame.separator)
        if isinstance(part, bytes) and len(part) < _JOINED_BYTES:
            short.append(part)
            if len(short) < _JOINED:
                continue
        pieces.append(b"".join(short))
        short = []
        if isinstance(part, list):
            pieces += part
        elif len(part) >= _JOINED_BYTES:
            pieces.append(part)
    short.append(frame.closing)
    return [*pieces, b"".join(short)]
