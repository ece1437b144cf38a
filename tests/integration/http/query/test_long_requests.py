"""Long bodies, batches of many inputs and long outputs over real connections."""

import asyncio
import gzip
import json
import os
import signal
import socket
import struct
import sys
import time

import psutil
import pytest

from servd.datatypes import InputType
from servd.http.bounds import LONG_BODY_BYTES
from servd.http.query import long_bodies
from servd.http.query.long_request import TURN_ROWS
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until

COUNT = 150_000
NUMBERS = [0.5] * COUNT
LONG = json.dumps({"input": NUMBERS}).encode()
SUM = COUNT * 0.5


def with_app(check, *, deploy=None, settings=None, **script):
    """Run `check(served, replica)` on a server with one application and one live replica."""

    async def main():
        with ScriptedReplica(**script) as replica:
            async with serving(**(settings or {})) as served:
                await served.attach(replica, served.deploy(**(deploy or {})))
                await check(served, replica)
                await until(lambda: not served.server.reader.held.held)

    run(main())


def size(row):
    """Return the length of a row, as a model of texts may."""
    return b"%d" % len(row)


def test_a_long_body_is_answered():
    """Plain, packed and in chunks; what is pipelined behind it is answered after it."""

    async def check(served, replica):
        client = await served.client()
        packed = gzip.compress(LONG, 1)
        chunked = b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(post("/app/predict", LONG) + post("/app/predict", {"input": [1]}))
        client.send(post("/app/predict", LONG, "Content-Encoding: gzip").replace(LONG, packed))
        outputs = [(await client.answer()).json["output"] for _ in range(2)]
        assert outputs == [SUM, 1]
        await client.close()
        client = await served.client()
        client.send(
            chunked
            + b"%x\r\n%b\r\n" % (70_000, LONG[:70_000])
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG) - 70_000, LONG[70_000:])
        )
        client.send(post("/app/predict", packed, "Content-Encoding: gzip"))
        answers = [(await client.answer()).json for _ in range(2)]
        assert [answer["output"] for answer in answers] == [SUM, SUM]
        assert [answer["query_id"] for answer in answers] == [2, 3]
        assert len(replica.batches[-1][0]) == 8 * COUNT

    with_app(check, settings={"max_ratio": 10**6})


def test_long_inputs_of_a_batch():
    """Each gets its own output; a version can be asked for; an empty batch is none."""

    async def check(served, _replica):
        for factor in (1, 30):
            texts = ["x" * 100_000 * factor, "", "é" * 70_000]
            _, answer = await served.predict({"input_batch": texts, "version": "1"})
            outputs = [each["output"] for each in answer["batch_predictions"]]
            assert outputs == [100_000 * factor, 0, 140_000]
        used = served.engine.cache.used_bytes
        assert 100_000 < used < 500_000
        padding = " " * LONG_BODY_BYTES
        assert await served.predict(b'{"input_batch":[]%b}' % padding.encode()) == (
            200,
            {"batch_predictions": []},
        )
        status, answer = await served.predict({"input": "x" * LONG_BODY_BYTES, "version": "9"})
        assert status == 400
        assert "Requested version: 9 does not exist" in answer["cause"]

    with_app(check, answer=size, deploy={"input_type": InputType.STRINGS})


