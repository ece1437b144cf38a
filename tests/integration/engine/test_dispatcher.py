"""Queues, batches and replicas, by scripted replicas over real sockets."""

import asyncio
import tempfile

from model_runtime import protocol
from model_runtime.carriers import StreamListener
from servd.datatypes import End
from servd.engine.query import Miss
from servd.engine.rpc import connector
from servd.engine.slot import MAX_IN_FLIGHT
from servd.engine.turn import LOOK_EVERY
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import Owner, run, serving, until


async def ask_all(served, rows, application="app"):
    """Ask for each row on a connection of its own; return the answers in order."""
    return await asyncio.gather(
        *(served.predict({"input": list(row)}, application) for row in rows)
    )


def test_a_poisoned_row_fails_alone():
    """A batch that the model raises on is halved until the bad row is alone."""
    poison = doubles(13.0)

    async def main():
        with ScriptedReplica(poison=poison.__eq__, is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=32, default=None)
                await served.attach(replica, dispatcher)
                asked = asyncio.create_task(ask_all(served, [[n] for n in range(16)]))
                await until(lambda: dispatcher.queued + sum(map(len, replica.batches)) == 16)
                replica.release()
                answers = await asked
        for n, (status, answer) in enumerate(answers):
            if n == 13:
                assert status == 500
                assert answer["cause"].startswith("The model raised ")
            else:
                assert (status, answer["output"]) == (200, float(n))

    run(main())


def test_a_dead_replica_leaves_its_queries_to_another():
    """Queries in flight at a replica that dies are computed by another one."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying, ScriptedReplica() as other:
            async with serving() as served:
                dispatcher = served.deploy()
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(ask_all(served, [[1.0], [2.0]]))
                await until(lambda: sum(map(len, dying.batches)) == 2)
                dying.die()
                dispatcher.detach(connection)
                dispatcher.detach(connection)
                await served.attach(other, dispatcher)
                answers = await asked
        assert [answer["output"] for _, answer in answers] == [1.0, 2.0]

    run(main())


def test_a_query_that_kills_two_replicas_fails():
    """The second replica that dies with a query shows that the query is the cause."""
    deadly = doubles(9.0)

    async def main():
        with (
            ScriptedReplica(deadly=deadly.__eq__) as first,
            ScriptedReplica(deadly=deadly.__eq__) as second,
            ScriptedReplica() as third,
        ):
            async with serving() as served:
                dispatcher = served.deploy(default=None)
                asked = None
                for replica in (first, second):
                    connection = await served.attach(replica, dispatcher)
                    if asked is None:
                        asked = asyncio.create_task(served.predict({"input": [9]}))
                    await until(lambda seen=replica: seen.batches)
                    dispatcher.detach(connection, End("ended (exit 7)"))
                await served.attach(third, dispatcher)
                status, answer = await asked
        assert (status, answer["cause"]) == (500, "No output: the replica ended (exit 7)")
        assert not third.batches

    run(main())


def test_two_batches_at_most_are_in_flight_and_none_above_the_limit():
    """A third batch waits until a reply comes; each holds what the version allows."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                connection = await served.attach(replica, served.deploy(max_batch=3))
                asked = asyncio.create_task(ask_all(served, [[n] for n in range(20)]))
                dispatcher = served.engine.dispatchers["model", "1"]
                await until(
                    lambda: (
                        len(replica.batches) == 2
                        and dispatcher.queued + sum(map(len, replica.batches)) == 20
                    )
                )
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                replica.release(1)
                await until(lambda: len(replica.batches) == 3)
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                replica.release()
                await asked
                assert dispatcher.limits() == [3]
        assert max(map(len, replica.batches)) == 3

    run(main())


def test_a_batch_wait_gathers():
    """With a batch wait the first query waits for others until the batch is full."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy(max_batch=3, batch_wait_us=60_000_000)
                await served.attach(replica, dispatcher)
                first = asyncio.create_task(served.predict({"input": [1]}))
                await until(lambda: dispatcher.queued == 1 and dispatcher._delay._timer)
                assert not replica.batches
                await ask_all(served, [[2], [3]])
                await first
                dispatcher._delay._on_time()
        assert list(map(len, replica.batches)) == [3]

    run(main())


def test_a_batch_wait_ends():
    """A short batch leaves when its oldest query has waited for long enough."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(max_batch=3, batch_wait_us=20_000))
                status, answer = await served.predict({"input": [1]})
        assert (status, answer["output"]) == (200, 1.0)

    run(main())


def test_replicas_take_turns():
    """Idle replicas share the work."""

    async def main():
        with ScriptedReplica() as one, ScriptedReplica() as two:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy()
                await served.attach(one, dispatcher)
                await served.attach(two, dispatcher)
                for n in range(6):
                    await served.predict({"input": [n]})
        assert len(one.batches) == len(two.batches) == 3

    run(main())


