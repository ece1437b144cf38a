"""Per version: queries wait by deadline, leave in batches, come back as outputs.

The engine puts queries in; `rpc.ReplicaConnection` carries the batches; the supervisor attaches and
detaches replicas. Replicas pull: a batch leaves when one has a place in flight, and holds what
waits then, up to that replica's limit. Nothing waits for a batch to fill, unless the version was
deployed with a batch wait.
"""

from collections import defaultdict, deque
from collections.abc import Hashable

from model_runtime.protocol import INPUT_TYPE_CODES
from servd.clock import Clock
from servd.datatypes import GONE, SILENT, End, ModelVersion
from servd.engine.batching import new_controller
from servd.engine.cache import Table, VersionCache
from servd.engine.failure import Failure
from servd.engine.line import BatchDelay, drop_answered, take_by_deadline
from servd.engine.query import (
    AnswersInTurns,
    Batch,
    Lane,
    Loading,
    Miss,
    Query,
    Why,
    answer_all,
    count_answers,
    miss,
    prune,
)
from servd.engine.rpc import ReplicaConnection
from servd.engine.slot import UNLIMITED, Slot, next_slot, room
from servd.engine.stream_line import StreamLine
from servd.engine.turn import Turn
from servd.logs import faults
from servd.metrics.counters import Counters, Tally
from servd.quantities import counted

MAX_DEATHS = 2
"""A query that was alone when its replica ended is the cause if that made so many."""

DEFAULT_SLO_S = 0.1
"""The objective that batch sizes aim at while no application is linked."""


