"""The query frontend over real connections: HTTP/1.1, predictions, refusals and draining."""

import asyncio
import gzip
import json
import shlex
import socket
import struct
import zlib

import pytest

from servd.datatypes import InputType
from servd.engine.query import Miss
from servd.http.codecs.clipper import CLIPPER
from servd.http.query import server as server_module
from servd.http.query.reading import MAX_AHEAD_BYTES, MAX_HEAD_BYTES
from servd.http.query.state import MAX_KNOWN, MAX_KNOWN_URL_BYTES
from tests.scripted_replica import ScriptedReplica, doubles
from tests.serving import post, run, serving, until

SCHEMA_TYPES = "[double] | [int] | [string] | [byte] | [float]"
SCHEMA = f'Expected JSON schema: \n  {{\n   "input" := {SCHEMA_TYPES},\n  }}\n'


def with_app(check, *, deploy=None, settings=None, **script):
    """Run `check(served, replica)` on a server with one application and one live replica."""

    async def main():
        with ScriptedReplica(**script) as replica:
            async with serving(**(settings or {})) as served:
                await served.attach(replica, served.deploy(**(deploy or {})))
                await check(served, replica)

    run(main())


def test_the_third_query_is_answered_from_its_body():
    """The second equal query is a hit by its row, the third by its bytes, without any JSON."""

    async def check(served, replica):
        cache = served.engine.dispatchers["model", "1"].cache
        body = b'{"input": [1, 2]}'
        for count in range(1, 5):
            status, answer = await served.predict(body)
            assert (status, answer["output"], answer["query_id"]) == (200, 3.0, count - 1)
            assert (cache.known_by(CLIPPER.spelled).get(body) is not None) == (count >= 2)
        cache.rows.young.clear()
        assert (await served.predict(body))[1]["output"] == 3.0
        assert len(replica.batches) == 1
        served.engine.fold()
        counters = served.engine.by_name["app"].counters
        assert (counters.queries, counters.cache_hits) == (5, 4)

    with_app(check)


@pytest.mark.parametrize(
    "path", ["/app/predict", "/app/predict/", "/app/predict?x=1", "/%61pp/predict"]
)
def test_paths_of_an_application(path):
    """A trailing slash, a query text and percent codes name the same application."""

    async def check(served, _replica):
        for _ in range(2):
            assert (await served.post(path, {"input": [2]})).json["output"] == 2.0

    with_app(check)


