"""THE STORY of a query: select the version, ask the cache, queue, answer or default at the SLO.

The query server's connections call `ask`; the composition root applies the registry's state with
`apply` after every change; the supervisor attaches replicas to the dispatchers.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Self

import zmq

from servd.clock import Clock, monotonic
from servd.datatypes import (
    Application,
    Inputs,
    ModelVersion,
    RegistryState,
    RouteRule,
    VersionId,
    is_another,
)
from servd.engine.cache import PredictionCache
from servd.engine.dispatcher import DEFAULT_SLO_S, Dispatcher
from servd.engine.query import Lane, Miss, Query, Sink, answer, miss, prune, time_out
from servd.engine.route import Route
from servd.engine.stream import Collected, Hearer, Stream
from servd.logs.log import log

MAX_WAITING = 65_536
"""Unanswered queries of one application before the next is refused at once."""

FULL_FOR_S = 0.02
"""How long a line of waiting queries that was found full is not looked through again."""

MISSES_A_TURN = 1000
"""Queries that get their default, all due at once, before the loop looks after the others."""

STREAM_IDLE_S = 60.0
"""What a call of a model may take by default: so may the next item of a stream."""

TIMER_GRAIN_S = 0.001
"""The event loop's timers count in milliseconds and may fire a part of one early."""


