"""`servd.AsyncClient` against a real daemon."""

import asyncio
import contextlib

import pytest

import servd
from servd.client.failures import BatchFailedError, InvalidInputError
from servd.errors import DaemonNotRunningError, NotFoundError


def doubled(xs):
    """Answer twice the sums; refuse what is below zero."""
    if any(sum(x) < 0 for x in xs):
        raise ValueError("below zero")
    return [float(sum(x) * 2) for x in xs]


async def counted(n: int):
    """Yield slowly the numbers up to one."""
    for each in range(n):
        yield each
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def data_folder(client):
    """Return the folder of a daemon that has both models."""
    client.deploy(doubled, slo_ms=10_000)
    client.deploy(counted, slo_ms=10_000)
    return client.status().data_dir


def run(folder, use):
    """Return what an asynchronous function makes of a client."""

    async def main():
        async with servd.AsyncClient(data_dir=folder) as client:
            return await use(client)

    return asyncio.run(main())


def test_predictions_come_side_by_side(data_folder):
    """Over as many connections as there are callers."""

    async def use(client):
        return await asyncio.gather(*(client.predict("doubled", [float(n)]) for n in range(40)))

    assert [each.output for each in run(data_folder, use)] == [2.0 * n for n in range(40)]


def test_what_is_there_is_listed_as_by_the_other_client(data_folder, client):
    """Equal values, made of the same calls."""

    async def use(other):
        named = {"apps": await other.apps(), "models": await other.models()}
        return named | {
            "versions": await other.versions("doubled"),
            "app": await other.app("doubled"),
        }

    found = run(data_folder, use)
    assert found["apps"] == client.apps()
    assert found["models"] == client.models()
    assert found["versions"] == client.versions("doubled")
    assert found["app"] == client.app("doubled")


def test_a_stream_comes_item_by_item_and_can_be_left(data_folder, client):
    """Also by the other client; of a model that does not yield it is the one output."""

    async def use(other):
        items = [item async for item in other.stream("counted", {"n": 3})]
        async with contextlib.aclosing(other.stream("counted", {"n": 100_000})) as stream:
            first = [await anext(stream), await anext(stream)]
        return items, first, [item async for item in other.stream("doubled", [4.0])]

    assert run(data_folder, use) == ([0, 1, 2], [0, 1], [8.0])
    assert list(client.stream("counted", {"n": 3})) == [0, 1, 2]
    stream = client.stream("counted", {"n": 100_000})
    assert next(stream) == 0
    stream.close()
    assert list(client.stream("doubled", [4.0])) == [8.0]


def test_errors_are_the_other_clients(data_folder, client):
    """Of an input, of one among several, of a stream, of what is not there."""

    async def use(other):
        with pytest.raises(InvalidInputError, match="expected type Array"):
            await other.predict("doubled", "text")
        with pytest.raises(InvalidInputError, match="Invalid input: n: missing"):
            [item async for item in other.stream("counted", {"m": 1})]
        with pytest.raises(NotFoundError, match="nowhere"):
            await other.model("nowhere")
        with pytest.raises(BatchFailedError) as told:
            await other.predict_batch("doubled", [[1.0], [-1.0], [2.0]])
        return told.value

    error = run(data_folder, use)
    assert [getattr(each, "output", None) for each in error.results] == [2.0, None, 4.0]
    assert "below zero" in error.message
    with pytest.raises(BatchFailedError, match="1 of 3 inputs have no prediction; input 1: "):
        client.predict_batch("doubled", [[1.0], [-1.0], [2.0]])


def test_a_closure_is_deployed_scaled_and_removed(data_folder):
    """With the options and the events of the other client."""
    heard = []

    async def use(other):
        factor = 3.0

        def tripled(xs):
            return [sum(x) * factor for x in xs]

        made = await other.deploy(tripled, slo_ms=10_000, on_event=heard.append)
        output = (await other.predict("tripled", [2.0])).output
        scaled = await other.scale("tripled", 2)
        lines = [line async for line in other.logs("tripled")]
        await other.delete_app("tripled")
        await other.delete_model("tripled")
        return made, output, scaled.replicas, lines, [each.name for each in await other.models()]

    made, output, replicas, lines, left = run(data_folder, use)
    assert (made.state, output, replicas) == ("live", 6.0, 2)
    assert [each.event for each in heard] == ["bundled", "starting", "loaded", "live"]
    assert isinstance(lines, list)
    assert "tripled" not in left


def test_a_daemon_that_is_not_there_is_said(tmp_path):
    """By both clients, with what to do where nobody catches it."""

    async def use(other):
        await other.apps()

    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers at ") as told:
        run(tmp_path, use)
    assert told.value.__notes__ == ["hint: servd start"]
    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers at ") as told:
        servd.Client(data_dir=tmp_path).apps()
    assert told.value.__notes__ == ["hint: servd start"]
    with pytest.raises(DaemonNotRunningError, match="no servd daemon answers at "):
        servd.Client(data_dir=tmp_path).predict("any", 1)
