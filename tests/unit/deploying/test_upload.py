"""An upload that is read by a thread while it arrives."""

import asyncio

import pytest

from servd.deploying.upload import Upload
from servd.errors import BundleError

WAIT_S = 10.0


def upload(chunks, max_bytes=1000):
    """Return an upload of chunks that come from an async generator."""
    return Upload(chunks, max_bytes, lambda: None)


async def coming(*pieces):
    """Yield pieces."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def run(story):
    """Run a story under a time limit."""

    async def limited():
        async with asyncio.timeout(WAIT_S):
            return await story

    return asyncio.run(limited())


@pytest.mark.parametrize("size", [1, 3, 7, 100, -1])
def test_it_reads_as_a_file(size):
    """Whatever the pieces, a read gives what is asked for; fewer bytes only at the end."""

    def read_all(source):
        found = []
        while piece := source.read(size):
            found.append(piece)
        assert all(len(piece) == size for piece in found[:-1])
        return b"".join(found)

    pieces = (b"a", b"bcdef", b"", b"gh", b"i" * 50)
    assert run(upload(coming(b"a", b"bcdef", b"gh", b"i" * 50)).run(read_all)) == b"".join(pieces)


def test_more_than_the_limit_is_refused():
    """However it is cut into pieces."""
    assert len(run(upload(coming(*[b"x" * 100] * 10)).run(lambda source: source.read()))) == 1000
    for pieces in ([b"x" * 1001], [b"x" * 100] * 11):
        with pytest.raises(BundleError, match="more than 1000 bytes"):
            run(upload(coming(*pieces)).run(lambda source: source.read()))


def test_who_refuses_lets_the_client_finish():
    """The rest is read and dropped: its client hears why, and no broken connection."""
    sent = []

    async def chunks():
        for number in range(5):
            sent.append(number)
            yield b"x"

    def refuse(source):
        source.read(1)
        raise BundleError("no")

    with pytest.raises(BundleError, match="no"):
        run(upload(chunks()).run(refuse))
    assert sent == [0, 1, 2, 3, 4]


def test_an_error_of_the_connection_comes_through():
    """What the pieces' source raises, the thread raises."""

    async def chunks():
        yield b"x"
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        run(upload(chunks()).run(lambda source: source.read()))


def test_slow_uploads_keep_no_other_work_waiting():
    """Many that wait for their clients take no thread of what everything else uses."""

    async def story():
        gate = asyncio.Event()

        async def slow():
            await gate.wait()
            yield b"x"

        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(upload(slow()).run(lambda source: source.read()))
                for _ in range(50)
            ]
            assert await asyncio.to_thread(lambda: "done") == "done"
            gate.set()
        return [task.result() for task in waiting]

    assert run(story()) == [b"x"] * 50


def test_a_cancelled_upload_ends_its_thread():
    """Also one that waits for a piece that never comes: what it wrote can be removed then."""
    ended = []

    def work(source):
        try:
            source.read()
        finally:
            ended.append(True)

    async def story():
        async def never():
            yield b"x"
            await asyncio.Event().wait()

        running = asyncio.create_task(upload(never()).run(work))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(story())
    assert ended == [True]
