"""Per version that yields: streams wait for a replica's free place, are heard, end. No batches.

Made by dispatcher.py for such a version only; its connections tell of items and ends.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from model_runtime.protocol import BYTES
from servd.clock import Clock
from servd.datatypes import End, VersionId
from servd.engine.failure import Failure
from servd.engine.query import Because, Miss, Why, miss, prune
from servd.engine.rpc import ReplicaConnection
from servd.engine.slot import Slot
from servd.engine.stream import WINDOW_BYTES, Items, Stream, size_of
from servd.logs import faults
from servd.metrics.counters import Counters

MAX_DEATHS: Final = 2
"""A stream that was alone when its replica ended is the cause if that made so many."""

SHARED_DEATH: Final = 0.5
"""What the end of a replica counts against each of several streams: one of them may be why."""

LOOK_S: Final = 2.0
"""Between two looks for streams that are idle, at most: more has passed only if all stood still."""


class StreamLine:
    """The streams of one version, whose inputs are of a `type_code`.

    `slots` are the replicas that get new ones: the dispatcher's.
    """

    def __init__(
        self, version_id: VersionId, slots: Sequence[Slot], counters: Counters, clock: Clock
    ) -> None:
        self.id = version_id
        self.type_code = BYTES
        self.clock = clock
        self._slots = slots
        self._counters = counters
        self._waiting: deque[Stream] = deque()
        self._connections: dict[ReplicaConnection, None] = {}
        self._looked_s = 0.0

    # --- the way in ---

    def enqueue(self, stream: Stream) -> None:
        """Begin a stream as soon as a replica has a free place."""
        self._waiting.append(stream)
        self.dispatch()

    def dispatch(self) -> None:
        """Give the free places to the streams that wait."""
        waiting = self._waiting
        while waiting:
            if waiting[0].is_done:
                waiting.popleft()
            elif (connection := self._freest()) is not None:
                self._open(connection, waiting.popleft())
            else:
                return

    def _freest(self) -> ReplicaConnection | None:
        """Return the replica with the fewest streams for its places, None where none is free."""
        free = [slot.connection for slot in self._slots]
        free = [one for one in free if len(one.streams) < one.places]
        return min(free, key=lambda one: len(one.streams) / one.places, default=None)

    def _open(self, connection: ReplicaConnection, stream: Stream) -> None:
        stream.sent_s = self.clock()
        try:
            connection.open_stream(stream, self.type_code, WINDOW_BYTES)
        except Exception as error:  # noqa: BLE001 - the streams behind it are others'
            connection.streams.pop(stream.number, None)
            stream.is_over = True
            faults.report("a stream could not be begun", error)
            miss(stream, Miss.FAULT)

    # --- the way back, called by the connections ---

    def on_items(self, stream: Stream, items: Items) -> None:
        """Take items of a stream that is heard; the first ends its deadline."""
        now_s = self.clock()
        if not stream.is_begun:
            self._begin(stream, now_s)
        size = size_of(items)
        stream.items += len(items)
        stream.window -= size
        stream.heard_s = now_s
        self._counters.items += len(items)
        try:
            stream.sink.on_items(stream, items, size)  # type: ignore[attr-defined]  # a Hearer
        except Exception as error:  # noqa: BLE001 - other streams of the replica go on
            self._fail(stream, error)

    def on_end(self, stream: Stream, failure: Failure | None) -> None:
        """Take the end of a stream; its place is free. `failure`, where it is not its own."""
        if not stream.is_over:
            self._counters.failures += failure is not None
            self._finish(stream, None if failure is None else failure.as_miss(self.id))
        self.dispatch()

    def on_places(self, connection: ReplicaConnection) -> None:
        """Take the news that a replica has other places than before."""
        del connection
        self.dispatch()

    def _begin(self, stream: Stream, now_s: float) -> None:
        lane = stream.lane
        stream.is_begun = stream.is_done = True
        stream.row = b""  # it is not sent again
        lane.counters.answered(int((now_s - stream.started_s) * 1e6))
        lane.counters.streams += 1
        self._counters.streams += 1
        prune(lane.waiting)
        if stream.place is not None:
            stream.place.tally.add(1, now_s - stream.sent_s)

    def _finish(self, stream: Stream, why: Why | None) -> None:
        """Tell who hears a stream of its end."""
        stream.is_over = True
        if why is None and not stream.is_begun:
            self._begin(stream, self.clock())
        if not stream.is_begun:
            stream.lane.lost += 1
            miss(stream, why)  # type: ignore[arg-type]  # it has begun where there is no reason
            return
        try:
            stream.sink.on_end(stream, why)  # type: ignore[attr-defined]  # a Hearer
        except Exception as error:  # noqa: BLE001 - other streams of the replica go on
            self._fail(stream, error)

    def _fail(self, stream: Stream, error: Exception) -> None:
        self.stop(stream)
        try:
            stream.sink.on_fault(error)
        except Exception as again:  # noqa: BLE001 - the boundary of a stream
            faults.report("a stream could not be ended", again)

    # --- what ends a stream before its end ---

    def stop(self, stream: Stream) -> None:
        """Have a stream end that nobody hears any more; its place is free when it has."""
        if stream.is_over:
            return
        stream.is_over = stream.is_done = True
        if stream.place is not None:
            stream.place.cancel_stream(stream.number)

    def end_idle(self, now_s: float, idle_s: float) -> None:
        """Break off the streams whose next item has not come in time. Called once a second.

        A time in which this process stood still itself does not count.
        """
        missed_s = max(now_s - self._looked_s - LOOK_S, 0.0) if self._looked_s else 0.0
        self._looked_s = now_s
        for connection in self._connections:
            for stream in [*connection.streams.values()]:
                stream.heard_s += missed_s
                is_awaited = stream.is_begun and not stream.is_over and stream.window > 0
                if is_awaited and now_s - stream.heard_s > idle_s:
                    self._counters.failures += 1
                    self._break(stream, f"no item came for {idle_s:g} s")

    def _break(self, stream: Stream, reason: str) -> None:
        if stream.place is not None:
            stream.place.cancel_stream(stream.number)
        self._finish(stream, Because(Miss.MODEL_FAILED, f"The stream broke off: {reason}"))

    # --- replicas come and go, called by the dispatcher ---

    def attach(self, connection: ReplicaConnection) -> None:
        """Give a ready replica streams from now on."""
        self._connections[connection] = None
        connection.stream_handler = self
        self.dispatch()

    def detach(self, connection: ReplicaConnection, end: End) -> None:
        """Take back what a replica had that has ended, or seems to have."""
        self._connections.pop(connection, None)
        self.on_lost(connection, end)

    def on_lost(self, connection: ReplicaConnection, end: End) -> None:
        """Begin again elsewhere what has not begun; what has breaks off."""
        streams, connection.streams = connection.streams, {}
        for number, stream in streams.items():
            # It may be alive, and only not heard.
            connection.cancel_stream(number)
            if stream.is_over:
                continue
            if stream.is_begun:
                self._counters.failures += 1
                why = Because(Miss.MODEL_FAILED, f"The stream broke off: the replica {end.how}")
                self._finish(stream, why)
            else:
                share = 1 if len(streams) == 1 else SHARED_DEATH
                self._retry(stream, End(end.how, end.death * share))
        self.dispatch()

    def _retry(self, stream: Stream, end: End) -> None:
        lost = stream.lose(end)
        stream.place = None
        if lost.deaths < MAX_DEATHS:
            self._waiting.appendleft(stream)
        else:
            self._counters.failures += 1
            self._finish(stream, lost.as_failure)

    def close(self) -> None:
        """End all: the version is gone."""
        waiting, self._waiting = self._waiting, deque()
        for stream in waiting:
            if not stream.is_done:
                stream.is_over = True
                miss(stream, Miss.NO_MODEL)
        for connection in [*self._connections]:
            for stream in [*connection.streams.values()]:
                if not stream.is_over:
                    self._break(stream, "its model was removed")
