"""Long outputs and inputs on their way: what one turn of the loop does of them."""

import asyncio
import json
import os
import socket
import struct
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvloop
import zmq

from model_runtime.framing import prefix_of_sizes
from servd.carriers.carriers import StreamCarrier
from servd.carriers.long_bytes import TURN_BYTES, LongFrame, Mapping, view_of
from servd.datatypes import Application, InputType
from servd.engine.query import AnswersInTurns, Batch, Lane, Query, answer_all
from servd.engine.route import Route
from servd.http.codecs.base import NO_HEAD
from servd.http.codecs.clipper import CLIPPER
from servd.http.query.answers import BatchAnswer
from servd.http.query.endpoint import Endpoint
from servd.http.query.held_bodies import BytesHeld, LongBody
from servd.http.wire import Heads, Reply
from tests.serving import run, serving, until

PIECE_BYTES = 1 << 22
PIECES = 16
SIZE = PIECES * PIECE_BYTES
SHARE_BYTES = 4 * PIECE_BYTES
"""Of memory is given back in a turn, at most; what is measured is not exact."""


def mapped(count=PIECES):
    """Return views of so many pieces that were written to."""
    views = []
    for _ in range(count):
        piece = Mapping(PIECE_BYTES)
        piece.write(b"y" * PIECE_BYTES)
        views.append(memoryview(piece))
    return views


def resident():
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def most_given_back(down_to):
    """Return how much memory was given back in one turn at most, until all was."""
    most, before = 0, resident()
    while before > down_to:
        await asyncio.sleep(0)
        now = resident()
        most, before = max(most, before - now), now
    return most


@asynccontextmanager
async def answering(pieces):
    """Yield a connection that answers with pieces, as if a model had, and its client's socket."""
    async with serving() as served:
        with socket.create_connection(("127.0.0.1", served.server.port)) as client:
            await until(lambda: served.server.connections)
            (connection,) = served.server.connections
            connection.is_busy = True
            yield connection, client, lambda: connection.respond(Reply(200, pieces))


class Eager:
    """A transport whose client has read what is written before it is written."""

    def __init__(self, transport):
        self._transport = transport
        self.written = 0

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        """Take it, and ask for no pause."""
        self.written += len(data)


def test_a_client_that_reads_as_fast_as_it_can_holds_nobody_up():
    """It gets a long output in turns, though none of its writes has to be waited for."""

    async def main():
        pieces = [bytes(TURN_BYTES)] * PIECES
        async with answering(pieces) as (connection, _client, answer):
            connection.transport = eager = Eager(connection.transport)
            answer()
            most = before = eager.written
            while connection.is_busy:
                await asyncio.sleep(0)
                most, before = max(most, eager.written - before), eager.written
            assert eager.written > PIECES * TURN_BYTES
            assert most <= 2 * TURN_BYTES

    run(main())


def test_an_answer_in_turns_arrives_whole():
    """Whether its client reads fast or slowly, and what was asked behind it is answered after."""

    async def main():
        pieces = [bytes([number]) * (TURN_BYTES + number) for number in range(PIECES)]
        async with answering(pieces) as (connection, client, answer):
            client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
            await until(lambda: connection.has_more)
            answer()
            loop, text = asyncio.get_running_loop(), b""
            client.setblocking(False)
            while b"404 Not Found" not in text:
                text += await loop.sock_recv(client, 1 << 20)
            assert text.split(b"\r\n\r\n")[1].startswith(b"".join(pieces) + b"HTTP/1.1 404")

    run(main())


