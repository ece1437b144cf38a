"""A wire format of under 60 lines that a newcomer adds through the seams (tests/toy_csv.py)."""

import ast
from pathlib import Path

import pytest

from servd.http.codecs import CODECS
from tests import toy_csv
from tests.scripted_replica import ScriptedReplica
from tests.serving import run, serving
from tests.toy_csv import CSV_CODEC


def with_csv(check, **replica):
    """Run a check with an application that speaks CSV as well."""

    async def main():
        with ScriptedReplica(**replica) as replica_:
            async with serving(codecs=(*CODECS, CSV_CODEC)) as served:
                await served.attach(replica_, served.deploy(default=None))
                await check(served)

    run(main())


async def csv(served, body, path="/app/csv", *headers):
    """Post CSV; return the status, the content type and the text."""
    answer = await served.post(path, body, "Content-Type: text/csv", *headers)
    return answer.status, answer.headers["content-type"], answer.body.decode()


def test_it_is_short():
    """Under 60 lines that are no blank and no import."""
    tree = ast.parse(Path(toy_csv.__file__).read_text())
    of_imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    lines = [line for line in Path(toy_csv.__file__).read_text().splitlines() if line.strip()]
    assert len(lines) - sum(n.end_lineno - n.lineno + 1 for n in of_imports) < 60


def test_one_line_and_several():
    """One input is answered as one, several as a line each, in their order; also the same again."""

    async def check(served):
        for _ in range(3):
            assert await csv(served, b"1,2") == (200, "text/csv", "3.0\n")
            assert await csv(served, b"1,2\n3,4\n\n5,6\n") == (200, "text/csv", "3.0\n7.0\n11.0\n")
            assert (await served.predict({"input": [1, 2]}))[1]["output"] == 3.0

    with_csv(check)


def test_the_same_bytes_with_another_head_are_another_input():
    """Its query string says what separates values; neither the heads nor the cache confuse them."""

    async def check(served):
        for _ in range(4):
            assert (await csv(served, b"1;2", "/app/csv?sep=;"))[2] == "3.0\n"
            status, kind, text = await csv(served, b"1;2", "/app/csv")
            assert (status, kind) == (400, "application/json")
            assert "could not convert string to float: '1;2'" in text

    with_csv(check)


def test_a_header_that_it_asks_for_reaches_it():
    """In any case of letters; the others' requests are answered as before."""

    async def check(served):
        for missing in ("NA", "-", "NA"):
            answer = await csv(served, b"1\n666\n2", "/app/csv", f"x-MISSING: {missing}")
            assert answer == (200, "text/csv", f"1.0\n{missing}\n2.0\n")

    with_csv(check, poison=POISON.__eq__)


POISON = bytes.fromhex("0000000000d08440")
"""666 as a double."""


@pytest.mark.parametrize("count", [1, 100])
def test_a_long_body_is_read_beside(monkeypatch, count):
    """By the process that reads long bodies, which finds the codec by its name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(toy_csv.__file__).parents[1]))

    async def check(served):
        line = ",".join(["1"] * (400_000 // count)).encode()
        status, _, text = await csv(served, b"\n".join([line] * count))
        assert (status, text.split()) == (200, [str(400_000 / count)] * count)

    with_csv(check)


def test_its_errors_and_misses_are_its_own():
    """Another method, an unknown application, another input type, an output that is missing."""

    async def check(served):
        assert (await served.send(b"GET /app/csv HTTP/1.1\r\n\r\n")).status == 405
        assert (await csv(served, b"1", "/nobody/csv"))[0] == 404
        assert (await csv(served, b"666"))[:2] == (500, "text/csv")

    with_csv(check, poison=POISON.__eq__)
