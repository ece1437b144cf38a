"""Further paths of applications, over real connections: `servd route add`."""

import json

import pytest

from model_runtime.signature import Signature
from servd.datatypes import InputType, RouteRule
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving

ADD = Signature(
    input_type="rows",
    fields={"a": {"type": "integer", "default": 0}, "b": {"type": "integer", "default": 0}},
)
SCORE = RouteRule(method="POST", path="/score", app="app", takes="X", gives="score")


def rule(**changed):
    """Return the usual route with changes."""
    return RouteRule(**{"method": "POST", "path": "/score", "app": "app", **changed})


def with_routes(check, *rules, answer=None, poison=None, input_type="doubles", **options):
    """Run `check(served, replica)` on an application with these routes."""

    async def main():
        given = {"answer": answer, "poison": poison}
        how = {name: value for name, value in given.items() if value is not None}
        with ScriptedReplica(**how) as replica:
            async with serving() as served:
                kind = InputType(input_type)
                options.setdefault("default", None)
                made = served.deploy(input_type=kind, **options)
                served.route(*rules)
                await served.attach(replica, made)
                await check(served, replica)

    run(main())


def get(path):
    """Return a GET's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def test_the_keys_are_the_deployer_s():
    """The Flask guide's service: other keys beside it are passed over, the cache knows its body."""

    async def check(served, replica):
        for _ in range(4):
            assert (await served.post("/score", {"X": [1, 2]})).pair == (200, {"score": 3.0})
            assert (await served.post("/score/", {"X": [1, 2]})).pair == (200, {"score": 3.0})
            answer = await served.post("/score", {"user": 7, "X": [1, 2]}, "Accept: */*")
            assert answer.pair == (200, {"score": 3.0})
            assert (await served.predict({"input": [1, 2]}))[1]["output"] == 3.0
        assert len(replica.batches) == 1

    with_routes(check, SCORE)


@pytest.mark.parametrize(
    ("keys", "body", "answer"),
    [
        ({}, [1, 2], 3.0),
        ({"takes": "X"}, {"X": [1, 2]}, 3.0),
        ({"gives": 'a "%d" é'}, [1, 2], {'a "%d" é': 3.0}),
        ({"is_batch": True}, [[1, 2], [3]], [3.0, 3.0]),
        ({"takes": "in %b", "is_batch": True}, {"in %b": [[1, 2]]}, [3.0]),
        ({"takes": "X", "gives": "s", "is_batch": True}, {"X": []}, {"s": []}),
    ],
)
def test_bodies_have_the_shape_that_was_asked_for(keys, body, answer):
    """With and without keys, one input and lists, whatever characters a key has."""

    async def check(served, _replica):
        for _ in range(2):
            assert (await served.post("/score", body)).pair == (200, answer)

    with_routes(check, rule(**keys))


def test_a_get_has_the_fields_in_its_query_string():
    """With defaults and types; HEAD is the same without a body; other methods are named."""

    async def check(served, _replica):
        for _ in range(2):
            got = await served.send(get("/plus?a=3"))
            assert got.pair == (200, {"output": [[3, 0]]})
        head = await served.send(get("/plus?a=3").replace(b"GET", b"HEAD"), has_body=False)
        assert (head.status, head.headers["content-length"]) == (200, str(len(got.body)))
        wrong = await served.send(get("/plus?a=abc"))
        assert wrong.status == 422
        assert wrong.json["detail"][0]["loc"] == ["query", "a"]
        other = await served.post("/plus", {})
        assert (other.status, other.headers["allow"]) == (405, "GET, HEAD, OPTIONS")

    route = rule(method="GET", path="/plus", gives="output", is_batch=True)
    with_routes(check, route, answer=bytes, signature=ADD, input_type="rows")