def test_the_absolute_form_is_accepted():
    """RFC 9112 wants a server to take a target with scheme and host."""

    async def check(served, _replica):
        assert (await served.post("http://h/app/predict", {"input": [2]})).json["output"] == 2.0
        assert (await served.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")).status == 204

    with_app(check)


def test_a_batch_answers_in_order():
    """Each input of an input_batch is its own query; a batch of one is bare, of none empty."""

    async def check(served, _replica):
        status, answer = await served.predict({"input_batch": [[1], [2], [1]]})
        assert status == 200
        assert answer == {
            "batch_predictions": [
                {"query_id": n, "output": value, "default": False}
                for n, value in enumerate((1.0, 2.0, 1.0))
            ]
        }
        assert await served.predict({"input_batch": [[2]]}) == (
            200,
            {"query_id": 3, "output": 2.0, "default": False},
        )
        assert await served.predict({"input_batch": []}) == (200, {"batch_predictions": []})

    with_app(check)


def test_a_batch_with_wrong_rows():
    """Rows of another length are errors inside a batch; alone they are a 400."""

    async def check(served, _replica):
        status, answer = await served.predict({"input_batch": [[1, 2], [1, 2, 3]]})
        assert status == 200
        first, second = answer["batch_predictions"]
        assert second["output"] == 6.0
        assert first["cause"] == "Model model:1 takes 3 numbers, the input has 2"
        for body in ({"input": [1, 2]}, {"input_batch": [[1], [1, 2]]}):
            assert (await served.predict(body))[0] == 400

    with_app(check, row_items=3)


def test_versions_in_a_query():
    """`version` picks any version of the linked model; an unknown one has Clipper's words."""

    async def main():
        with ScriptedReplica() as one, ScriptedReplica(answer=lambda _row: b'"two"') as two:
            async with serving() as served:
                await served.attach(one, served.deploy(version="1"))
                await served.attach(two, served.deploy(version="2"))
                for _ in range(3):
                    assert (await served.predict({"input": [1]}))[1]["output"] == "two"
                    old = await served.predict({"input": [1], "version": "1"})
                    assert old[1]["output"] == 1.0
                    null = await served.predict({"input": [1], "version": None})
                    assert null[1]["output"] == "two"
                assert await served.predict({"input": [1], "version": "x"}) == (
                    400,
                    {
                        "error": "Query processing error",
                        "cause": "Requested version: x does not exist for model: model",
                    },
                )

    run(main())


def test_an_application_without_a_model():
    """An unlinked application answers its default, also where a version is named."""

    async def main():
        async with serving() as served:
            served.deploy(model=None, default="-1")
            served.deploy("bare", model=None, default=None)
            expected = {
                "query_id": 0,
                "output": -1,
                "default": True,
                "default_explanation": "No connected models found for query",
            }
            assert await served.predict({"input": [1]}) == (200, expected)
            status, answer = await served.predict({"input": [1], "version": "9"})
            assert (status, answer["default"]) == (200, True)
            bare = await served.post("/bare/predict", {"input": [1]})
            assert bare.status == 503
            assert bare.headers["retry-after"] == "1"
            assert bare.json["cause"] == expected["default_explanation"]
            status, answer = await served.predict({"input_batch": [[1], [2]]}, "bare")
            assert status == 503
            assert len(answer["batch_predictions"]) == 2

    run(main())


@pytest.mark.parametrize("default", [None, "-1"])
def test_a_model_that_is_still_loading(default):
    """A caller without a default output is told so; one with it reads Clipper's explanation."""

    async def main():
        async with serving() as served:
            dispatcher = served.deploy(default=default)
            for change in (("one", True), ("other", True), ("one", False), ("other", False)):
                dispatcher.mark_loading(change[0], is_loading=change[1])
                is_loading = change != ("other", False)
                loading = "model:1 is still loading; try again later"
                status, answer = await served.predict({"input": [1]})
                if default is not None:
                    assert (status, answer["default_explanation"]) == (200, Miss.NO_MODEL.value)
                else:
                    told = loading if is_loading else Miss.NO_MODEL.value
                    assert (status, answer["cause"]) == (503, told)

    run(main())


@pytest.mark.parametrize("path", ["/admin/add_app", "/api/v1/status", "/admin", "/api/"])
def test_what_belongs_to_the_admin_port_is_sent_there(path):
    """The query port says that there is another."""

    async def check(served, _replica):
        client = await served.client()
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = await client.answer()
        assert answer.status == 404
        assert answer.json["cause"].startswith("This is the query port; the admin API is on the")

    with_app(check)


def test_a_wrong_path_of_seldons_names_the_right_ones():
    """It begins like the admin API's, and is none of its."""

    async def check(served, _replica):
        client = await served.client()
        client.send(b"GET /api/v1.0/prediction HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 404
        assert "/api/v1.0/predictions" in answer.json["cause"]

    with_app(check)


@pytest.mark.parametrize(
    ("script", "status"), [({"is_holding": True}, 504), ({"poison": bool}, 500)]
)
def test_without_a_default_a_miss_is_an_error(script, status):
    """No output in time is a 504, a model that raises a 500."""

    async def check(served, _replica):
        answer = await served.post("/app/predict", {"input": [1]})
        assert answer.status == status
        assert answer.json["error"] == "Query processing error"
        assert "retry-after" not in answer.headers

    with_app(check, deploy={"default": None, "slo_ms": 10 if status == 504 else 10_000}, **script)


def test_a_wrong_body_says_what_is_wrong():
    """Errors of a body are Clipper's error object."""

    async def check(served, _replica):
        assert await served.predict({}) == (
            400,
            {
                "error": "Json error",
                "cause": "Error parsing JSON: JSON object does not have required keys "
                f"input or input_batch. {SCHEMA}",
            },
        )

    with_app(check)


def test_pipelined_requests_are_answered_in_order():
    """Cached, slow and refused requests that were sent at once are answered one after another."""

    async def check(served, replica):
        await served.predict({"input": [1]})
        replica.is_holding = True
        client = await served.client()
        client.send(
            post("/app/predict", {"input": [7]})
            + post("/app/predict", {"input": [1]})
            + post("/app/predict", {"input": ["x"]})
            + b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"
            + post("/nobody/predict", {"input": [1]})
            + post("/app/predict", {"input_batch": [[1], [8]]})
        )
        await until(lambda: replica.batches[1:])
        replica.release()
        assert (await client.answer()).json["output"] == 7.0
        assert (await client.answer()).json["output"] == 1.0
        assert (await client.answer()).status == 400
        assert (await client.answer(has_body=False)).headers["content-length"] == "17"
        assert (await client.answer()).body == b"servd is running\n"
        assert (await client.answer()).status == 404
        assert [p["output"] for p in (await client.answer()).json["batch_predictions"]] == [
            1.0,
            8.0,
        ]

    with_app(check)


def test_a_thousand_pipelined_requests():
    """A long pipeline does not recurse, waits as bytes, and keeps its order."""

    async def check(served, _replica):
        client = await served.client()
        data = b"".join(post("/app/predict", {"input": [n % 40]}) for n in range(1000))
        assert len(data) > MAX_AHEAD_BYTES
        client.send(data)
        for n in range(1000):
            answer = (await client.answer()).json
            assert (answer["query_id"], answer["output"]) == (n, float(n % 40))

    with_app(check)


def test_what_waits_stops_reading():
    """While a query is slow, no more than some bytes of pipelined requests are read."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}))
        await until(lambda: replica.batches)
        (connection,) = served.server.connections
        big = b'{"input":[%s1]}' % (b"1," * 5000)
        for _ in range(500):
            client.send(post("/app/predict", big))
        await until(lambda: not connection.transport.is_reading())
        assert MAX_AHEAD_BYTES <= len(connection._rest) <= MAX_AHEAD_BYTES + 256 * 1024
        replica.release()
        for _ in range(501):
            assert (await client.answer()).status == 200
        assert connection.transport.is_reading()
        assert not connection._rest

    with_app(check, is_holding=True)


def test_heads_that_repeat():
    """A client that repeats its head is answered the same, also once its application is gone."""

    async def check(served, _replica):
        client = await served.client()
        for n in range(5):
            client.send(post("/app/predict", {"input": [n]}))
            assert (await client.answer()).json["output"] == float(n)
        served.engine.apply(type(served.state)())
        client.send(post("/app/predict", {"input": [5]}))
        assert (await client.answer()).status == 404

    with_app(check)


def test_what_is_known_of_paths_is_bounded():
    """One application has any number of spellings of its path, each as long as a head may be."""

    async def check(served, _replica):
        server = served.server
        for spelled in ("/app/predict", "/app/predict/", "/app/predict?x=1", "/%61pp/predict"):
            for n in range(2):
                answer = await served.post(spelled, {"input": [n]})
                assert answer.json["output"] == float(n)
                assert server.endpoints[spelled.encode()].route is served.engine.by_name["app"]
        long = "/app/predict?" + "x" * MAX_KNOWN_URL_BYTES
        assert (await served.post(long, {"input": [1]})).status == 200
        assert long.encode() not in server.endpoints
        server.endpoints |= dict.fromkeys(range(MAX_KNOWN), server.endpoints[b"/app/predict"])
        assert (await served.post("/app/predict?y", {"input": [1]})).status == 200
        assert list(server.endpoints) == [b"/app/predict?y"]

    with_app(check)


def test_a_known_head_needs_its_whole_body():
    """A head that was seen before is taken from memory only with a body of its length."""

    async def check(served, _replica):
        client = await served.client()
        requests = [post("/app/predict", {"input": [n]}) for n in range(6)]
        client.send(requests[0])
        assert (await client.answer()).json["output"] == 0.0
        assert served.server.known_heads
        client.send(requests[1][:-1])
        await until(lambda: any(c.began is not None for c in served.server.connections))
        client.send(requests[1][-1:] + requests[2])
        client.send(requests[3] + requests[4])
        for n in (1, 2, 3, 4):
            assert (await client.answer()).json["output"] == float(n)
        client.send(requests[5])
        assert (await client.answer()).json["output"] == 5.0

    with_app(check)


def test_a_request_in_pieces():
    """A request that comes byte by byte is the same request."""

    async def check(served, _replica):
        client = await served.client()
        for _ in range(2):
            for byte in post("/app/predict", {"input": [1, 2]}):
                client.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer()).json["output"] == 3.0
            client.send(post("/app/predict", {"input": [1, 2]}))
            assert (await client.answer()).json["output"] == 3.0

    with_app(check)


def test_chunked_bodies():
    """A body in chunks, with extensions and trailers, is put together."""

    async def check(served, _replica):
        text = b'{"input": [1, 2]}'
        chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in text) + b"0\r\nX: y\r\n\r\n"
        head = b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = await served.client()
        for _ in range(2):
            client.send(head + chunks)
            assert (await client.answer()).json["output"] == 3.0

    with_app(check)


def test_trailers_have_a_limit():
    """What follows the last chunk is bounded as a head is."""

    async def check(served, _replica):
        client = await served.client()
        client.send(b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        for _ in range(64):
            client.send(b"x" * 4096)
            await asyncio.sleep(0)
        assert (await client.answer()).status == 431
        assert await client.is_closed()

    with_app(check)


def test_expect_100_continue():
    """A client that asks first is told to go on, each time, and answered."""

    async def check(served, _replica):
        client = await served.client()
        for _ in range(2):
            request = post("/app/predict", {"input": [4]}, "Expect: 100-continue")
            head, _, body = request.partition(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n")
            assert (await client.answer()).status == 100
            client.send(body)
            assert (await client.answer()).json["output"] == 4.0

    with_app(check)


def deflate_raw(data):
    """Return a deflate stream without a header, as some clients send."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", deflate_raw),
        ("identity", bytes),
    ],
)
def test_packed_bodies(encoding, pack):
    """gzip, both kinds of deflate, and identity are unpacked."""

    async def check(served, _replica):
        body = pack(b'{"input": [1, 2]}')
        for _ in range(3):
            answer = await served.post("/app/predict", body, f"Content-Encoding: {encoding}")
            assert answer.json["output"] == 3.0

    with_app(check)