class Engine:
    """The applications as routes, by name; the versions as dispatchers; the cache between them.

    `changes` counts how often they may have become others. `root` is the route of paths without
    a name, `rules` are the further paths of applications by name; `on_names` are told when one of
    these has become another, or applications came or went. `web` has those that are web
    applications by their names in URLs, `web_default` the one that has what nothing else has.
    A stream breaks off when no item has come for `stream_idle_s`.
    """

    def __init__(
        self, cache_bytes: int, clock: Clock = monotonic, stream_idle_s: float = STREAM_IDLE_S
    ) -> None:
        self.cache = PredictionCache(cache_bytes)
        self.clock = clock
        self.stream_idle_s = stream_idle_s
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.by_name: dict[str, Route] = {}
        self.dispatchers: dict[VersionId, Dispatcher] = {}
        self.root: Route | None = None
        self.on_names: list[Callable[[], None]] = []
        self.changes = 0
        self.rules: dict[str, RouteRule] = {}
        self.web: dict[bytes, Route] = {}
        self.web_default: Route | None = None
        self._ticker: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._on_second()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        for dispatcher in self.dispatchers.values():
            dispatcher.close()
        self.context.destroy(linger=0)

    # --- the story ---

    def ask(
        self, route: Route, row: bytes, sink: Sink, index: int = 0, version: str | None = None
    ) -> Query:
        """Start a query of an application; which version answers it is decided here.

        Args:
            route: the application.
            row: the input as docs/protocol.md sends it.
            sink: hears the output or the miss, now or by the deadline at the latest.
            index: the input's place in its request.
            version: the one that is to answer, where the caller says so.

        Raises:
            NoSuchVersionError: there is no such version.
        """
        if version is not None:
            return self.submit(route, route.named(version), row, sink, index)
        if route.selection is not None:
            return route.selection.ask(self, route, row, sink, index)
        return self.submit(route, route.dispatcher, row, sink, index)

    def submit(
        self, lane: Lane, dispatcher: Dispatcher | None, row: bytes, sink: Sink, index: int = 0
    ) -> Query:
        """Start a query: `sink` hears its output or its miss, now or by the deadline at the latest.

        Args:
            lane: whose query it is: the application that was asked.
            dispatcher: the version to compute with; None where the application has none.
            row: the input as docs/protocol.md sends it.
            sink: who waits.
            index: the input's place in its request.
        """
        if dispatcher is None or not dispatcher.is_live:
            return self._submit_otherwise(lane, dispatcher, row, sink, index)
        # One look at the clock for all that a turn reads.
        turn = dispatcher.turn
        now_s = turn.now_s if turn.is_on else self.clock()
        query = Query(lane, row, sink, index, now_s)
        if dispatcher.row_bytes is not None and len(row) != dispatcher.row_bytes:
            miss(query, Miss.WRONG_SIZE)
            return query
        cache = dispatcher.cache
        if cache is not None:
            known = cache.rows
            output = known.young.get(row) or (known.old and known.get(row))
            if output:
                return self._answer_hit(dispatcher, query, output)
        waiting = lane.waiting
        if (
            dispatcher.queued >= dispatcher.admit_limit or len(waiting) >= lane.watch_from
        ) and not self._watch(query, dispatcher):
            return query
        waiting.append(query)
        if cache is None or (first := cache.pending.setdefault(row, query)) is query:
            dispatcher.enqueue(query)
        else:
            first.follow(query)
        return query

    def _submit_otherwise(
        self, lane: Lane, dispatcher: Dispatcher | None, row: bytes, sink: Sink, index: int
    ) -> Query:
        """Begin a stream where the model yields items; say what is missing where it cannot."""
        if dispatcher is None or dispatcher.streams is None:
            query = Query(lane, row, sink, index, self.clock())
            miss(query, Miss.NO_MODEL if dispatcher is None else dispatcher.absence)
            return query
        hearer = sink if isinstance(sink, Hearer) else Collected(sink)
        stream = Stream(lane, row, hearer, index, self.clock(), line=dispatcher.streams)
        if not dispatcher.slots:
            miss(stream, dispatcher.absence)
        elif dispatcher.row_bytes is not None and len(row) != dispatcher.row_bytes:
            miss(stream, Miss.WRONG_SIZE)
        elif len(lane.waiting) < lane.watch_from or self._watch(stream, dispatcher):
            lane.waiting.append(stream)
            dispatcher.streams.enqueue(stream)
        return stream

    def _answer_hit(self, dispatcher: Dispatcher, query: Query, output: bytes) -> Query:
        query.is_hit = True
        dispatcher.counters.cache_hits += 1
        query.lane.counters.cache_hits += 1
        answer(query, output, query.started_s)
        return query

    def _watch(self, query: Query, dispatcher: Dispatcher) -> bool:
        """Arm the lane's deadline timer; refuse the query where too many wait already."""
        lane = query.lane
        if (dispatcher.queued >= dispatcher.admit_limit and dispatcher.is_full_for(query)) or (
            len(lane.waiting) >= MAX_WAITING and not _make_room(lane, query.started_s)
        ):
            lane.counters.refused += 1
            miss(query, Miss.OVERLOADED)
            return False
        if lane.timer is None:
            self._arm(lane, query.deadline_s)
        return True

    def _arm(self, lane: Lane, deadline_s: float) -> None:
        delay_s = max(deadline_s - self.clock(), TIMER_GRAIN_S)
        lane.watch_from = MAX_WAITING
        lane.timer = asyncio.get_running_loop().call_later(delay_s, self._on_deadline, lane)

    def _on_deadline(self, lane: Lane) -> None:
        """Default every query whose deadline has passed, and wait for the next."""
        now_s = self.clock()
        waiting = lane.waiting
        try:
            left = MISSES_A_TURN  # the rest have a turn of the loop of their own
            while left and waiting and (waiting[0].is_done or waiting[0].deadline_s <= now_s):
                query = waiting.popleft()
                if not query.is_done:
                    left -= 1
                    lane.lost += 1
                    time_out(query)
        finally:
            # Not before the loop: a miss may start the next query of its connection, which must
            # not arm a timer of its own.
            lane.timer = None
            lane.watch_from = 0
            if waiting:
                self._arm(lane, waiting[0].deadline_s)

    def cancel(self, query: Query) -> None:
        """Free a query's place: its caller has hung up. Its batch-mates notice nothing."""
        if isinstance(query, Stream):
            query.stop()
        query.is_done = True
        query.lane.lost += 1
        prune(query.lane.waiting)

    def disown(self, owner: object) -> None:
        """Take back all queries of a caller that has been told of a fault instead of their answers.

        What was being done to one when the fault came may be half done: it is no longer joined.
        """
        for route in self.by_name.values():
            for query in [*route.waiting]:
                if not query.is_done and owner in (query.sink, getattr(query.sink, "owner", None)):
                    self.cancel(query)
                    for dispatcher in route.versions.values():
                        dispatcher.part_with(query)

    # --- what the registry and the supervisor change ---

    def prepare(self, version: ModelVersion) -> Dispatcher:
        """Return the version's dispatcher, made if there is none yet; replicas may then attach.

        Made anew, without what is cached, where the same name and number are another model now.
        """
        dispatcher = self.dispatchers.get(version.id)
        if dispatcher is not None and is_another(dispatcher.version, version):
            log.warning("%s is another model now: what waits for it is given up", version.id)
            self.forget(version.id)
            dispatcher = None
        if dispatcher is None:
            cache = self.cache.open() if version.is_cached else None
            dispatcher = self.dispatchers[version.id] = Dispatcher(version, cache, self.clock)
        elif dispatcher.version != version:
            dispatcher.take(version)
        return dispatcher

    def dispatcher(self, version_id: VersionId) -> Dispatcher:
        """Return a prepared version's dispatcher; KeyError if it was not prepared."""
        return self.dispatchers[version_id]

    def forget(self, version_id: VersionId) -> None:
        """Drop a version with its cache; what waits for it is answered that there is no model."""
        dispatcher = self.dispatchers.pop(version_id, None)
        if dispatcher is None:
            return
        dispatcher.close()
        if dispatcher.cache is not None:
            self.cache.drop(dispatcher.cache)

    def apply(self, state: RegistryState) -> None:
        """Make routing what the registry says. Calling it twice changes nothing more.

        A version that is gone gets no new query but answers those it has; `forget` ends it.
        """
        self.changes += 1
        names = set(self.by_name)
        for version in state.versions.values():
            self.prepare(version)
        for name in self.by_name.keys() - state.applications.keys():
            self._remove_route(name)
        for name in state.applications:
            self._apply_application(name, state)
        self._apply_web(state)
        self._apply_objectives()
        root = self.by_name.get(state.root_app or "")
        is_as_before = root is self.root and names == self.by_name.keys()
        if not is_as_before or state.routes != self.rules:
            self.root, self.rules = root, state.routes
            for told in self.on_names:
                told()

    def _apply_web(self, state: RegistryState) -> None:
        web = {name: route for name, route in self.by_name.items() if route.is_web}
        self.web = {name.encode(): route for name, route in web.items()}
        self.web_default = web.get(state.root_app or "")

    def _apply_application(self, name: str, state: RegistryState) -> None:
        application = state.applications[name]
        route = self.by_name.get(name)
        default = default_json(application.default_output)
        linked = state.links.get(name, ())
        model = linked[0] if linked else None
        current = state.current.get(model or "")
        version = state.versions.get(VersionId(model or "", current or ""))
        is_web = version is not None and version.web is not None
        if route is not None and (
            route.input_type is not application.input_type or route.is_web is not is_web
        ):
            # Another application of that name: what is bound to the old one must not serve it.
            self._remove_route(name)
            route = None
        if route is None:
            route = self.by_name[name] = Route(application, default)
        else:
            route.update(application, default)
        route.is_web = is_web
        versions = {
            version_id.version: self.dispatchers[version_id]
            for version_id in state.versions
            if version_id.model == model
        }
        route.serve(model, versions, current)
        route.take(inputs_of(application, versions, current))

    def _remove_route(self, name: str) -> None:
        route = self.by_name.pop(name)
        route.is_open = False
        for dispatcher in self.dispatchers.values():
            dispatcher.forget_lane(route)

    def _apply_objectives(self) -> None:
        tightest: dict[VersionId, float] = {}
        for route in self.by_name.values():
            if route.slo_s <= 0:
                continue  # no batch is short enough for it, and the others' are not to be
            for dispatcher in route.versions.values():
                slo_s = tightest.get(dispatcher.id, route.slo_s)
                tightest[dispatcher.id] = min(slo_s, route.slo_s)
        for version_id, dispatcher in self.dispatchers.items():
            dispatcher.set_slo(tightest.get(version_id, DEFAULT_SLO_S))

    def fold(self) -> None:
        """Count what the query path only notes. Called once a second, and before figures."""
        for route in self.by_name.values():
            route.fold()
        for dispatcher in self.dispatchers.values():
            dispatcher.fold()

    def _on_second(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(1.0, self._on_second)
        now_s = self.clock()
        self.fold()
        for route in self.by_name.values():
            route.counters.end_second(now_s)
        for dispatcher in self.dispatchers.values():
            dispatcher.counters.end_second(now_s)
            if dispatcher.streams is not None:
                dispatcher.streams.end_idle(now_s, self.stream_idle_s)
            for slot in dispatcher.slots:
                slot.connection.counters.end_second(now_s)


def inputs_of(
    application: Application, versions: dict[str, Dispatcher], current: str | None
) -> Inputs:
    """Return what an application takes, as the versions of its linked model say."""
    found = {name: dispatcher.version.signature for name, dispatcher in versions.items()}
    signature = found.get(current or "")
    others = {name: other for name, other in found.items() if other != signature}
    return Inputs(application.input_type, signature, others)


def default_json(text: str | None) -> bytes | None:
    """Return a default output as the JSON text that answers hold: itself where it is JSON."""
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse)
        # Python reads what others do not: half of a surrogate pair, numbers that become infinity.
        json.dumps(value, ensure_ascii=False).encode()
        return json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return json.dumps(text).encode()


def _make_room(lane: Lane, now_s: float) -> bool:
    """Drop answered queries from a full line; False when it is full of unanswered ones.

    One stuck head may hold many answered queries behind it. Looking costs time in proportion to
    the line, so a line just found full is taken to be full for a moment.
    """
    if now_s < lane.full_until_s:
        return False
    alive = [query for query in lane.waiting if not query.is_done]
    lane.waiting.clear()
    lane.waiting.extend(alive)
    if len(alive) > MAX_WAITING // 2:
        lane.full_until_s = now_s + FULL_FOR_S
    return len(alive) < MAX_WAITING


def _refuse(token: str) -> None:
    raise ValueError(f"{token} is not JSON")
