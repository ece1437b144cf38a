"""One query on its way: made by engine.py, carried by dispatcher.py and rpc.py, answered once.

The objects here are made for each query, so they hold slots and no behaviour beyond finishing.
"""

import asyncio
import enum
import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from servd.carriers.long_bytes import TURN_BYTES
from servd.datatypes import End
from servd.logs import faults
from servd.metrics.counters import Counters


class Miss(enum.Enum):
    """Why a query got no output. The value is the explanation that its caller reads."""

    NO_MODEL = "No connected models found for query"
    """No link, no such current version, or no live replica. Clipper's words."""
    TIMED_OUT = "Failed to retrieve a prediction response within the specified latency SLO"
    """The objective passed before an output came. Clipper's words."""
    MODEL_FAILED = "The model raised an error on this input; its log has the traceback"
    """The model raised on this input alone."""
    BAD_OUTPUT = "The model returned what is no output; its log says what"
    """The model answered with what JSON cannot say, or not with one output for each input."""
    BAD_INPUT = "The input is none that the model takes"
    """The model's own types refuse the input. Never answered with a default output."""
    OVERLOADED = "Too many queries are waiting for this model; try again later"
    """The queue was full, or what waits could not be answered in time."""
    WRONG_SIZE = "The input does not have the number of values that the model takes"
    """A row of another length than the model was trained with."""
    FAULT = "An unexpected error occurred; the daemon's log has it under this query id"
    """A fault of servd itself. Never answered with a default output, which would hide it."""

    def __init__(self, text: str) -> None:
        self.json = json.dumps(text).encode()
        self.kind = self
        self.logged = text

    @property
    def shown(self) -> "Why":
        """What is told to who may see the model's own words: nothing more is known."""
        return self


class Because:
    """A miss of some kind that has more to tell than the kind.

    `value` is what any caller reads, `shown` is for one who may see the model's own words, `logged`
    for the log.
    """

    __slots__ = ("json", "kind", "logged", "shown", "value")

    def __init__(self, kind: Miss, text: str) -> None:
        self.kind = kind
        self.value = self.logged = text
        self.shown: Why = self
        self.json = json.dumps(text).encode()


class Loading(Because):
    """No replica can answer yet. Who has a default output reads Clipper's words for it."""

    __slots__ = ()

    def __init__(self, version: str) -> None:
        super().__init__(Miss.NO_MODEL, f"{version} is still loading; try again later")
        self.json = Miss.NO_MODEL.json


class Raised(Because):
    """The model raised on this input alone. What it raised may hold what no caller is to see."""

    __slots__ = ()

    def __init__(self, version: object, reason: str) -> None:
        super().__init__(Miss.MODEL_FAILED, Miss.MODEL_FAILED.value)
        text = f"The model raised {reason}; its log has the traceback"
        self.shown = Because(Miss.MODEL_FAILED, text)
        self.logged = f"{version} raised {reason}"


class BadInput(Because):
    """The model's own types refuse the input: `faults` say where in it, and why."""

    __slots__ = ("faults",)

    def __init__(self, reason: str, faults: Sequence[dict[str, Any]]) -> None:
        super().__init__(Miss.BAD_INPUT, reason)
        self.faults = faults


Why = Miss | Because


def bad_output(reason: str) -> Because:
    """Return the miss for a model's value that is no output; `reason` says what it is."""
    return Because(Miss.BAD_OUTPUT, f"No output: {reason}")


class Lost:
    """What a query has cost so far: how many replicas ended with it, and how the last did."""

    __slots__ = ("deaths", "how")

    def __init__(self) -> None:
        self.deaths = 0.0
        self.how = ""

    def add(self, end: End) -> None:
        """Count one more."""
        self.deaths += end.death
        self.how = end.how

    @property
    def as_failure(self) -> Because:
        """The query is taken to be the cause."""
        return Because(Miss.MODEL_FAILED, f"No output: the replica {self.how}")

    @property
    def as_delay(self) -> Because:
        """The objective passed before another replica could answer."""
        return Because(Miss.TIMED_OUT, f"{Miss.TIMED_OUT.value}: the replica {self.how}")


OF_THE_MODEL = frozenset({Miss.MODEL_FAILED, Miss.BAD_OUTPUT})
"""What the daemon's log names by the query's id: the model's own log has more."""