def test_packed_bodies_that_are_refused():
    """A zip bomb is a 413, an unknown encoding a 415, a broken body a 400; HEAD has no body."""

    async def check(served, _replica):
        bomb = gzip.compress(b" " * 10_000_000)
        for body, encoding, status in (
            (bomb, "gzip", 413),
            (b"{}", "br", 415),
            (b"{}", "gzip", 400),
            (bomb[:-9], "gzip", 413),
            (gzip.compress(b"{}")[:-9], "gzip", 400),
        ):
            answer = await served.post("/app/predict", body, f"Content-Encoding: {encoding}")
            assert answer.status == status, encoding
        head = b"HEAD / HTTP/1.1\r\nContent-Encoding: br\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        client = await served.client()
        client.send(head)
        assert (await client.answer(has_body=False)).status == 415
        assert (await client.answer()).status == 200

    with_app(check, settings={"max_body_bytes": 100_000})


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 200, None),
        ("HEAD", "/", 200, None),
        ("HEAD", "/metrics", 200, None),
        ("HEAD", "/app/predict", 405, "POST, OPTIONS"),
        ("HEAD", "/nobody/predict", 404, None),
        ("HEAD", "/nothing", 404, None),
        ("GET", "/app/predict", 405, "POST, OPTIONS"),
        ("PUT", "/app/predict", 405, "POST, OPTIONS"),
        ("GET", "/app/update", 405, "POST, OPTIONS"),
        ("DELETE", "/metrics", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/app/predict", 204, "POST, OPTIONS"),
        ("OPTIONS", "/app/schema", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/metrics", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/nothing", 204, "GET, HEAD, OPTIONS, POST"),
        ("HEAD", "/app", 200, None),
        ("HEAD", "/app/openapi.json", 200, None),
        ("HEAD", "/openapi.json", 200, None),
        ("POST", "/app/other", 404, None),
        ("POST", "/app", 405, "GET, HEAD, OPTIONS"),
        ("POST", "/%ff/predict", 404, None),
    ],
)
def test_methods_and_paths(method, path, status, allow):
    """Every method and path has its answer, and the connection stays usable after it."""

    async def check(served, _replica):
        client = await served.client()
        client.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        answer = await client.answer(has_body=method != "HEAD")
        assert answer.status == status
        assert answer.headers.get("allow") == allow
        client.send(post("/app/predict", {"input": [1]}))
        assert (await client.answer()).json["output"] == 1.0

    with_app(check)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_who_asks_for_inputs_without_names_by_get_is_told_how(method):
    """A curl line, for the host that was asked, which the application answers."""

    async def check(served, _replica):
        client = await served.client()
        client.send(f"{method} /app/predict?a=1 HTTP/1.1\r\nHost: models:80\r\n\r\n".encode())
        cause = (await client.answer()).json["cause"]
        assert cause.startswith(
            "allowed here: POST, OPTIONS; the inputs of this application have no"
        )
        words = shlex.split(cause.partition("as by ")[2])
        assert [*words[:2], words[3]] == ["curl", "-d", "http://models:80/app/predict"]
        client.send(post("/app/predict", json.loads(words[2])))
        assert (await client.answer()).status == 200

    with_app(check)


