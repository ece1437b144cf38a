"""Streams of events: a real replica that yields, the engine and the query server, real sockets."""

import asyncio
import json
import socket
import struct

import pytest

from servd.datatypes import End, InputType, VersionId
from servd.http.query.long_request import TURN_ROWS
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until
from tests.streaming import EVENTS, Listening, asked, hear, listen, noted, streaming, yielding

ASYNC = {"object": "answer"}
SCHEMES = ["unix", "ipc", "tls"]
KINDS = [{}, ASYNC]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])
def test_items_come_as_events_in_order_and_then_the_end(scheme, kind):
    """Plain and asynchronous generators, over each carrier."""

    async def main():
        async with streaming(scheme, manifest=kind) as served:
            heard = await hear(served, {"count": 1000})
            assert heard.items == [*range(1000)]
            assert heard.end == {"query_id": 0, "items": 1000}
            assert "Content-Type: text/event-stream\r\n" in heard.head
            assert heard.error is None
            assert (await hear(served, {"count": 0})).end == {"query_id": 1, "items": 0}

    run(main())


def test_the_query_string_asks_for_events_too():
    """`?stream=1` stands for the Accept header."""

    async def main():
        async with streaming() as served:
            client = await served.client()
            client.send(asked({}, "Accept: */*", path="/app/predict?stream=1"))
            listening = Listening(client)
            assert (await listening.go_on(await listening.begin())).items == [0, 1, 2]

    run(main())


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])
def test_without_asking_for_events_items_are_a_list(kind):
    """One input, several, and texts that look like JSON stay texts."""

    async def main():
        async with streaming(manifest=kind) as served:
            assert (await served.predict({"input": {"count": 2}}))[1]["output"] == [0, 1]
            status, body = await served.predict({"input_batch": [{"count": 1}, {"count": 0}]})
            outputs = [each["output"] for each in body["batch_predictions"]]
            assert (status, outputs) == (200, [[0], []])
            told = {"count": 2, "item": '"6'}
            assert (await served.predict({"input": told}))[1]["output"] == ['"6', '"6']
            assert (await hear(served, told)).items == ['"6', '"6']
            named = {"input": {"count": 1}, "version": "1"}
            assert (await served.predict(named))[1]["output"] == [0]
            assert (await served.predict(named | {"version": "9"}))[0] == 400

    run(main())


def test_a_method_that_yields_is_streamed():
    """A class's method is called for each input, too."""

    async def main():
        async with streaming(manifest={"kind": "class", "object": "Model"}) as served:
            assert (await hear(served, {})).items == ["one", "2"]

    run(main())


def test_several_inputs_cannot_be_one_stream():
    """They are refused with what to do; a batch of one is that one."""

    async def main():
        async with streaming() as served:
            answer = await served.post("/app/predict", {"input_batch": [{}, {}]}, EVENTS)
            assert answer.status == 400
            assert "one input" in answer.json["cause"]
            client = await served.client()
            client.send(post("/app/predict", {"input_batch": [{}]}, EVENTS))
            listening = Listening(client)
            assert (await listening.go_on(await listening.begin())).items == [0, 1, 2]

    run(main())


