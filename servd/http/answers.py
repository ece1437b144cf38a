"""Gathers the answers of one `input_batch`. Made by http/query.py, filled by the engine."""

from typing import TYPE_CHECKING, Final

from servd.http.codecs import clipper
from servd.long_bytes import LONG_BYTES, Piece, pieces_of
from servd.query import OF_THE_MODEL, Query, Why

if TYPE_CHECKING:
    from servd.engine import Engine
    from servd.http.query import QueryConnection
    from servd.route import Route

Part = bytes | list[Piece]
"""The answer to one input, in pieces where its output is long."""

_COPIED_BYTES: Final = 1 << 16
"""What is longer is written as it is: many of a batch may be, and each in another turn."""

_JOINED_BYTES: Final = 4096
_JOINED: Final = 64
"""So many of the answers that are shorter than that are written in one piece."""


class BatchAnswer:
    """The sink of a batch request's queries; answers when the last of them is done.

    An input_batch of exactly one gives the bare object, as Clipper did.
    """

    __slots__ = (
        "_connection",
        "_first_id",
        "_is_long",
        "_missing",
        "_parts",
        "_route",
        "_status",
        "queries",
    )

    def __init__(
        self, connection: "QueryConnection", route: "Route", first_id: int, count: int
    ) -> None:
        self._connection = connection
        self._route = route
        self._first_id = first_id
        self._missing = count
        self._parts: list[Part] = [b""] * count
        self._is_long = False
        self._status = 0
        self.queries: list[Query] = []

    def on_output(self, query: Query, output: bytes) -> None:
        """Keep one prediction. Called by the dispatcher, or by `submit` on a cache hit."""
        self._status = 200
        query_id = self._first_id + query.index
        if len(output) > _COPIED_BYTES:
            part: Part = long_answer(query_id, output)
        else:
            part = b'{"query_id":%d,"output":%b,"default":false}' % (query_id, output)
        self._keep(query.index, part)

    def on_miss(self, query: Query, miss: Why) -> None:
        """Keep one default, or one error object where there is no default."""
        query_id = self._first_id + query.index
        if miss.kind in OF_THE_MODEL:
            self._connection.note_failed(self._route, miss, query_id)
        status, part = clipper.miss_object(query_id, self._route, miss, query.row)
        # An answer with at least one prediction or default is a 200; the rest say so themselves.
        self._status = 200 if 200 in (status, self._status) else status
        self._keep(query.index, part)

    def on_fault(self, error: Exception) -> None:
        """Give up on the whole request."""
        self._connection.on_fault(error)

    @property
    def owner(self) -> object:
        """The connection that waits."""
        return self._connection

    @property
    def deadline_s(self) -> float:
        """When the last of its queries is answered at the latest."""
        return max((query.deadline_s for query in self.queries), default=0.0)

    def cancel(self, engine: "Engine") -> None:
        """Free all places: the caller has hung up."""
        queries, self.queries = self.queries, []
        for query in queries:
            engine.cancel(query)

    def _keep(self, index: int, part: "Part") -> None:
        self._parts[index] = part
        self._missing -= 1
        self._is_long |= type(part) is list
        if self._missing == 0:
            self._answer()

    def _answer(self) -> None:
        """Write the answer, joined if that is little work."""
        # Each query holds this: what is long must not wait for the collector of garbage.
        self.queries = []
        parts, self._parts = self._parts, []
        if not self._is_long and len(parts) == 1:
            self._connection.respond(self._status, parts[0])  # type: ignore[arg-type]
        elif not self._is_long and sum(map(len, parts)) <= LONG_BYTES:
            body = b'{"batch_predictions":[%b]}' % b",".join(parts)  # type: ignore[arg-type]
            self._connection.respond(self._status, body)
        else:
            self._connection.respond_long(self._status, _pieces(parts))


def long_answer(query_id: int, output: bytes) -> list[Piece]:
    """Return the pieces of the object that gives an output which is too long to be copied."""
    return [b'{"query_id":%d,"output":' % query_id, *pieces_of((output,)), b',"default":false}']


def _pieces(parts: "list[Part]") -> list[Piece]:
    """Return what is written, one after the other, for the answers of a batch."""
    is_one = len(parts) == 1
    pieces: list[Piece] = []
    short = [] if is_one else [b'{"batch_predictions":[']
    for number, part in enumerate(parts):
        if number:
            short.append(b",")
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
    if not is_one:
        short.append(b"]}")
    return [*pieces, b"".join(short)]
