"""A frontend's connection to a replica, over a real socket."""

import asyncio
import os
import time
from types import SimpleNamespace

import pytest

from model_runtime import protocol
from servd.carriers.long_bytes import LONG_BYTES, LongBytes
from servd.engine.batching import HEADROOM
from servd.engine.failure import Failure
from servd.engine.query import Batch
from servd.engine.rpc import connector
from tests.daemon import free_port
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import Owner, run, serving, until

SLO_S = 60.0
"""So long that what a test takes is nothing beside it."""


class Sink:
    """Who waits, and does not look."""

    def on_output(self, query, output):
        """Take an output."""

    def on_miss(self, query, miss):
        """Take a miss."""


class Asked:
    """A query as far as a connection looks at it."""

    def __init__(self, row):
        self.row = row


class Handler:
    """Remembers how batches ended."""

    def __init__(self):
        self.outputs = []
        self.failures = []
        self.of_output = []
        self.batches = []

    def on_outputs(self, _connection, batch, outputs):
        """Take outputs."""
        self.batches.append(batch)
        self.outputs.append(outputs)

    def on_failure(self, _connection, _batch, failure):
        """Take a failure."""
        self.failures.append(failure.reason)
        self.of_output.append(failure.cause == protocol.BAD_OUTPUT)

    def on_partial(self, _connection, _batch, outputs, failed):
        """Take what came of a batch, and why some of it did not."""
        self.outputs.append(outputs)
        self.failures.append(failed)


def batch_of(*rows):
    """Return a batch of rows."""
    return Batch([Asked(row) for row in rows], 0.0)


async def connect(served, replica, owner):
    """Open a connection and wait for the first STATE."""
    connection = await served.attach(replica, served.deploy())
    connection._owner = owner
    connection.handler = Handler()
    return connection


def test_state_and_heartbeats():
    """HELLO and each HEARTBEAT are answered with STATE; the owner hears it all."""

    async def main():
        with ScriptedReplica(row_items=3) as replica:
            async with serving() as served:
                owner = Owner()
                connection = await connect(served, replica, owner)
                assert connection.row_items == 3
                connection.heartbeat()
                await until(lambda: owner.states == [protocol.READY])
                assert owner.infos == [{"row_items": 3}]
                replica.info = {"row_items": "many"}
                replica.announce(protocol.DRAINING)
                await until(lambda: owner.states[-1] == protocol.DRAINING)
                assert connection.row_items is None
        assert replica.heartbeats == 1

    run(main())


def test_batches_of_equal_and_unequal_rows():
    """Rows reach the replica as they are, whatever their lengths."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(doubles(1.0), doubles(2.0)), 3)
                connection.send_batch(batch_of(doubles(1.0), doubles(2.0, 3.0), b""), 3)
                handler = connection.handler
                await until(lambda: len(handler.outputs) == 2)
                assert handler.outputs == [[b"1.0", b"2.0"], [b"1.0", b"5.0", b"0"]]
                assert not connection.in_flight
        assert replica.batches[1] == [doubles(1.0), doubles(2.0, 3.0), b""]

    run(main())


def test_a_failure_is_told_with_its_reason():
    """FAILURE reaches the handler once."""

    async def main():
        with ScriptedReplica(poison=lambda _row: True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(doubles(1.0)), 3)
                await until(lambda: connection.handler.failures == ["the script says so"])
                assert connection.counters.failures == 1

    run(main())


def result(batch_id, rows, *payload):
    """Return the frames of a RESULT."""
    return protocol.pack_header([protocol.RESULT, batch_id, rows, 1]), *payload


def test_wrong_results_are_failures():
    """Too few outputs, no outputs at all, a FAILURE without a reason or with more: none is lost."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                for _ in range(5):
                    connection.send_batch(batch_of(doubles(1.0), doubles(2.0)), 3)
                first = min(connection.in_flight)
                await until(lambda: len(replica.batches) == 5)
                replica.send(*result(first, 2, b"1.0"))
                replica.send(*result(first + 1, 2))
                replica.send(protocol.pack_header([protocol.FAILURE, first + 2]))
                refused = [protocol.FAILURE, first + 3, "it returned a set", protocol.BAD_OUTPUT]
                replica.send(protocol.pack_header(refused))
                replica.send(protocol.pack_header([protocol.FAILURE, first + 4, "raised", "new"]))
                failures = connection.handler.failures
                await until(lambda: len(failures) == 5)
                assert failures == [
                    "1 output for 2 inputs",
                    "0 outputs for 2 inputs",
                    "no reason given",
                    "it returned a set",
                    "raised",
                ]
                # Only a model that raised is said to have raised.
                assert connection.handler.of_output == [True, True, False, True, False]

    run(main())