def test_a_long_body_that_is_wrong_is_refused_and_the_connection_goes_on():
    """With the words of a short one."""

    async def check(served, _replica):
        client = await served.client()
        client.send(post("/app/predict", LONG[:-2]))
        client.send(post("/app/predict", b'{"input":["x"%b]}' % (b",1" * COUNT)))
        client.send(post("/app/predict", NUMBERS))
        client.send(post("/app/predict", b"  [1%b" % (b",1" * COUNT)))
        client.send(post("/app/predict", {"input": [1]}))
        answers = [await client.answer() for _ in range(5)]
        assert [answer.status for answer in answers] == [400, 400, 400, 400, 200]
        assert "type String is not of type double" in answers[1].json["cause"]
        assert answers[2].json["cause"].startswith("JSON schema invalid (the body is Array. Send")
        assert answers[3].json["cause"].startswith("Error parsing JSON: ")

    with_app(check)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"uid": 0, "input": NUMBERS, "label": 1.0}, 200, "Feedback received? 1"),
        ({"uid": 0, "input": NUMBERS}, 400, "missing required field `label`"),
        ({"uid": 0, "input": ["x"] * COUNT, "label": 1.0}, 400, "type String"),
    ],
)
def test_long_feedback(body, status, said):
    """It is looked at as short feedback is."""

    async def check(served, _replica):
        answer = await served.post("/app/update", body)
        assert answer.status == status
        assert said in answer.body.decode()

    with_app(check)


def test_a_long_body_for_nobody():
    """An unknown application and a wrong method are told without reading it."""

    async def check(served, _replica):
        assert (await served.post("/nobody/predict", LONG)).status == 404
        put = post("/app/predict", LONG).replace(b"POST", b"PUT")
        assert (await served.send(put)).status == 405
        assert served.server.reader.quick._process is None

    with_app(check)


def test_a_caller_that_hangs_up_frees_what_its_body_takes():
    """While it comes, while it is read, while it waits to be read, and while it is computed."""

    async def check(served, replica):
        held = served.server.reader.held
        for wait_for in (lambda: held.held, lambda: served.server.reader.quick._current):
            client = await served.client()
            client.send(post("/app/predict", LONG) if wait_for() is None else LONG_HEAD)
            await until(wait_for)
            await client.close()
            await until(lambda: not held.held)
        replica.is_holding = True
        client = await served.client()
        client.send(post("/app/predict", LONG))
        await until(lambda: replica.batches)
        await client.close()
        replica.release()
        await until(lambda: not held.held)

    with_app(check)


LONG_HEAD = post("/app/predict", LONG)[:-1]


def test_bodies_in_memory_are_bounded(monkeypatch):
    """Beyond that a long body is refused with 503, and short ones are not touched."""
    monkeypatch.setattr(long_bodies, "BODIES_HELD", 1)

    async def check(served, _replica):
        first, second = await served.client(), await served.client()
        first.send(LONG_HEAD)
        await until(lambda: served.server.reader.held.held == len(LONG) - 1)
        second.send(LONG_HEAD)
        answer = await second.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "too many long bodies" in answer.json["cause"]
        packed = gzip.compress(os.urandom(LONG_BODY_BYTES))
        refused = await served.post("/app/predict", packed, "Content-Encoding: gzip")
        assert refused.status == 503
        assert (await served.predict({"input": [1]}))[0] == 200
        first.send(LONG[-1:])
        assert (await first.answer()).json["output"] == SUM

    with_app(check, settings={"max_body_bytes": len(LONG)})


def test_the_objective_runs_while_a_body_is_read(monkeypatch):
    """A reader that hangs costs the default at the deadline; it is ended and replaced."""
    # Not soon behind the deadline: where the loop stands still, what is due first runs late too.
    monkeypatch.setattr(long_bodies, "READ_TIMEOUT_S", 5.0)

    async def read(served):
        """Have a body read; forking a reader may take a machine longer than the objective."""
        while (await served.predict(LONG))[1]["output"] != SUM:
            pass

    async def check(served, _replica):
        await read(served)
        reader = served.server.reader.quick._process
        os.kill(reader.pid, signal.SIGSTOP)
        status, answer = await served.predict(LONG)
        assert (status, answer["default"], answer["output"]) == (200, True, -1)
        assert "latency SLO" in answer["default_explanation"]
        assert (await served.predict({"input": [2]}))[1]["output"] == 2
        await until(lambda: served.server.reader.quick._process is not reader)
        await read(served)

    with_app(check, deploy={"slo_ms": 1500})


