"""Thousands of hostile requests against both ports of a running daemon, beside right queries."""

import asyncio
import random
import resource
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.hostile import MAKERS, SMUGGLING, Asked, Hostile, Maker
from tests.serving import Client, post, run

MODELS = Path(__file__).parents[1] / "models"
SEED = 20_260_731
REQUESTS = 10_000
CONNECTIONS = 64
ANSWER_TIMEOUT_S = 5.0
MEMORY_SLACK_BYTES = 48 * 1024 * 1024

QUERY = (
    Asked("/app/predict", 400),
    Asked("/app/update", 400),
    Asked("/metrics", 405),
    Asked("/", 405),
    Asked("/nobody/predict", 404),
)
ADMIN = (
    Asked("/admin/add_app", 400, is_admin=True),
    Asked("/admin/add_model", 400, is_admin=True),
    Asked("/api/v1/status", 405, is_admin=True),
    Asked("/api/v1/deployments", 400, is_admin=True),
    Asked("/api/v1/applications", 400, is_admin=True),
    Asked("/metrics", 405, is_admin=True),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request: the statuses of all answers, in their order."""

    maker: str
    request: Hostile
    statuses: tuple[int, ...]

    @property
    def is_right(self) -> bool:
        """Whether the first status is one of those that are, and there are not too many answers."""
        first = self.statuses[0] if self.statuses else 0
        return first in self.request.statuses and len(self.statuses) <= self.request.most


@dataclass(frozen=True)
class Target:
    """A port, what to ask on it, and the makers of what is sent."""

    port: int
    asked: Sequence[Asked]
    makers: Sequence[Maker] = MAKERS

    async def attack(self, chance: random.Random) -> Outcome | None:
        """Send one hostile request, close the sending side, and read all answers.

        None where it hung up instead, as one in five does.

        Raises:
            TimeoutError: the connection was not closed.
        """
        maker = chance.choice(self.makers)
        request = maker(chance, chance.choice(self.asked))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
            try:
                client.send(request.data)
                if chance.random() < 0.2:
                    return None
                client.writer.write_eof()
                return Outcome(maker.__name__, request, await statuses_of(client))
            finally:
                client.writer.transport.abort()


async def statuses_of(client: Client) -> tuple[int, ...]:
    """Return the statuses of all answers until the connection is closed."""
    statuses = []
    try:
        while line := await client.reader.readline():
            statuses.append(int(line.split()[1]))
            head = await client.reader.readuntil(b"\r\n\r\n")
            lengths = [each for each in head.lower().split(b"\r\n") if b"content-length:" in each]
            await client.reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    return tuple(statuses)


async def attack_all(target: Target, count: int, seed: int) -> list[Outcome]:
    """Attack `count` times over many connections at once; return all outcomes."""
    left = iter(range(count))
    outcomes: list[Outcome] = []

    async def worker(number: int) -> None:
        chance = random.Random(seed + number)
        for _ in left:
            outcome = await target.attack(chance)
            if outcome is not None:
                outcomes.append(outcome)

    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(worker(number))
    return outcomes


async def ask_until(done: asyncio.Event, port: int) -> int:
    """Send right queries on one connection until the attack is over; return how many."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    count = 0
    while not done.is_set():
        client.send(post("/app/predict", {"input": [count, 0.5]}))
        answer = await client.answer()
        assert answer.status == 200
        assert float(answer.json["output"]) == count + 0.5
        assert answer.json["default"] is False
        count += 1
        await asyncio.sleep(0)
    await client.close()
    return count


def file_limit() -> None:
    """Allow for the connections of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))


@pytest.fixture
def attacked(daemon):
    """Return a daemon with one application that answers sums."""
    done = daemon.cli(
        "deploy",
        f"{MODELS / 'good.py'}:predict",
        "--app",
        "app",
        "--slo",
        "10s",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return daemon


def registry_of(daemon):
    """Return all that the registry knows, and the files that are kept for it."""
    with urllib.request.urlopen(f"{daemon.admin_url}/api/v1/registry") as answer:
        return answer.read(), sorted((daemon.data_dir / "bundles").rglob("*"))


def under_attack(daemon, target: Target, count: int) -> list[Outcome]:
    """Attack a port of a daemon while right queries run; return the outcomes.

    Nothing of the registry changes, and no request leaves an error in the log.
    """
    file_limit()
    process = psutil.Process(daemon.pid)
    seen: list[Outcome] = []
    registry = registry_of(daemon)

    async def main() -> None:
        await attack_all(target, 300, SEED - 1000)  # so that what is only made once is made
        before = process.memory_info().rss
        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask_until(done, daemon.query_port)) for _ in range(2)]
            seen.extend(await attack_all(target, count, SEED))
            done.set()
        assert all(task.result() > 10 for task in asking)
        assert process.memory_info().rss - before < MEMORY_SLACK_BYTES

    run(main())
    assert registry_of(daemon) == registry
    log = (daemon.data_dir / "logs" / "daemon.log").read_text()
    assert not [line for line in log.splitlines() if " ERROR " in line or " WARNING " in line]
    return seen


def told(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the wrong outcomes as texts: maker, statuses, and the beginning of what was sent."""
    return [
        f"{one.maker}: {one.statuses} not {sorted(one.request.statuses)}: {one.request.data[:90]!r}"
        for one in outcomes
        if not one.is_right
    ][:20]


def test_the_query_port_under_attack(attacked):
    """Each hostile request gets the answer that its kind deserves; right ones never notice."""
    seen = under_attack(attacked, Target(attacked.query_port, QUERY), REQUESTS)
    assert told(seen) == []
    assert {one.maker for one in seen} == {maker.__name__ for maker in MAKERS}
    first = Counter(one.statuses[0] for one in seen if one.statuses)
    assert {200, 400, 404, 405, 413, 415, 431} <= set(first)


def test_the_admin_port_under_attack(attacked):
    """The admin port answers in the same way, and nothing of the registry changes."""
    seen = under_attack(attacked, Target(attacked.admin_port, ADMIN), REQUESTS)
    assert told(seen) == []


def test_no_request_is_smuggled(attacked):
    """What stands behind a request of doubtful length is answered on neither port, however cut."""
    inner = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    async def statuses(port, data, cut):
        client = Client(*await asyncio.open_connection("127.0.0.1", port))
        for at in range(0, len(data), cut):
            if client.writer.transport.is_closing():
                break
            client.send(data[at : at + cut])
            await asyncio.sleep(0)
        found = await statuses_of(client)
        client.writer.transport.abort()
        return found

    async def main():
        for line in SMUGGLING:
            head = f"POST /app/predict HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"
            data = head.encode("latin-1") + b"0\r\n\r\n" + inner
            for port in (attacked.query_port, attacked.admin_port):
                for cut in (10**6, 40, 1):
                    found = await statuses(port, data, cut)
                    # aiohttp resets the connection of a client that goes on sending.
                    is_reset = port == attacked.admin_port and found == ()
                    assert found == (400,) or is_reset, (line, port, cut)

    run(main())
