"""The connecting end of a unix stream, against the real listening end."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import zmq

from model_runtime.carriers import StreamListener, ZmqListener
from servd import carriers
from servd.carriers import MAX_UNSENT, StreamCarrier, ZmqCarrier
from servd.processor_time import ProcessorTime
from tests.serving import run, until


@contextmanager
def folder():
    """Yield a folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="sv-") as name:
        yield Path(name)


async def hear(listener):
    """Return the next message and who sent it, without keeping the loop from sending it."""
    while (message := listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)
    return message


def test_what_is_sent_before_the_replica_listens_arrives():
    """A connection is opened right after a launch; HELLO must not be lost."""

    async def main():
        with folder() as place:
            come = []
            carrier = StreamCarrier(str(place / "r.sock"), come.append)
            carrier.open()
            carrier.send(b"hello", b"data")
            listener = StreamListener(str(place / "r.sock"))
            peer, frames = await hear(listener)
            assert frames == [b"hello", b"data"]
            assert listener.send(peer, (b"state",))
            await until(lambda: come == [[b"state"]])
            carrier.close()
            carrier.close()
            carrier.send(b"late")
            listener.close()

    run(main())


def test_large_messages_go_through_in_pieces():
    """What the socket's buffer does not take is sent when it has room, in order."""

    async def main():
        with folder() as place:
            come = []
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), come.append)
            carrier.open()
            sizes = (3_000_000, 7, 2_000_000)
            for size in sizes:
                carrier.send(b"h", bytes(size))
            for size in sizes:
                peer, frames = await hear(listener)
                assert frames == [b"h", bytes(size)]
            assert await asyncio.to_thread(listener.send, peer, (b"r", bytes(5_000_000)))
            await until(lambda: come)
            assert b"".join(come[0][1]) == bytes(5_000_000)
            carrier.close()
            listener.close()

    run(main())


def test_a_replica_that_hangs_up_is_connected_to_again():
    """It may have dropped a frontend that was too slow; its process lives."""

    async def main():
        with folder() as place:
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), [].append)
            carrier.open()
            carrier.send(b"one")
            peer, _ = await hear(listener)
            listener._drop(peer)
            assert not listener.send(peer, (b"nobody",))
            await until(lambda: carrier._socket is None)
            carrier.send(b"two")
            assert (await hear(listener))[1] == [b"two"]
            carrier.close()
            listener.close()

    run(main())


def test_messages_for_a_replica_that_never_listens_are_bounded():
    """A daemon must not fill up with heartbeats to nobody."""

    async def main():
        carrier = StreamCarrier("/nonexistent/r.sock", [].append)
        carrier.open()
        for _ in range(MAX_UNSENT + 100):
            carrier.send(b"beat")
        assert len(carrier._unsent) == MAX_UNSENT
        carrier.close()

    run(main())


