"""The replica's end of the protocol: a ROUTER socket that any number of frontends connect to.

The main thread owns the socket while it waits for work and answers. While the model loads or
predicts it gives the socket up (`lent`), and the beat thread answers heartbeats on it, so a busy
replica is not taken for a dead one. A lock hands the socket over; ZeroMQ asks for just that fence.
The thread costs the hot path one release and one acquire of a lock per batch.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import zmq

from model_runtime import protocol
from model_runtime.admission import Admission, ReplicaKeys
from model_runtime.inputs import Batch

# Plain numbers: combining and passing the enum members takes longer than a send.
_RCVMORE = int(zmq.RCVMORE)
_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE = int(zmq.SNDMORE)

WAKE_MS = 200
"""How often an idle replica looks whether it has been told to end."""

BEAT_S = 0.5

FORGET_S = 60.0
"""A frontend that has said nothing for so long has gone: others come in its place."""


@dataclass(slots=True)
class Work:
    """One PREDICT: who sent it, under which number, and the batch."""

    frontend: bytes
    batch_id: int
    batch: Batch


class ReplicaSocket:
    """The socket, the frontends that are known, and what the replica says of itself.

    `info` is the map that STATE carries; `last_heard_s` is when any frontend last said anything.
    With `keys` it speaks CURVE, and only with the frontend whose key they name.
    """

    def __init__(self, address: str, info: dict[str, Any], keys: ReplicaKeys | None = None) -> None:
        self.info = info
        self.state = protocol.LOADING
        self.last_heard_s = time.monotonic()
        self.pending: deque[Work] = deque()
        self._heard_s: dict[bytes, float] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.RCVTIMEO, WAKE_MS)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        if keys is not None:
            Admission(self._context, keys).guard(self._socket)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._beat, name="servd-beat", daemon=True)

    def __enter__(self) -> Self:
        self._lock.acquire()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._lock.release()
        self._thread.join()
        self._socket.close()
        self._context.term()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let the beat thread have the socket: for the time of a load or a test call."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()

    def lend(self) -> None:
        """`lent` for the hot path, where a context manager would cost more than the lock."""
        self._lock.release()

    def take_back(self) -> None:
        """End what `lend` began."""
        self._lock.acquire()

    def announce(self, state: str) -> None:
        """Tell every known frontend the new state."""
        self.state = state
        for frontend in self._known():
            self._send_state(frontend)

    def receive(self) -> bool:
        """Wait up to `WAKE_MS` for a message, take all that have come; whether there is work."""
        if not self.pending:
            try:
                frames = self._receive(0)
            except zmq.Again:
                return False
            self._take(frames)
        self._drain()
        return bool(self.pending)

    def reply(self, work: Work, outputs: list[bytes], compute_us: int) -> None:
        """Answer a batch with one JSON text an input."""
        header = protocol.pack_header([protocol.RESULT, work.batch_id, len(outputs), compute_us])
        self._send(work.frontend, header, b"\n".join(outputs))

    def fail(self, work: Work, reason: str) -> None:
        """Answer that the model raised on a batch."""
        header = protocol.pack_header([protocol.FAILURE, work.batch_id, reason[:500]])
        self._send(work.frontend, header)

    def has_frontend(self) -> bool:
        """Whether anybody has said HELLO yet."""
        return bool(self._heard_s)

    def _known(self) -> list[bytes]:
        """Return the frontends that said something not long ago; the others are forgotten."""
        oldest_s = time.monotonic() - FORGET_S
        self._heard_s = {name: at_s for name, at_s in self._heard_s.items() if at_s > oldest_s}
        return list(self._heard_s)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            # Taken only while the main thread is busy with the model; else it answers itself.
            if self._lock.acquire(blocking=False):
                try:
                    self._drain()
                    for frontend in self._known():
                        self._send_state(frontend)
                finally:
                    self._lock.release()

    def _drain(self) -> None:
        while True:
            try:
                frames = self._receive(_NOBLOCK)
            except zmq.Again:
                return
            self._take(frames)

    def _receive(self, flags: int) -> list[bytes]:
        frames = [self._socket.recv(flags)]
        while self._socket.getsockopt(_RCVMORE):
            frames.append(self._socket.recv(flags))
        return frames

    def _take(self, frames: list[bytes]) -> None:
        self.last_heard_s = time.monotonic()
        try:
            header = protocol.unpack_header(frames[1])
            if header[0] == protocol.PREDICT:
                rows = _row_count(header[3])
                lengths = frames[3] if len(frames) > 3 else b""
                batch = Batch(header[2], lengths, frames[2], rows)
                self.pending.append(Work(frames[0], header[1], batch))
            elif header[0] in (protocol.HELLO, protocol.HEARTBEAT):
                self._heard_s[frames[0]] = self.last_heard_s
                self._send_state(frames[0])
        except (protocol.ProtocolError, IndexError, TypeError) as error:
            print(f"a message was ignored: {error}", flush=True)  # noqa: T201  # the log is stdout

    def _send_state(self, frontend: bytes) -> None:
        header = [protocol.STATE, protocol.PROTOCOL_VERSION, self.state, self.info]
        self._send(frontend, protocol.pack_header(header))

    def _send(self, frontend: bytes, *frames: bytes) -> None:
        try:
            self._socket.send(frontend, _SNDMORE)
            for frame in frames[:-1]:
                self._socket.send(frame, _SNDMORE)
            self._socket.send(frames[-1])
        except zmq.ZMQError:
            self._heard_s.pop(frontend, None)  # it has gone


def _row_count(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise protocol.ProtocolError(f"{value!r} is no number of rows")
    return value