def test_feedback():
    """Feedback is checked and acknowledged in Clipper's words."""

    async def check(served, _replica):
        good = {"uid": 0, "input": [1.0], "label": 1.0}
        answer = await served.post("/app/update", good)
        assert (answer.status, answer.body) == (200, b"Feedback received? 1")
        for bad in (b"{", {"uid": 0}, good | {"input": ["x"]}, b"[" * 100_000):
            assert (await served.post("/app/update", bad)).status == 400

    with_app(check)


def test_http_1_0():
    """An HTTP/1.0 client's connection is closed after the answer, also if it asked to keep it."""

    async def check(served, _replica):
        for line in (b"", b"Connection: keep-alive\r\n"):
            client = await served.client()
            body = b'{"input": [1]}'
            head = b"POST /app/predict HTTP/1.0\r\n%bContent-Length: %d\r\n\r\n" % (line, len(body))
            client.send(head + body)
            answer = await client.answer()
            assert answer.json["output"] == 1.0
            assert answer.headers["connection"] == "close"
            assert await client.is_closed()

    with_app(check)


def test_connection_close():
    """`Connection: close` is answered and done; what was pipelined behind it is not."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}, "Connection: close") * 2)
        await until(lambda: replica.batches)
        replica.release()
        answer = await client.answer()
        assert answer.headers["connection"] == "close"
        assert await client.is_closed()

    with_app(check, is_holding=True)


@pytest.mark.parametrize(
    "offer",
    ["Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
)
def test_an_offer_to_upgrade_is_ignored(offer):
    """A client that offers another protocol gets its answer in HTTP/1.1, and the next one too."""

    async def check(served, _replica):
        client = await served.client()
        lines = ("Connection: Upgrade", *offer.split("\r\n"))
        client.send(post("/app/predict", {"input": [1]}, *lines) + b"GET / HTTP/1.1\r\n\r\n")
        assert (await client.answer()).json["output"] == 1.0
        assert (await client.answer()).status == 200
        client.send(post("/app/predict", {"input": [2]}))
        assert (await client.answer()).json["output"] == 2.0
        request = post("/app/predict", {"input": [3]}, *lines)
        client.send(request[:-2])
        await asyncio.sleep(0)
        client.send(request[-2:])
        assert (await client.answer()).json["output"] == 3.0
        chunks = b'5\r\n{"inp\r\n8\r\nut":[4]}\r\n0\r\n\r\n'
        told = "\r\n".join(("Transfer-Encoding: chunked", *lines))
        client.send(f"POST /app/predict HTTP/1.1\r\n{told}\r\n\r\n".encode() + chunks)
        assert (await client.answer()).json["output"] == 4.0
        told = "\r\n".join(lines)
        client.send(f"GET / HTTP/1.1\r\n{told}\r\n\r\n".encode() * 2)
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        client.send(f"GET / HTTP/1.1\r\n{told}\r\nConnection: close\r\n\r\n".encode())
        assert (await client.answer()).status == 200
        assert await client.is_closed()
        connect = await served.client()
        connect.send(b"CONNECT h:443 HTTP/1.1\r\n\r\n")
        assert (await connect.answer()).status == 405
        assert await connect.is_closed()

    with_app(check)


def test_an_oversize_head_is_a_431():
    """A head above the limit is refused, and the reason can be read."""

    async def check(served, _replica):
        client = await served.client()
        client.send(b"POST /app/predict HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD_BYTES * 40))
        answer = await client.answer()
        assert answer.status == 431
        assert answer.headers["connection"] == "close"
        assert await client.is_closed()

    with_app(check)


@pytest.mark.parametrize("is_chunked", [True, False])
def test_an_oversize_body_is_a_413(is_chunked):
    """The answer can be read by a client that goes on sending all of its body."""

    async def check(served, _replica):
        client = await served.client()
        if is_chunked:
            head = b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n"
        else:
            head = b"POST /app/predict HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n"
        client.send(head)
        for _ in range(64):
            client.send(b"x" * 65536)
            await client.writer.drain()
        answer = await client.answer()
        assert answer.status == 413
        assert await client.is_closed()

    with_app(check, settings={"max_body_bytes": 1000})


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /app/predict HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /app/predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        (
            b"POST /app/predict HTTP/1.1\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST /app/predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /app/predict HTTP/9.9\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: y\r\nhost:\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h i\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: http://h/\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: upgrade\r\nHost: h\r\n\r\n",
        post("/app/predict", {"input": [1]}, "Host: other"),
    ],
)
def test_what_is_not_http_is_a_400(data):
    """Malformed requests are answered with an error object, after the answers owed before them."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}) + data)
        await until(lambda: replica.batches)
        replica.release()
        assert (await client.answer()).json["output"] == 1.0
        answer = await client.answer()
        assert answer.status == 400
        assert answer.json["error"] == "Bad request"
        client.send(b"more" * 1000)
        assert await client.is_closed()

    with_app(check, is_holding=True)