@contextmanager
def memory_peak():
    """Yield a function that returns the most bytes that were allocated at a time since."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_sending_a_long_message_copies_none_of_it():
    """Each partial send goes on from where the last ended: the rest is not copied for it."""

    async def main():
        with folder() as place:
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), [].append)
            carrier.open()
            message = bytes(30_000_000)
            carrier.send_long(b"h", (memoryview(message),), b"")
            with memory_peak() as peak:
                read = 0
                while not listener._peers:
                    listener._read_all(0)
                (peer,) = listener._peers.values()
                while read < len(message):
                    await asyncio.sleep(0)
                    read += len(peer.socket.recv(1 << 16))
                assert peak() < 1_000_000
            carrier.close()
            listener.close()

    run(main())


def test_what_a_message_leaves_over_is_sent_without_copying_it():
    """A short message that the socket takes in part, too, is kept once."""

    async def main():
        with folder() as place:
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), [].append)
            carrier.open()
            while not listener._peers:
                listener._read_all(0)
            carrier.send(b"h", bytes(20_000_000))
            with memory_peak() as peak:
                (peer,) = listener._peers.values()
                read = 0
                while read < 20_000_000:
                    await asyncio.sleep(0)
                    read += len(peer.socket.recv(1 << 16))
                assert peak() < 1_000_000
            carrier.close()
            listener.close()

    run(main())


def test_messages_of_many_pieces_keep_their_order():
    """Pieces of any size, empty ones too, between other messages, as one message each."""
    chance = random.Random(5)

    async def main():
        with folder() as place:
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), [].append)
            carrier.open()
            sent = []
            for _ in range(30):
                sizes = [chance.choice((0, 1, 50, 300_000)) for _ in range(chance.randint(1, 150))]
                pieces = [memoryview(chance.randbytes(size)) for size in sizes]
                lengths = chance.choice((b"", b"lens"))
                carrier.send_long(b"long", pieces, lengths)
                carrier.send(b"short")
                sent += ([b"long", b"".join(pieces), lengths], [b"short"])
            for message in sent:
                assert (await hear(listener))[1] == [frame for frame in message if frame]
            carrier.close()
            listener.close()

    run(main())


def test_a_replica_that_reads_a_long_message_shows_life():
    """Its answer to a heartbeat waits behind that; one that stops reading shows none."""

    async def main():
        with folder() as place:
            listener = StreamListener(str(place / "r.sock"))
            carrier = StreamCarrier(str(place / "r.sock"), [].append)
            carrier.open()
            carrier.send_long(b"h", (bytes(3_000_000),), b"")
            await asyncio.sleep(0.01)
            carrier.has_moved()
            carrier._life = None
            await asyncio.sleep(0.01)
            assert not carrier.has_moved()
            peer, _ = await hear(listener)
            assert carrier.has_moved()
            sending = asyncio.to_thread(listener.send, peer, (b"r", bytes(3_000_000)))
            assert await sending
            assert carrier.has_moved()
            carrier.close()
            listener.close()

    run(main())


def test_the_processor_time_tells_a_busy_process_from_a_stopped_one():
    """A call in C that keeps Python's lock answers no heartbeat, and is no death."""
    spin = "sum(range(10**12))"
    with subprocess.Popen([sys.executable, "-c", spin]) as process:
        life = ProcessorTime(process.pid)
        assert not life.has_grown()
        for _ in range(500):
            if life.has_grown():
                break
            os.sched_yield()
            subprocess.run(["/bin/sleep", "0.02"], check=True)
        else:
            raise AssertionError("a process that computes was not seen to")
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        life.has_grown()
        assert not life.has_grown()
        process.kill()
    assert not life.has_grown()
    assert not life.has_grown()


def test_long_messages_over_zeromq():
    """Pieces are joined a turn's share at a time; a long answer that was announced is a view."""

    async def main():
        with folder() as place, zmq.Context() as context:
            come = []
            listener = ZmqListener(f"ipc://{place}/r.sock", None)
            carrier = ZmqCarrier(f"ipc://{place}/r.sock", context, come.append, None)
            carrier.send_long(b"early", (b"x",), b"")
            carrier.open()
            assert not carrier.has_moved()
            pieces = (bytes(carriers.TURN_BYTES + 5), b"ab", bytes(carriers.TURN_BYTES))
            carrier.send_long(b"h", pieces, b"lens")
            assert carrier.has_moved()
            carrier.send_long(b"one", (b"piece",), b"")
            peer, frames = await hear(listener)
            assert frames == [b"one", b"piece"]
            assert (await hear(listener))[1] == [b"h", b"".join(pieces), b"lens"]
            carrier.expect(5_000_000)
            assert carrier.has_moved()
            listener.send(peer, (b"state",))
            listener.send(peer, (b"r", bytes(5_000_000)))
            await until(lambda: len(come) == 2)
            assert come[0] == [b"state"]
            assert [type(piece) for piece in come[1][1]] == [memoryview]
            assert b"".join(come[1][1]) == bytes(5_000_000)
            assert not carrier.has_moved()
            del come[:]
            carrier.close()
            listener.close()

    run(main())
