"""Exceptions that nobody foresaw: each costs its own request a 500, and nobody else anything."""

import asyncio
import logging
import re

import pytest

from servd.engine.cache import VersionCache
from servd.engine.dispatcher import Dispatcher
from servd.engine.query import Miss
from servd.engine.rpc import ReplicaConnection
from servd.http.codecs.base import Codec
from servd.http.codecs.clipper_bodies import DECODE
from servd.http.query import server as server_module
from servd.http.query.connection import QueryConnection
from servd.logs import faults
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until


class OursError(Exception):
    """What nobody foresaw."""


@pytest.fixture(autouse=True)
def written(caplog, monkeypatch):
    """Return a function that gives the faults that were logged since the last call."""
    monkeypatch.setattr(faults, "report", faults.FaultLog().report)
    caplog.set_level(logging.ERROR)

    def take():
        records = [each for each in caplog.records if each.levelno >= logging.ERROR]
        caplog.clear()
        assert all(each.exc_info for each in records)
        return [each.getMessage() for each in records]

    return take


def with_app(check, **script):
    """Run `check(served, replica)` on a server with one application and one live replica."""

    async def main():
        with ScriptedReplica(**script) as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(default="-1"))
                await check(served, replica)

    run(main())


def raising(after=None, error=OursError):
    """Return a function that raises, after another was called."""

    def broken(*given, **named):
        if after is not None:
            after(*given, **named)
        raise error("ours")

    return broken


async def fault_of(client, data, written):
    """Send a request that meets a fault; check the 500 and the one entry in the log."""
    client.send(data)
    answer = await client.answer()
    assert answer.status == 500
    assert answer.json["error"] == "Internal error"
    (entry,) = written()
    assert re.search(rf"\b{answer.json['query_id']}\b", entry)
    return answer


BAD = {"input": [666]}


def test_a_fault_in_reading_a_body(monkeypatch, written):
    """The connection answers the next request; a fault has an id of its own; it is logged once."""
    decode = DECODE["doubles"]

    def broken(body):
        if b"666" in body:
            raise OursError(body)
        return decode(body)

    async def check(served, _replica):
        monkeypatch.setitem(DECODE, "doubles", broken)
        client = await served.client()
        ids = []
        for n in range(3):
            ids.append(
                (await fault_of(client, post("/app/predict", BAD), written)).json["query_id"]
            )
            client.send(post("/app/predict", {"input": [100 + n]}))
            good = (await client.answer()).json
            assert good["output"] == 100 + n
            ids.append(good["query_id"])
        assert ids == list(range(6))

    with_app(check)


def test_a_fault_behind_another_request(monkeypatch, written):
    """What is met while another client's batch is answered costs nobody else an answer."""
    decode = DECODE["doubles"]

    def broken(body):
        if b"666" in body:
            raise OursError(body)
        return decode(body)

    async def check(served, replica):
        monkeypatch.setitem(DECODE, "doubles", broken)
        first, *others = [await served.client() for _ in range(9)]
        first.send(post("/app/predict", {"input": [1]}) + post("/app/predict", BAD) * 3)
        for n, other in enumerate(others):
            other.send(post("/app/predict", {"input": [10 + n]}))
        await until(lambda: len(served.engine.by_name["app"].waiting) == 9)
        replica.release()
        assert [(await first.answer()).status for _ in range(4)] == [200, 500, 500, 500]
        for n, other in enumerate(others):
            assert (await other.answer()).json["output"] == 10 + n
        assert len(written()) == 3
        first.send(post("/app/predict", {"input": [2]}))
        replica.release()
        assert (await first.answer()).json["output"] == 2

    with_app(check, is_holding=True)


@pytest.mark.parametrize("is_queued", [False, True])
@pytest.mark.parametrize("body", [BAD, {"input_batch": [[665], [666]]}])
def test_a_fault_in_queueing(monkeypatch, written, is_queued, body):
    """A query that was queued before its fault never answers what its connection asks next."""

    async def check(served, _replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}))
        assert (await client.answer()).json["output"] == 1
        enqueue = Dispatcher.enqueue

        def broken(self, query):
            if query.row == replica_row(666.0):
                raising(enqueue if is_queued else None)(self, query)
            enqueue(self, query)

        monkeypatch.setattr(Dispatcher, "enqueue", broken)
        await fault_of(client, post("/app/predict", body), written)
        monkeypatch.undo()
        for n in range(5):
            client.send(post("/app/predict", {"input": [n]}))
            assert (await client.answer()).json["output"] == n
        client.send(post("/app/predict", BAD))  # and nobody waits for what was not asked
        assert (await client.answer()).json["output"] == 666

    with_app(check)


def replica_row(*numbers):
    """Return the row of some doubles."""
    return DECODE["doubles"](b'{"input":%b}' % str(list(numbers)).encode())