@pytest.mark.parametrize(
    ("keys", "body", "status", "words", "loc"),
    [
        ({"takes": "X"}, b"[1", 400, 'a comma is missing (offset 2). Example: {"X":[', None),
        ({"takes": "X"}, b"", 400, "Put JSON into the body", None),
        ({"takes": "X"}, b"\xff", 400, "not UTF-8", None),
        ({"takes": "X"}, [1], 422, 'wanted an object with "X", found a list', ["body", "X"]),
        ({"takes": "X"}, {"Y": 1}, 422, '"X" is missing; the body has "Y"', ["body", "X"]),
        ({"takes": "X"}, {}, 422, '"X" is missing; the body has {}', ["body", "X"]),
        ({"takes": "X"}, {"X": [1, "a"]}, 422, 'X[1]: wanted a number, found the text "a"',
         ["body", "X", 1]),
        ({"takes": "X"}, {"X": 3}, 422, "X: wanted a list", ["body", "X"]),
        ({}, {"value": [1]}, 422, "the body: wanted a list, each a number", ["body"]),
        ({}, [None], 422, "the body[0]: wanted a number, found null", ["body", 0]),
        ({"is_batch": True}, [[1], 2], 422, "the body[1]: wanted a list", ["body", 1]),
        ({"takes": "X", "is_batch": True}, {"X": 2}, 422, "X: wanted a list of inputs",
         ["body", "X"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_the_terms_of_the_route(keys, body, status, words, loc):
    """Field, found, wanted, and an example, in the caller's shape; nothing of Clipper's format."""

    async def check(served, _replica):
        answer = await served.post("/score", body)
        assert answer.status == status, answer.body
        assert words in answer.json["cause"]
        assert "input" not in answer.json["cause"].replace("list of inputs", "")
        assert "byte] |" not in answer.json["cause"]
        if loc is not None:
            assert answer.json["detail"][0]["loc"] == loc

    with_routes(check, rule(**keys))


def test_a_model_that_fails_is_told_as_anywhere():
    """By the default output, which a header says to be one, or by an error with the query's id."""

    async def check(served, _replica):
        answer = await served.post("/score", {"X": [1]})
        assert answer.pair == (200, {"score": -1})
        assert answer.headers["servd-default"].startswith("The model raised")
        batch = await served.post("/many", {"X": [[1], [2]]})
        assert batch.pair == (200, {"score": [-1, -1]})

    async def check_without(served, _replica):
        answer = await served.post("/score", {"X": [1]})
        assert (answer.status, set(answer.json)) == (500, {"error", "cause", "query_id"})
        batch = await served.post("/many", {"X": [[1], [2]]})
        assert batch.status == 500
        assert [each["error"] for each in batch.json["score"]] == ["Query processing error"] * 2

    many = rule(path="/many", takes="X", gives="score", is_batch=True)
    with_routes(check, SCORE, many, poison=bool, default="-1")
    with_routes(check_without, SCORE, many, poison=bool)


def test_long_bodies_and_long_outputs():
    """A body that is read beside, by a process that finds the route by its spelling."""
    values = [0.5] * 100_000

    async def check(served, _replica):
        assert (await served.post("/score", {"X": values})).pair == (200, {"score": 50_000.0})
        assert (await served.post("/many", [values, values])).pair == (200, [50_000.0] * 2)
        wrong = await served.post("/score", {"X": [*values, "a"]})
        assert wrong.status == 422
        assert wrong.json["detail"][0]["loc"] == ["body", "X", len(values)]
        missing = await served.post("/score", {"Y": values})
        assert (missing.status, missing.json["detail"][0]["loc"]) == (422, ["body", "X"])

    async def check_output(served, _replica):
        answer = await served.post("/score", {"X": [1]})
        assert answer.pair == (200, {"score": "x" * 2_000_000})

    with_routes(check, SCORE, rule(path="/many", is_batch=True))
    with_routes(check_output, SCORE, answer=lambda _row: b'"%b"' % (b"x" * 2_000_000))


def test_a_change_is_in_force_at_once():
    """On connections that have asked before: their heads and paths are looked up anew."""

    async def check(served, _replica):
        client = await served.client()
        request = b"POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b"
        body = json.dumps({"X": [1, 2]}).encode()

        async def ask():
            client.send(request % (len(body), body))
            return (await client.answer()).pair

        for _ in range(3):
            assert await ask() == (200, {"score": 3.0})
        served.route(rule(takes="X", gives="total"))
        assert await ask() == (200, {"total": 3.0})
        served.route()
        assert (await ask())[0] == 404

    with_routes(check, SCORE)


def test_a_file_is_the_input_of_a_whole_body():
    """Of an application of bytes whose route has no key for the input."""

    async def check(served, replica):
        answer = await served.post("/score", b"\xff\xd8jpeg", "Content-Type: image/jpeg")
        assert answer.pair == (200, {"size": 6})
        assert replica.batches == [[b"\xff\xd8jpeg"]]

    how = {"answer": lambda row: b"%d" % len(row), "input_type": "bytes"}
    with_routes(check, rule(gives="size"), **how)


def test_the_documents_have_it():
    """Its path, with the keys around the application's own schemas, in both documents."""

    async def check(served, _replica):
        for path in ("/openapi.json", "/app/openapi.json"):
            paths = (await served.send(get(path))).json["paths"]
            content = paths["/score"]["post"]["requestBody"]["content"]["application/json"]
            assert content["schema"]["properties"]["X"] == {
                "$ref": "#/components/schemas/app.input"
            }
            assert set(content["example"]) == {"X"}
            fields = paths["/sum"]["get"]["parameters"]
            assert [field["name"] for field in fields] == ["a", "b"]

    plus = rule(method="GET", path="/sum")
    with_routes(check, SCORE, plus, answer=bytes, signature=ADD, input_type="rows")
