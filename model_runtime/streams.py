"""The streams of a replica: opened by frontends, computed beside, sent as their items come.

Used by loop.py. The thread that owns the socket opens, pauses and ends streams and sends what has
come of them; `generators.py` computes them in threads of its own. Between them is a `Stream`.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Final, Protocol

from model_runtime import protocol
from model_runtime.carriers import Peer
from model_runtime.connection import ReplicaSocket, Told
from model_runtime.framing import LONG_BYTES
from model_runtime.inputs import Batch
from model_runtime.older import eventfd, eventfd_read, eventfd_write

LOST_S: Final = 10.0
"""A frontend that has said nothing for so long, though it beats twice a second, has gone."""

LOOK_S: Final = 0.5
"""How often it is looked who has gone."""

MOST_AHEAD: Final = 32
"""Items of a stream that are computed before those before them have been sent."""

_MOST_ITEMS_BYTES: Final = LONG_BYTES // 2
"""Items are sent together up to this; a longer one is sent alone."""


Message = tuple[bytes, ...]
"""A header frame, and the payload frames of its kind."""


class Outbox:
    """Streams that have something to send, and what wakes the thread that sends."""

    def __init__(self) -> None:
        self.descriptor = eventfd(0, os.O_NONBLOCK | os.O_CLOEXEC)
        self._streams: deque[Stream] = deque()

    def add(self, stream: Stream) -> None:
        """Have a stream looked at. Called by the thread that computes it."""
        self._streams.append(stream)
        eventfd_write(self.descriptor, 1)

    def pop_all(self) -> list[Stream]:
        """Return those that have something."""
        return [self._streams.popleft() for _ in range(len(self._streams))]

    def quiet(self) -> None:
        """Take back the wake-up: what was added before it will be popped next."""
        try:
            eventfd_read(self.descriptor)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


class Stream:
    """One stream, as the thread that computes it and the one that sends it know it.

    `credit` is how much more may be sent. While there is none it is not computed, nor far ahead of
    what has been sent: of many threads that compute, the one that sends would have no turn. At
    first it may be one item ahead, so that the first of all streams are sent soon. It is over for
    the one once it `is_cancelled`, for the other once it `is_ended`. Who computes it gives it
    `on_change`, which is called when it may go on, and `stop`, which stops it in an item.
    """

    def __init__(self, peer: Peer, number: int, batch: Batch, credit: int, outbox: Outbox) -> None:
        self.peer = peer
        self.number = number
        self.batch = batch
        self.is_cancelled = False
        self.is_ended = False
        self.why: Told | None = None
        self.on_change: Callable[[], object] | None = None
        self.stop: Callable[[], object] | None = None
        self._credit = credit
        self._items: list[bytes] = []
        self._ahead = 1
        self._put = 0
        self._is_told = False
        self._outbox = outbox
        self._changed = Condition()

    # --- the thread that owns the socket ---

    def grant(self, credit: int) -> None:
        """Allow so much more to be sent."""
        with self._changed:
            was_paused = self.is_paused
            self._credit += credit
            self._wake(was_paused)

    def cancel(self, reason: str | None) -> None:
        """Want no more of it; `reason`, where that is not the frontend's wish."""
        with self._changed:
            was_paused = self.is_paused
            self.why = None if reason is None else Told(reason)
            self.is_cancelled = True
            self._items.clear()
            self._wake(was_paused)

    def take(self) -> tuple[list[bytes], bool]:
        """Return the items that have come, and whether those are the last."""
        with self._changed:
            items, self._items = self._items, []
            self._is_told = False
            return items, self.is_ended

    def go_on(self) -> None:
        """Let more be computed: what was taken has been sent."""
        with self._changed:
            was_paused = self.is_paused
            self._put = 0
            self._ahead = min(2 * self._ahead, MOST_AHEAD)
            self._wake(was_paused)

    def _wake(self, was_paused: bool) -> None:  # noqa: FBT001  # it has no other
        if was_paused and not self.is_paused:
            self._changed.notify_all()
            if self.on_change is not None:
                self.on_change()

    # --- the thread that computes it ---

    def may_go_on(self) -> bool:
        """Wait until another item is wanted; False where none is."""
        with self._changed:
            while self.is_paused:
                self._changed.wait()
            return not self.is_cancelled

    @property
    def is_paused(self) -> bool:
        """Whether no item is wanted yet."""
        return (self._credit <= 0 or self._put >= self._ahead) and not self.is_cancelled

    def put(self, item: bytes) -> None:
        """Have an item sent: a JSON text."""
        with self._changed:
            if self.is_cancelled:
                return
            self._credit -= len(item) + protocol.ITEM_BYTES
            self._put += 1
            self._items.append(item)
            self._tell()

    def end(self, why: Told | None = None) -> None:
        """End it; `why`, where it has not come to its end."""
        with self._changed:
            if not self.is_cancelled:
                self.why = why
            self.is_ended = True
            self._tell()

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            self._outbox.add(self)


class Computing(Protocol):
    """What computes streams: `generators.Generators`."""

    def begin(self, stream: Stream) -> None:
        """Begin to compute a stream."""