@pytest.mark.parametrize("method", ["on_output", "respond"])
def test_a_fault_in_answering_one_of_a_batch(monkeypatch, written, method):
    """The others of its batch are answered, as are those that joined its query."""
    original = getattr(QueryConnection, method)
    broken_one = []

    def broken(self, *given, **named):
        if self in broken_one:
            broken_one.remove(self)
            raise OursError("ours")
        return original(self, *given, **named)

    async def check(served, replica):
        clients = []
        for n in range(6):
            clients.append(client := await served.client())
            client.send(post("/app/predict", {"input": [n // 2]}))
            await until(lambda n=n: sum(c.is_busy for c in served.server.connections) == n + 1)
            if n == 2:
                broken_one.extend(
                    c for c in served.server.connections if c._query and c._query_id == 2
                )
        (victim,) = broken_one
        victim._is_plain = False
        monkeypatch.setattr(QueryConnection, method, broken)
        replica.release()
        for n, client in enumerate(clients):
            answer = await client.answer()
            assert answer.status == (500 if n == 2 else 200)
            client.send(post("/app/predict", {"input": [n // 2]}))
            assert (await client.answer()).json["output"] == n // 2
        assert len(written()) == 1

    with_app(check, is_holding=True)


@pytest.mark.parametrize(
    ("part", "method"),
    [
        (VersionCache, "keep"),
        (ReplicaConnection, "send_batch"),
        (Dispatcher, "on_outputs"),
        (Dispatcher, "on_failure"),
    ],
)
@pytest.mark.parametrize("error", [OursError, TypeError])
def test_a_fault_in_carrying_a_batch(monkeypatch, written, part, method, error):
    """Its queries are answered at once; the replica is not blamed and answers the next ones."""

    async def check(served, _replica):
        client = await served.client()
        with monkeypatch.context() as patch:
            patch.setattr(part, method, raising(error=error))
            client.send(post("/app/predict", BAD))
            answer = await client.answer()
        assert answer.status == 500
        assert answer.json["cause"] == Miss.FAULT.value
        (entry,) = written()
        assert "1 query of model:1" in entry
        for body in ({"input": [1]}, {"input": [2]}, {"input_batch": [[3], [4]]}):
            client.send(post("/app/predict", body))
            assert (await client.answer()).status == 200
        assert not written()

    with_app(check, poison=lambda rows: replica_row(666.0) in rows and method == "on_failure")


@pytest.mark.parametrize("path", ["/metrics", "/", "/app/update", "/%61pp/predict"])
def test_a_fault_in_a_slow_route(monkeypatch, written, path):
    """It is answered too, and the connection goes on."""

    async def check(served, _replica):
        client = await served.client()
        with monkeypatch.context() as patch:
            patch.setattr(server_module.QueryServer, "answer_slowly", raising())
            for _ in range(2):
                await fault_of(client, post(path, BAD), written)
        client.send(post("/app/predict", {"input": [1]}))
        assert (await client.answer()).json["output"] == 1

    with_app(check)


def test_a_fault_in_reading_a_head(monkeypatch, written):
    """Nobody knows where the parser is, so the connection ends with the answer."""

    async def check(served, _replica):
        with monkeypatch.context() as patch:
            patch.setattr(QueryConnection, "on_url", raising())
            client = await served.client()
            await until(lambda: served.server.connections)
            answer = await fault_of(client, post("/app/predict", BAD) * 2, written)
        assert answer.headers["connection"] == "close"
        assert await client.is_closed()

    with_app(check)


def test_a_fault_in_answering_a_fault(monkeypatch, written):
    """The connection is dropped, not left open for ever."""

    async def check(served, _replica):
        client = await served.client()
        with monkeypatch.context() as patch:
            patch.setitem(DECODE, "doubles", raising())
            patch.setattr(Codec, "fault", raising())
            client.send(post("/app/predict", BAD))
            assert await client.is_closed()
        assert len(written()) == 2
        assert not served.server.connections

    with_app(check)


def test_a_fault_in_watching_the_connections(monkeypatch, written):
    """The one is dropped; the others go on being watched, every second."""

    async def check(served, _replica):
        good, bad = await served.client(), await served.client()
        await until(lambda: len(served.server.connections) == 2)
        victim = next(iter(served.server.connections))
        original = QueryConnection.note_unsent

        def broken(self):
            return raising()() if self is victim else original(self)

        monkeypatch.setattr(QueryConnection, "note_unsent", broken)
        for _ in range(server_module.IDLE_TIMEOUT_S + 2):
            served.server._timer.cancel()
            served.server._on_second()
            await asyncio.sleep(0)
        assert await good.is_closed()
        assert await bad.is_closed()
        assert len(written()) == 1

    with_app(check)


def test_a_query_that_was_lost_is_found(written):
    """A query whose deadline passed without an answer does not keep its connection for ever."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", BAD))
        await until(lambda: replica.batches)
        (connection,) = served.server.connections
        served.engine.by_name["app"].waiting.clear()
        now_s = served.engine.clock()
        served.server._check(connection, now_s + 24)
        assert connection.is_busy
        served.server._check(connection, now_s + 26)
        assert (await client.answer()).status == 500
        assert "LostQueryError" in written()[0]

    with_app(check, is_holding=True)


def test_the_log_of_faults_is_bounded(caplog):
    """What comes faster than anybody reads is counted, and the count is said later."""
    now_s = [0.0]
    log = faults.FaultLog(lambda: now_s[0])
    for _ in range(1000):
        log.report("x", OursError())
    assert len(caplog.records) == faults.MAX_WRITTEN
    now_s[0] += faults.EVERY_S
    log.report("x", OursError())
    assert f"{1000 - faults.MAX_WRITTEN} faults before it" in caplog.text
