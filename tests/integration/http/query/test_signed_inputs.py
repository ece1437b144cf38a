"""Inputs by a signature, over real connections: bodies short and long, GET and HEAD, versions."""

import json
from dataclasses import replace

import pytest

from model_runtime.signature import Signature
from servd.datatypes import InputType
from servd.http.query.long_request import TURN_ROWS, LongRequest
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until

PEOPLE = Signature(
    input_type="rows",
    fields={"age": {"type": "integer"}, "city": {"type": "string"}},
    required=("age", "city"),
)
PLACES = Signature(input_type="rows", fields={"city": {"type": "string"}}, required=("city",))
ADD = Signature(
    input_type="rows",
    fields={"a": {"type": "integer", "default": 0}, "b": {"type": "integer", "default": 0}},
)


def with_rows(check, signature=PEOPLE, **settings):
    """Run `check(served, replica)` on an application of a replica that answers with its rows."""

    async def main():
        with ScriptedReplica(answer=bytes) as replica:
            async with serving(**settings) as served:
                made = served.deploy(input_type=InputType.ROWS, signature=signature, default=None)
                await served.attach(replica, made)
                await check(served, replica)

    run(main())


def test_an_input_by_name_in_order_and_by_get_is_one_row():
    """So is the answer from the cache."""

    async def check(served, replica):
        for _ in range(3):
            for body in ({"age": 3, "city": "Oslo"}, [3, "Oslo"]):
                status, answer = await served.predict({"input": body})
                assert (status, answer["output"]) == (200, [3, "Oslo"])
            got = await served.send(b"GET /app/predict?age=3&city=Oslo HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (got.status, got.json["output"]) == (200, [3, "Oslo"])
        assert replica.batches == [[b'[3,"Oslo"]']]
        batch = {"age": [1, 2], "city": ["a", "b"]}
        _, answer = await served.predict({"input_batch": batch})
        assert [each["output"] for each in answer["batch_predictions"]] == [[1, "a"], [2, "b"]]

    with_rows(check)


def test_a_refusal_has_its_detail():
    """422, the sentence for people, and each fault for programs; by GET the same."""

    async def check(served, _replica):
        answer = await served.post("/app/predict", {"input": {"age": "x", "city": "Oslo"}})
        assert answer.status == 422
        assert answer.json == {
            "error": "Invalid input",
            "cause": 'age: wanted a whole number, found the text "x". '
            'Example: {"input":{"age":1,"city":"text"}}',
            "detail": [
                {
                    "loc": ["input", "age"],
                    "msg": 'age: wanted a whole number, found the text "x"',
                    "type": "int_type",
                    "input": "x",
                }
            ],
        }
        got = await served.send(b"GET /app/predict?age=x&city=Oslo HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (got.status, got.json["detail"][0]["loc"]) == (422, ["query", "age"])
        assert got.json["cause"].endswith("Example: ?age=1&city=text")

    with_rows(check)


@pytest.mark.parametrize("query", ["age=3&city=Oslo", "age=x", "age=3&city=" + "o" * 5000])
def test_head_is_get_without_the_body(query):
    """With GET's head, errors included; the next answer on the connection is whole."""

    async def check(served, _replica):
        client = await served.client()
        line = f"/app/predict?{query} HTTP/1.1\r\nHost: h\r\n\r\n"
        client.send(f"GET {line}".encode())
        got = await client.answer()
        client.send(f"HEAD {line}".encode() * 2)
        for _ in range(2):
            head = await client.answer(has_body=False)
            assert head.status == got.status
            size = int(head.headers["content-length"])
            # The id of a later query may be longer.
            assert abs(size - len(got.body)) <= 2
        client.send(post("/app/predict", {"input": [1, "a"]}))
        assert (await client.answer()).json["output"] == [1, "a"]
        client.send(f"HEAD {line}".encode())
        await client.answer(has_body=False)
        client.send(b"GET / HTTP/9.9\r\n\r\n")
        refused = await client.answer()
        assert refused.status >= 400
        assert refused.body

    with_rows(check)


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 400), ("PUT", 405)]
)
def test_the_methods_of_inputs_with_names(method, status):
    """What is not taken is told what is; an application of defaults takes an empty query."""

    async def check(served, _replica):
        request = f"{method} /app/predict HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
        answer = await served.send(request.encode(), has_body=method != "HEAD")
        assert answer.status == status
        if status == 405:
            assert answer.headers["allow"] == "GET, HEAD, POST, OPTIONS"

    with_rows(check, ADD)