ALWAYS_ERRORS = frozenset({Miss.WRONG_SIZE, Miss.BAD_INPUT, Miss.FAULT})
"""What is answered with an error although the application has a default output."""


class Sink(Protocol):
    """Who waits for a query: a connection, or one place in a batch request's answer."""

    def on_output(self, query: "Query", output: bytes) -> None:
        """Take the output, a JSON text. Called at most once a query, by the dispatcher."""

    def on_miss(self, query: "Query", miss: Why) -> None:
        """Take the reason why there is none. Called at most once a query, instead of the other."""

    def on_fault(self, error: Exception) -> None:
        """Take an exception of one of the calls above; who else waits must not notice it."""


class Lane:
    """What queries share with the others of whoever asks them: an application (route.py).

    `waiting` holds the unanswered queries in the order of their deadlines, which is the order of
    arrival because a lane has one objective; answered ones stay in it until they reach its head.
    From a length of `watch_from` on, a new query needs a look: 0 while no timer runs for their
    deadlines. `lost` counts those that ended without an output since a dispatcher last sent all
    that waited. While `full_until_s` is ahead, nobody need look again whether there is room.
    """

    __slots__ = ("counters", "full_until_s", "lost", "slo_s", "timer", "waiting", "watch_from")

    def __init__(self, slo_s: float) -> None:
        self.slo_s = slo_s
        self.counters = Counters()
        self.waiting: deque[Query] = deque()
        self.lost = 0
        self.full_until_s = 0.0
        self.timer: object | None = None
        self.watch_from = 0


class Query(msgspec.Struct, eq=False):
    """One input with its deadline.

    `lane` is whose it is, `row` the input's bytes as docs/protocol.md sends them, `index` its
    place in its request, `started_s` on the monotonic clock. `followers` are queries for the same
    row that wait for this one's output, `is_hit` says that it came from the cache. `lost` tells of
    the replicas that ended while they computed it. A Struct, as it is made in C: without a frame.
    """

    lane: Lane
    row: bytes
    sink: Sink
    index: int
    started_s: float
    is_done: bool = False
    is_hit: bool = False
    followers: "list[Query] | None" = None
    lost: Lost | None = None

    @property
    def deadline_s(self) -> float:
        """When the caller is answered at the latest."""
        return self.started_s + self.lane.slo_s

    def lose(self, end: End) -> Lost:
        """Note that the replica that was computing it has ended."""
        if self.lost is None:
            self.lost = Lost()
        self.lost.add(end)
        return self.lost

    def follow(self, query: "Query") -> None:
        """Let another query for the same row have this one's output, when it comes."""
        if self.followers is None:
            self.followers = []
        self.followers.append(query)

    def is_wanted(self, now_s: float) -> bool:
        """Whether anybody still waits for this row: this query or one that follows it."""
        if not self.is_done and self.deadline_s > now_s:
            return True
        return self.followers is not None and any(
            not f.is_done and f.deadline_s > now_s for f in self.followers
        )


class Batch:
    """Queries that were sent to a replica in one message; `rows` are their rows.

    `compute_s` is what the replica says that its model took; 0 where it does not say.
    `bytes_moved` is the size of all rows and outputs, known once both were. `is_plain` says that
    all of them are bytes; else there may be `LongBytes` among them, rows that ask for raw outputs,
    and such outputs (raw.py). `wanted` says which outputs the replica was told may be raw.
    """

    __slots__ = ("bytes_moved", "compute_s", "is_plain", "queries", "rows", "sent_s", "wanted")

    def __init__(self, queries: list[Query], sent_s: float) -> None:
        self.queries = queries
        self.rows = [query.row for query in queries]
        self.sent_s = sent_s
        self.compute_s = 0.0
        self.bytes_moved = 0
        self.is_plain = True
        self.wanted = b""

    def keep(self, places: list[int]) -> None:
        """Go on with those of the queries only: the others have failed."""
        self.queries = [self.queries[at] for at in places]
        self.rows = [self.rows[at] for at in places]
        self.wanted = bytes(self.wanted[at] for at in places) if self.wanted else b""


def answer(query: Query, output: bytes, now_s: float) -> None:
    """Give a query its output and count it."""
    query.is_done = True
    query.lane.counters.answered(int((now_s - query.started_s) * 1e6))
    try:
        query.sink.on_output(query, output)
    except Exception as error:  # noqa: BLE001 - others wait behind it
        _fail(query, error)


