"""One request of a web application and its answer, both passed on while they come.

Made by http/query/web_client.py for the client's connection, which is busy with it until it has
ended. Nothing of either is held but what the other side has not read yet, and the beginning of a
request that may have to be asked again.
"""

from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from servd.engine.engine import Engine
from servd.engine.query import Miss
from servd.engine.route import Route
from servd.http.web.gate import Gate
from servd.http.web.heads import is_idempotent
from servd.http.web.tunnel import Tunnel
from servd.http.web.upstream import Upstream
from servd.http.wire import Reply, error_reply

if TYPE_CHECKING:
    import asyncio

    from servd.engine.rpc import ReplicaConnection

KEPT_BYTES: Final = 64 * 1024
"""Of a request's body that are kept to ask again, or while a connection is made."""
ATTEMPTS: Final = 6
MAX_REPLICAS: Final = 3
"""So many replicas a request costs at most that ends those that it is sent to, as an input does."""
END_S: Final = 3
"""A client that has closed its sending side is taken to be gone where nothing comes for so long."""


class Client(Protocol):
    """The client's connection: web_client.py."""

    transport: "asyncio.Transport | None"

    @property
    def is_ended(self) -> bool:
        """Whether the client has closed its sending side."""

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with the answer anyway."""

    @property
    def may_pass(self) -> bool:
        """Whether the answer needs no head of its own: it is not the connection's last."""

    def begin_answer(self) -> tuple[bool, bool]:
        """Return whether the answer is the connection's last, and whether chunks are understood."""

    def end_answer(self) -> None:
        """Go on to the next request: all of the answer was written."""

    def end_early(self) -> None:
        """End the connection: the answer is whole and the request is not."""

    def answer(self, reply: Reply, *, is_whole: bool) -> None:
        """Answer otherwise; the connection ends where the request is not whole."""

    def hold_request(self, *, is_held: bool) -> None:
        """Read no more of the request, or again."""

    def become(self, tunnel: Tunnel) -> bytes:
        """Hand over the connection; return what has come behind the request."""

    def drop(self) -> None:
        """Hang up: the answer cannot be ended."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection, of one that was handed over."""


