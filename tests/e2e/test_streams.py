"""Streams of a daemon with one front end and with two: many callers, kills, queries beside."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Self

import psutil
import pytest

from tests.daemon import Daemon
from tests.e2e.steps import deploy, ready, running_daemon, runtime_processes, until
from tests.load import Kind, Load
from tests.serving import Client
from tests.streaming import Heard, Listening, asked

CALLERS = 200
ITEMS = 1000
BESIDE = 50
GROWN_BYTES = 64 << 20


@pytest.fixture(scope="module", params=["", "frontends = 2"], ids=["daemon", "frontends"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """Yield a daemon with a model that yields, in both of the kinds, and one that does not."""
    with running_daemon(request.param) as running:
        for name in ("predict", "answer"):
            words = ("--name", f"{name}-stream", "--slo", "10s", "--example", "{}")
            deploy(running, f"yields.py:{name}", *words)
        deploy(running, "good.py", "--name", "good", "--slo", "2s")
        yield running


class Callers:
    """Connections of a test, which are closed at its end."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for client in self._clients:
            await client.close()

    async def begin(self, name: str, told: dict[str, object]) -> tuple[Listening, Heard]:
        """Ask for events on a connection of its own, and read the head."""
        port = self._daemon.query_port
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        self._clients.append(client)
        client.send(asked(told, path=f"/{name}-stream/predict"))
        listening = Listening(client)
        return listening, await listening.begin()

    async def hear(self, name: str, told: dict[str, object]) -> Heard:
        """Ask for events and read them all."""
        listening, heard = await self.begin(name, told)
        return await listening.go_on(heard)


def _memory(daemon: Daemon) -> int:
    processes = runtime_processes(daemon.data_dir)
    return sum(psutil.Process(process.pid).memory_info().rss for process in processes)


@pytest.mark.parametrize("name", ["predict", "answer"])
def test_many_callers_get_all_items_in_order_and_memory_stays(daemon: Daemon, name: str) -> None:
    """200 streams of 1,000 items at once, each whole; the first items come within the objective."""

    async def main() -> None:
        async with Callers(daemon) as callers:
            told: dict[str, object] = {"count": ITEMS}
            every = await asyncio.gather(*(callers.hear(name, told) for _ in range(CALLERS)))
            assert {heard.status for heard in every} == {200}
            assert all(heard.items == [*range(ITEMS)] for heard in every)
            assert all(heard.end["items"] == ITEMS for heard in every)

    asyncio.run(main())
    before = _memory(daemon)
    for _ in range(2):
        asyncio.run(main())
    assert _memory(daemon) - before < GROWN_BYTES


def test_a_killed_replica_ends_its_streams_with_an_error(daemon: Daemon) -> None:
    """Who has items reads an error event and the end; the next stream is answered."""

    async def main() -> None:
        async with Callers(daemon) as callers:
            told: dict[str, object] = {"count": 10**6, "pause_s": 0.01}
            begun = [await callers.begin("predict", told) for _ in range(8)]
            for listening, heard in begun:
                await listening.go_on(heard, 2)
            (replica,) = ready(daemon, "predict-stream")
            os.kill(replica["pid"], signal.SIGKILL)
            for listening, heard in begun:
                await listening.go_on(heard)
                assert "the replica ended (killed by signal 9" in heard.error["cause"]
                assert heard.end is not None
            until(lambda: ready(daemon, "predict-stream"), "a replica again")
            assert (await callers.hear("predict", {"count": 3})).items == [0, 1, 2]

    asyncio.run(main())


def test_queries_beside_streams_stay_in_their_objective(daemon: Daemon) -> None:
    """While 50 callers are streamed to, no query of another application is late."""

    async def main() -> None:
        async with Callers(daemon) as callers:
            told: dict[str, object] = {"count": 10**6, "pause_s": 0.02}
            begun = [await callers.begin("answer", told) for _ in range(BESIDE)]
            load = Load(
                daemon.query_port,
                "/good/predict",
                lambda number: [number, 0.5],
                lambda number, output: output == number + 0.5,
                rate=100,
            )
            with load:
                for _ in range(5):
                    for listening, heard in begun:
                        await listening.go_on(heard, 20)
            assert {*load.counts} == {Kind.RIGHT.value}, load.counts
            assert all(heard.items == [*range(100)] for _, heard in begun)

    asyncio.run(main())


def test_a_rollback_lets_streams_go_on(daemon: Daemon) -> None:
    """A stream of the version before comes to its end, while the other version answers."""

    async def main() -> None:
        async with Callers(daemon) as callers:
            listening, heard = await callers.begin("predict", {"count": 150, "pause_s": 0.02})
            await listening.go_on(heard, 1)
            words = ("--name", "predict-stream", "--slo", "10s", "--example", '{"count": 1}')
            await asyncio.to_thread(deploy, daemon, "yields.py:predict", *words)
            assert (await callers.hear("predict", {"count": 2})).items == [0, 1]
            await listening.go_on(heard)
            assert heard.error is None
            assert heard.items == [*range(150)]

    asyncio.run(main())