def test_a_reader_that_dies_is_told_as_that(caplog):
    """The request gets a 500 that does not blame the model, and the next one is read."""

    async def check(served, _replica):
        assert (await served.predict(LONG))[1]["output"] == SUM
        reader = served.server.reader.quick._process
        os.kill(reader.pid, signal.SIGSTOP)
        answer = asyncio.create_task(served.predict(LONG))
        await until(lambda: served.server.reader.quick._current)
        os.kill(reader.pid, signal.SIGKILL)
        status, told = await answer
        assert (status, told["error"]) == (500, "Internal error")
        assert "could not be read" in told["cause"]
        assert (await served.predict(LONG))[1]["output"] == SUM

    with_app(check)
    assert "the reader of long bodies ended" in caplog.text


SLOW_START_S = 1.2
SHORT_OF_IT_MS = 900


@pytest.fixture
def slow_python(tmp_path, monkeypatch):
    """Let every Python that is started from now on begin a while later."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nsleep {SLOW_START_S}\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


@pytest.mark.usefixtures("slow_python")
def test_the_first_long_bodies_do_not_wait_for_a_start():
    """The objective has no room for one; it was made before, for both kinds of bodies."""

    async def check(served, _replica):
        await until(lambda: served.server.reader.nursery.is_ready)
        packed = gzip.compress(LONG)
        for body, lines in ((LONG, []), (packed, ["Content-Encoding: gzip"])):
            answer = await served.post("/app/predict", body, *lines)
            assert answer.json["output"] == SUM

    with_app(check, deploy={"slo_ms": SHORT_OF_IT_MS}, settings=WARM)


WARM = {"is_lazy": False, "max_ratio": 10**6}


@pytest.mark.usefixtures("slow_python")
def test_after_a_reader_that_died_none_waits_for_a_start():
    """The next one is forked as the first one was."""

    async def check(served, _replica):
        reader = served.server.reader
        await until(lambda: reader.nursery.is_ready)
        for _ in range(3):
            assert (await served.predict(LONG))[1]["output"] == SUM
            os.kill(reader.quick._process.pid, signal.SIGKILL)
            await until(lambda: reader.quick._process is None)

    with_app(check, deploy={"slo_ms": SHORT_OF_IT_MS}, settings=WARM)


@pytest.mark.parametrize("is_broken", [True, False])
def test_a_body_that_is_known_to_be_broken_after_the_deadline(is_broken):
    """It is told as that; one that is known to be JSON by then gets the default at once."""

    async def check(served, replica):
        await until(lambda: served.server.reader.nursery.is_ready)
        assert (await served.predict(LONG))[1]["output"] == SUM
        reader = served.server.reader.quick
        os.kill(reader._process.pid, signal.SIGSTOP)
        answer = asyncio.create_task(served.predict(LONG[:-2] if is_broken else LONG))
        await until(lambda: reader._current and reader._current.when_known)
        assert not answer.done()
        os.kill(reader._process.pid, signal.SIGCONT)
        status, told = await answer
        if is_broken:
            assert (status, told["error"]) == (400, "Json error")
        else:
            assert (status, told["output"], told["default"]) == (200, -1, True)
        assert len(replica.batches) == 1

    with_app(check, deploy={"slo_ms": 700}, settings=WARM)


def test_a_body_that_nobody_waits_for_holds_no_other_up():
    """Its reader is ended when its caller hangs up; the next one has a new one."""

    async def check(served, _replica):
        reader = served.server.reader.quick
        for _ in range(2):
            assert (await served.predict(LONG))[1]["output"] == SUM
        first = reader._process
        os.kill(first.pid, signal.SIGSTOP)
        client = await served.client()
        client.send(post("/app/predict", LONG))
        await until(lambda: reader._current)
        waiting = asyncio.create_task(served.predict(LONG))
        await until(lambda: reader._waiting)
        sock = client.writer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        assert (await waiting)[1]["output"] == SUM
        assert reader._process.pid != first.pid
        await until(lambda: not psutil.pid_exists(first.pid))

    with_app(check)


def test_a_reader_without_work_ends(monkeypatch, caplog):
    """It gives its memory back, without a word; the next body has a new one."""
    monkeypatch.setattr(long_bodies, "IDLE_S", 0.05)

    async def check(served, _replica):
        for _ in range(2):
            assert (await served.predict(LONG))[1]["output"] == SUM
            await until(lambda: served.server.reader.quick._process is None)

    with_app(check)
    assert not caplog.records


def test_what_readers_are_forked_from_is_replaced(caplog):
    """Its end costs no body anything; that of a reader which it forked is not waited for."""

    async def check(served, _replica):
        reader = served.server.reader
        await until(lambda: reader.nursery.is_ready)
        first = reader.nursery._process
        assert os.getpgid(first.pid) == first.pid
        assert (await served.predict(LONG))[1]["output"] == SUM
        first.kill()
        await until(lambda: reader.nursery._process is not first)
        assert (await served.predict(LONG))[1]["output"] == SUM
        os.kill(reader.quick._process.pid, signal.SIGKILL)
        await until(lambda: reader.quick._process is None)
        reader.nursery._process.kill()
        assert (await served.predict(LONG))[1]["output"] == SUM

    with_app(check, settings=WARM)
    assert "forked from ended" in caplog.text


def test_no_process_is_left():
    """The readers end with the server, also one that hangs, and ended ones are waited for."""

    async def check(served, _replica):
        reader = served.server.reader
        before = psutil.Process().children(recursive=True)
        for _ in range(3):
            assert (await served.predict(LONG))[1]["output"] == SUM
            os.kill(reader.quick._process.pid, signal.SIGKILL)
            await until(lambda: reader.quick._process is None)
        assert (await served.predict(LONG))[1]["output"] == SUM
        await until(lambda: len(psutil.Process().children(recursive=True)) == len(before) + 2)
        processes.extend(psutil.Process().children(recursive=True)[len(before) :])
        os.kill(reader.quick._process.pid, signal.SIGSTOP)

    processes = []
    with_app(check)
    assert processes
    psutil.wait_procs(processes, timeout=5)
    assert not any(process.is_running() for process in processes)


@pytest.mark.parametrize("is_lazy", [True, False])
def test_no_room_for_a_reader(monkeypatch, caplog, is_lazy):
    """Where no process can be started, all else is served, and a long body asked to come later."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def check(served, _replica):
        assert ("can be started" in caplog.text) == (not is_lazy)
        status, answer = await served.predict(LONG)
        assert (status, answer["error"]) == (503, "Internal error")
        assert "No such file" in answer["cause"]
        assert (await served.predict({"input": [1]}))[1]["output"] == 1
        monkeypatch.undo()
        assert (await served.predict(LONG))[1]["output"] == SUM

    with_app(check, settings={"is_lazy": is_lazy})


