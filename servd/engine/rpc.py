"""One frontend's connection to one replica: batches out, outputs back.

Made by supervisor.py, which hears of the replica's state; lent to dispatcher.py, which sends
batches and hears of outputs. docs/protocol.md is what goes over it, carriers.py what carries it.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

import zmq

from model_runtime import protocol
from model_runtime.carriers import FILE_SCHEME
from servd.carriers.carriers import Carry, carry
from servd.carriers.curve import keys_for
from servd.carriers.long_bytes import LONG_BYTES, LongBytes, pieces_of, split_long
from servd.carriers.processor_time import ProcessorTime
from servd.clock import Clock
from servd.engine import raw
from servd.engine.batching import Tried
from servd.engine.failure import Failure, failures_of
from servd.engine.query import Batch
from servd.engine.stream import Items, Stream
from servd.logs import faults
from servd.metrics.counters import Counters, Tally
from servd.quantities import counted

logger = logging.getLogger(__name__)

NO_HOST = "tcp://:"
"""Of an address that is on the same host as another."""


class ReplicaOwner(Protocol):
    """Who is told what the replica says of itself: a replica's life, or a link of a front end."""

    def on_replica_state(self, state: str, info: dict[str, Any]) -> None:
        """Take a STATE message; `state` is one of docs/protocol.md's words."""


class BatchHandler(Protocol):
    """Who is told how batches ended: the dispatcher."""

    def on_outputs(
        self, connection: "ReplicaConnection", batch: Batch, outputs: list[bytes]
    ) -> None:
        """Take one output per query of the batch: a JSON text, or what was asked for (raw.py)."""

    def on_failure(self, connection: "ReplicaConnection", batch: Batch, failure: Failure) -> None:
        """Take the news that the batch has no outputs, and why."""

    def on_partial(
        self,
        connection: "ReplicaConnection",
        batch: Batch,
        outputs: list[bytes],
        failed: dict[int, Failure],
    ) -> None:
        """Take the outputs of a batch, and at which places of it there are none, and why."""

    def on_lost(self, connection: "ReplicaConnection") -> None:
        """Take the news that nothing in flight will be answered, though the replica lives."""

    def on_fault(self, batch: Batch, error: Exception) -> None:
        """Take an exception of one of the calls above, which the replica has no part in."""


class StreamHandler(Protocol):
    """Who is told how streams go on: the line of a version that yields."""

    def on_items(self, stream: Stream, items: Items) -> None:
        """Take items of a stream that is wanted."""

    def on_end(self, stream: Stream, failure: Failure | None) -> None:
        """Take the end of a stream; `failure` says why where it has not come to its own."""

    def on_places(self, connection: "ReplicaConnection") -> None:
        """Take the news that a replica has places for streams that it had not before."""


