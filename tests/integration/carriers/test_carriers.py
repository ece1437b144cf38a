"""The connecting ends, against the real listening ends: what is the same on a unix stream and TLS.

What only TLS has is in test_tls_carrier.py.
"""

import asyncio
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zmq

from model_runtime.zmq_listener import ZmqListener
from servd.carriers import carriers
from servd.carriers.carriers import MAX_UNSENT, ZmqCarrier
from servd.carriers.certificates import write_certificates
from servd.carriers.processor_time import ProcessorTime
from tests.serving import run, until
from tests.streams import Stage, memory_peak, tls_stage


@pytest.fixture
def folder():
    """Yield a folder with a path that is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="sv-") as name:
        yield Path(name)


@pytest.fixture(params=["unix", "tls"])
def stage(request, folder):
    """Yield both ends of a stream: its carrier is not open, and nobody listens yet."""
    if request.param == "tls":
        write_certificates(folder / "keys")
        made = tls_stage(folder / "keys")
    else:
        made = Stage(f"unix://{folder}/r.sock")
    yield made
    if made.listener is not None:
        made.listener.close()


def test_what_is_sent_before_the_replica_listens_arrives(stage):
    """A connection is opened right after a launch, or before a pod listens: no HELLO is lost."""

    async def main():
        stage.carrier.open()
        stage.carrier.send(b"hello", b"data")
        await until(lambda: stage.carrier._retry is not None)
        stage.listen()
        peer, frames = await stage.hear()
        assert frames == [b"hello", b"data"]
        assert stage.listener.send(peer, (b"state",))
        await until(lambda: stage.come == [[b"state"]])
        stage.carrier.close()
        stage.carrier.close()
        stage.carrier.send(b"late")

    run(main())


def test_what_the_socket_does_not_take_is_sent_when_it_has_room(stage):
    """In order, messages of any size; the answer may be long, too."""

    async def main():
        with stage:
            peer = await stage.open()
            sizes = [3_000_000, 7, 2_000_000, *[50_000] * 100]
            for size in sizes:
                stage.carrier.send(b"h", bytes([size % 251]) * size)
            assert stage.carrier._is_behind
            for size in sizes:
                assert (await stage.hear())[1] == [b"h", bytes([size % 251]) * size]
            assert not stage.carrier._is_behind
            assert await asyncio.to_thread(stage.listener.send, peer, (b"r", bytes(5_000_000)))
            await until(lambda: stage.come)
            assert b"".join(stage.come[0][1]) == bytes(5_000_000)

    run(main())


def test_a_replica_that_hangs_up_is_connected_to_again(stage):
    """It may have dropped a frontend that was too slow; nothing that was meant for it is sent."""

    async def main():
        with stage:
            peer = await stage.open()
            stage.listener.send(peer, (b"state",))
            await until(lambda: stage.come)
            stage.listener._drop(peer)
            assert not stage.listener.send(peer, (b"nobody",))
            await until(lambda: stage.carrier._socket is None)
            assert not stage.reconnected
            stage.carrier.send(b"two")
            assert (await stage.hear())[1] == [b"two"]
            assert stage.reconnected == [1]
            assert stage.ends == ([1] if stage.known else [])  # a link hears of it on TLS only
            assert stage.refusals == []

    run(main())


def test_a_message_for_a_front_end_that_has_gone_is_told_of(stage):
    """And that front end is forgotten, though nobody has read its end yet."""

    async def main():
        with stage:
            peer = await stage.open()
            stage.carrier.close()
            while not peer.is_gone:
                is_sent = stage.listener.send(peer, (b"state",))  # TCP takes the first ones
                assert is_sent is not peer.is_gone
                await asyncio.sleep(0)
            assert not stage.listener._peers

    run(main())


def test_what_was_half_sent_ends_with_its_connection(stage):
    """Neither the rest of it nor what waited behind it comes first on the next one."""

    async def main():
        with stage:
            peer = await stage.open()
            stage.carrier.send(b"h", bytes(20_000_000))
            stage.carrier.send_long(b"long", (bytes(20_000_000),), b"")
            stage.carrier.send(b"short")
            assert stage.carrier._is_behind
            stage.listener._drop(peer)
            await until(lambda: stage.carrier._has_hung_up or stage.reconnected)
            stage.carrier.send(b"two")
            assert (await stage.hear())[1] == [b"two"]

    run(main())


def test_a_carrier_that_was_closed_does_not_try_again(stage):
    """Not even where it was about to."""

    async def main():
        with stage:
            stage.carrier.open()
            await until(lambda: stage.carrier._retry is not None)
            stage.carrier.close()
            stage.listen()
            await asyncio.sleep(stage.carrier._pause_s)  # its turn would have come before
            assert stage.carrier._socket is None

    run(main())


def test_a_carrier_that_was_closed_leaves_nothing_in_the_loop(stage):
    """Its descriptor's number is the next one's."""

    async def main():
        with stage:
            await stage.open()
            stage.carrier.send(b"h", bytes(20_000_000))
            descriptor = stage.carrier._socket.fileno()
            stage.carrier.close()
            loop = asyncio.get_running_loop()
            assert not loop.remove_reader(descriptor)
            assert not loop.remove_writer(descriptor)

    run(main())


def test_messages_for_a_replica_that_never_listens_are_bounded(stage):
    """A daemon must not fill up with heartbeats to nobody."""

    async def main():
        stage.carrier.open()
        for _ in range(MAX_UNSENT + 100):
            stage.carrier.send(b"beat")
        assert len(stage.carrier._unsent) == MAX_UNSENT
        stage.carrier.close()

    run(main())


async def read_raw(peer, size):
    """Read so many bytes from a frontend as they come, without looking at them."""
    read = 0
    while read < size:
        await asyncio.sleep(0)
        with suppress(BlockingIOError):
            read += len(peer.socket.recv(1 << 16, socket.MSG_DONTWAIT))


def test_sending_a_long_message_copies_none_of_it(stage):
    """Each partial send goes on from where the last ended; TLS encrypts a slice at a time."""

    async def main():
        with stage:
            peer = await stage.open()
            message = bytes(30_000_000)
            stage.carrier.send_long(b"h", (memoryview(message),), b"")
            with memory_peak() as peak:
                await read_raw(peer, len(message))
                assert peak() < 1_500_000

    run(main())


def test_what_a_message_leaves_over_is_sent_without_copying_it(stage):
    """A short message that the socket takes in part, too, is kept once."""

    async def main():
        with stage:
            peer = await stage.open()
            stage.carrier.send(b"h", bytes(20_000_000))
            with memory_peak() as peak:
                await read_raw(peer, 20_000_000)
                assert peak() < 1_000_000

    run(main())


def test_messages_of_many_pieces_keep_their_order(stage):
    """Pieces of any size, empty ones too, between other messages, as one message each."""
    chance = random.Random(5)

    async def main():
        with stage:
            await stage.open()
            sent = []
            for _ in range(30):
                sizes = [chance.choice((0, 1, 50, 300_000)) for _ in range(chance.randint(1, 100))]
                pieces = [memoryview(chance.randbytes(size)) for size in sizes]
                lengths = chance.choice((b"", b"lens"))
                stage.carrier.send_long(b"long", pieces, lengths)
                stage.carrier.send(b"short")
                sent += ([b"long", b"".join(pieces), lengths], [b"short"])
            for message in sent:
                assert (await stage.hear())[1] == [frame for frame in message if frame]

    run(main())


def test_a_replica_that_reads_a_long_message_shows_life(stage):
    """Its answer to a heartbeat waits behind that; one that stops reading shows none."""

    async def main():
        with stage:
            peer = await stage.open()
            stage.carrier.send_long(b"h", (bytes(30_000_000),), b"")
            await asyncio.sleep(0.02)
            stage.carrier.has_moved()
            stage.carrier._life = None
            await asyncio.sleep(0.02)
            assert not stage.carrier.has_moved()
            await stage.hear()
            assert stage.carrier.has_moved()
            sending = asyncio.to_thread(stage.listener.send, peer, (b"r", bytes(3_000_000)))
            assert await sending
            assert stage.carrier.has_moved()

    run(main())


def test_a_message_reaches_whoever_closes_while_it_is_told(stage):
    """The owner of a connection may close it for what a message says; no other follows."""

    async def main():
        with stage:
            come = stage.come

            def on_frames(frames):
                come.append(frames)
                stage.carrier.close()

            stage.carrier._on_frames = on_frames
            peer = await stage.open()
            stage.listener.send(peer, (b"one",))
            stage.listener.send(peer, (b"two",))
            await until(lambda: come)
            await asyncio.sleep(0.01)
            assert come == [[b"one"]]

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


async def hear(listener):
    """Return the next message and who sent it, without keeping the loop from sending it."""
    while (message := listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)
    return message


def test_long_messages_over_zeromq(folder):
    """Pieces are joined a turn's share at a time; a long answer that was announced is a view."""

    async def main():
        with zmq.Context() as context:
            come = []
            listener = ZmqListener(f"ipc://{folder}/r.sock", None)
            carrier = ZmqCarrier(f"ipc://{folder}/r.sock", context, come.append, None)
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