class Turns:
    """The most processor time that this thread took between two turns of the loop."""

    def __init__(self):
        self.worst_s = 0.0
        self._before_s = time.thread_time()

    def look(self):
        """Look once a millisecond, or as soon as the loop comes to it."""
        now_s = time.thread_time()
        self.worst_s = max(self.worst_s, now_s - self._before_s)
        self._before_s = now_s
        asyncio.get_running_loop().call_later(0.001, self.look)


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_a_long_body_in_tiny_pieces_holds_nobody_up(piece):
    """Each costs little, and what is held of them is counted as it comes."""
    body = b'{"input":[1%b]}' % (b" " * 300_000)
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces)
    head = b"POST /app/predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def check(served, _replica):
        turns = Turns()
        client = await served.client()
        turns.look()
        client.send(head + chunks)
        held = served.server.reader.held
        await until(lambda: held.held == len(body))
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).json["output"] == 1
        assert turns.worst_s < 0.05

    with_app(check)


def test_a_batch_of_many_inputs_is_submitted_in_turns():
    """Each is answered in its place, however many turns that takes."""

    async def check(served, _replica):
        rows = [[number % 7, 0.5] for number in range(TURN_ROWS * 5 + 3)]
        _, answer = await served.predict({"input_batch": rows})
        answers = answer["batch_predictions"]
        assert [each["output"] for each in answers] == [sum(row) for row in rows]
        assert [each["query_id"] for each in answers] == list(range(len(rows)))

    with_app(check)