def test_another_version_of_http_is_told():
    """Also where the connection began with the right one."""

    async def check(served, _replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}) + b"GET / HTTP/2.0\r\nHost: h\r\n\r\n")
        assert (await client.answer()).status == 200
        answer = await client.answer()
        assert (answer.status, answer.json["cause"]) == (
            505,
            "this server speaks HTTP/1.1, not HTTP/2.0",
        )
        assert await client.is_closed()

    with_app(check)


@pytest.mark.parametrize("host", ["h", "", "127.0.0.1:1337", "[::1]:1337", "a_b.c-d~e"])
def test_one_host_is_taken(host):
    """Whatever its name; none at all as well, which simple probers leave out."""

    async def check(served, _replica):
        request = post("/app/predict", {"input": [1]})
        for line in (f"Host: {host}\r\n".encode(), b""):
            answer = await served.send(request.replace(b"Host: h\r\n", line))
            assert answer.json["output"] == 1.0

    with_app(check)


def test_headers_that_are_there_twice_count_twice():
    """A body that was packed twice is not taken for one that was packed once."""

    async def check(served, _replica):
        packed = gzip.compress(b'{"input":[1]}')
        lines = ["Content-Encoding: gzip"] * 2
        answer = await served.post("/app/predict", packed, *lines)
        assert answer.status == 415
        assert (await served.post("/app/predict", packed, *lines[:1])).json["output"] == 1.0

    with_app(check)