class Dispatcher:
    """The queue of one version and the replicas that serve it.

    `slots` are the replicas that get new batches; while there are none it is not `is_live`, and
    queries are told of its `absence`. Nor is it ever where its model yields items: `streams` has
    its queries then; nor where it is a web application, which has none. `bodies` are the known
    answers by body; None while not live or if none are known. `queued` counts queries not sent
    yet; from `admit_limit` on, more could not be answered in time. `turn` is what the event loop is
    reading. `row_bytes` is the length that a row must have, if known.
    """

    def __init__(self, version: ModelVersion, cache: VersionCache | None, clock: Clock) -> None:
        self.version = version
        self.id = version.id
        self.cache = cache
        self.body_hits = 0
        self.bodies: dict[Hashable, Table] | None = None
        self.counters = Counters()
        self.slots: list[Slot] = []
        self.is_live = False
        self.queued = 0
        self.admit_limit = UNLIMITED
        self.row_bytes: int | None = None
        self._clock = clock
        self._type_code = INPUT_TYPE_CODES[version.input_type]
        self._slo_s = DEFAULT_SLO_S
        self._delay = BatchDelay(version.batch_wait_us / 1e6, self._dispatch)
        self._queues: defaultdict[Lane, deque[Query]] = defaultdict(deque)
        self._again: deque[list[Query]] = deque()
        self._late: list[Query] = []
        self._slot_of: dict[ReplicaConnection, Slot] = {}
        self._misfits: set[object] = set()
        self._loading: set[object] = set()
        self.absence: Why = Miss.NO_MODEL
        self.turn = Turn(clock, self._dispatch, self._on_look)
        self.streams: StreamLine | None = None
        self._learn_kind()

    def take(self, version: ModelVersion) -> None:
        """Learn what the version takes: what is loaded says so, after this was made for it."""
        self.version = version
        self._type_code = INPUT_TYPE_CODES[version.input_type]
        for slot in self.slots[:1]:
            self._learn_row_bytes(slot.connection)
        self._learn_kind()
        self._set_live()

    def _learn_kind(self) -> None:
        """Have a line for streams where the version is known to yield items."""
        signature = self.version.signature
        if self.streams is None and signature is not None and signature.is_stream:
            self.streams = StreamLine(self.id, self.slots, self.counters, self._clock)
            self._set_live()
            for connection in self._slot_of:
                self.streams.attach(connection)
        if self.streams is not None:
            self.streams.type_code = self._type_code

    def _learn_row_bytes(self, connection: ReplicaConnection) -> None:
        items = connection.row_items
        self.row_bytes = (
            None if items is None else items * self.version.input_type.item_bytes or None
        )

    def fold(self) -> None:
        """Count the hits by body and the batches that came back, which the path only notes.

        Called once a second, and before figures are made.
        """
        hits, self.body_hits = self.body_hits, 0
        self.counters.cache_hits += hits
        for connection in self._slot_of:
            connection.tally.fold()

    @property
    def misfits(self) -> int:
        """Replicas that are ready and get nothing, as they are not of this version."""
        return len(self._misfits)

    def mark_misfit(self, link: object, *, is_misfit: bool) -> None:
        """Count a replica as one of those, or no more. Called by the link to it (remote.py)."""
        (self._misfits.add if is_misfit else self._misfits.discard)(link)

    def mark_loading(self, who: object, *, is_loading: bool) -> None:
        """Note that a replica is being brought up, or no more. Called by replica.py."""
        (self._loading.add if is_loading else self._loading.discard)(who)
        self.absence = Loading(str(self.id)) if self._loading else Miss.NO_MODEL

    # --- the query's way in, called by the engine ---

    def enqueue(self, query: Query) -> None:
        """Queue a query; all that the event loop reads in one turn so joins one batch."""
        self._queues[query.lane].append(query)
        self.queued += 1
        turn = self.turn
        if not turn.is_on:
            turn.begin(query.started_s)
        else:
            turn.left -= 1
            if turn.left < 0:
                turn.look()

    def is_full_for(self, query: Query) -> bool:
        """Whether a query would wait too long. Asked by the engine above `admit_limit` only.

        That limit is for the tightest objective, and of what waits only that counts which is
        served before. A row that is being computed anyway costs nothing.
        """
        if self.cache is not None and query.row in self.cache.pending:
            return False
        slo_s = query.lane.slo_s
        if slo_s == self._slo_s and [*self._queues] == [query.lane]:
            return True
        ahead = sum(len(queue) for lane, queue in self._queues.items() if lane.slo_s <= slo_s)
        return ahead >= room(self.slots, slo_s)

    def _on_look(self) -> None:
        """Keep the replicas busy while the event loop is busy reading."""
        for slot in [*self.slots]:
            if slot.connection.in_flight:
                slot.connection.read()
        self._dispatch()

    def _dispatch(self) -> None:
        self._fill_slots()
        # After the batches have left: an answer may bring the connection's next query.
        while self._late:
            query = self._late.pop()
            query.lane.counters.refused += 1
            self._miss(query, Miss.OVERLOADED)

    def _fill_slots(self) -> None:
        while self.queued or self._again:
            slot = next_slot(self.slots)
            if slot is None:
                lines = self._queues.values()
                self.queued -= drop_answered(lines, self._clock(), self._is_wanted)
                return
            now_s = self._clock()
            if self._again:
                queries = [q for q in self._again.popleft() if self._is_wanted(q, now_s, now_s)]
            elif self._is_worth_waiting(slot, now_s):
                return
            else:
                queries = self._take(slot, now_s)
            if queries:
                batch = Batch(queries, now_s)
                try:
                    slot.connection.send_batch(batch, self._type_code)
                except Exception as error:  # noqa: BLE001 - the queries behind it are others'
                    slot.connection.forget(batch)
                    self.on_fault(batch, error)

    def _take(self, slot: Slot, now_s: float) -> list[Query]:
        """Remove and return the most urgent queries, without those that cannot be in time."""
        limit = slot.controller.limit
        back_s = now_s + slot.away_s
        queues = [queue for queue in self._queues.values() if queue]
        if len(queues) == 1 and queues[0][0].deadline_s > back_s:
            # Of one queue the head is due first, and it has time: no look at each deadline.
            queue, lane = queues[0], queues[0][0].lane
            is_emptied = len(queue) <= limit
            if is_emptied:
                taken = list(queue)
                queue.clear()
            else:
                taken = [queue.popleft() for _ in range(limit)]
            self.queued -= len(taken)
            if not lane.lost:
                return taken
            lane.lost *= not is_emptied
            return [q for q in taken if not q.is_done or self._is_wanted(q, now_s, now_s)]
        taken, removed = take_by_deadline(queues, limit, back_s, now_s, self._is_wanted)
        self.queued -= removed
        return taken

    def _is_wanted(self, query: Query, due_s: float, now_s: float) -> bool:
        """Whether anybody waits for a query's output until `due_s`, when it can be there."""
        if (not query.is_done and query.deadline_s > due_s) or query.is_wanted(due_s):
            return True
        self._forget(query)
        if due_s > now_s and query.is_wanted(now_s):
            self._late.append(query)
        return False

    def _is_worth_waiting(self, slot: Slot, now_s: float) -> bool:
        """Whether the batch is short and its oldest query young."""
        if not self._delay.wait_s or self.queued >= slot.controller.limit:
            return False
        oldest_s = min(queue[0].started_s for queue in self._queues.values() if queue)
        return self._delay.is_on(oldest_s, now_s)

    # --- the way back, called by the connections ---

    def on_outputs(self, connection: ReplicaConnection, batch: Batch, outputs: list[bytes]) -> None:
        """Answer a batch's queries, after the replica's free place has been filled again."""
        now_s = self._clock()
        connection.tally.add(len(batch.queries), now_s - batch.sent_s)
        slot = self._slot_of.get(connection)
        if slot is not None:
            slot.learn(batch, now_s, self.turn.looked_s)
            # A next batch that is half empty: nobody waits for capacity.
            is_short = self.queued * 2 >= slot.controller.limit
            self.admit_limit = room(self.slots, self._slo_s) if is_short else UNLIMITED
        self._dispatch()
        is_counted = len(self._queues) == 1
        if not batch.is_plain:
            if self.cache is not None:
                self.cache.keep_short(batch.rows, outputs, batch.wanted)
            AnswersInTurns(
                batch, outputs, now_s, is_counted=is_counted, on_fault=self.on_fault
            ).go_on()
            return
        if self.cache is not None:
            self.cache.keep(batch.rows, outputs, batch.bytes_moved)
        if is_counted:
            count_answers(batch.queries, now_s)
        answer_all(batch.queries, outputs, now_s, is_counted=is_counted)
        prune(batch.queries[-1].lane.waiting)

    def on_failure(self, connection: ReplicaConnection, batch: Batch, failure: Failure) -> None:
        """Halve a batch that the model raised on, so that one bad input fails alone.

        What it raised is for its owner. What is wrong with an input or an output is told to all.
        """
        queries = batch.queries  # what it took says nothing of a size
        connection.tally.add(len(queries), self._clock() - batch.sent_s)
        if len(queries) == 1:
            self._fail(queries[0], failure)
        else:
            self._halve(queries)
        self._dispatch()

    def on_partial(
        self,
        connection: ReplicaConnection,
        batch: Batch,
        outputs: list[bytes],
        failed: dict[int, Failure],
    ) -> None:
        """Answer a batch of which the inputs at some places failed by themselves."""
        for at, failure in failed.items():
            self._fail(batch.queries[at], failure)
        batch.keep([at for at in range(len(batch.queries)) if at not in failed])
        if outputs:
            self.on_outputs(connection, batch, outputs)
        else:
            connection.tally.add(len(failed), self._clock() - batch.sent_s)
            self._dispatch()

    def _fail(self, query: Query, failure: Failure) -> None:
        self.counters.failures += 1
        self._miss(query, failure.as_miss(self.id))

    # --- replicas come and go, called by the supervisor ---

    def attach(self, connection: ReplicaConnection) -> None:
        """Give a ready replica work from now on."""
        if connection in self._slot_of:
            return
        connection.tally = Tally(self.counters, connection.counters)
        slot = Slot(connection, new_controller(self.version, self._slo_s, connection.tried))
        self.admit_limit = UNLIMITED
        self._slot_of[connection] = slot
        self.slots.append(slot)
        self._set_live()
        connection.handler = self
        self._learn_row_bytes(connection)
        if self.streams is not None:
            self.streams.attach(connection)
        self._dispatch()

    def drain(self, connection: ReplicaConnection) -> None:
        """Give a replica no new batch; it still answers those in flight."""
        slot = self._slot_of.get(connection)
        if slot is not None and slot in self.slots:
            self.slots.remove(slot)
            self._set_live()

    def detach(self, connection: ReplicaConnection, end: End = GONE) -> None:
        """Take a replica out that has ended, or seems to have; others get what it had.

        Of its batches it was computing the oldest, which may be why it ended: `_retry` has it. The
        others are given to the next replica as they were.
        """
        if connection not in self._slot_of:
            return
        self.drain(connection)
        if connection.in_flight or self.streams is not None:
            connection.read()  # what it said before it ended
        self._slot_of.pop(connection, None)
        connection.tally.fold()
        self._take_over(connection, end)
        if self.streams is not None:
            self.streams.detach(connection, end)
        self._dispatch()

    def on_lost(self, connection: ReplicaConnection) -> None:
        """Send again what a replica has hung up on, which is well otherwise."""
        end = End("hung up", SILENT.death)
        self._take_over(connection, end)
        if self.streams is not None:
            self.streams.on_lost(connection, end)
        self._dispatch()

    def _take_over(self, connection: ReplicaConnection, end: End) -> None:
        batches = [batch.queries for batch in connection.in_flight.values()]
        connection.in_flight.clear()
        self._again.extend(batches[1:])
        if batches:
            self._retry(batches[0], end)

    def _retry(self, queries: list[Query], end: End) -> None:
        """Try a batch again that a replica may have ended of, so that what ends it fails alone.

        In halves after the first death, as most deaths have another cause and each call costs. Then
        one by one: to go on halving would cost a replica each time, and one takes longer to start
        than the calls. So an input costs three replicas at most, or two if it is always alone.
        """
        deaths = max(query.lose(end).deaths for query in queries)
        if len(queries) == 1:
            if deaths < MAX_DEATHS:
                self._again.append(queries)
            elif (lost := queries[0].lost) is not None:
                self.counters.failures += 1
                self._miss(queries[0], lost.as_failure)
        elif deaths >= MAX_DEATHS:
            self._again.extend([query] for query in queries)
        elif end.death < 1:
            self._again.append(queries)
        else:
            self._halve(queries)

    def _halve(self, queries: list[Query]) -> None:
        middle = len(queries) // 2
        self._again.append(queries[:middle])
        self._again.append(queries[middle:])

    def remember(self, key: Hashable | None, body: bytes, row: bytes) -> None:
        """Know the answer to a row by the body that it came in, if it is known by the row.

        `key` stands for the wire format; None for one in which a body alone does not say the row.
        """
        if key is None or self.cache is None:
            return
        output = self.cache.rows.get(row)
        if type(output) is bytes:
            self.cache.known_by(key).put(body, output)
            self._set_live()

    def _set_live(self) -> None:
        self.is_live = bool(self.slots) and self.streams is None and self.version.web is None
        bodies = None if self.cache is None or not self.is_live else self.cache.bodies
        self.bodies = bodies or None  # most have none: one look less

    def set_slo(self, slo_s: float) -> None:
        """Aim batch sizes at another objective: the tightest of the applications linked."""
        if slo_s != self._slo_s:
            self._slo_s = slo_s
            for slot in self._slot_of.values():
                slot.controller = new_controller(self.version, slo_s, slot.connection.tried)

    def forget_lane(self, lane: Lane) -> None:
        """Drop the queue of an application that is gone: one is dispatched faster than two."""
        if not self._queues.get(lane, True):
            del self._queues[lane]

    def limits(self) -> list[int]:
        """Return each replica's present batch limit, for metrics."""
        return [slot.controller.limit for slot in self.slots]

    def close(self) -> None:
        """Answer what still waits: the version is gone."""
        sent = [b.queries for c in self._slot_of for b in c.in_flight.values()]
        waiting = [q for queue in (*self._queues.values(), *self._again, *sent) for q in queue]
        self._queues.clear()
        self._again.clear()
        self.queued = 0
        for query in waiting:
            self._miss(query, Miss.NO_MODEL)
        if self.streams is not None:
            self.streams.close()

    def on_fault(self, batch: Batch, error: Exception) -> None:
        """Answer what a fault of ours has left of a batch; the replica has no part in it."""
        which = counted(len(batch.queries), "query", "queries")
        faults.report(f"{which} of {self.id} could not be handled", error)
        for query in batch.queries:
            self._miss(query, Miss.FAULT)

    def part_with(self, query: Query) -> None:
        """Let no other query wait for this one's output any more."""
        self._forget(query)

    def _forget(self, query: Query) -> None:
        if self.cache is not None and self.cache.pending.get(query.row) is query:
            del self.cache.pending[query.row]

    def _miss(self, query: Query, why: Why) -> None:
        self._forget(query)
        for each in (query, *(query.followers or ())):
            if not each.is_done:
                miss(each, why)
