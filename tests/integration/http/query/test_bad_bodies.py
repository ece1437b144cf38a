"""Bodies that are not JSON, over real connections: refused, with the connection in order behind."""

import pytest

from servd.datatypes import InputType
from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until

BAD = (
    b'{"input":"caf\xe9"}',
    b'{"input":{"a":"\xed\xa0\x80"}}',
    b'{"input":"\\ud800"}',
    b'{"input":NaN}',
    b'{"input":1e999}',
    b'{"input_batch":["a","caf\xe9"]}',
    b'{"input":"a","version":"\xe9"}',
    b'{"inp\xe9t":"a"}',
    b"\xff\xfe\x00",
    b'{"input":"a","note":"caf\xe9"}',
)


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Demand that a client's fault leaves nothing in the log."""
    yield
    assert not [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]


def with_app(check, kind, **script):
    """Run `check(served, replica)` with an application that gives texts back."""

    async def main():
        with ScriptedReplica(answer=lambda row: b'"' + row.strip(b'"') + b'"', **script) as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy(input_type=InputType(kind)))
                await check(served, replica)

    run(main())


@pytest.mark.parametrize("kind", ["strings", "any", "bytes"])
def test_a_bad_body_on_a_kept_connection(kind):
    """It is a 400 on predict and on update, and the next request is answered."""

    async def check(served, replica):
        client = await served.client()
        for n, body in enumerate(BAD):
            for path in ("/app/predict", "/%61pp/predict", "/app/update"):
                client.send(post(path, body))
                answer = await client.answer()
                assert answer.status == 400, (path, body)
                assert answer.json["error"] == "Json error"
            client.send(post("/app/predict", b'{"input":"%04d"}' % n))
            assert (await client.answer()).status == 200
        assert sum(map(len, replica.batches)) == len(BAD)  # no model was asked

    with_app(check, kind)


def test_bad_bodies_behind_good_ones():
    """Those that are read while others' answers are written cost nobody an answer."""

    async def check(served, replica):
        clients = [await served.client() for _ in range(20)]
        for n, client in enumerate(clients):
            bad = BAD[n % len(BAD)]
            client.send(post("/app/predict", b'{"input":"v%d"}' % n) + post("/app/predict", bad))
        await until(lambda: len(served.engine.by_name["app"].waiting) == len(clients))
        replica.release()
        for n, client in enumerate(clients):
            assert (await client.answer()).json["output"] == f"v{n}"
            assert (await client.answer()).status == 400

    with_app(check, "strings", is_holding=True)


def test_feedback_is_read_as_queries_are():
    """A fault in it is told with the shape that feedback has."""

    async def check(served, _replica):
        answer = await served.post("/app/update", b'{"uid":0,"input":"a","label":1,"x":"\xe9"}')
        assert answer.status == 400
        assert "not UTF-8" in answer.json["cause"]
        assert '"label" := double' in answer.json["cause"]
        right = await served.post("/app/update", {"uid": 0, "input": "a", "label": 1, "x": []})
        assert (right.status, right.body) == (200, b"Feedback received? 1")

    with_app(check, "strings")