def test_trailers_are_no_headers():
    """What stands behind the body neither says how to read it nor who sent it."""
    body = b'{"input":[1]}'
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    head = b"POST /app/predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
    token = b"Authorization: Bearer secret\r\n"

    async def check(served, _replica):
        trailers = b"Host: i\r\nContent-Encoding: gzip\r\nExpect: 100-continue\r\nUpgrade: x\r\n"
        answer = await served.send(head + token + b"\r\n" + chunk + trailers + b"\r\n")
        assert answer.json["output"] == 1.0
        answer = await served.send(head + b"\r\n" + chunk + token + b"\r\n")
        assert answer.status == 401

    with_app(check, settings={"token": "secret"})


def test_the_content_type_is_not_trusted():
    """`curl -d` calls JSON a form; it is read as what the route takes."""

    async def check(served, _replica):
        line = "Content-Type: application/x-www-form-urlencoded"
        assert (await served.post("/app/predict", {"input": [1]}, line)).json["output"] == 1.0

    with_app(check)


def reset(client):
    """Hang up so that the other side hears of it, and not only that nothing more is sent."""
    sock = client.writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


def test_a_client_that_hangs_up_frees_its_place():
    """Its queries leave the line of the waiting, single ones and those of a batch.

    A connection that is reset is one; a client that has only closed its side waits for the answer.
    """

    async def check(served, replica):
        route = served.engine.by_name["app"]
        for body in ({"input": [1]}, {"input_batch": [[2], [3]]}):
            client = await served.client()
            client.send(post("/app/predict", body))
            await until(lambda: route.waiting)
            reset(client)
            await until(lambda: not route.waiting)
        replica.release()
        await until(lambda: not served.engine.dispatchers["model", "1"].cache.pending)
        assert (await served.predict({"input": [1]}))[1]["output"] == 1.0

    with_app(check, is_holding=True)