def partial(batch_id, failed, *payload):
    """Return the frames of a PARTIAL."""
    return protocol.pack_header([protocol.PARTIAL, batch_id, 3, 1, failed]), *payload


def test_a_partial_result_says_which_inputs_failed():
    """Their places, why, and what is wrong with an input; the others have their outputs."""
    fault = {"loc": ["rooms", 0], "msg": "wanted a number", "type": "float_type", "more": 1}
    broken = {"loc": ["a", 1.5, {}], "msg": 3}
    told = [
        [[0, "raised"], [2, "rooms[0]: …", "input", [fault, broken, 7]]],
        [[0, "a"], [1, "b", "output"], [2, "c", "new", 7]],
    ]
    wrong = [
        (told[0], b"1.0\n2.0"),
        (told[0],),
        ([], b"1.0\n2.0\n3.0"),
        ([[7, "a"]], b"1.0\n2.0"),
        ([[-1, "a"]], b"1.0\n2.0"),
        (["x"], b"1.0\n2.0"),
        (None, b"1.0"),
    ]

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                for _ in range(2 + len(wrong)):
                    connection.send_batch(batch_of(*[doubles(1.0)] * 3), 3)
                first = min(connection.in_flight)
                await until(lambda: len(replica.batches) == 2 + len(wrong))
                replica.send(*partial(first, told[0], b"1.5"))
                replica.send(*partial(first + 1, told[1]))
                for at, (failed, *payload) in enumerate(wrong):
                    replica.send(*partial(first + 2 + at, failed, *payload))
                handler = connection.handler
                await until(lambda: len(handler.failures) == 2 + len(wrong))
                assert handler.outputs == [[b"1.5"], []]
                known = [
                    {"loc": ["rooms", 0], "msg": "wanted a number", "type": "float_type"},
                    {"loc": ["a"], "msg": "3", "type": "None"},
                ]
                assert handler.failures[0] == {
                    0: Failure("raised", "", []),
                    2: Failure("rooms[0]: …", "input", known),
                }
                assert handler.failures[1] == {
                    0: Failure("a", "", []),
                    1: Failure("b", "output", []),
                    2: Failure("c", "", []),
                }
                assert handler.of_output == [True] * len(wrong)
                assert connection.counters.failures == 5
                assert not connection.in_flight

    run(main())


def test_garbage_is_ignored(caplog):
    """Messages that the protocol refuses are logged; what follows them is read."""
    garbage = [
        (b"",),
        (b"\xc1",),
        (protocol.pack_header("text"),),
        (protocol.pack_header([]),),
        (protocol.pack_header(["kind"]),),
        (protocol.pack_header([99, 1]),),
        (protocol.pack_header([protocol.STATE]),),
        (protocol.pack_header([protocol.STATE, 1, "ready", 7]),),
        (protocol.pack_header([protocol.STATE, 3, "ready", {}]),),
        (protocol.pack_header([protocol.RESULT]),),
        (protocol.pack_header([protocol.RESULT, [1], 1, 1]), b"1"),
        result(12345, 1, b"1"),
        (protocol.pack_header([protocol.FAILURE, 12345, "late"]),),
        (protocol.pack_header([protocol.PARTIAL]),),
        partial(12345, [[0, "late"]], b"1"),
    ]

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                owner = Owner()
                connection = await connect(served, replica, owner)
                for frames in garbage:
                    replica.send(*frames)
                replica.announce(protocol.DRAINING)
                await until(lambda: owner.states == [protocol.DRAINING])
                assert not connection.handler.failures

    run(main())
    assert "version 3 of the protocol" in caplog.text
    assert "could not be taken" not in caplog.text  # none of it is a fault of this side


def test_a_closed_connection_sends_nothing():
    """After close, and before open, calls do nothing; close may be called twice."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                unopened = connector(served.engine.context, served.engine.clock)(
                    replica.address, Owner()
                )
                unopened.close()
                unopened.heartbeat()
                connection = await connect(served, replica, Owner())
                connection.close()
                connection.close()
                connection.heartbeat()
                connection.send_batch(batch_of(doubles(1.0)), 3)
                assert len(connection.in_flight) == 1  # for whoever takes it over
                connection.in_flight.clear()
                await asyncio.sleep(0)
        assert not replica.batches

    run(main())


def test_a_replica_that_reads_nothing_does_not_block():
    """Messages beyond the high-water mark are dropped; the daemon goes on."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = connector(served.engine.context, served.engine.clock)(
                    "ipc:///nonexistent/r.sock", Owner()
                )
                connection.open()
                for _ in range(1100):
                    connection.heartbeat()
                connection.close()
        assert replica.heartbeats == 0

    run(main())


