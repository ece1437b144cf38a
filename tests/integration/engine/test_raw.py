"""Raw outputs at the front end's side: who gets them, what is kept, what is refused."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_runtime import protocol, tensors
from model_runtime.tensors import Tensor
from servd.carriers.long_bytes import LONG_BYTES, LongBytes
from servd.engine import raw
from servd.engine.query import Batch
from servd.engine.raw import RawOutput, WantsRaw
from servd.engine.rpc import ReplicaConnection
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import run, serving, until


def packed(*numbers):
    """Return an output of doubles as tensors."""
    data = struct.pack(f"<{len(numbers)}d", *numbers)
    return b"".join(tensors.pack([Tensor("", "float64", (len(numbers),), data)]))


class RawReplica(ScriptedReplica):
    """Answers with tensors where they are wanted: twice each number of the row."""

    def _on_message(self, frames):
        header = protocol.unpack_header(frames[1])
        if header[0] != protocol.PREDICT or len(header) < 5:
            super()._on_message(frames)
            return
        self.headers.append(header)
        rows = protocol.split_rows(b"".join(frames[3:]), frames[2], header[3])
        self.batches.append(rows)
        outputs = [
            self._raw(row) if asked else self._answer(row)
            for row, asked in zip(rows, header[4], strict=True)
        ]
        told = protocol.pack_header([protocol.RAW, header[1], len(rows), 1, header[4]])
        lengths, data = protocol.join_rows(outputs)
        self._socket.send_multipart([frames[0], told, data, *([lengths] if lengths else [])])

    def _raw(self, row):
        return packed(*(2 * number for number in struct.unpack(f"<{len(row) // 8}d", row)))


class Sink:
    """Remembers what it is told."""

    def __init__(self):
        self.outputs = []
        self.misses = []
        self.faults = []

    def on_output(self, _query, output):
        """Take an output."""
        self.outputs.append(output)

    def on_miss(self, _query, miss):
        """Take a miss."""
        self.misses.append(miss)

    def on_fault(self, error):
        """Take a fault."""
        self.faults.append(error)

    @property
    def is_told(self):
        """Whether it has heard anything."""
        return bool(self.outputs or self.misses or self.faults)


def numbers_of(output):
    """Return the numbers of a raw output, by way of what a codec uses."""
    assert type(output) is RawOutput
    (place,) = output.places()
    assert (place.name, place.dtype) == ("", "float64")
    data = b"".join(output.data(place))
    return struct.unpack(f"<{place.shape[0]}d", data)


async def ask(served, *rows):
    """Ask all rows in one tick; return what each was answered."""
    sinks = [Sink() for _ in rows]
    for row, sink in zip(rows, sinks, strict=True):
        served.engine.ask(served.engine.by_name["app"], row, sink)
    await until(lambda: all(sink.is_told for sink in sinks))
    assert not any(sink.misses or sink.faults for sink in sinks)
    return [sink.outputs[0] for sink in sinks]


def predicts(replica):
    """Return the headers of the batches that a replica got."""
    return [header for header in replica.headers if header[0] == protocol.PREDICT]


def test_one_batch_has_raw_outputs_and_texts():
    """Each sink hears the form that its row asks for, whoever else is in the batch."""

    async def main():
        with RawReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=8))
                one, two = doubles(1.0, 2.0), doubles(3.0)
                answers = await ask(served, WantsRaw(one), one, two, WantsRaw(two))
                assert numbers_of(answers[0]) == (2.0, 4.0)
                assert answers[1:3] == [b"3.0", b"3.0"]
                assert numbers_of(answers[3]) == (6.0,)
                (header,) = predicts(replica)
                assert header[4] == b"\1\0\0\1"
        assert replica.batches == [[one, one, two, two]]

    run(main())


def test_nobody_is_given_another_form_from_the_cache():
    """Of one row both answers are kept, each for who asks for it."""

    async def main():
        with RawReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=8))
                row = doubles(1.0)
                first = [*await ask(served, WantsRaw(row)), *await ask(served, row)]
                again = [*await ask(served, row), *await ask(served, WantsRaw(row))]
                assert first == again[::-1]
                assert (numbers_of(again[1]), again[0]) == ((2.0,), b"1.0")
                assert len(replica.batches) == 2
                dispatcher = served.engine.by_name["app"].dispatcher
                assert dispatcher.counters.cache_hits == 2
                # By its body an answer is known to Clipper's codec, which reads JSON.
                dispatcher.remember("form", b"body", WantsRaw(row))
                assert dispatcher.cache.known_by("form").get(b"body") is None
                dispatcher.remember("form", b"body", row)
                assert dispatcher.cache.known_by("form").get(b"body") == b"1.0"

    run(main())


def test_the_same_row_in_flight_is_joined_by_form():
    """Queries for one row and one form cost one computation, those for another form another."""

    async def main():
        with RawReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=8))
                row = doubles(1.0)
                answers = await ask(served, WantsRaw(row), row, WantsRaw(row), row)
                assert answers[0] is answers[2]
                assert answers[1] is answers[3] or answers[1] == answers[3] == b"1.0"
        assert replica.batches == [[row, row]]

    run(main())


def test_a_replica_of_version_1_is_sent_nothing_that_it_lacks():
    """Its outputs are texts for everybody; who asked for raw ones has not got what to keep."""

    async def main():
        with ScriptedReplica() as replica:
            replica.version = 1
            async with serving() as served:
                connection = await served.attach(replica, served.deploy(max_batch=8))
                row = doubles(1.0)
                assert await ask(served, WantsRaw(row), row) == [b"1.0", b"1.0"]
                assert connection.spoken == 1
                cache = served.engine.by_name["app"].dispatcher.cache
                assert cache.rows.get(row) == b"1.0"
                assert cache.rows.get(WantsRaw(row)) is None
                assert not cache.pending
        assert {len(header) for header in predicts(replica)} == {4}

    run(main())


def test_the_version_is_negotiated_again_where_it_falls():
    """A replica that forgot this front end, or came anew, is greeted once more, and no more."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = await served.attach(replica, served.deploy(max_batch=8))
                assert connection.spoken == 2
                replica.version = 1
                for _ in range(3):
                    replica.announce(protocol.READY)
                await until(lambda: connection.spoken == 1)
                for _ in range(3):
                    connection.heartbeat()
                await until(lambda: replica.heartbeats == 3)
                replica.version = 2
                replica.announce(protocol.READY)
                await until(lambda: connection.spoken == 2)
        hellos = [header for header in replica.headers if header[0] == protocol.HELLO]
        assert [hello[1] for hello in hellos] == [2, 2]

    run(main())