def count_answers(queries: list[Query], now_s: float) -> None:
    """Count the queries of one lane's batch that are about to be answered, all at once."""
    counters = queries[0].lane.counters
    started = [query.started_s for query in queries if not query.is_done]
    if started and started[0] == started[-1]:
        # They are in the order in which they came, so all came in one turn.
        counters.answered_many(int((now_s - started[0]) * 1e6), len(started))
        return
    for started_s, count in Counter(started).items():
        counters.answered_many(int((now_s - started_s) * 1e6), count)


def answer_all(
    queries: list[Query], outputs: list[bytes], now_s: float, *, is_counted: bool
) -> None:
    """Give a batch's queries, and those that follow them, their outputs."""
    for query, output in zip(queries, outputs, strict=True):
        if not query.is_done:
            if is_counted:  # `answer`, written out
                query.is_done = True
                try:
                    query.sink.on_output(query, output)
                except Exception as error:  # noqa: BLE001 - others wait behind it
                    _fail(query, error)
            else:
                answer(query, output, now_s)
        if query.followers is not None:
            _answer_followers(query.followers, output, now_s)


def _answer_followers(followers: list[Query], output: bytes, now_s: float, at: int = 0) -> None:
    """Give one output to those that wait for another query's: each is a copy of it to write.

    Where they are longer together than what is written in one turn of the loop, it takes more.
    """
    end = at + max(TURN_BYTES // max(len(output), 1), 1)
    for follower in followers[at:end]:
        if not follower.is_done:
            answer(follower, output, now_s)
    if end < len(followers):
        loop = asyncio.get_running_loop()
        loop.call_soon(_answer_followers, followers, output, now_s, end)


class AnswersInTurns:
    """A batch whose outputs are longer together than what is written in one turn of the loop.

    Made by the dispatcher, which is told of an exception (`on_fault`).
    """

    __slots__ = ("_at", "_batch", "_is_counted", "_now_s", "_on_fault", "_outputs")

    def __init__(
        self,
        batch: Batch,
        outputs: list[bytes],
        now_s: float,
        *,
        is_counted: bool,
        on_fault: Callable[[Batch, Exception], None],
    ) -> None:
        self._batch = batch
        self._outputs = outputs
        self._now_s = now_s
        self._is_counted = is_counted
        self._on_fault = on_fault
        self._at = 0

    def go_on(self) -> None:
        """Answer a turn's share of the queries."""
        at = end = self._at
        left = TURN_BYTES
        while end < len(self._outputs) and left > 0:
            left -= len(self._outputs[end])
            end += 1
        self._at = end
        queries = self._batch.queries[at:end]
        try:
            if self._is_counted:
                count_answers(queries, self._now_s)
            answer_all(queries, self._outputs[at:end], self._now_s, is_counted=self._is_counted)
            prune(queries[-1].lane.waiting)
        except Exception as error:  # noqa: BLE001 - the boundary of a batch
            self._on_fault(self._batch, error)
            return
        if end < len(self._outputs):
            asyncio.get_running_loop().call_soon(self.go_on)


def time_out(query: Query) -> None:
    """Tell a query's caller that its objective has passed, and what it was lost to if it was."""
    miss(query, Miss.TIMED_OUT if query.lost is None else query.lost.as_delay)


def miss(query: Query, why: Why) -> None:
    """Tell a query's caller why there is no output, and count it."""
    query.is_done = True
    counters = query.lane.counters
    if why.kind in ALWAYS_ERRORS:
        counters.failures += 1
    else:
        counters.queries += 1
        counters.defaults += 1
    if why.kind is Miss.TIMED_OUT:
        counters.latency.add(int(query.lane.slo_s * 1e6))
    try:
        query.sink.on_miss(query, why)
    except Exception as error:  # noqa: BLE001 - others wait behind it
        _fail(query, error)


def _fail(query: Query, error: Exception) -> None:
    """Have a query's caller told of a fault in telling it its answer."""
    try:
        query.sink.on_fault(error)
    except Exception as again:  # noqa: BLE001 - the boundary of a query
        faults.report("a query could not be answered", again)


def prune(waiting: deque[Query]) -> None:
    """Drop answered queries from the head of an application's line of deadlines."""
    while waiting and waiting[0].is_done:
        waiting.popleft()