class ReplicaConnection:
    """A connection to the replica that listens at `address`.

    `in_flight` maps batch numbers to batches without a reply. `last_heard_s` is the monotonic time
    of the last message. Batches that came back are noted in `tally`. `row_items` is how many
    numbers an input must have, where the replica says so; `spoken` is the version of the protocol
    that it says it speaks, 0 until it does; `tried` is what its model took for several inputs when
    it was tested, where it says so. `streams` are those that it has not ended, by number, of at
    most `places`. `carry` makes what its messages go by. `http` is where a web application answers
    requests, and `exchanges` are those that it has not answered.
    """

    def __init__(self, address: str, owner: ReplicaOwner, carry: Carry, clock: Clock) -> None:
        self.address = address
        self._counters = Counters()
        self.tally = Tally(self._counters)
        self.in_flight: dict[int, Batch] = {}
        self.streams: dict[int, Stream] = {}
        self.stream_handler: StreamHandler | None = None
        self.places = 0
        self.http: str | None = None
        self.exchanges: set[object] = set()
        self.handler: BatchHandler | None = None
        self.last_heard_s = clock()
        self.row_items: int | None = None
        self.tried: Tried | None = None
        self.spoken = 0
        self._clock = clock
        self._owner = owner
        self._carrier = carry(self._on_frames, self._on_reconnected)
        self._life: ProcessorTime | None = None
        self._next_id = 0

    @property
    def counters(self) -> Counters:
        """What it has done since it was made."""
        self.tally.fold()
        return self._counters

    def unanswered(self) -> Collection[object]:
        """Return what names the batches, streams and requests that it has not answered."""
        if self.streams or self.exchanges:
            return [*self.in_flight, *self.streams, *self.exchanges]
        return self.in_flight

    def owed(self) -> Iterator[Any]:
        """Return what names those that it should long have answered, the oldest first.

        A stream that is heard may last; one that was given up is to end.
        """
        yield from self.in_flight
        for number, stream in self.streams.items():
            if stream.is_over:
                yield number

    def open(self) -> None:
        """Connect (in the background: the replica may not listen yet) and say hello."""
        self._carrier.open()
        self.last_heard_s = self._clock()
        self._greet()

    def _greet(self) -> None:
        self._send([protocol.HELLO, protocol.PROTOCOL_VERSION, "servd"])

    def excuse(self, missed_s: float) -> None:
        """Do not count a time in which this process did not listen as silence."""
        self.last_heard_s += missed_s

    def close(self) -> None:
        """Disconnect; what was in flight stays listed for whoever takes it over."""
        self._carrier.close()

    def read(self) -> None:
        """Take what has come, if anything has, before the event loop gets to it."""
        self._carrier.read()

    def heartbeat(self) -> None:
        """Ask for a sign of life; called twice a second by the supervisor.

        A replica that a long message is on its way to or from, or that computes, lives: its answer
        waits behind that.
        """
        is_computing = self._life is not None and self._life.has_grown()
        if self._carrier.has_moved() or is_computing:
            self.last_heard_s = self._clock()
        self._send([protocol.HEARTBEAT, 0])

    def send_batch(self, batch: Batch, type_code: int) -> None:
        """Send a batch; its outcome reaches `handler`."""
        self._next_id = batch_id = self._next_id + 1
        self.in_flight[batch_id] = batch
        header = [protocol.PREDICT, batch_id, type_code, len(batch.rows)]
        if len(batch.rows[0]) > self._carrier.joined_bytes:
            self._send_uncopied(header, batch)
            return
        try:
            lengths, data = protocol.join_rows(batch.rows)
        except TypeError:
            self._send_unusual(header, batch)
            return
        batch.bytes_moved = len(data)
        if lengths:
            self._send(header, data, lengths)
        else:
            self._send(header, data)

    # --- streams ---

    def open_stream(self, stream: Stream, type_code: int, credit: int) -> None:
        """Begin a stream; its items and its end reach `handler`."""
        self._next_id = number = self._next_id + 1
        self.streams[number] = stream
        stream.place, stream.number = self, number
        header = protocol.pack_header([protocol.OPEN, number, type_code, credit])
        row = stream.row
        if isinstance(row, bytes) and len(row) <= LONG_BYTES:
            self._carrier.send(header, row)
        else:
            self._carrier.send_long(header, pieces_of((row,)), b"")

    def grant(self, number: int, credit: int) -> None:
        """Let a stream send so much more."""
        self._send([protocol.CREDIT, number, credit])

    def cancel_stream(self, number: int) -> None:
        """Have a stream end: nobody hears it any more."""
        self._send([protocol.CANCEL, number])

    def _on_items(self, header: list[Any], frames: list[Any]) -> None:
        stream = self.streams.get(header[1])
        handler = self.stream_handler
        if stream is None or stream.is_over or handler is None:
            return
        text = frames[1]
        if header[2] == 1:
            items: Items = [text if isinstance(text, bytes) else LongBytes(text)]
        else:
            items = (text if isinstance(text, bytes) else b"".join(text)).split(b"\n")
        handler.on_items(stream, items)

    def _on_end(self, header: list[Any]) -> None:
        stream = self.streams.pop(header[1], None)
        if stream is not None and self.stream_handler is not None:
            self.stream_handler.on_end(
                stream, Failure.told(header[2:]) if len(header) > 2 else None
            )

    def _send_uncopied(self, header: list[Any], batch: Batch) -> None:
        """Send a batch of rows that take longer to join than to send as they are."""
        rows = batch.rows
        if set(map(type, rows)) != {bytes}:
            self._send_unusual(header, batch)
            return
        lengths = protocol.lengths_of(rows)
        batch.bytes_moved = sum(map(len, rows))
        self._carrier.send_long(protocol.pack_header(header), rows, lengths)

    def _send_unusual(self, header: list[Any], batch: Batch) -> None:
        """Send a batch with an input that is not copied to be sent, or whose output may be raw."""
        rows = raw.plain(batch.rows)
        lengths = protocol.lengths_of(rows)
        batch.bytes_moved = sum(map(len, rows))
        batch.is_plain = False
        if self.spoken >= protocol.TENSORS_SINCE:
            batch.wanted = raw.wanted_of(batch.rows)
            header += [batch.wanted] if batch.wanted else []
        packed = protocol.pack_header(header)
        pieces = pieces_of(rows)
        if batch.bytes_moved > LONG_BYTES:
            self._carrier.send_long(packed, pieces, lengths)
        elif lengths:
            self._carrier.send(packed, b"".join(pieces), lengths)
        else:
            self._carrier.send(packed, b"".join(pieces))

    def forget(self, batch: Batch) -> None:
        """Expect no reply to a batch that could not be sent."""
        for batch_id, each in [*self.in_flight.items()]:
            if each is batch:
                del self.in_flight[batch_id]

    def _send(self, header: list[Any], *payload: bytes) -> None:
        self._carrier.send(protocol.pack_header(header), *payload)

    def _on_reconnected(self) -> None:
        # One that has ended does not listen again: this one only hung up, on who did not read.
        self._greet()  # to whoever answers there now it is a new frontend
        if (self.in_flight or self.streams) and self.handler is not None:
            self.handler.on_lost(self)

    def _on_frames(self, frames: list[Any]) -> None:
        self.last_heard_s = self._clock()
        try:
            self._on_message(frames)
        except (protocol.ProtocolError, IndexError, TypeError, UnicodeDecodeError) as error:
            logger.warning("%s sent a message that the protocol refuses: %s", self.address, error)
        except Exception as error:  # noqa: BLE001 - what else has come is still to be heard
            faults.report(f"a message from {self.address} could not be taken", error)

    def _on_message(self, frames: list[Any]) -> None:
        header = protocol.unpack_header(frames[0])
        kind = header[0]
        if kind == protocol.RESULT:
            text = frames[1] if len(frames) > 1 else None
            if isinstance(text, bytes):
                self._on_outputs(header, len(text), text.split(b"\n"))
            else:
                self._on_unusual_result(header, text)
        elif kind == protocol.FAILURE:
            self._on_failure(header)
        elif kind == protocol.STATE:
            self._on_state(header)
        else:
            self._on_rare(kind, header, frames)

    def _on_rare(self, kind: int, header: list[Any], frames: list[Any]) -> None:
        """Take what few batches lead to, and what is said of streams."""
        if kind == protocol.ITEMS:
            self._on_items(header, frames)
        elif kind == protocol.END:
            self._on_end(header)
        elif kind == protocol.LONG:
            self._carrier.expect(int(header[2]))
        elif kind == protocol.RAW:
            self._on_raw(header, frames)
        elif kind == protocol.PARTIAL:
            self._on_partial(header, frames)

    def _on_unusual_result(self, header: list[Any], text: list[Any] | None) -> None:
        """Take a result that is in pieces, or has none: no output for no input."""
        size = sum(map(len, text or ()))
        if text is None:
            self._on_outputs(header, 0, [])
        elif size > LONG_BYTES:
            # Not taken from `in_flight` yet: it may be given to another replica meanwhile.
            split_long(text, lambda outputs: self._on_outputs(header, size, outputs))
        else:
            self._on_outputs(header, size, b"".join(text).split(b"\n"))

    def _on_raw(self, header: list[Any], frames: list[Any]) -> None:
        """Take a result of which some outputs are raw."""
        batch = self.in_flight.get(header[1])
        if batch is not None:
            raw.take_apart(
                (header, frames),
                batch.wanted,
                # As if each but the last had a newline behind it.
                lambda found, size: self._on_outputs(header, size + len(found) - 1, found),
                lambda reason: self._on_refused(header[1], reason),
            )

    def _on_refused(self, batch_id: int, reason: str) -> None:
        batch = self.in_flight.pop(batch_id, None)
        if batch is not None and self.handler is not None:
            self._fail(self.handler, batch, Failure(reason, protocol.BAD_OUTPUT))

    def _on_outputs(self, header: list[Any], size: int, outputs: list[Any]) -> None:
        batch = self.in_flight.pop(header[1], None)
        if batch is None or self.handler is None:
            return  # its queries were given to another replica
        batch.bytes_moved += size - len(outputs) + 1
        batch.is_plain &= size <= LONG_BYTES
        if len(outputs) != len(batch.queries):
            reason = f"{counted(len(outputs), 'output')} for {counted(len(batch.queries), 'input')}"
            self._fail(self.handler, batch, Failure(reason, protocol.BAD_OUTPUT))
            return
        if len(header) > 3 and isinstance(header[3], int):
            batch.compute_s = header[3] / 1e6
        handler = self.handler
        try:
            handler.on_outputs(self, batch, outputs)
        except Exception as error:  # noqa: BLE001 - what else has come is still to be heard
            handler.on_fault(batch, error)

    def _on_failure(self, header: list[Any]) -> None:
        batch = self.in_flight.pop(header[1], None)
        if batch is not None and self.handler is not None:
            self.counters.failures += 1
            self._fail(self.handler, batch, Failure.told(header[2:]))

    def _on_partial(self, header: list[Any], frames: list[Any]) -> None:
        """Take a result of which some inputs failed by themselves."""
        batch = self.in_flight.pop(header[1], None)
        handler = self.handler
        if batch is None or handler is None:
            return
        try:
            failed = failures_of(header[4], len(batch.queries))
        except (protocol.ProtocolError, IndexError) as error:
            self._fail(handler, batch, Failure(str(error), protocol.BAD_OUTPUT))
            return
        text = frames[1] if len(frames) > 1 else b""
        data = text if isinstance(text, bytes) else b"".join(text)
        left = len(batch.queries) - len(failed)
        outputs = data.split(b"\n") if data else []
        if len(outputs) != left:
            reason = f"{counted(len(outputs), 'output')} for {counted(left, 'input')}"
            self._fail(handler, batch, Failure(reason, protocol.BAD_OUTPUT))
            return
        batch.bytes_moved += len(data)
        batch.is_plain &= len(data) <= LONG_BYTES
        self.counters.failures += len(failed)
        try:
            handler.on_partial(self, batch, outputs, failed)
        except Exception as error:  # noqa: BLE001 - what else has come is still to be heard
            handler.on_fault(batch, error)

    def _fail(self, handler: BatchHandler, batch: Batch, failure: Failure) -> None:
        try:
            handler.on_failure(self, batch, failure)
        except Exception as error:  # noqa: BLE001 - what else has come is still to be heard
            handler.on_fault(batch, error)

    def _on_state(self, header: list[Any]) -> None:
        version, state, info = header[1], header[2], header[3]
        if version not in protocol.VERSIONS:
            raise protocol.ProtocolError(
                f"it speaks version {version} of the protocol, not {protocol.PROTOCOL_VERSION}"
            )
        if not isinstance(info, dict):
            raise protocol.ProtocolError("the info of STATE is not a map")
        if version != self.spoken:
            self.spoken = version
            if version < protocol.PROTOCOL_VERSION:
                self._greet()  # it may not have heard the first, or have forgotten it
        items = info.get("row_items")
        self.row_items = items if isinstance(items, int) else None
        self.tried = Tried.of(info.get("test"))
        self._on_places(info.get("streams"))
        self._on_http(info.get("http"))
        if self._life is None and self.address.startswith(FILE_SCHEME):
            # ZeroMQ does not tell whose process is at the other end of a file, as a stream does.
            self._life = ProcessorTime(info.get("pid"))
        try:
            self._owner.on_replica_state(str(state), info)
        except Exception as error:  # noqa: BLE001 - not what the replica said is wrong
            faults.report(f"{self.address} is {state!r}: this could not be taken", error)

    def _on_places(self, places: Any) -> None:
        before, self.places = self.places, places if isinstance(places, int) else 0
        if self.places != before and self.stream_handler is not None:
            self.stream_handler.on_places(self)

    def _on_http(self, address: Any) -> None:
        """Take where a web application answers: of a host, at which the replica itself does."""
        if isinstance(address, str) and self.http is None:
            host = self.address.rpartition(":")[0]
            self.http = (
                f"{host}:{address.removeprefix(NO_HOST)}"
                if address.startswith(NO_HOST)
                else address
            )


def connector(
    context: "zmq.Context[zmq.Socket[bytes]]", clock: Clock, curve_dir: Path | None = None
) -> Callable[[str, ReplicaOwner], ReplicaConnection]:
    """Return what connects to a replica of this machine; `curve_dir` is for those on tcp."""

    def connect(address: str, owner: ReplicaOwner) -> ReplicaConnection:
        keys = keys_for(address, curve_dir) if curve_dir else None
        return ReplicaConnection(address, owner, carry(address, context, keys), clock)

    return connect