class Handler:
    """Remembers how batches ended."""

    def __init__(self):
        self.outputs = []
        self.failures = []

    def on_outputs(self, _connection, batch, outputs):
        """Take outputs."""
        self.outputs.append((outputs, batch.bytes_moved))

    def on_failure(self, _connection, _batch, failure):
        """Take a failure."""
        assert failure.cause == protocol.BAD_OUTPUT
        self.failures.append(failure.reason)


class Asked:
    """A query as far as a connection looks at it."""

    def __init__(self, row):
        self.row = row


async def answered(rows, forms, *payload):
    """Return what a handler hears of a batch of rows that is answered so."""
    with ScriptedReplica(is_holding=True) as replica:
        async with serving() as served:
            connection: ReplicaConnection = await served.attach(replica, served.deploy(max_batch=8))
            connection.handler = handler = Handler()
            connection.send_batch(Batch([Asked(row) for row in rows], 0.0), 3)
            (number,) = connection.in_flight
            header = [protocol.RAW, number, len(rows), 7, *forms]
            connection._on_frames([protocol.pack_header(header), *payload])
            await until(lambda: handler.outputs or handler.failures)
            assert not connection.in_flight
    return handler


WANTED = [WantsRaw(b"12345678"), b"abcdefgh"]
GOOD = packed(1.0, 2.0)