@contextmanager
def zeromq(folder):
    """Yield a listener, a carrier that is open, and what has come to it."""
    address = f"ipc://{folder}/r.sock"
    with zmq.Context() as context:
        come = []
        listener = ZmqListener(address, None)
        carrier = ZmqCarrier(address, context, come.append, None)
        carrier.open()
        try:
            yield listener, carrier, come
        finally:
            carrier.close()
            listener.close()


def test_each_frame_arrives_over_zeromq(folder):
    """Of short messages, and of long ones in as few pieces as two."""

    async def main():
        with zeromq(folder) as (listener, carrier, _come):
            messages = [(b"h",), (b"h", b"data"), (b"h", b"data", b"lengths")]
            for message in messages:
                carrier.send(*message)
            carrier.send_long(b"h", (b"one ", b"piece"), b"lengths")
            for message in [*messages, (b"h", b"one piece", b"lengths")]:
                assert (await hear(listener))[1] == list(message)

    run(main())


@pytest.mark.parametrize("begin", ["send_long", "expect"])
def test_a_long_message_over_zeromq_is_a_sign_of_life_by_itself(folder, begin):
    """One that goes and one that is announced; what comes after it is taken as ever."""

    async def main():
        with zeromq(folder) as (listener, carrier, come):
            assert not carrier.has_moved()
            if begin == "expect":
                carrier.expect(5_000_000)
            else:
                carrier.send_long(b"h", (bytes(5_000_000),), b"")
            assert carrier.has_moved()
            carrier.send(b"hello")
            peer, _ = await hear(listener)
            listener.send(peer, (b"r", bytes(5_000_000)))
            listener.send(peer, (b"r", b"short"))
            await until(lambda: len(come) == 2)
            assert come[1] == [b"r", b"short"]

    run(main())