def test_a_model_that_does_not_yield_answers_as_ever():
    """Whoever asks for events gets the one JSON answer."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy())
                answer = await served.post("/app/predict", {"input": [1.0, 2.0]}, EVENTS)
                assert answer.json["output"] == 3.0
                assert answer.headers["content-type"] == "application/json"
                both = await served.post("/app/predict", {"input_batch": [[1.0], [2.0]]}, EVENTS)
                assert len(both.json["batch_predictions"]) == 2

    run(main())


def test_the_connection_goes_on_after_a_stream():
    """What is pipelined behind it waits for its end, and is answered then."""

    async def main():
        async with streaming() as served:
            client = await served.client()
            client.send(asked({"count": 40}) + asked({"count": 2}) + post("/app/predict", {}))
            for count in (40, 2):
                listening = Listening(client)
                heard = await listening.go_on(await listening.begin())
                assert heard.items == [*range(count)]
                assert heard.end["items"] == count
            assert (await client.answer()).status == 422

    run(main())


def test_an_old_client_reads_to_the_end_of_the_connection():
    """HTTP/1.0 knows no chunks."""

    async def main():
        async with streaming() as served:
            client = await served.client()
            client.send(asked({"count": 3}).replace(b"HTTP/1.1", b"HTTP/1.0"))
            listening = Listening(client)
            heard = await listening.go_on(await listening.begin())
            assert heard.items == [0, 1, 2]
            assert heard.end["items"] == 3
            assert "chunked" not in heard.head

    run(main())


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])
def test_one_that_raises_half_way_says_so_and_ends(kind):
    """An error event, then the end; as a list it is an error; the replica goes on."""

    async def main():
        async with streaming(manifest=kind, show_errors=True) as served:
            told = {"count": 5, "raises_at": 2}
            heard = await hear(served, told)
            assert heard.items == [0, 1]
            assert "raised" in heard.error["cause"]
            assert heard.error["query_id"] == heard.end["query_id"] == 0
            status, body = await served.predict({"input": told})
            assert (status, body["error"]) == (500, "Query processing error")
            assert (await hear(served, {"count": 1})).items == [0]

    run(main())


def test_an_item_that_json_cannot_say_breaks_it_off():
    """The caller reads what it was: that is no secret."""

    async def main():
        async with streaming() as served:
            heard = await hear(served, {"count": 3, "odd_at": 1})
            assert heard.items == [0]
            assert "type object" in heard.error["cause"]

    run(main())


def test_one_that_raises_at_once_is_an_error():
    """Nothing has been said yet, so the status says it; a default output is the one event."""

    async def main():
        async with streaming() as served:
            answer = await served.post("/app/predict", {"input": {"raises_at": 0}}, EVENTS)
            assert answer.status == 500
        async with streaming(default="[]") as served:
            heard = await hear(served, {"raises_at": 0})
            assert heard.items == [[]]
            assert heard.end["default"] is True
            assert "raised" in heard.end["default_explanation"]

    run(main())


@pytest.mark.parametrize("told", [{"spins_at": 0}, {"waits_at": 0}], ids=["spins", "waits"])
def test_the_objective_is_for_the_first_item(told, tmp_path):
    """One whose first item does not come in time is answered 504, and stopped."""

    async def main():
        log = tmp_path / "log"
        kind = ASYNC if "waits_at" in told else {}
        async with streaming(manifest=kind, slo_ms=150) as served:
            answer = await served.post("/app/predict", {"input": told | {"log": str(log)}}, EVENTS)
            assert answer.status == 504
            await noted(log, "CancelledError" if kind else "Stopped")
            # Items after the first may take longer than the objective.
            assert (await hear(served, {"count": 3, "pause_s": 0.1})).items == [0, 1, 2]

    run(main())


@pytest.mark.parametrize(
    ("kind", "told", "how"),
    [
        ({}, {"pause_s": 0.01}, "GeneratorExit"),
        ({}, {"spins_at": 2}, "Stopped"),
        (ASYNC, {"pause_s": 0.01}, "CancelledError"),
        (ASYNC, {"waits_at": 2}, "CancelledError"),
    ],
    ids=["plain", "spinning", "async", "waiting"],
)
def test_a_caller_that_hangs_up_stops_the_generator(kind, told, how, tmp_path):
    """At its yield, in the middle of an item, or where it waits."""

    async def main():
        log = tmp_path / "log"
        async with streaming(manifest=kind) as served:
            told_all = {"count": 100_000, "log": str(log)} | told
            client, listening, heard = await listen(served, told_all)
            await listening.go_on(heard, 2)
            await client.close()
            while not {how, "GeneratorExit", "Stopped"} & {*log.read_text().split()}:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.005)
            (connection,) = served._connections
            await until(lambda: not connection.streams)
            assert (await hear(served, {"count": 1})).items == [0]

    run(main())


def test_a_caller_that_hangs_up_stops_what_is_collected_for_it(tmp_path):
    """One input and several, by a reset: of a plain end nobody can see that they do not wait."""

    async def main():
        async with streaming() as served:
            (connection,) = served._connections
            for name in ("input", "input_batch"):
                log = tmp_path / name
                told = {"count": 10**6, "pause_s": 0.01, "log": str(log)}
                client = await served.client()
                client.send(post("/app/predict", {name: told if name == "input" else [told] * 2}))
                await noted(log, "3")
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.writer.transport.abort()
                await until(lambda: not connection.streams)
                assert {*log.read_text().split()} & {"GeneratorExit", "Stopped"}

    run(main())


@pytest.mark.parametrize("count", [1, TURN_ROWS + 1], ids=["one", "many"])
def test_what_is_collected_may_take_longer_than_its_objective(count):
    """Of a long body, and of many inputs, too: the objective is for the first items."""

    async def main():
        async with streaming(manifest=ASYNC | {"concurrency": 1000}) as served:
            told = {"count": 2, "waits_at": 1, "ignored": "x" * (200_000 // count)}
            client = await served.client()
            client.send(
                post(
                    "/app/predict",
                    {"input": told} if count == 1 else {"input_batch": [told] * count},
                )
            )
            (connection,) = served._connections
            streams = connection.streams
            await until(lambda: len(streams) == count and all(s.is_begun for s in streams.values()))
            (asking,) = served.server.connections
            assert not asking.is_overdue(served.engine.clock() + 10_000)

    run(main())


def test_a_caller_that_only_says_no_more_is_answered():
    """One that closes its sending side still reads."""

    async def main():
        async with streaming() as served:
            client, listening, heard = await listen(served, {"count": 30, "pause_s": 0.01})
            client.writer.write_eof()
            assert (await listening.go_on(heard)).items == [*range(30)]

    run(main())


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])
def test_a_reader_that_does_not_read_pauses_its_own_generator_only(kind, tmp_path):
    """It is computed as far as buffers hold, another stream goes on; then all of it comes."""

    async def main():
        log = tmp_path / "log"
        async with streaming(manifest=kind) as served:
            size, count = 10_000, 3000
            told = {"count": count, "size": size, "log": str(log)}
            _, listening, heard = await listen(served, told)
            (connection,) = served._connections
            (stream,) = connection.streams.values()
            await until(lambda: stream.window <= 0)
            assert (await hear(served, {"count": 100})).items == [*range(100)]
            done = len(log.read_text().split())
            assert done < count / 2
            assert (stream.items * size) < count * size / 2
            await listening.go_on(heard)
            assert [item[0] for item in heard.items] == [chr(97 + n % 26) for n in range(count)]

    run(main())


def test_a_long_item_comes_whole():
    """Items of megabytes, which are sent in pieces."""

    async def main():
        for scheme in SCHEMES:
            async with streaming(scheme) as served:
                client = await served.client()
                client.reader._limit = 1 << 24  # type: ignore[attr-defined]
                client.send(asked({"count": 3, "size": 3_000_000}))
                listening = Listening(client)
                heard = await listening.go_on(await listening.begin())
                assert [item == item[0] * 3_000_000 for item in heard.items] == [True] * 3

    run(main())


def test_a_list_of_items_without_end_is_refused(monkeypatch):
    """What is collected has a limit, which says to ask for a stream."""
    monkeypatch.setattr("servd.engine.stream.MAX_COLLECTED_BYTES", 1 << 16)

    async def main():
        async with streaming() as served:
            status, body = await served.predict({"input": {"count": 10**9}})
            assert status == 500
            assert "text/event-stream" in body["cause"]
            (connection,) = served._connections
            await until(lambda: not connection.streams)

    run(main())


def test_a_replica_that_goes_breaks_off_what_has_begun():
    """An error event, then the end; what has not begun goes to another replica."""

    async def main():
        async with streaming(manifest={"concurrency": 1}) as served:
            dispatcher = served.engine.dispatcher(VersionId("model", "1"))
            _, listening, heard = await listen(served, {"count": 1000, "pause_s": 0.01})
            await listening.go_on(heard, 1)
            second = asyncio.ensure_future(hear(served, {"count": 2}))
            await until(lambda: dispatcher.streams._waiting)
            with yielding() as other:
                connection = served._connections[0]
                dispatcher.detach(connection, End("ended (exit 7)", 1.0))
                await listening.go_on(heard)
                assert heard.error["cause"].startswith("The stream broke off: the replica ended")
                assert heard.end is not None
                await served.attach(other, dispatcher)
                assert (await second).items == [0, 1]

    run(main())


def test_more_streams_than_places_wait_for_one():
    """With one place the second begins when the first has ended."""

    async def main():
        async with streaming(manifest={"concurrency": 1}) as served:
            (connection,) = served._connections
            assert connection.places == 1
            told = {"count": 20, "pause_s": 0.005}
            several = await asyncio.gather(*(hear(served, told) for _ in range(4)))
            assert [heard.items for heard in several] == [[*range(20)]] * 4

    run(main())


def test_an_item_that_does_not_come_ends_a_stream(tmp_path):
    """The time between items is limited, too."""

    async def main():
        log = tmp_path / "log"
        async with streaming(manifest=ASYNC, idle_s=0.5) as served:
            heard = await hear(served, {"count": 5, "waits_at": 3, "log": str(log)})
            assert heard.items == [0, 1, 2]
            assert "no item came for 0.5 s" in heard.error["cause"]
            await noted(log, "CancelledError")

    run(main())


def test_a_server_that_ends_says_so_in_a_stream():
    """What has not ended by then breaks off; the client reads why, and that it is the end."""

    async def main():
        async with streaming() as served:
            _, listening, heard = await listen(served, {"count": 10**6, "pause_s": 0.01})
            await listening.go_on(heard, 1)
            served.server.stop_accepting()
            await served.server.drain(0.1)
            await listening.go_on(heard)
            assert "told to end" in heard.error["cause"]
            assert heard.end["items"] >= len(heard.items)

    run(main())


def test_a_version_that_is_removed_breaks_its_streams_off():
    """Nobody waits for what will not come."""

    async def main():
        async with streaming() as served:
            _, listening, heard = await listen(served, {"count": 10**6, "pause_s": 0.01})
            await listening.go_on(heard, 1)
            served.engine.forget(VersionId("model", "1"))
            await listening.go_on(heard)
            assert "removed" in heard.error["cause"]

    run(main())


def test_without_a_replica_a_stream_is_refused_as_a_query_is():
    """503, at once."""

    async def main():
        async with streaming() as served:
            served.deploy(version="2", input_type=InputType.ANY, signature=None, default=None)
            body = {"input": {}, "version": "2"}
            assert (await served.post("/app/predict", body, EVENTS)).status == 503

    run(main())


def test_streams_are_counted():
    """How many, how many items; the latency is that of the first."""

    async def main():
        async with streaming() as served:
            await hear(served, {"count": 7, "pause_s": 0.1})
            await served.predict({"input": {"count": 2}})
            served.engine.fold()
            dispatcher = served.engine.dispatcher(VersionId("model", "1"))
            assert (dispatcher.counters.streams, dispatcher.counters.items) == (2, 9)
            route = served.engine.by_name["app"]
            assert (route.counters.queries, route.counters.latency.count) == (2, 2)
            assert route.counters.latency.maximum < 700_000
            text = (await served.send(b"GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n")).body
            assert b'servd_version_streams_total{model="model",version="1"} 2.0' in text
            assert b'servd_version_stream_items_total{model="model",version="1"} 9.0' in text

    run(main())


def test_a_long_body_may_ask_for_events():
    """A body that is read beside leads to a stream, too."""

    async def main():
        async with streaming(is_lazy=True) as served:
            told = {"count": 3, "ignored": "x" * 300_000}
            heard = await hear(served, told)
            assert heard.items == [0, 1, 2]
            assert json.loads((await served.post("/app/predict", {"input": told})).body)[
                "output"
            ] == [0, 1, 2]

    run(main())