def test_pieces_that_die_together_are_given_back_in_turns():
    """Their memory goes back to the system, a share in each turn of the loop."""

    async def main():
        before = resident()
        views = mapped()
        assert resident() - before > SIZE * 0.9
        views.clear()
        assert resident() - before > SIZE * 0.5
        assert await most_given_back(before + SIZE // 8) < SHARE_BYTES

    run(main())


def test_what_a_loop_had_no_turn_for_is_given_back_in_the_next():
    """A piece that was let go of right before the end of a loop is not kept for ever."""

    async def let_go():
        mapped().clear()

    before = resident()
    loop = uvloop.new_event_loop()
    loop.run_until_complete(let_go())
    loop.close()
    assert resident() - before > SIZE // 2

    async def main():
        mapped(1).clear()
        assert await most_given_back(before + SIZE // 8) < SHARE_BYTES

    run(main())


def test_a_piece_that_dies_where_no_loop_runs_is_given_back_at_once():
    """Nobody is held up by that."""
    before = resident()
    mapped().clear()
    assert resident() - before < SIZE // 8


def test_a_client_that_hangs_up_amid_a_long_output_holds_nobody_up():
    """What it was still to get is given back in turns."""

    async def main():
        before = resident()
        pieces = mapped()
        async with answering(pieces) as (connection, client, answer):
            answer()
            pieces.clear()
            assert connection.is_busy
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            assert await most_given_back(before + SIZE // 4) < SHARE_BYTES
            assert connection.transport is None

    run(main())


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_long_message_that_is_of_no_use_holds_nobody_up(tmp_path, is_whole):
    """Its replica has ended amid it, or all who asked have given up: given back in turns."""

    async def main():
        path = str(tmp_path / "r.sock")
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(path)
            door.listen()
            arrived = []
            carrier = StreamCarrier(path, lambda frames: arrived.append(len(frames)))
            carrier.open()
            replica, _ = door.accept()
            before = resident()
            replica.setblocking(False)
            await loop.sock_sendall(replica, prefix_of_sizes(1, SIZE, 0) + b"h")
            piece = bytes(PIECE_BYTES)
            for _ in range(PIECES - 1):
                await loop.sock_sendall(replica, piece)
            await until(lambda: resident() - before > SIZE * 0.8)
            if is_whole:
                await loop.sock_sendall(replica, piece)
            else:
                replica.close()
            assert await most_given_back(before + SIZE // 4) < SHARE_BYTES
            assert arrived == ([2] if is_whole else [])
            carrier.close()
            replica.close()

    run(main())


class Watcher:
    """A sink of queries that knows how many bytes of outputs it was given in each turn."""

    def __init__(self):
        self.given = 0

    def on_output(self, query, output):
        """Count them."""
        assert query.is_done
        self.given += len(output)

    async def most_in_a_turn(self, size):
        """Return the most of a turn, until it has so many bytes."""
        most = before = self.given
        while self.given < size:
            await asyncio.sleep(0)
            most, before = max(most, self.given - before), self.given
        return most


OUTPUT = b'"%b"' % (b"7" * (TURN_BYTES // 4 - 2))
COUNT = 64


def queries_of(sink, count=COUNT):
    """Return queries of one lane."""
    lane = Lane(1.0)
    lane.waiting.extend(Query(lane, b"%d" % n, sink, n, 0.0) for n in range(count))
    return list(lane.waiting)


@pytest.mark.parametrize("is_counted", [True, False])
def test_outputs_that_are_long_together_are_given_in_turns(is_counted):
    """No query waits for all of its batch; each is counted once, and those answered are not."""

    async def main():
        sink, faults = Watcher(), []
        queries = queries_of(sink)
        lane = queries[0].lane
        queries[-1].is_done = True
        batch = Batch(queries, 0.0)
        batch.is_plain = False
        AnswersInTurns(
            batch,
            [OUTPUT] * COUNT,
            1.0,
            is_counted=is_counted,
            on_fault=lambda *fault: faults.append(fault),
        ).go_on()
        assert await sink.most_in_a_turn((COUNT - 1) * len(OUTPUT)) <= TURN_BYTES
        await until(lambda: not lane.waiting)
        assert lane.counters.queries == COUNT - 1
        assert not faults

    run(main())


def test_many_that_wait_for_one_output_get_it_in_turns():
    """Each is written a copy of it."""

    async def main():
        sink = Watcher()
        first, *others = queries_of(sink)
        first.followers = others
        others[5].is_done = True
        answer_all([first], [OUTPUT], 1.0, is_counted=False)
        size = (COUNT - 1) * len(OUTPUT)
        assert await sink.most_in_a_turn(size) <= TURN_BYTES + len(OUTPUT)
        assert sink.given == size
        assert all(query.is_done for query in others)

    run(main())


def test_the_outputs_of_a_batch_are_not_copied_where_they_are_long():
    """The answer to an input_batch has them as they are, however often one is in it."""
    told = []
    connection = SimpleNamespace(respond=told.append)
    endpoint = Endpoint(
        Route(Application(name="app", input_type=InputType.DOUBLES, slo_us=1), None),
        CLIPPER,
        NO_HEAD,
        Heads(),
    )
    sink = BatchAnswer(connection, endpoint, 7, COUNT)
    for query in queries_of(sink):
        sink.on_output(query, OUTPUT if query.index else b"1")
    (reply,) = told
    assert reply.status == 200
    assert sum(piece is OUTPUT for piece in reply.body) == COUNT - 1
    answers = json.loads(b"".join(reply.body))["batch_predictions"]
    assert [each["query_id"] for each in answers] == list(range(7, 7 + COUNT))


def test_a_frame_of_zeromq_is_given_back_by_a_thread():
    """In one piece, as it came, but not by the loop; what is short is not worth a thread."""

    async def main():
        with zmq.Context() as context, context.socket(zmq.PAIR) as one:
            one.linger = 0
            with context.socket(zmq.PAIR) as other:
                other.bind("tcp://127.0.0.1:*")
                one.connect(other.last_endpoint.decode())
                for size in (SIZE, 1 << 20):
                    one.send(bytes(size), copy=False)
                    view = view_of(other.recv(copy=False))
                    assert isinstance(view.obj, LongFrame) == (size == SIZE)
                    assert len(view) == size
                    began_s, before = time.thread_time(), resident()
                    view = view[1:]
                    view.release()
                    del view
                    let_go_s = time.thread_time() - began_s
                    assert let_go_s < 0.002
                    if size == SIZE:
                        await until(lambda before=before: before - resident() > SIZE * 0.8)

    run(main())


def test_a_long_body_is_given_back_by_a_thread():
    """It lies in one file, and whoever closes that last gives all of its memory back."""

    async def main():
        held = BytesHeld(SIZE)
        body = LongBody(held)
        body.write(bytes(SIZE))
        file = Path(f"/proc/self/fd/{body.descriptor}")
        began_s = time.thread_time()
        body.close()
        assert time.thread_time() - began_s < 0.002
        assert not held.held
        await until(lambda: not file.exists())

    run(main())


def test_a_body_whose_client_hangs_up_amid_it_is_let_go_of():
    """At once, and not when garbage is collected: others' bodies may need the room."""

    async def main():
        async with serving() as served:
            held = served.server.reader.held
            served.deploy()
            client = socket.create_connection(("127.0.0.1", served.server.port))
            client.setblocking(False)
            head = b"POST /app/predict HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(client, head + bytes(2_000_000))
            await until(lambda: held.held == 2_000_000)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            await until(lambda: not served.server.connections)
            assert not held.held

    run(main())