def test_off_loopback_a_token_is_asked_for():
    """A server with a token answers only those who send it."""

    async def check(served, _replica):
        body = {"input": [1]}
        refused = await served.post("/app/predict", body)
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await served.post("/app/predict", body, "Authorization: Bearer no")).status == 401
        for _ in range(3):
            allowed = await served.post("/app/predict", body, "Authorization: Bearer secret")
            assert allowed.json["output"] == 1.0
        assert (await served.post("/app/predict", body)).status == 401

    with_app(check, settings={"bind": "0.0.0.0", "token": "secret"})


def test_a_token_is_read_as_on_the_admin_port():
    """In any case of its scheme and with any blanks; twice it is none."""

    async def check(served, _replica):
        for lines, status in (
            (["Authorization: bearer secret"], 200),
            (["authorization:BEARER   secret  "], 200),
            (["Authorization: Bearer \tsecret"], 200),
            (["Authorization: Bearersecret"], 401),
            (["Authorization: Basic secret"], 401),
            (["Authorization: Bearer"], 401),
            (["Authorization: secret"], 401),
            (["Authorization: Bearer sec ret"], 401),
            (["Authorization: Bearer secret"] * 2, 401),
        ):
            answer = await served.post("/app/predict", {"input": [1]}, *lines)
            assert answer.status == status, lines

    with_app(check, settings={"bind": "0.0.0.0", "token": "secret"})


def second(served, count=1):
    """Let the server believe that seconds have passed."""
    for _ in range(count):
        served.server._timer.cancel()
        served.server._on_second()


def test_slow_senders_are_ended():
    """Heads and bodies that do not come are a 408; so is a body that trickles."""

    async def check(served, _replica):
        head = b"POST /app/predict HTTP/1.1\r\nContent-Length: 9\r\n"
        for data, limit_s in (
            (head, server_module.HEAD_TIMEOUT_S),
            (head + b"\r\n{", server_module.BODY_TIMEOUT_S),
        ):
            client = await served.client()
            client.send(data)
            await until(lambda: any(c.began is not None for c in served.server.connections))
            second(served, limit_s)
            (connection,) = served.server.connections
            assert not connection.is_closing
            second(served)
            assert (await client.answer()).status == 408
            await client.close()
            await until(lambda: not served.server.connections)

    with_app(check)


def test_a_trickling_body_is_ended():
    """A byte now and then does not keep a request open for ever."""

    async def check(served, _replica):
        client = await served.client()
        client.send(b"POST /app/predict HTTP/1.1\r\nContent-Length: 99999\r\n\r\n")
        await until(lambda: any(not c.is_reading_head for c in served.server.connections))
        (connection,) = served.server.connections
        while not connection.is_closing:
            connection.since = served.server.second
            second(served, 20)
        assert served.server.second - 320 <= server_module.REQUEST_TIMEOUT_S
        assert (await client.answer()).status == 408
        second(served, server_module.LINGER_S + 1)
        assert await client.is_closed()

    with_app(check)


def test_idle_and_busy_connections():
    """An idle connection is closed after its time; one that waits for us is not."""

    async def check(served, replica):
        idle, busy = await served.client(), await served.client()
        busy.send(post("/app/predict", {"input": [1]}))
        await until(lambda: replica.batches)
        second(served, server_module.IDLE_TIMEOUT_S + 1)
        assert await idle.is_closed()
        replica.release()
        assert (await busy.answer()).status == 200

    with_app(check, is_holding=True)


def test_a_client_that_never_reads():
    """Answers that are not read stop the reading; in the end the connection is dropped."""

    async def check(served, _replica):
        client = await served.client()
        client.writer.transport.pause_reading()
        (connection,) = served.server.connections
        request = post("/app/predict", {"input_batch": [[1]] * 200})
        while not connection.is_unread:
            client.send(request)
            await asyncio.sleep(0.001)
        assert connection.note_unsent()
        second(served, server_module.IDLE_TIMEOUT_S + 1)
        await until(lambda: not served.server.connections)

    with_app(check)


