"""Gathers the answers of one `input_batch`. Made by http/query.py, filled by the engine."""

from typing import TYPE_CHECKING

from servd.http.codecs import clipper
from servd.query import Query, Why

if TYPE_CHECKING:
    from servd.engine import Engine
    from servd.http.query import QueryConnection


class BatchAnswer:
    """The sink of a batch request's queries; answers when the last of them is done.

    An input_batch of exactly one gives the bare object, as Clipper did.
    """

    __slots__ = ("_connection", "_first_id", "_missing", "_parts", "_status", "queries")

    def __init__(self, connection: "QueryConnection", first_id: int, count: int) -> None:
        self._connection = connection
        self._first_id = first_id
        self._missing = count
        self._parts = [b""] * count
        self._status = 0
        self.queries: list[Query] = []

    def on_output(self, query: Query, output: bytes) -> None:
        """Keep one prediction. Called by the dispatcher, or by `submit` on a cache hit."""
        self._status = 200
        self._keep(
            query.index,
            b'{"query_id":%d,"output":%b,"default":false}' % (self._first_id + query.index, output),
        )

    def on_miss(self, query: Query, miss: Why) -> None:
        """Keep one default, or one error object where there is no default."""
        status, part = clipper.miss_object(
            self._first_id + query.index, query.route, miss, query.row
        )
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

    def cancel(self, engine: "Engine") -> None:
        """Free all places: the caller has hung up."""
        for query in self.queries:
            engine.cancel(query)

    def _keep(self, index: int, part: bytes) -> None:
        self._parts[index] = part
        self._missing -= 1
        if self._missing == 0:
            body = (
                self._parts[0]
                if len(self._parts) == 1
                else b'{"batch_predictions":[%b]}' % b",".join(self._parts)
            )
            self._connection.respond(self._status, body)
