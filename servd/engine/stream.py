"""A stream: a query that is answered by items, one after the other, while its caller reads them.

Made by engine.py for a model that yields, carried by stream_line.py and rpc.py. It waits in its
lane as any query does, until its first item; whoever hears it (`Hearer`) says how much was read.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import inf
from typing import Final, Protocol

from model_runtime.protocol import ITEM_BYTES
from servd.carriers.long_bytes import LONG_BYTES, LongBytes, Piece, pieces_of
from servd.clock import Clock
from servd.engine.query import Query, Sink, Why, bad_output
from servd.metrics.counters import Tally

WINDOW_BYTES: Final = 1 << 16
"""Of a stream may be on their way, from the replica to who reads it; one item may go beyond."""

MAX_COLLECTED_BYTES: Final = 1 << 26
"""Items that are answered as one list: one that is longer, or never ends, is to be streamed."""

Items = Sequence[bytes | LongBytes]
"""Items that came together, as JSON texts; one that is long comes alone."""


class Place(Protocol):
    """What a stream uses of the connection to where it is computed."""

    tally: Tally

    def grant(self, number: int, credit: int) -> None:
        """Let a stream send so much more."""

    def cancel_stream(self, number: int) -> None:
        """Have a stream end."""


class Line(Protocol):
    """What a stream uses of the line that it waits in."""

    @property
    def clock(self) -> Clock:
        """The monotonic clock."""

    def stop(self, stream: "Stream") -> None:
        """Have a stream end that nobody hears any more."""


class Stream(Query, eq=False, kw_only=True):
    """One input whose output is items.

    `is_done` with the first of them, or with a miss: then its deadline is over. It `is_begun` with
    the first, `is_over` when nobody hears it any more. `place` is where it is computed, under
    `number`. `window` is how much the replica may still send, `freed` how much has been read
    since it was told of that. `heard_s` is when the last item came, or could come.
    """

    line: Line
    place: Place | None = None
    number: int = 0
    is_begun: bool = False
    is_over: bool = False
    items: int = 0
    sent_s: float = 0.0
    heard_s: float = 0.0
    window: int = WINDOW_BYTES
    freed: int = 0

    @property
    def deadline_s(self) -> float:
        """When the caller hears of it at the latest; never again once it has begun."""
        return inf if self.is_begun else self.started_s + self.lane.slo_s

    def release(self, size: int) -> None:
        """Take note that so much was read; the replica may send as much again."""
        self.freed += size
        if self.freed * 2 >= WINDOW_BYTES and self.place is not None and not self.is_over:
            if self.window <= 0:
                self.heard_s = self.line.clock()  # it could not come before
            self.place.grant(self.number, self.freed)
            self.window += self.freed
            self.freed = 0

    def stop(self) -> None:
        """Have it end: nobody hears it any more."""
        self.line.stop(self)


class Hearer(ABC):
    """Who hears a stream: the sink of its query."""

    @abstractmethod
    def on_items(self, stream: Stream, items: Items, size: int) -> None:
        """Take items. What was read of their `size` is to be released."""

    @abstractmethod
    def on_end(self, stream: Stream, why: Why | None) -> None:
        """Take the end of a stream that had begun; `why`, where it broke off."""

    @abstractmethod
    def on_output(self, query: Query, output: bytes) -> None:
        """Take the one output of a model that does not stream."""

    @abstractmethod
    def on_miss(self, query: Query, miss: Why) -> None:
        """Take the reason why there is not one item."""

    @abstractmethod
    def on_fault(self, error: Exception) -> None:
        """Take an exception of one of the calls above; the stream is over."""


class Collected(Hearer):
    """Answers a caller that did not ask for a stream with the list of its items."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._items: list[bytes | LongBytes] = []
        self._size = 0

    @property
    def owner(self) -> object:
        """Who waits."""
        return getattr(self._sink, "owner", self._sink)

    def on_items(self, stream: Stream, items: Items, size: int) -> None:
        """Keep items."""
        self._items += items
        self._size += size
        if self._size > MAX_COLLECTED_BYTES:
            stream.stop()
            limit = MAX_COLLECTED_BYTES >> 20
            self._miss(
                stream,
                bad_output(
                    f"its items are longer than {limit} MiB together: "
                    "ask for a stream (Accept: text/event-stream)"
                ),
            )
        else:
            stream.release(size)

    def on_end(self, stream: Stream, why: Why | None) -> None:
        """Answer."""
        if why is not None:
            self._miss(stream, why)
            return
        parts: list[bytes | LongBytes] = [b"["]
        for number, item in enumerate(self._items):
            parts += [b",", item] if number else [item]
        parts.append(b"]")
        pieces: list[Piece] = pieces_of(parts)
        is_long = self._size > LONG_BYTES
        output = LongBytes(pieces) if is_long else b"".join(pieces)
        self._items = []
        self._sink.on_output(stream, output)  # type: ignore[arg-type]  # as of a batch (rpc.py)

    def on_output(self, query: Query, output: bytes) -> None:
        """Pass an output on."""
        self._sink.on_output(query, output)

    def on_miss(self, query: Query, miss: Why) -> None:
        """Pass a miss on."""
        if isinstance(query, Stream):
            query.stop()
        self._sink.on_miss(query, miss)

    def on_fault(self, error: Exception) -> None:
        """Pass a fault on."""
        self._items = []
        self._sink.on_fault(error)

    def _miss(self, stream: Stream, why: Why) -> None:
        self._items = []
        self._sink.on_miss(stream, why)


def size_of(items: Items) -> int:
    """Return what items take of a stream's window."""
    return sum(map(len, items)) + ITEM_BYTES * len(items)
