"""The connecting end of a unix stream, against the real listening end."""

import asyncio
import tempfile
from contextlib import contextmanager
from pathlib import Path

from model_runtime.carriers import StreamListener
from servd.carriers import MAX_UNSENT, StreamCarrier
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
            await until(lambda: come == [[b"r", bytes(5_000_000)]])
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
