"""The replica's end of the protocol: a socket that any number of frontends connect to.

The main thread owns the socket while it waits for work and answers. While the model loads or
predicts it gives the socket up (`lent`), and the beat thread answers heartbeats on it, so a busy
replica is not taken for a dead one. A lock hands the socket over.
The thread costs the hot path one release and one acquire of a lock per batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from model_runtime import forks, protocol
from model_runtime.carriers import Peer
from model_runtime.framing import LONG_BYTES
from model_runtime.health import Health
from model_runtime.inputs import Batch
from model_runtime.listening import listen
from model_runtime.older import dataclass
from model_runtime.raw_outputs import RawOutput

if TYPE_CHECKING:
    from model_runtime.listening import Keys
    from model_runtime.older import Self

BEAT_S = 0.5

FORGET_S = 60.0
"""A frontend that has said nothing for so long has gone: others come in its place."""


class StreamPort(Protocol):
    """Who is told of the streams that frontends ask for: streams.py."""

    def open(self, peer: Peer, number: int, credit: int, batch: Batch) -> None:
        """Begin a stream of one input's items."""

    def grant(self, peer: Peer, number: int, credit: int) -> None:
        """Allow a stream to send so much more."""

    def cancel(self, peer: Peer, number: int) -> None:
        """End a stream that nobody hears any more."""


@dataclass(slots=True)
class Work:
    """One PREDICT: who sent it, under which number, and the batch."""

    frontend: Peer
    batch_id: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Told:
    """Why an input or a batch has no output: as `cause` a word of protocol.py, as `faults` what is
    wrong with an input, part by part.
    """

    reason: str
    cause: str = protocol.RAISED
    faults: Sequence[dict[str, Any]] = ()

    @property
    def items(self) -> list[Any]:
        """Return it as the last items of a FAILURE, or of a failed input in PARTIAL."""
        items: list[Any] = [self.reason[:500], self.cause, [*self.faults]]
        return items[: 3 if self.faults else 2 if self.cause else 1]