@pytest.mark.parametrize(
    ("rows", "outputs"),
    [
        ([doubles(1.0), doubles(2.0)], [b"1", b"22"]),
        ([doubles(1.0), doubles(2.0, 3.0), b""], [b"1", b"", b"333"]),
        ([b"one"], [b"x" * 70_000]),
    ],
)
def test_a_batch_knows_the_bytes_that_it_moved(rows, outputs):
    """The rows' bytes and the outputs', without what joins them: the cache counts by that."""
    texts = iter(outputs)

    async def main():
        with ScriptedReplica(answer=lambda _row: next(texts)) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(*rows), 3)
                await until(lambda: connection.handler.outputs)
                assert connection.handler.outputs == [outputs]
                (batch,) = connection.handler.batches
                assert batch.bytes_moved == sum(map(len, [*rows, *outputs]))

    run(main())


@pytest.mark.parametrize(
    ("told", "compute_s"), [([1_500_000], 1.5), ([250, "more"], 0.00025), ([], 0.0), (["1"], 0.0)]
)
def test_what_the_computation_took_is_told(told, compute_s):
    """RESULT tells it in microseconds; one that does not is a result all the same."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(doubles(1.0)), 3)
                (number,) = connection.in_flight
                await until(lambda: replica.batches)
                replica.send(protocol.pack_header([protocol.RESULT, number, 1, *told]), b"1.0")
                await until(lambda: connection.handler.batches)
                assert connection.handler.batches[0].compute_s == compute_s

    run(main())


@pytest.mark.parametrize(("share", "limit"), [(0.4, 3), (0.95, 1), (1.05, 1)])
def test_what_the_replica_says_it_took_sets_the_batch_size(share, limit):
    """From the wire to the controller: the size grows by what the model took, not by the way."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=SLO_S * 1000)
                connection = await served.attach(replica, dispatcher)
                route = served.engine.by_name["app"]
                served.engine.submit(route, dispatcher, doubles(1.0), Sink())
                await until(lambda: replica.batches)
                (number,) = connection.in_flight
                compute_us = int(SLO_S * HEADROOM * share * 1e6)
                header = protocol.pack_header([protocol.RESULT, number, 1, compute_us])
                replica.send(header, b"1.0")
                await until(lambda: not connection.in_flight)
                assert dispatcher.limits() == [limit]

    run(main())


def test_counters_hold_what_came_back():
    """Batches that were only noted so far are counted when somebody reads."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = await served.attach(replica, served.deploy())
                await served.predict({"input": [1]})
                assert connection.counters.batch_size.count == 1
                await served.predict({"input": [2]})
                assert connection.counters.batch_size.count == 2

    run(main())


def test_each_message_is_a_sign_of_life():
    """Whatever comes counts, also what the protocol refuses; what is only sent does not."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                owner = Owner()
                connection = await connect(served, replica, owner)
                now_s = 1000.0
                connection._clock = lambda: now_s
                replica.announce(protocol.DRAINING)
                await until(lambda: owner.states == [protocol.DRAINING])
                assert connection.last_heard_s == 1000.0
                now_s = 1001.0
                replica.send(b"garbage")
                await until(lambda: connection.last_heard_s == 1001.0)
                connection.excuse(0.5)
                assert connection.last_heard_s == 1001.5

    run(main())


def test_silence_is_counted_from_the_opening():
    """It may have been made long before."""

    async def main():
        async with serving() as served:
            now_s = 1000.0
            connect_to = connector(served.engine.context, lambda: now_s)
            connection = connect_to("ipc:///nonexistent/r.sock", Owner())
            now_s = 1600.0
            connection.open()
            assert connection.last_heard_s == 1600.0
            connection.close()

    run(main())