def test_a_draining_replica_gets_no_new_batch():
    """It answers what it has; attached once, a second attach changes nothing."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=10_000)
                connection = await served.attach(replica, dispatcher)
                dispatcher.attach(connection)
                assert len(dispatcher.slots) == 1
                asked = asyncio.create_task(served.predict({"input": [1]}))
                await until(lambda: replica.batches)
                dispatcher.drain(connection)
                assert (await served.predict({"input": [2]}))[1]["default"]
                replica.release()
                assert (await asked)[1]["output"] == 1.0

    run(main())


def test_a_hanging_model_does_not_let_the_queue_grow():
    """Expired queries leave the queue of a version whose replicas are all stuck."""

    async def main():
        with ScriptedReplica(is_holding=True) as replica:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=5, max_batch=1)
                await served.attach(replica, dispatcher)
                for n in range(30):
                    assert (await served.predict({"input": [n]}))[1]["default"]
                assert dispatcher.queued <= 2
                assert len(dispatcher.cache.pending) <= 4

    run(main())


def test_the_objective_sets_the_controller():
    """An adaptive version aims at the tightest objective of the applications on it."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                dispatcher = served.deploy("slow", slo_ms=1000)
                connection = await served.attach(replica, dispatcher)
                before = dispatcher._slot_of[connection].controller
                served.deploy("fast", slo_ms=10)
                after = dispatcher._slot_of[connection].controller
                assert before._target_s > after._target_s
                served.deploy("fast", slo_ms=10)
                assert dispatcher._slot_of[connection].controller is after

    run(main())


# --- as a property ---


def test_what_a_replica_said_before_it_ended_counts():
    """An answer that is still unread when the end is heard of is taken, and not computed again."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying, ScriptedReplica() as other:
            async with serving() as served:
                dispatcher = served.deploy()
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                await until(lambda: dying.batches)
                dying.release()
                assert connection._carrier._socket.poll(5000)  # type: ignore[attr-defined]
                dispatcher.detach(connection, End("ended (exit 7)"))
                await served.attach(other, dispatcher)
                status, answer = await asked
        assert (status, answer["output"]) == (200, 1.0)
        assert not other.batches

    run(main())


def test_what_a_replica_hung_up_on_is_sent_again():
    """A replica that hangs up on a daemon that did not read goes on; its batches do too."""

    async def main():
        with tempfile.TemporaryDirectory(prefix="sv-") as folder:
            listener = StreamListener(f"{folder}/r.sock")

            async def predicts():
                while True:
                    while (message := listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110
                        await asyncio.sleep(0.001)
                    header = protocol.unpack_header(message[1][0])
                    if header[0] == protocol.PREDICT:
                        return message[0], header

            async with serving() as served:
                dispatcher = served.deploy()
                connection = connector(served.engine.context, served.engine.clock)(
                    f"unix://{folder}/r.sock", Owner()
                )
                connection.open()
                dispatcher.attach(connection)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                peer, _ = await predicts()
                listener._drop(peer)
                peer, header = await predicts()
                reply = protocol.pack_header([protocol.RESULT, header[1], 1, 1])
                assert listener.send(peer, (reply, b"1.0"))
                assert (await asked)[1]["output"] == 1.0
                assert not connection.in_flight
                connection.close()
            listener.close()

    run(main())


def test_a_query_that_was_lost_says_so_at_its_deadline():
    """Where no other replica answers in time, the reason is more than the time."""

    async def main():
        with ScriptedReplica(is_holding=True) as dying:
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=300, default=None)
                connection = await served.attach(dying, dispatcher)
                asked = asyncio.create_task(served.predict({"input": [1.0]}))
                await until(lambda: dying.batches)
                dispatcher.detach(connection, End("ended (exit 7)"))
                status, answer = await asked
        assert status == 504
        assert answer["cause"] == f"{Miss.TIMED_OUT.value}: the replica ended (exit 7)"

    run(main())


def test_a_long_tick_sends_and_reads_meanwhile():
    """Where thousands of queries are read in one go, replicas get theirs before the last is."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving(cache_bytes=0) as served:
                dispatcher = served.deploy(max_batch=50)
                connection = await served.attach(replica, dispatcher)
                route, sink = served.engine.by_name["app"], Collector()
                asked = 0

                def ask():
                    nonlocal asked
                    served.engine.submit(route, dispatcher, doubles(float(asked)), sink, asked)
                    asked += 1

                for _ in range(LOOK_EVERY + 2):
                    ask()
                assert len(connection.in_flight) == MAX_IN_FLIGHT
                # Without a turn of the event loop, which alone would read replies otherwise.
                while not sink.outputs:
                    ask()
                await until(lambda: len(sink.outputs) == asked)

    run(main())


class Collector:
    """A sink that keeps outputs by their index."""

    def __init__(self):
        self.outputs = {}

    def on_output(self, query, output):
        """Keep an output."""
        self.outputs[query.index] = output


def test_the_first_batch_is_as_large_as_the_replica_has_tried():
    """A call for a table takes as long for many inputs: the first 60 are not late one by one."""

    async def main():
        with ScriptedReplica(pace_s=lambda _rows: 0.02) as replica:
            replica.info["test"] = {"state": "ok", "several": 16, "several_ms": 20.0}
            async with serving() as served:
                dispatcher = served.deploy(slo_ms=1000, default=None)
                await served.attach(replica, dispatcher)
                assert dispatcher.limits() == [64]
                batch = [[float(number)] for number in range(60)]
                status, answer = await served.predict({"input_batch": batch})
                assert status == 200
                assert [each["output"] for each in answer["batch_predictions"]] == [
                    row[0] for row in batch
                ]
                assert [len(rows) for rows in replica.batches] == [60]
                served.deploy(slo_ms=100, default=None)
                assert dispatcher.limits() == [24]

    run(main())