class ReplicaSocket:
    """The socket, the frontends that are known, and what the replica says of itself.

    `info` is the map that STATE carries; `last_heard_s` is when any frontend last said anything.
    With `keys` it speaks CURVE or TLS, and only with the frontend whose key they name. `streams`
    hears of streams, where the model has any.
    """

    def __init__(self, address: str, info: dict[str, Any], keys: Keys | None = None) -> None:
        self.info = info
        self.state = protocol.LOADING
        self.last_heard_s = time.monotonic()
        self.pending: deque[Work] = deque()
        self.streams: StreamPort | None = None
        self._heard_s: dict[Peer, float] = {}
        self._spoken: dict[Peer, int] = {}
        self._signed: set[Peer] = set()  # those who have been told the signature
        self._returns = 0
        self._shown_s = self.last_heard_s
        self._call: tuple[int, float] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._carrier = listen(address, keys)
        self._thread = threading.Thread(target=self._beat, name="servd-beat", daemon=True)

    def __enter__(self) -> Self:
        self._lock.acquire()
        self._thread.start()
        forks.in_children(self._let_go)
        return self

    def __exit__(self, *exc_info: object) -> None:
        forks.not_any_more(self._let_go)
        self._ended.set()
        self._lock.release()
        self._thread.join()
        self._carrier.close()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let the beat thread have the socket: for the time of a load or a test call."""
        self._lock.release()
        try:
            yield
        finally:
            self.take_back()

    def lend(self) -> None:
        """`lent` for the hot path, where a context manager would cost more than the lock."""
        self._lock.release()

    def take_back(self) -> None:
        """End what `lend` began."""
        self._lock.acquire()
        self._returns += 1

    def _let_go(self) -> None:
        """Leave the socket to the replica: this process is a copy that the model has forked.

        The lock may be held by a thread that the copy does not have. Where the copy comes back from
        the model's code it would answer in the replica's place: it ends there.
        """
        self._carrier.abandon()
        self.take_back = forks.leave  # type: ignore[method-assign]

    def health(self) -> Health:
        """Return how the replica is. Called by the thread that answers probers.

        A load may take as long as it likes: probers have a patience of their own for the start.
        """
        call = self._call
        if call is None or self.state in (protocol.LOADING, protocol.TESTING):
            return Health(self.state, 0.0)
        return Health(self.state, time.monotonic() - call[1])

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence of the others."""
        self.last_heard_s = min(self.last_heard_s + missed_s, time.monotonic())

    def announce(self, state: str) -> None:
        """Tell every known frontend the new state, and all that there is to say with it."""
        # Who has spoken while this process stood still is known. It is answered with the state of
        # before: the first that says the new one says all.
        self.take_all()
        self.state = state
        for frontend in self._known():
            self._send_state(frontend, is_brief=False)

    def receive(self) -> bool:
        """Wait a moment for a message, take all that have come; whether there is work."""
        if not self.pending:
            message = self._carrier.receive(is_waiting=True)
            if message is None:
                return False
            self._take(*message)
        self.take_all()
        return bool(self.pending)

    def reply(self, work: Work, outputs: Sequence[bytes | RawOutput], compute_us: int) -> None:
        """Answer a batch with one output an input: JSON texts, or raw where that is wanted."""
        if work.batch.wanted and (forms := _forms(outputs)):
            header = [protocol.RAW, work.batch_id, len(outputs), compute_us, forms]
            data = b"".join(piece for each in outputs for piece in _pieces(each))
            lengths = protocol.lengths_of(outputs)
            payload = (data, lengths) if lengths else (data,)
        else:
            header = [protocol.RESULT, work.batch_id, len(outputs), compute_us]
            payload = (b"\n".join(outputs),)  # type: ignore[arg-type]  # none is raw
        if len(payload[0]) > LONG_BYTES:
            # What is not heard of meanwhile is no silence.
            coming = [protocol.LONG, work.batch_id, len(payload[0])]
            self._send(work.frontend, protocol.pack_header(coming))
        self._send(work.frontend, protocol.pack_header(header), *payload)

    def fail(self, work: Work, told: Told) -> None:
        """Answer why a batch has no outputs."""
        header = [protocol.FAILURE, work.batch_id, *told.items]
        self._send(work.frontend, protocol.pack_header(header))

    def reply_partly(self, work: Work, outcomes: Sequence[bytes | Told], compute_us: int) -> None:
        """Answer a batch with JSON texts, and why some of its inputs have none.

        Who does not know of such is told that the batch has failed, and asks again for parts of it.
        """
        failed = [(at, told) for at, told in enumerate(outcomes) if isinstance(told, Told)]
        if self._spoken.get(work.frontend, 1) < protocol.PARTIAL_SINCE:
            self.fail(work, failed[0][1])
            return
        faults = [[at, *told.items] for at, told in failed]
        header = [protocol.PARTIAL, work.batch_id, len(outcomes), compute_us, faults]
        data = b"\n".join(text for text in outcomes if isinstance(text, bytes))
        if len(data) > LONG_BYTES:
            coming = [protocol.LONG, work.batch_id, len(data)]
            self._send(work.frontend, protocol.pack_header(coming))
        self._send(work.frontend, protocol.pack_header(header), data)

    # --- streams ---

    @property
    def descriptor(self) -> int:
        """What becomes readable when there may be messages, after `take_all` has found none."""
        return self._carrier.descriptor

    def take_all(self) -> bool:
        """Take all messages that have come; whether there were any."""
        has_come = False
        while (message := self._carrier.receive(is_waiting=False)) is not None:
            self._take(*message)
            has_come = True
        return has_come

    def hears(self, peer: Peer, silent_s: float) -> bool:
        """Whether a frontend is there, as far as is known: it has said something not long ago."""
        heard_s = self._heard_s.get(peer, 0.0)
        return not self._carrier.is_gone(peer) and time.monotonic() - heard_s < silent_s

    def send_all(self, peer: Peer, messages: Sequence[tuple[bytes, ...]]) -> None:
        """Send messages about streams to a frontend."""
        if not self._carrier.send_all(peer, messages, self._between):
            self._heard_s.pop(peer, None)  # it has gone
            self._spoken.pop(peer, None)

    def has_frontend(self) -> bool:
        """Whether anybody has said HELLO yet."""
        return bool(self._heard_s)

    def _known(self) -> list[Peer]:
        """Return the frontends that said something not long ago; the others are forgotten."""
        oldest_s = time.monotonic() - FORGET_S
        self._heard_s = {name: at_s for name, at_s in self._heard_s.items() if at_s > oldest_s}
        self._spoken = {name: self._spoken.get(name, 1) for name in self._heard_s}
        self._signed &= self._heard_s.keys()
        return list(self._heard_s)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            # Taken only while the main thread is busy with the model; else it answers itself.
            is_busy = self._lock.acquire(blocking=False)
            if not is_busy:
                self._call = None
            elif self._call is None or self._call[0] != self._returns:
                self._call = (self._returns, time.monotonic())
            if is_busy:
                try:
                    self._show_life()
                finally:
                    self._lock.release()

    def _show_life(self) -> None:
        """Take what has come, and tell every known frontend the state."""
        self._shown_s = time.monotonic()
        self.take_all()
        for frontend in self._known():
            self._send_state(frontend)

    def _between(self) -> None:
        """Be heard by the others while one is sent a long message."""
        if time.monotonic() - self._shown_s >= BEAT_S:
            self._show_life()

    def _take(self, peer: Peer, frames: list[bytes]) -> None:
        self.last_heard_s = time.monotonic()
        try:
            header = protocol.unpack_header(frames[0])
            if header[0] == protocol.PREDICT:
                data, lengths = (*frames[1:3], b"", b"")[:2]
                count = _row_count(header[3])
                wanted = _wanted(header[4], count) if len(header) > 4 else b""
                batch = Batch(header[2], lengths, data, count, wanted)
                self._on_work(Work(peer, header[1], batch))
            elif header[0] in (protocol.HELLO, protocol.HEARTBEAT):
                if header[0] == protocol.HELLO:
                    self._spoken[peer] = protocol.version_between(*header[1:2])
                self._heard_s[peer] = self.last_heard_s
                self._send_state(peer, is_brief=header[0] == protocol.HEARTBEAT)
            elif self.streams is not None:
                self._take_of_stream(self.streams, peer, header, frames)
        except (protocol.ProtocolError, IndexError, TypeError) as error:
            print(f"a message was ignored: {error}", flush=True)  # noqa: T201  # the log is stdout

    def _take_of_stream(
        self, streams: StreamPort, peer: Peer, header: list[Any], frames: list[bytes]
    ) -> None:
        """Take what is said of a stream."""
        self._heard_s[peer] = self.last_heard_s
        kind = header[0]
        if kind == protocol.OPEN:
            batch = Batch(header[2], b"", frames[1] if len(frames) > 1 else b"", 1)
            streams.open(peer, header[1], _whole(header[3]), batch)
        elif kind == protocol.CREDIT:
            streams.grant(peer, header[1], _whole(header[2]))
        elif kind == protocol.CANCEL:
            streams.cancel(peer, header[1])

    def _on_work(self, work: Work) -> None:
        """Keep a batch for the model, unless it would take the rows for something else."""
        takes = self.info.get("input_type")
        is_of_tensors = work.batch.input_type == protocol.TENSORS
        if takes is not None and is_of_tensors is not (takes == "tensors"):
            reason = f"inputs of type {work.batch.input_type} for a model that takes {takes}"
            self.fail(work, Told(reason))
        else:
            self.pending.append(work)

    def _send_state(self, peer: Peer, *, is_brief: bool = True) -> None:
        info = self.info
        if "signature" in info:
            if is_brief and peer in self._signed:
                info = {key: value for key, value in info.items() if key != "signature"}
            self._signed.add(peer)
        header = [protocol.STATE, self._spoken.get(peer, 1), self.state, info]
        self._send(peer, protocol.pack_header(header))

    def _send(self, peer: Peer, *frames: bytes) -> None:
        if not self._carrier.send(peer, frames, self._between):
            self._heard_s.pop(peer, None)  # it has gone
            self._spoken.pop(peer, None)
            self._signed.discard(peer)


def _row_count(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise protocol.ProtocolError(f"{value!r} is no number of rows")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise protocol.ProtocolError(f"{value!r} is no credit")
    return value


def _wanted(wanted: Any, count: int) -> bytes:
    """Return which outputs may be raw, as a PREDICT's header says; empty where none."""
    if not isinstance(wanted, bytes) or len(wanted) != count:
        return b""
    return wanted if protocol.WANTS_RAW in wanted else b""


def _forms(outputs: Sequence[bytes | RawOutput]) -> bytes:
    """Return which outputs are raw; empty where none is."""
    forms = bytes(protocol.IS_RAW * isinstance(each, RawOutput) for each in outputs)
    return forms if any(forms) else b""


def _pieces(output: bytes | RawOutput) -> Sequence[bytes | memoryview]:
    return output.pieces if isinstance(output, RawOutput) else (output,)
