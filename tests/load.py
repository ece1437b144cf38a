"""An open-loop load generator: queries at a constant rate, each answer checked. Used by tests/e2e.

Queries leave by the clock whether or not the ones before were answered, as users' do. It runs in a
thread of its own, so that a test can kill and deploy meanwhile.
"""

import asyncio
import contextlib
import enum
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

HOST = "127.0.0.1"


class Kind(enum.StrEnum):
    """What became of a query."""

    RIGHT = "right"
    WRONG = "wrong"
    DEFAULT = "default"
    ERROR = "error"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One query: when it left and was answered (monotonic), and what the answer was."""

    number: int
    sent_s: float
    done_s: float
    kind: Kind
    status: int | None
    answer: Any


class Load:
    """Sends `make(number)` to `path` `rate` times a second while it is open as a context manager.

    `is_right(number, output)` judges an output that is no default. An answer that takes longer than
    `timeout_s`, or a connection that ends without one, counts as none. With `is_fresh` each query
    has a connection of its own.
    """

    def __init__(
        self,
        port: int,
        path: str,
        make: Callable[[int], Any],
        is_right: Callable[[int, Any], bool],
        *,
        rate: float = 200.0,
        timeout_s: float = 10.0,
        is_fresh: bool = False,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._port = port
        self._path = path
        self._make = make
        self._is_right = is_right
        self._rate = rate
        self._timeout_s = timeout_s
        self._is_fresh = is_fresh
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    @property
    def counts(self) -> dict[str, int]:
        """How many queries ended in which way; ways that no query took are left out."""
        return dict(Counter(outcome.kind.value for outcome in self.outcomes))

    def not_right(self) -> list[Outcome]:
        """Return every query that did not get a right output."""
        return [outcome for outcome in self.outcomes if outcome.kind is not Kind.RIGHT]

    def sent_between(self, start_s: float, end_s: float) -> list[Outcome]:
        """Return the queries that left between two monotonic times."""
        return [outcome for outcome in self.outcomes if start_s <= outcome.sent_s <= end_s]

    def wait_for(self, more: int, timeout_s: float = 30.0) -> None:
        """Return when so many more queries have been answered."""
        goal = len(self.outcomes) + more
        end_s = time.monotonic() + timeout_s
        while len(self.outcomes) < goal:
            assert time.monotonic() < end_s, f"{goal - len(self.outcomes)} answers are missing"
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except Exception as error:  # noqa: BLE001 - a thread's end: the test's thread raises it
            self._fault = error

    async def _send_all(self) -> None:
        started_s = time.monotonic()
        number = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stop.is_set():
                    tasks.create_task(self._one(number))
                    number += 1
                    due_s = started_s + number / self._rate
                    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        finally:
            for _, writer in self._idle:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _one(self, number: int) -> None:
        sent_s = time.monotonic()
        status, answer = None, None
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                status, answer = await self._exchange(number)
        kind = self._judge(number, status, answer)
        self.outcomes.append(Outcome(number, sent_s, time.monotonic(), kind, status, answer))

    async def _exchange(self, number: int) -> tuple[int, Any]:
        # The longest idle first, so that none idles until the server closes it.
        if self._idle:
            reader, writer = self._idle.popleft()
        else:
            reader, writer = await asyncio.open_connection(HOST, self._port)
        is_whole = False
        try:
            body = json.dumps({"input": self._make(number)}).encode()
            head = f"POST {self._path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = await _read_answer(reader)
            is_whole = True
        finally:
            if is_whole and not self._is_fresh:
                self._idle.append((reader, writer))
            else:
                writer.transport.abort()
        return answer

    def _judge(self, number: int, status: int | None, answer: Any) -> Kind:
        if status is None:
            return Kind.NONE
        if status != 200:
            return Kind.ERROR
        if answer["default"]:
            return Kind.DEFAULT
        return Kind.RIGHT if self._is_right(number, answer["output"]) else Kind.WRONG


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    first, *lines = head.lower().split("\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
    return int(first.split()[1]), json.loads(await reader.readexactly(length))