def test_messages_are_sent_together_and_in_order(stage):
    """Short ones in one call of the system, long ones between them as ever."""

    async def main():
        with stage:
            peer = await stage.open()
            messages = [(b"a%d" % n, bytes([n]) * size) for n, size in enumerate((1, 400_000, 3))]
            # Beside the loop, which reads what the socket has no room for.
            assert await asyncio.to_thread(stage.listener.send_all, peer, messages)
            assert stage.listener.send_all(peer, [(b"b",), (b"c", b"1")])
            await until(lambda: len(stage.come) == 5)
            joined = [[b"".join(f) if isinstance(f, list) else f for f in m] for m in stage.come]
            assert joined == [*map(list, messages), [b"b"], [b"c", b"1"]]
            assert not stage.listener.is_gone(peer)
            stage.carrier.close()
            await stage.until(lambda: stage.listener.is_gone(peer))
            assert not stage.listener.send_all(peer, [(b"late",)])

    run(main())


def test_a_listener_can_be_waited_for_beside_others(stage):
    """Its descriptor is readable while something has come that was not taken."""

    async def main():
        with stage:
            await stage.open()
            poll = select.poll()
            poll.register(stage.listener.descriptor, select.POLLIN)
            while stage.listener.receive(is_waiting=False) is not None:
                pass
            assert not poll.poll(0)
            stage.carrier.send(b"more")
            await until(lambda: poll.poll(0))
            assert (await stage.hear())[1] == [b"more"]

    run(main())