class Exchange:
    """One request. `head` is what a replica is sent first; `on_body` and `on_whole` bring the rest.

    A request whose replica ended before it answered anything is asked again where that does no
    harm: nothing was sent yet, or to ask twice is as good as once and all that was sent is kept.
    """

    __slots__ = (
        *("_attempts", "_client", "_gate", "_has_asked", "_head"),
        *("_is_held", "_is_last", "_is_over", "_is_safe", "_kept", "_kept_bytes", "_left"),
        "_limit_s",
        *("_moved", "_route", "_replica", "_started_s", "_tried", "_tunnel", "_upstream"),
        *("_clock", "_method", "is_begun", "is_chunked", "is_head"),
        *("is_offer", "is_whole"),
    )

    deadline_s = inf  # it has limits of its own: `on_second`

    def __init__(
        self,
        client: Client,
        gate: Gate,
        engine: Engine,
        route: Route,
        request: tuple[bytes, bytes],
    ) -> None:
        self._method, self._head = request
        self._client = client
        self._gate = gate
        self._route = route
        self._clock = engine.clock
        self._limit_s = engine.stream_idle_s
        self._started_s = engine.clock()
        self._moved = gate.second
        self._is_safe = is_idempotent(self._method)
        self.is_head = self._method == b"HEAD"
        self._upstream: Upstream | None = None
        self._replica: ReplicaConnection | None = None
        self._tunnel: Tunnel | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._tried: set[ReplicaConnection] = set()
        self._left: set[ReplicaConnection] = set()
        self._attempts = 0
        self._has_asked = self.is_begun = False
        self._is_held = self._is_last = self._is_over = False
        self.is_chunked = self.is_offer = self.is_whole = False

    @property
    def owner(self) -> object:
        """The connection that waits."""
        return self._client

    # --- the request: called by the client's connection ---

    def start(self) -> None:
        """Ask a replica."""
        self._attempts += 1
        replica = self._choose()
        is_fresh = replica is None and bool(self._left)
        if is_fresh:
            # No other: one that has closed a kept connection may be well.
            self._tried -= self._left
            self._left.clear()
            replica = self._choose()
        if replica is None:
            self._refuse_without_replica()
            return
        self._replica = replica
        replica.exchanges.add(self)
        upstream = None if is_fresh else self._gate.idle(replica)
        if upstream is None:
            self._gate.open(replica, self._on_open)
        else:
            self._ask(upstream)

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the request's body."""
        self._moved = self._gate.second
        if self._is_over:
            return
        if self.is_chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._send(piece)

    def on_whole(self) -> None:
        """Take the end of the request."""
        self.is_whole = True
        if self.is_chunked and not self._is_over:
            self._send(b"0\r\n\r\n")

    def cancel(self, engine: Engine) -> None:
        """Have the application told that its client has hung up."""
        del engine
        if not self._is_over:
            self._finish()
            self._drop_upstream()

    def pause(self, *, is_paused: bool) -> None:
        """Read no more of the answer, as its client does not, or again."""
        self._moved = self._gate.second
        if self._tunnel is not None:
            self._tunnel.pause_upstream(is_paused=is_paused)
        elif self._upstream is not None:
            self._upstream.pause(is_paused=is_paused)

    def on_second(self, *, is_unread: bool) -> None:
        """Give up on what has not moved for too long. Called once a second."""
        silent_s = self._gate.second - (self._moved if self._tunnel is None else self._tunnel.moved)
        if self._is_over or is_unread or not (self.is_whole or self._is_held):
            return  # the client's times are the connection's
        if self._client.is_ended and silent_s >= END_S:
            self._client.drop()
        elif silent_s > self._limit_s:
            self._on_silent()

    # --- the way to a replica ---

    def _choose(self) -> "ReplicaConnection | None":
        """Return the replica with the fewest requests that was not tried in vain."""
        current = self._route.current
        slots = [] if current is None else current.slots
        best, fewest = None, 0
        for slot in slots:
            connection = slot.connection
            count = len(connection.exchanges)
            if connection.http is None or connection in self._tried:
                continue
            if best is None or count < fewest:
                best, fewest = slot, count
        if best is None:
            return None
        if len(slots) > 1:
            slots.remove(best)
            slots.append(best)  # replicas with equally many take turns
        return best.connection

    def _on_open(self, upstream: Upstream | None, why: str) -> None:
        if self._is_over:
            if upstream is not None:
                self._gate.keep(upstream)
        elif upstream is not None:
            self._ask(upstream)
        else:
            self._again(why, is_dead=True)

    def _ask(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._has_asked = True
        data = b"".join((self._head, *self._kept)) if self._kept else self._head
        upstream.ask(self, data)
        if not self._is_safe:
            self._forget()
        self._release()

    def _send(self, data: bytes) -> None:
        """Send on a piece, and keep it as long as it may have to be sent again."""
        upstream = self._upstream
        if upstream is None or self._is_safe:
            self._kept.append(data)
            self._kept_bytes += len(data)
            if self._kept_bytes > KEPT_BYTES:
                if upstream is None:
                    self._hold()
                else:
                    self._is_safe = False
                    self._forget()
        if upstream is not None:
            upstream.send(data)

    def _forget(self) -> None:
        self._kept = []
        self._kept_bytes = 0

    def _again(self, why: str, *, is_dead: bool) -> None:
        """Ask once more, another replica where this one is dead; or say why not."""
        replica, self._replica, self._upstream = self._replica, None, None
        if replica is not None:
            replica.exchanges.discard(self)
            self._tried.add(replica)
            if not is_dead:
                self._left.add(replica)
        is_costly = self._has_asked and len(self._tried) >= MAX_REPLICAS
        if self._attempts < ATTEMPTS and not is_costly and (self._is_safe or not self._has_asked):
            self.start()
            return
        cause = f"the application's replica gave no answer: {why or 'it hung up'}"
        if is_costly:
            cause += f"; nor did {MAX_REPLICAS - 1} others, so it was not asked of more"
        if self._has_asked and not self._is_safe:
            cause += (
                "; it was not asked again, as the request may have had its effect "
                f"({self._method.decode('latin-1')})"
            )
        self._fail(502, "Bad gateway", cause)

    def _refuse_without_replica(self) -> None:
        current = self._route.current
        if self._tried:
            self._fail(502, "Bad gateway", "the application's replica gave no answer: it ended")
            return
        absence = Miss.NO_MODEL if current is None else current.absence
        why = f"no replica of {current.id} is ready" if current is not None else absence.value
        if absence.kind is not Miss.NO_MODEL:
            why = absence.value
        self._fail(
            503, "Service unavailable", f"{why}; servd ps shows why, servd logs what it says"
        )

    # --- the answer: `Asker` ---

    def may_pass(self) -> bool:
        """Whether the client can be sent a usual answer as it is."""
        return self.is_whole and self._client.may_pass

    def takes_chunks(self) -> bool:
        """Whether the client understands chunks."""
        return self._client.begin_answer()[1]

    def on_interim(self, head: bytes) -> None:
        """Pass on an answer before the answer; who speaks HTTP/1.0 knows none."""
        self._moved = self._gate.second
        if self.takes_chunks():
            self._write(head)

    def begin(self) -> bytes:
        """Begin the answer."""
        self.is_begun = True
        is_last, _ = self._client.begin_answer()
        self._is_last = is_last or not self.is_whole
        return b"Connection: close\r\n" if self._is_last else b""

    def write(self, data: bytes) -> None:
        """Send what follows."""
        self._moved = self._gate.second
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._client.transport is not None:
            self._client.transport.write(data)

    def on_end(self, upstream: Upstream, *, is_kept: bool) -> None:
        """Go on: all of the answer is there."""
        self._upstream = None
        self._finish()
        if is_kept and self.is_whole:
            self._gate.keep(upstream)
        else:
            upstream.close()
        if self.is_whole and (not self._is_last or self._client.is_last):
            self._client.end_answer()
        else:
            self._client.end_early()

    def on_switch(self, upstream: Upstream, head: bytes, rest: bytes) -> None:
        """Speak another protocol: what comes from either side goes to the other."""
        self.is_begun = True
        self._upstream = None
        self._tunnel = tunnel = Tunnel(upstream, self._client, self._on_tunnel_end, self._gate)
        sent_ahead = self._client.become(tunnel)
        self._write(head + rest)
        if sent_ahead:
            tunnel.from_client(sent_ahead)

    def on_lost(self, upstream: Upstream, why: str) -> None:
        """Ask again, or say what happened, as far as that can be said still."""
        self._upstream = None
        if self.is_begun:
            self._finish()
            self._client.drop()
            return
        if upstream.is_broken:
            self._is_safe = False  # it would say the same again
        self._again(why or ("it hung up amid its answer" * upstream.has_heard), is_dead=False)

    def on_room(self, *, has_room: bool) -> None:
        """Have the client wait while the replica does not read, or go on."""
        if has_room:
            self._release()
        else:
            self._hold()

    def _on_tunnel_end(self) -> None:
        if not self._is_over:
            self._finish()

    # --- the end ---

    def _on_silent(self) -> None:
        """Give up on an application that says nothing."""
        if self.is_begun:
            self._client.drop()
            return
        self._drop_upstream()
        limit = f"{self._limit_s:g} s"
        self._fail(
            504,
            "Gateway timeout",
            f"the application did not answer within {limit} (SERVD_PREDICT_TIMEOUT)",
        )

    def _fail(self, status: int, error: str, cause: str) -> None:
        """Answer in the application's place."""
        self._route.counters.failures += 1
        self._finish()
        self._client.answer(error_reply(status, error, cause), is_whole=self.is_whole)

    def _finish(self) -> None:
        """Count it, and free its place."""
        self._is_over = True
        replica, self._replica = self._replica, None
        took_s = self._clock() - self._started_s
        self._route.counters.answered(int(took_s * 1e6))
        if replica is not None:
            replica.exchanges.discard(self)
            replica.tally.add(1, took_s)
        self._release()

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self._client.hold_request(is_held=True)

    def _release(self) -> None:
        if self._is_held:
            self._is_held = False
            self._client.hold_request(is_held=False)