def test_a_batch_of_too_many_inputs_is_refused():
    """Short body or long: at once, and with the setting that allows more."""

    async def check(served, replica):
        for count in (301, 100_000):
            status, answer = await served.predict({"input_batch": [[1]] * count})
            assert status == 413
            assert "--max-rows" in answer["cause"]
        assert (await served.predict({"input_batch": [[1]] * 300}))[0] == 200
        assert len(replica.batches) == 1

    with_app(check, settings={"max_rows": 300})


@pytest.mark.parametrize("count", [300, 3000])
def test_the_objective_of_a_batch_of_many(count):
    """At the deadline all that have no output get the default, those not yet submitted as well."""

    async def check(served, _replica):
        body = json.dumps({"input_batch": [[n, n] for n in range(count)]}).encode()
        _, answer = await served.predict(body)
        answers = answer["batch_predictions"]
        assert len(answers) == count
        assert all(each["default"] for each in answers)
        assert served.engine.by_name["app"].counters.defaults == count

    with_app(check, is_holding=True, deploy={"slo_ms": 20})


def test_a_caller_of_a_batch_of_many_hangs_up():
    """Nothing more of it is submitted, and what was is freed."""

    async def check(served, _replica):
        with socket.create_connection(("127.0.0.1", served.server.port)) as client:
            client.sendall(post("/app/predict", {"input_batch": [[n] for n in range(12_000)]}))
            waiting = served.engine.by_name["app"].waiting
            await until(lambda: waiting)
            # A FIN might mean that it waits for its answer.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: not served.server.connections)
        assert all(query.is_done for query in waiting)
        await asyncio.sleep(0.05)
        assert all(query.is_done for query in waiting)

    with_app(check, is_holding=True)


def test_a_long_output_is_passed_on():
    """Alone and among others of a batch; it is not kept in the cache."""
    text = b'"%b"' % (b"y" * 3_000_000)

    def answer(row):
        return text if struct.unpack("<d", row)[0] == 1 else b"7"

    async def check(served, _replica):
        for _ in range(3):
            answer = await served.post("/app/predict", {"input": [1]})
            assert answer.json["output"] == json.loads(text)
        for rows in ([[1]], [[1], [2], [1]]):
            answer = await served.post("/app/predict", {"input_batch": rows})
            found = answer.json.get("batch_predictions") or [answer.json]
            assert [len(str(each["output"])) for each in found] == [
                3_000_000 if row == [1] else 1 for row in rows
            ]
        assert served.engine.cache.used_bytes < 10_000
        last = await served.post("/app/predict", {"input": [1]}, "Connection: close")
        assert last.headers["connection"] == "close"
        assert len(last.body) > len(text)

    with_app(check, answer=answer)


def test_a_long_body_whose_replica_dies_goes_to_another():
    """Its row is sent again as it is."""

    async def main():
        async with serving() as served:
            dispatcher = served.deploy()
            with ScriptedReplica(is_holding=True) as first, ScriptedReplica() as second:
                connection = await served.attach(first, dispatcher)
                answer = asyncio.create_task(served.predict(LONG))
                await until(lambda: first.batches)
                await served.attach(second, dispatcher)
                dispatcher.detach(connection)
                assert (await answer)[1]["output"] == SUM
            await until(lambda: not served.server.reader.held.held)

    run(main())