@pytest.mark.parametrize(
    ("forms", "payload", "reason"),
    [
        ([], [GOOD + b"1"], "the forms of 2 outputs"),
        (["\1\0"], [GOOD + b"1"], "the forms of 2 outputs"),
        ([b"\1"], [GOOD + b"1"], "the forms of 2 outputs"),
        ([b"\1\1"], [GOOD * 2], "raw that was to be a JSON text"),
        ([b"\2\0"], [GOOD * 2], "raw that was to be a JSON text"),
        ([b"\1\0"], [], "a raw output is none: 0 bytes are too few"),
        ([b"\1\0"], [GOOD + b"1"], f"{len(GOOD) + 1} bytes are not 2 rows"),
        ([b"\1\0"], [GOOD + b"1", b"\0\0\0\0"], "lengths has 4 bytes for 2 rows"),
        ([b"\1\0"], [GOOD + b"1", struct.pack("<2I", 9, 9)], "do not add up"),
        (
            [b"\1\0"],
            [GOOD[:-8] + b"1", struct.pack("<2I", len(GOOD) - 8, 1)],
            f"a raw output is none: {len(GOOD) - 8} bytes of tensors that take {len(GOOD)}",
        ),
    ],
)
def test_a_raw_result_that_is_wrong_fails_the_batch(forms, payload, reason):
    """At once, with what is wrong; nothing of it reaches a sink."""

    async def main():
        handler = await answered(WANTED, forms, *payload)
        assert not handler.outputs
        assert reason in handler.failures[0]

    run(main())


def test_nobody_asked_for_raw_outputs():
    """A batch of usual rows does not take them."""

    async def main():
        handler = await answered([b"12345678"], [b"\1"], GOOD)
        assert "the forms of 0 outputs" in handler.failures[0]

    run(main())


@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_long_raw_outputs_are_not_copied(is_in_pieces):
    """They stay in the pieces that came, cut at the lengths; short ones are bytes."""
    count = LONG_BYTES // 4
    long = packed(*([0.5] * count), 7.0)
    text = b'"a text"'
    data = long + text + GOOD
    lengths = struct.pack("<3I", len(long), len(text), len(GOOD))
    cuts = [0, 9, 1000, len(long) - 3, len(data)] if is_in_pieces else [0, len(data)]
    pieces = [memoryview(data)[a:b] for a, b in pairwise(cuts)]

    async def main():
        rows = [WantsRaw(b"1"), WantsRaw(b"2"), WantsRaw(b"3")]
        handler = await answered(rows, [b"\1\0\1"], pieces, [lengths])
        ((outputs, moved),) = handler.outputs
        assert [len(output) for output in outputs] == [len(long), len(text), len(GOOD)]
        assert moved == 3 + len(data)
        assert type(outputs[0].content) is LongBytes
        assert all(piece.obj is data for piece in outputs[0].content.pieces)
        assert numbers_of(outputs[0]) == (*([0.5] * count), 7.0)
        assert outputs[1] == text
        assert type(outputs[2].content) is bytes
        assert numbers_of(outputs[2]) == (1.0, 2.0)
        assert [*map(raw.is_short, outputs)] == [False, True, True]

    run(main())


def test_many_outputs_are_cut_in_several_turns():
    """The loop looks after others meanwhile; the order stays."""
    count = 2500

    async def main():
        data = b"".join(packed(float(number)) for number in range(count))
        handler = await answered([WantsRaw(b"r")] * count, [b"\1" * count], data)
        ((outputs, _moved),) = handler.outputs
        assert [numbers_of(output) for output in outputs] == [(float(n),) for n in range(count)]

    run(main())


def test_a_long_row_asks_as_well():
    """It is neither copied nor compared, and what is long is not kept."""

    async def main():
        with RawReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=8))
                half = doubles(*[1.0] * (LONG_BYTES // 8))
                (output,) = await ask(served, WantsRaw(LongBytes([half, half])))
                assert numbers_of(output) == (2.0,) * (LONG_BYTES // 4)
                assert not served.engine.by_name["app"].dispatcher.cache.rows.young
        assert replica.batches == [[half + half]]

    run(main())


ROWS = st.one_of(st.binary(max_size=3), st.binary(max_size=3).map(WantsRaw))


@given(st.lists(ROWS, max_size=6))
def test_rows_are_equal_to_their_kind_only(rows):
    """In a table, a row that asks for a raw output is another key than the same row."""
    keys = {(type(row), getattr(row, "row", row)) for row in rows}
    assert len(set(rows)) == len(keys)
    for row in rows:
        asking = WantsRaw(row.row if type(row) is WantsRaw else row)
        assert asking != asking.row
        assert asking.row != asking
        assert (row == asking) is (type(row) is WantsRaw)
    assert raw.plain(rows) == [getattr(row, "row", row) for row in rows]
    wanted = bytes(type(row) is WantsRaw for row in rows)
    assert raw.wanted_of(rows) == (wanted if any(wanted) else b"")