def test_a_heartbeat_takes_what_is_on_its_way_for_a_sign_of_life():
    """A long answer that was announced is; that a heartbeat was sent is none."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                now_s = 1000.0
                connection._clock = lambda: now_s
                replica.send(protocol.pack_header([protocol.LONG, 1, 5_000_000_000]))
                await until(lambda: connection.last_heard_s == 1000.0)
                now_s = 1001.0
                connection.heartbeat()
                assert connection.last_heard_s == 1001.0
                other = await served.attach(replica, served.deploy())
                other._clock = lambda: now_s
                before_s = other.last_heard_s
                other.heartbeat()
                assert other.last_heard_s == before_s

    run(main())


@pytest.mark.parametrize(("scheme", "is_life"), [("ipc", True), ("tcp", False)])
def test_a_heartbeat_takes_computing_for_a_sign_of_life(scheme, is_life):
    """Of the process that a replica says it is, where that is one of this machine."""

    async def main():
        address = f"tcp://127.0.0.1:{free_port()}" if scheme == "tcp" else ""
        with ScriptedReplica(address=address) as replica:
            replica.info = {"pid": os.getpid()}
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                now_s = 1000.0
                connection._clock = lambda: now_s
                connection.heartbeat()
                await until(lambda: connection.last_heard_s == 1000.0)
                end_s = time.process_time() + 0.03  # more than a tick of the kernel's
                while time.process_time() < end_s:
                    pass
                now_s = 1001.0
                connection.heartbeat()
                assert (connection.last_heard_s == 1001.0) is is_life

    run(main())


def test_a_batch_that_is_forgotten_is_not_expected():
    """What could not be sent has no reply; the others still have theirs."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                batches = [batch_of(doubles(float(number))) for number in range(3)]
                for batch in batches:
                    connection.send_batch(batch, 3)
                connection.forget(batches[1])
                assert [*connection.in_flight.values()] == [batches[0], batches[2]]
                connection.in_flight.clear()

    run(main())


def test_an_owner_that_cannot_take_a_state_is_told_of(caplog):
    """What the replica says next is heard all the same."""

    class Confused(Owner):
        """Fails where the replica drains."""

        def on_replica_state(self, state, info):
            """Take a state."""
            super().on_replica_state(state, info)
            if state == protocol.DRAINING:
                raise LookupError("which replica is this?")

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                owner = Confused()
                await connect(served, replica, owner)
                replica.announce(protocol.DRAINING)
                replica.announce(protocol.READY)
                await until(lambda: owner.states[-2:] == [protocol.DRAINING, protocol.READY])

    run(main())
    assert f"is '{protocol.DRAINING}': this could not be taken: LookupError" in caplog.text


def test_an_input_in_pieces_arrives_whole():
    """Rows that are not copied to be sent reach the replica as those that are, and are counted."""
    rows = [LongBytes([b"ab", b"cd"]), b"", b"xyz"]

    async def main():
        with ScriptedReplica(answer=lambda row: b"%d" % len(row)) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(*rows), 0)
                await until(lambda: connection.handler.batches)
                assert connection.handler.outputs == [[b"4", b"0", b"3"]]
                assert connection.handler.batches[0].bytes_moved == 7 + 3
                assert not connection.handler.batches[0].is_plain
        assert replica.batches == [[b"abcd", b"", b"xyz"]]

    run(main())


def test_a_long_answer_that_is_announced_is_expected():
    """The carrier hears how long it will be; an unknown kind of message is passed over."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                lengths = []
                connection._carrier, real = (
                    SimpleNamespace(expect=lengths.append),
                    connection._carrier,
                )
                connection._on_frames([protocol.pack_header([protocol.LONG, 1, 5_000_000])])
                connection._on_frames([protocol.pack_header([99, 1, 7_000_000])])
                connection._carrier = real
                assert lengths == [5_000_000]

    run(main())


@pytest.mark.parametrize(("beyond", "is_long"), [(0, False), (1, True)])
def test_a_batch_knows_whether_its_answer_was_long(beyond, is_long):
    """Of a mebibyte it is not, of a byte more it is; its outputs are the same."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await connect(served, replica, Owner())
                connection.send_batch(batch_of(b"a", b"b"), 0)
                (number,) = connection.in_flight
                text = [b"x" * 10, b"\n" + b"y" * (LONG_BYTES + beyond - 11)]
                connection._on_frames([protocol.pack_header([protocol.RESULT, number, 2, 5]), text])
                await until(lambda: connection.handler.batches)
                (batch,) = connection.handler.batches
                assert batch.is_plain is not is_long
                assert [len(each) for each in connection.handler.outputs[0]] == [
                    10,
                    LONG_BYTES + beyond - 11,
                ]
                assert batch.bytes_moved == 2 + LONG_BYTES + beyond - 1

    run(main())