class Streams:
    """The streams of a replica, at most `places` of them at once; others wait for a place.

    Driven by the thread that owns the socket, which tells it of messages (`open`, `grant`,
    `cancel`) and calls `turn` again and again.
    """

    def __init__(self, socket: ReplicaSocket, computing: Computing, places: int) -> None:
        self._socket = socket
        self._computing = computing
        self._places = places
        self._running: dict[tuple[Peer, int], Stream] = {}
        self._waiting: dict[tuple[Peer, int], Stream] = {}
        self._outbox = Outbox()
        self._looked_s = time.monotonic()
        socket.streams = self
        self._poll = select.poll()
        for descriptor in (socket.descriptor, self._outbox.descriptor):
            self._poll.register(descriptor, select.POLLIN)

    def close(self) -> None:
        """Let go of the descriptor."""
        self._outbox.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is no stream."""
        return not (self._running or self._waiting)

    # --- messages ---

    def open(self, peer: Peer, number: int, credit: int, batch: Batch) -> None:
        """Begin a stream, or have it wait for a place."""
        stream = Stream(peer, number, batch, credit, self._outbox)
        if len(self._running) < self._places:
            self._begin(stream)
        else:
            self._waiting[peer, number] = stream

    def grant(self, peer: Peer, number: int, credit: int) -> None:
        """Allow a stream to send so much more."""
        stream = self._running.get((peer, number)) or self._waiting.get((peer, number))
        if stream is not None:
            stream.grant(credit)

    def cancel(self, peer: Peer, number: int, reason: str | None = None) -> None:
        """End a stream that nobody hears any more, or for another reason."""
        stream = self._waiting.pop((peer, number), None)
        if stream is not None:
            self._socket.send_all(peer, [end_of(number, None if reason is None else Told(reason))])
            return
        stream = self._running.get((peer, number))
        if stream is not None and not stream.is_cancelled:
            stream.cancel(reason)
            if stream.stop is not None:
                stream.stop()

    def stop_all(self, reason: str) -> None:
        """End all of them: the replica is to end."""
        for peer, number in [*self._waiting, *self._running]:
            self.cancel(peer, number, reason)

    # --- the thread's work ---

    def turn(self, wait_ms: int) -> bool:
        """Take what has come and send what has been computed; whether there was anything.

        It waits so long for anything to come.
        """
        # ZeroMQ's descriptor tells of what comes after all that was there has been taken.
        has_moved = self._socket.take_all()
        self._outbox.quiet()
        if told := self._outbox.pop_all():
            has_moved = True
            self._send(told)
        if (now_s := time.monotonic()) - self._looked_s > LOOK_S:
            self._looked_s = now_s
            self._leave_lost()
        if not has_moved:
            self._poll.poll(wait_ms)
        return has_moved

    def _begin(self, stream: Stream) -> None:
        self._running[stream.peer, stream.number] = stream
        self._computing.begin(stream)

    def _send(self, streams: list[Stream]) -> None:
        """Send what has come of streams, all that is for one frontend at once.

        Each call of the system lets threads that compute go on, and waits for its turn after it.
        """
        messages: dict[Peer, list[Message]] = {}
        for stream in streams:
            messages.setdefault(stream.peer, []).extend(self._said_of(stream))
        for peer, told in messages.items():
            self._socket.send_all(peer, told)
        for stream in streams:
            stream.go_on()
        while self._waiting and len(self._running) < self._places:
            self._begin(self._waiting.pop(next(iter(self._waiting))))

    def _said_of(self, stream: Stream) -> list[Message]:
        """Return the messages that say what has come of a stream; one that has ended is let go."""
        items, is_ended = stream.take()
        said: list[Message] = []
        if not stream.is_cancelled:
            for together in _together(items):
                said += items_of(stream.number, together)
        if is_ended:
            self._running.pop((stream.peer, stream.number), None)
            said.append(end_of(stream.number, stream.why))
        return said

    def _leave_lost(self) -> None:
        """Cancel the streams of frontends that have gone."""
        lost: dict[Peer, bool] = {}
        for peer, number in [*self._waiting, *self._running]:
            if peer not in lost:
                lost[peer] = not self._socket.hears(peer, LOST_S)
            if lost[peer]:
                self.cancel(peer, number, "its front end was not heard any more")


def items_of(number: int, items: list[bytes]) -> list[Message]:
    """Return the messages that say what items a stream has: JSON texts."""
    text = items[0] if len(items) == 1 else b"\n".join(items)
    header = protocol.pack_header([protocol.ITEMS, number, len(items)])
    if len(text) <= LONG_BYTES:
        return [(header, text)]
    return [(protocol.pack_header([protocol.LONG, number, len(text)]),), (header, text)]


def end_of(number: int, why: Told | None) -> Message:
    """Return the message that a stream has ended, and why where that is not of itself."""
    header = [protocol.END, number, *(() if why is None else why.items)]
    return (protocol.pack_header(header),)


def _together(items: list[bytes]) -> list[list[bytes]]:
    """Return items in groups that are sent in one message each."""
    groups: list[list[bytes]] = []
    size = _MOST_ITEMS_BYTES
    for item in items:
        if size + len(item) > _MOST_ITEMS_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += len(item)
    return groups