def test_a_slow_reader_gets_all_of_its_last_answer():
    """An answer that is still on its way is not cut off; reading resumes when it was read."""

    async def check(served, _replica):
        client = await served.client()
        client.writer.transport.pause_reading()
        count = 200_000
        client.send(post("/app/predict", {"input_batch": [[1]] * count}, "Connection: close"))
        await until(lambda: any(c.is_unread for c in served.server.connections))
        (connection,) = served.server.connections
        assert connection.note_unsent()
        second(served, server_module.LINGER_S + 3)
        client.writer.transport.resume_reading()
        assert len((await client.answer()).json["batch_predictions"]) == count

    with_app(check, settings={"max_rows": 200_000})


def test_reading_goes_on_when_a_slow_reader_has_caught_up():
    """A paused connection reads again once its answers have been taken."""

    async def check(served, _replica):
        client = await served.client()
        client.writer.transport.pause_reading()
        (connection,) = served.server.connections
        sent = 0
        while connection.transport.is_reading():
            client.send(post("/app/predict", {"input_batch": [[1]] * 2000}))
            sent += 1
            await asyncio.sleep(0.001)
        client.writer.transport.resume_reading()
        for _ in range(sent):
            assert len((await client.answer()).json["batch_predictions"]) == 2000
        await until(connection.transport.is_reading)

    with_app(check)


def test_a_drain_answers_what_is_in_flight():
    """Draining closes idle connections, answers open requests and says that they are the last."""

    async def check(served, replica):
        idle = await served.client()
        busy, late, many = [await served.client() for _ in range(3)]
        busy.send(post("/app/predict", {"input": [1]}))
        many.send(post("/app/predict", {"input": [3]}) * 3)
        request = post("/app/predict", {"input": [2]})
        late.send(request[:-3])
        await until(lambda: sum(map(len, replica.batches)) == 2)
        await until(lambda: sum(c.began is not None for c in served.server.connections) == 1)
        port = served.server.port
        served.server.stop_accepting()
        assert await idle.is_closed()
        replica.release()
        late.send(request[-3:])
        drained = asyncio.create_task(served.server.drain(10))
        for client, output in ((busy, 1.0), (late, 2.0)):
            answer = await client.answer()
            assert answer.json["output"] == output
            assert answer.headers["connection"] == "close"
            assert await client.is_closed()
        answers = [await many.answer() for _ in range(3)]
        assert [a.headers.get("connection") for a in answers] == [None, None, "close"]
        await drained
        assert not served.server.connections
        with pytest.raises(ConnectionRefusedError, match="refused"):
            await asyncio.open_connection("127.0.0.1", port)

    with_app(check, is_holding=True)


def test_a_drain_ends():
    """A request that is not answered in time does not hold the daemon."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": [1]}))
        await until(lambda: replica.batches)
        served.server.stop_accepting()
        await served.server.drain(0.01)
        assert served.server.connections

    with_app(check, is_holding=True)


def test_strings_and_bytes_and_any():
    """Each input type has its shape in JSON and its bytes on the way to the replica."""

    async def main():
        echo = lambda row: json.dumps(row.decode()).encode()  # noqa: E731
        with ScriptedReplica(answer=echo) as replica:
            async with serving() as served:
                for word, given, found in (
                    ("strings", "hällo", "hällo"),
                    ("bytes", "aGk=", "hi"),
                    ("any", {"a": [1, None]}, '{"a": [1, null]}'),
                ):
                    kind = InputType(word)
                    await served.attach(replica, served.deploy(word, word, input_type=kind))
                    status, answer = await served.predict({"input": given}, word)
                    assert (status, answer["output"]) == (200, found)

    run(main())


def test_metrics_by_accept_header():
    """The same path answers Clipper's JSON, or Prometheus text where that is asked for."""

    async def check(served, _replica):
        plain = await served.send(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert "counters" in plain.json
        text = await served.send(b"GET /metrics HTTP/1.1\r\nAccept: text/plain\r\n\r\n")
        assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"servd_application_queries_total" in text.body

    with_app(check)


def test_rows_reach_the_replica_as_they_are():
    """Whole numbers and fractions become little-endian doubles."""

    async def check(served, replica):
        await served.predict({"input": [1, 2.5]})
        assert replica.batches == [[doubles(1.0, 2.5)]]

    with_app(check)
