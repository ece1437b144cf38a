"""Thousands of hostile requests against both ports of a running daemon, beside right queries."""

import asyncio
import json
import random
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.serving import Client, post, run

MODELS = Path(__file__).parents[1] / "models"
SEED = 20_260_731
REQUESTS = 10_000
CONNECTIONS = 64
ANSWER_TIMEOUT_S = 5.0
MEMORY_SLACK_BYTES = 48 * 1024 * 1024

Maker = Callable[[random.Random, str], bytes]


# --- makers of hostile requests: each takes a source of chance and a path ---


def noise(chance: random.Random, _path: str) -> bytes:
    """Return random bytes."""
    return chance.randbytes(chance.randint(1, 400)) + b"\r\n\r\n"


def truncated(chance: random.Random, path: str) -> bytes:
    """Return the beginning of a right request."""
    request = post(path, {"input": [1.0, 2.0]})
    return request[: chance.randrange(1, len(request))]


def mangled(chance: random.Random, path: str) -> bytes:
    """Return a right request with some bytes changed."""
    request = bytearray(post(path, {"input": [1.0, 2.0]}))
    for _ in range(chance.randint(1, 6)):
        request[chance.randrange(len(request))] = chance.randrange(256)
    return bytes(request)


def wrong_type(chance: random.Random, path: str) -> bytes:
    """Return a body of right JSON and wrong meaning."""
    values = (None, True, "x", {}, [None], [[1.0]], ["1"], [1e999], 7, -1, [{"a": 1}])
    keys = ("input", "input_batch", "version", "name", "model_name", "app_name", "")
    body = {chance.choice(keys): chance.choice(values) for _ in range(chance.randint(0, 3))}
    return post(path, chance.choice((body, [body], "text", None, 1)))


def deep(chance: random.Random, path: str) -> bytes:
    """Return JSON that is nested deeply."""
    depth = chance.choice((100, 1000, 20_000))
    opening = chance.choice((b"[", b'{"input":', b'{"a":['))
    return post(path, b'{"input": ' + opening * depth)


def bad_chunks(chance: random.Random, path: str) -> bytes:
    """Return a body in chunks that are none."""
    chunks = (
        b"zz\r\nx\r\n",
        b"-1\r\n",
        b"ffffffffffffffffff\r\n",
        b"5\r\nab\r\n0\r\n\r\n",
        b"1\rx",
    )
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + chance.choice(chunks)


def smuggled(chance: random.Random, path: str) -> bytes:
    """Return a request whose length can be read in two ways."""
    lines = (
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Content-Length: 0x5",
    )
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{chance.choice(lines)}\r\n\r\n"
    return head.encode() + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"


def long_head(chance: random.Random, path: str) -> bytes:
    """Return a head that does not end."""
    size = chance.choice((9_000, 70_000))
    filler = chance.choice((b"X: " + b"x" * size, b"X: y\r\n" * (size // 6)))
    return b"POST " + path.encode() + b" HTTP/1.1\r\n" + filler


def oversize(chance: random.Random, path: str) -> bytes:
    """Return a request that announces more than the limit."""
    size = chance.choice((2**27, 2**40, 2**63, 2**80))
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\nx".encode()


def packed(chance: random.Random, path: str) -> bytes:
    """Return a body that is not packed as it says."""
    coding = chance.choice(("gzip", "deflate", "br", "\xff", ""))
    return post(path, chance.randbytes(40), f"Content-Encoding: {coding}")


def odd_path(chance: random.Random, _path: str) -> bytes:
    """Return a request for a path that is none."""
    paths = ("/../../etc/passwd", "/%00/predict", "/" + "a" * 2000, "//", "*", "/\xff/predict", "x")
    method = chance.choice(("POST", "GET", "BREW", "DELETE", "CONNECT", "PRI"))
    return f"{method} {chance.choice(paths)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1")


MAKERS: tuple[Maker, ...] = (
    noise,
    truncated,
    mangled,
    wrong_type,
    deep,
    bad_chunks,
    smuggled,
    long_head,
    oversize,
    packed,
    odd_path,
)


# --- the attack ---


@dataclass(frozen=True)
class Target:
    """A port, the paths to attack on it, and the makers of what is sent."""

    host: str
    port: int
    paths: Sequence[str]
    makers: Sequence[Maker] = MAKERS

    async def attack(self, chance: random.Random) -> int:
        """Send one hostile request, half-close, and return the status; 0 for a closed connection.

        Raises:
            TimeoutError: it was neither answered nor closed.
        """
        data = chance.choice(self.makers)(chance, chance.choice(self.paths))
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            client = Client(*await asyncio.open_connection(self.host, self.port))
            try:
                client.send(data)
                if chance.random() < 0.2:
                    client.writer.transport.abort()
                    return 0
                client.writer.write_eof()
                line = await client.reader.readline()
                return int(line.split()[1]) if line else 0
            except (ConnectionError, ValueError):
                return 0
            finally:
                client.writer.transport.abort()


async def attack_all(target: Target, count: int, seed: int) -> list[int]:
    """Attack `count` times over many connections at once; return all statuses."""
    left = iter(range(count))
    statuses: list[int] = []

    async def worker(number: int) -> None:
        chance = random.Random(seed + number)
        for _ in left:
            statuses.append(await target.attack(chance))  # noqa: PERF401

    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(worker(number))
    return statuses


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


def statuses_under_attack(daemon, target: Target, count: int) -> set[int]:
    """Attack a port of a daemon while right queries run; return the statuses that were seen."""
    file_limit()
    process = psutil.Process(daemon.pid)
    seen: list[int] = []

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
    assert len(seen) == count
    return set(seen)


def test_the_query_port_under_attack(attacked):
    """Each hostile request is a 4xx or a closed connection; right ones never notice."""
    paths = ("/app/predict", "/app/update", "/metrics", "/", "/nobody/predict")
    target = Target("127.0.0.1", attacked.query_port, paths)
    # 200: a change of some bytes, or an empty batch, may leave a right request.
    seen = statuses_under_attack(attacked, target, REQUESTS)
    assert {400, 404, 405, 413, 415, 431} <= seen
    assert {status for status in seen if status >= 500} == set()


def test_the_admin_port_under_attack(attacked):
    """The admin port answers in the same way, and nothing of the registry changes."""
    paths = (
        "/admin/add_app",
        "/admin/add_model",
        "/admin/get_all_applications",
        "/api/v1/status",
        "/api/v1/deployments",
        "/api/v1/applications",
        "/metrics",
    )
    target = Target("127.0.0.1", attacked.admin_port, paths)
    seen = statuses_under_attack(attacked, target, REQUESTS)
    assert {s for s in seen if s >= 500} == set()
    done = attacked.cli("app", "ls", "--json")
    assert [app["name"] for app in json.loads(done.stdout)] == ["app"]
