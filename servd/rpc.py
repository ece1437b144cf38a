"""One frontend's connection to one replica: a DEALER socket driven by its file descriptor.

Made by supervisor.py, which hears of the replica's state; lent to dispatcher.py, which sends
batches and hears of outputs. docs/protocol.md is what goes over it.

The descriptor is edge-triggered: it becomes readable when the socket's state may have changed, and
says nothing of messages that are already there. So EVENTS is asked after every send as well as
after every receive; without that a reply that comes while a batch is being sent is never seen.
"""

import asyncio
import logging
from typing import Any, Protocol

import zmq

from model_runtime import protocol
from servd.clock import Clock
from servd.curve import CurveKeys
from servd.metrics import Counters
from servd.query import Batch

logger = logging.getLogger(__name__)

RECONNECT_MS = 10
"""A replica binds its socket a moment after it is launched; ZeroMQ's 100 ms would be waited out."""


# Plain numbers: combining and passing the enum members takes longer than a send.
_POLLIN = int(zmq.POLLIN)
_EVENTS = int(zmq.EVENTS)
_RCVMORE = int(zmq.RCVMORE)
_NOBLOCK = int(zmq.NOBLOCK)
_MORE = int(zmq.SNDMORE | zmq.NOBLOCK)


class ReplicaOwner(Protocol):
    """Who is told what the replica says of itself: the supervisor's record of it."""

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take a STATE message; `state` is one of docs/protocol.md's words."""


class BatchHandler(Protocol):
    """Who is told how batches ended: the dispatcher."""

    def on_outputs(
        self, connection: "ReplicaConnection", batch: Batch, outputs: list[bytes]
    ) -> None:
        """Take one JSON text per query of the batch."""

    def on_failure(self, connection: "ReplicaConnection", batch: Batch, reason: str) -> None:
        """Take the news that the model raised on the batch."""


class ReplicaConnection:
    """A connection to the replica that listens at `address`.

    `in_flight` maps batch numbers to batches without a reply. `last_heard_s` is the monotonic time
    of the last message. `row_items` is how many numbers an input must have, where the replica
    says so. With `curve` it is encrypted, and nothing is heard from a replica without that key.
    """

    def __init__(
        self,
        address: str,
        owner: ReplicaOwner,
        context: "zmq.Context[zmq.Socket[bytes]]",
        clock: Clock,
        *,
        curve: CurveKeys | None = None,
    ) -> None:
        self.address = address
        self.counters = Counters()
        self.in_flight: dict[int, Batch] = {}
        self.handler: BatchHandler | None = None
        self.last_heard_s = clock()
        self.row_items: int | None = None
        self._clock = clock
        self._context = context
        self._curve = curve
        self._owner = owner
        self._socket: zmq.Socket[bytes] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_id = 0

    def open(self) -> None:
        """Connect (in the background: the replica may not listen yet) and say hello."""
        sock = self._context.socket(zmq.DEALER)
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        sock.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        sock.setsockopt(zmq.SNDHWM, 1000)
        sock.setsockopt(zmq.RCVHWM, 0)
        if self._curve is not None:
            sock.curve_serverkey = self._curve.replica_public
            sock.curve_publickey = self._curve.frontend_public
            sock.curve_secretkey = self._curve.frontend_secret
        sock.connect(self.address)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.FD, self._on_readable)
        self.last_heard_s = self._clock()
        self._send([protocol.HELLO, protocol.PROTOCOL_VERSION, "servd"])

    def close(self) -> None:
        """Let go of the socket; what was in flight stays listed for whoever takes it over."""
        if self._socket is None or self._loop is None:
            return
        self._loop.remove_reader(self._socket.FD)
        self._socket.close()
        self._socket = None

    def heartbeat(self) -> None:
        """Ask for a sign of life; called twice a second by the supervisor."""
        self._send([protocol.HEARTBEAT, 0])

    def send_batch(self, batch: Batch, type_code: int) -> None:
        """Send a batch; its outcome reaches `handler`."""
        self._next_id = batch_id = self._next_id + 1
        self.in_flight[batch_id] = batch
        lengths, data = protocol.join_rows(batch.rows)
        header = [protocol.PREDICT, batch_id, type_code, len(batch.rows)]
        if lengths:
            self._send(header, data, lengths)
        else:
            self._send(header, data)

    def _send(self, header: list[Any], *payload: bytes) -> None:
        sock = self._socket
        if sock is None:
            return
        try:
            if payload:
                sock.send(protocol.pack_header(header), _MORE)
                for frame in payload[:-1]:
                    sock.send(frame, _MORE)
                sock.send(payload[-1], _NOBLOCK)
            else:
                sock.send(protocol.pack_header(header), _NOBLOCK)
        except zmq.Again:
            # A thousand messages wait for a replica that reads none: heartbeats are not missed.
            return
        if _has_message(sock) and self._loop is not None:
            self._loop.call_soon(self._on_readable)

    def _on_readable(self) -> None:
        sock = self._socket
        while sock is not None and _has_message(sock):
            frames = [sock.recv(_NOBLOCK)]
            while sock.getsockopt(_RCVMORE):
                frames.append(sock.recv(_NOBLOCK))
            self.last_heard_s = self._clock()
            try:
                self._on_message(frames)
            except (protocol.ProtocolError, IndexError, TypeError, UnicodeDecodeError) as error:
                logger.warning(
                    "%s sent a message that the protocol refuses: %s", self.address, error
                )
            sock = self._socket  # a message may have led to close()

    def _on_message(self, frames: list[bytes]) -> None:
        header = protocol.unpack_header(frames[0])
        kind = header[0]
        if kind == protocol.RESULT:
            self._on_result(header, frames)
        elif kind == protocol.FAILURE:
            reason = str(header[2]) if len(header) > 2 else "no reason given"
            batch = self.in_flight.pop(header[1], None)
            if batch is not None and self.handler is not None:
                self.counters.failures += 1
                self.handler.on_failure(self, batch, reason)
        elif kind == protocol.STATE:
            self._on_state(header)

    def _on_result(self, header: list[Any], frames: list[bytes]) -> None:
        batch = self.in_flight.pop(header[1], None)
        if batch is None or self.handler is None:
            return  # its queries were given to another replica
        outputs = frames[1].split(b"\n") if len(frames) > 1 else []
        if len(outputs) != len(batch.queries):
            reason = f"{len(outputs)} outputs for {len(batch.queries)} inputs"
            self.handler.on_failure(self, batch, reason)
            return
        if len(header) > 3 and isinstance(header[3], int):
            batch.compute_s = header[3] / 1e6
        self.handler.on_outputs(self, batch, outputs)

    def _on_state(self, header: list[Any]) -> None:
        version, state, info = header[1], header[2], header[3]
        if version != protocol.PROTOCOL_VERSION:
            raise protocol.ProtocolError(
                f"it speaks version {version} of the protocol, not {protocol.PROTOCOL_VERSION}"
            )
        if not isinstance(info, dict):
            raise protocol.ProtocolError("the info of STATE is not a map")
        items = info.get("row_items")
        self.row_items = items if isinstance(items, int) else None
        self._owner.on_replica_state(str(state), info)


def _has_message(sock: "zmq.Socket[bytes]") -> bool:
    # getsockopt and not the EVENTS attribute, which takes twice the time.
    return bool(int(sock.getsockopt(_EVENTS)) & _POLLIN)
