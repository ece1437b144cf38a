"""Clients that ask all the time, as a Kubernetes Service's clients do: ready front ends in turn."""

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Self

from tests.netns.network import enter

PORT = 1337
PAUSE_S = 0.02
PROBE_S = 0.1
PATIENCE_S = 10.0


@dataclass
class Tally:
    """What became of the queries; `failures` are those without the right answer."""

    answered: int = 0
    slowest_s: float = 0.0
    by_front_end: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Load:
    """`clients` connections that each ask again and again, from a host of the network.

    A context manager; a front end is asked while it says that it is ready, as the endpoints of a
    Service are. A connection that is refused has lost no query: the other front end is asked.
    """

    def __init__(self, namespace: str, front_ends: list[str], clients: int = 8) -> None:
        self.tally = Tally()
        self._namespace = namespace
        self._front_ends = front_ends
        self._ready = list(front_ends)
        self._clients = clients
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        enter(self._namespace)
        asyncio.run(self._ask_all())

    async def _ask_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            prober = tasks.create_task(self._probe())
            clients = [tasks.create_task(self._ask(number)) for number in range(self._clients)]
            await asyncio.wait(clients)
            prober.cancel()

    async def _probe(self) -> None:
        while True:
            ready = [each for each in self._front_ends if await self._is_ready(each)]
            self._ready = ready or self._ready
            await asyncio.sleep(PROBE_S)

    async def _is_ready(self, front_end: str) -> bool:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(1):
                wire = await asyncio.open_connection(front_end, PORT)
                try:
                    return (await exchange(wire, "GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"))[0]
                finally:
                    wire[1].close()
        return False

    async def _ask(self, client: int) -> None:
        number, wire, front_end = client, None, ""
        while not self._ended.is_set():
            number += self._clients
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if wire is None:
                        wire, front_end = await self._connect(number)
                    is_right, is_last, text = await exchange(wire, query(number), float(number))
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                is_right, is_last, text = False, True, repr(error)
            self._count(is_right, text, front_end, time.monotonic() - began_s)
            if is_last and wire is not None:
                wire[1].close()
                wire = None
            await asyncio.sleep(PAUSE_S)
        if wire is not None:
            wire[1].close()

    def _count(self, is_right: bool, text: str, front_end: str, took_s: float) -> None:  # noqa: FBT001
        tally = self.tally
        tally.slowest_s = max(tally.slowest_s, took_s)
        if is_right:
            tally.answered += 1
            tally.by_front_end[front_end] = tally.by_front_end.get(front_end, 0) + 1
        else:
            tally.failures.append(f"{front_end} after {took_s:.2f} s: {text}")

    async def _connect(self, number: int) -> "tuple[Wire, str]":
        for turn in range(number, number + 1000):
            ready = self._ready
            front_end = ready[turn % len(ready)]
            try:
                return await asyncio.open_connection(front_end, PORT), front_end
            except ConnectionRefusedError:
                await asyncio.sleep(PAUSE_S)
        raise ConnectionRefusedError("no front end")


Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def query(number: int) -> str:
    """Return a request that nobody has made before, so that no cache answers it."""
    body = json.dumps({"input": [number, 0.0]})
    return f"POST /a/predict HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}"


async def exchange(wire: Wire, request: str, output: float | None = None) -> tuple[bool, bool, str]:
    """Return whether a request got 200 (and that output), whether it was the last, the answer."""
    reader, writer = wire
    writer.write(request.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    text = (await reader.readexactly(length)).decode()
    is_right = head.split()[1] == "200" and (
        output is None or json.loads(text).get("output") == output
    )
    return is_right, "connection: close" in head, text
