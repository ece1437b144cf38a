"""The metrics page over a connection."""

import asyncio
import time

import pytest

from tests.scripted_replica import ScriptedReplica
from tests.serving import post, run, serving, until


@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
def test_a_client_that_asks_for_nothing_else(accept):
    """3,000 requests for metrics in one piece are answered, and beside them a query in no time."""

    async def main():
        with ScriptedReplica() as replica:
            async with serving() as served:
                await served.attach(replica, served.deploy())
                client, neighbour = await served.client(), await served.client()
                client.send(f"GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n".encode() * 3000)
                answers = asyncio.create_task(take(client, 3000))
                await until(lambda: any(c.has_more for c in served.server.connections))
                slowest_s, asked = 0.0, 0
                while not answers.done():
                    began_s = time.perf_counter()
                    neighbour.send(post("/app/predict", {"input": [asked]}))
                    assert (await neighbour.answer()).json["output"] == asked
                    slowest_s = max(slowest_s, time.perf_counter() - began_s)
                    asked += 1
                await answers
                assert asked > 5
                assert slowest_s < 0.3  # 17.8 s when each was rendered in its turn

    run(main())


async def take(client, count):
    """Read so many good answers."""
    for _ in range(count):
        assert (await client.answer()).status == 200