def test_a_long_body_is_rows_and_refused_as_a_short_one():
    """It is read elsewhere: by the same signature, whose job may be longer than a message."""
    fields = {f"a column of a long name {number}": {"type": "integer"} for number in range(1900)}
    wide = Signature(input_type="rows", fields=fields, required=tuple(fields))
    assert len(json.dumps(wide.as_json())) > 1 << 17

    async def check(served, _replica):
        row = dict.fromkeys(fields, 7)
        batch = [row, list(row.values()), row, row]
        assert len(json.dumps(batch)) > 1 << 17
        status, answer = await served.predict({"input_batch": batch})
        assert status == 200
        assert [each["output"] for each in answer["batch_predictions"]] == [[7] * 1900] * 4
        columns = {name: [7] * 5 for name in fields}
        status, answer = await served.predict({"input_batch": columns, "pad": " " * 100_000})
        assert (status, len(answer["batch_predictions"])) == (200, 5)
        batch[2] = row | {"a column of a long name 5": "x", "a column of a long name 6": None}
        status, answer = await served.predict({"input_batch": batch})
        assert status == 422
        assert [each["loc"] for each in answer["detail"]] == [
            ["input_batch", 2, "a column of a long name 5"],
            ["input_batch", 2, "a column of a long name 6"],
        ]

    with_rows(check, wide)


def test_a_version_that_is_named_reads_by_its_own_signature():
    """Also where the current one would take the body."""

    async def check(served, replica):
        await served.attach(
            replica,
            served.deploy(version="2", input_type=InputType.ROWS, signature=PLACES, default=None),
        )
        for version, body, row in (
            (None, {"city": "a"}, ["a"]),
            ("1", {"city": "a", "age": 1}, [1, "a"]),
            (1, {"city": "a", "age": 1}, [1, "a"]),
            ("2", {"city": "a"}, ["a"]),
        ):
            status, answer = await served.predict({"input": body, "version": version})
            assert (status, answer.get("output")) == (200, row)
        for version, body in (("1", {"city": "a"}), ("2", {"city": "a", "age": 1})):
            assert (await served.predict({"input": body, "version": version}))[0] == 422
        got = await served.send(
            b"GET /app/predict?age=3&city=b&version=1 HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        assert got.json["output"] == [3, "b"]

    with_rows(check)


def test_no_row_goes_to_a_version_of_another_signature():
    """A long body whose application has changed while it was read is to be sent again."""

    async def check(served, replica):
        client = await served.client()
        client.send(post("/app/predict", {"input": {"age": 1, "city": "o" * 200_000}}))
        await until(
            lambda: any(isinstance(each._query, LongRequest) for each in served.server.connections)
        )
        served.deploy(input_type=InputType.ROWS, signature=PLACES, default=None)
        answer = await client.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "has changed" in answer.json["cause"]
        assert not replica.batches

    with_rows(check)


def test_rows_that_wait_for_their_turn_do_not_go_to_another_signature():
    """A batch is submitted in turns; one that would be of two signatures is refused."""

    async def check(served, replica):
        replica.is_holding = True
        client = await served.client()
        rows = [[number, "a"] for number in range(TURN_ROWS * 3)]
        connection = None

        def deploy():
            served.deploy(input_type=InputType.ROWS, signature=PLACES, default=None)

        client.send(post("/app/predict", {"input_batch": rows}))
        await until(lambda: any(each._query is not None for each in served.server.connections))
        (connection,) = (each for each in served.server.connections if each._query is not None)
        assert len(connection._query.queries) < len(rows)
        deploy()
        answer = await client.answer()
        assert answer.status == 503
        assert "has changed" in answer.json["cause"]

    with_rows(check)


def test_a_decoder_follows_its_application():
    """What is taken may change between two bodies of one connection."""

    async def check(served, _replica):
        client = await served.client()
        for signature, row in ((PEOPLE, [1, "a"]), (PLACES, ["a"]), (PEOPLE, [1, "a"])):
            served.deploy(input_type=InputType.ROWS, signature=signature, default=None)
            client.send(post("/app/predict", {"input": row}))
            assert (await client.answer()).status in (200, 503)
            client.send(post("/app/predict", {"input": [*row, 3]}))
            assert (await client.answer()).status == 422

    with_rows(check)


def test_extra_fields_may_be_ignored():
    """They are JSON all the same."""

    async def check(served, _replica):
        status, answer = await served.predict({"input": {"age": 1, "city": "a", "more": [1]}})
        assert (status, answer["output"]) == (200, [1, "a"])
        status, _ = await served.predict(b'{"input": {"age": 1, "city": "a", "more": "\xff"}}')
        assert status == 400

    with_rows(check, replace(PEOPLE, extra="ignore"))
