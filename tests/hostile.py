"""Makers of hostile requests: each says what may be answered to it. Used against both ports.

A maker takes a source of chance and what is asked, and returns bytes with the statuses that are
right for them. A status is that of the first answer; 0 is a connection that is closed without one.
"""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.serving import post

MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, and the status of a body that is wrong there.

    `is_admin` says that it is the admin port, which lets go of a client that has not sent a whole
    head, and whose limits are aiohttp's.
    """

    path: str
    wrong: int
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Hostile:
    """Bytes to send, the statuses of which the answer's is one, and how many answers may come."""

    data: bytes
    statuses: frozenset[int]
    most: int = 1


Maker = Callable[[random.Random, Asked], Hostile]

ANY_REFUSAL = frozenset({400, 404, 405, 408, 411, 413, 415, 417, 431, 505})


def hostile(data: bytes, *statuses: int, most: int = 1) -> Hostile:
    """Return bytes with what may be answered."""
    return Hostile(data, frozenset(statuses), most)


def noise(chance: random.Random, _asked: Asked) -> Hostile:
    """Return random bytes."""
    return hostile(b"\x00" + chance.randbytes(chance.randint(1, 400)) + b"\r\n\r\n", 400)


def truncated(chance: random.Random, asked: Asked) -> Hostile:
    """Return the beginning of a right request."""
    request = post(asked.path, {"input": [1.0, 2.0]}, "Host: localhost").replace(
        b"Host: h\r\n", b""
    )
    data = request[: chance.randrange(1, len(request))]
    if asked.is_admin:
        # Of a body that is not read nobody notices that it is not whole.
        return hostile(data, 400, asked.wrong) if b"\r\n\r\n" in data else hostile(data, 0)
    return hostile(data, 400)


def mangled(chance: random.Random, asked: Asked) -> Hostile:
    """Return a right request with some bytes changed: it may still be right, or two requests."""
    request = bytearray(post(asked.path, {"input": [1.0, 2.0]}))
    for _ in range(chance.randint(1, 6)):
        request[chance.randrange(len(request))] = chance.randrange(256)
    statuses = ANY_REFUSAL | {200, 403} | ({0} if asked.is_admin else set())
    return Hostile(bytes(request), frozenset(statuses), most=3)


def wrong_type(chance: random.Random, asked: Asked) -> Hostile:
    """Return a body of JSON, as Python writes it, and of another meaning."""
    values = (None, True, "x", {}, [None], [[1.0]], ["1"], [1e999], 7, -1, [{"a": 1}])
    keys = ("input", "input_batch", "version", "name", "model_name", "app_name", "")
    body = {chance.choice(keys): chance.choice(values) for _ in range(chance.randint(0, 3))}
    sent = chance.choice((body, [body], "text", None, 1))
    is_right = (
        asked.path == "/app/predict"
        and sent is body
        and "input" not in body
        and body.get("input_batch") == [[1.0]]
        and body.get("version") is None
        and 1e999 not in (body.get("", [0]) or [0])
    )
    if any(value == [1e999] for value in body.values()):
        is_right = False  # Python writes Infinity
    return hostile(_request(asked, sent), 200 if is_right else asked.wrong)


def not_json(chance: random.Random, asked: Asked) -> Hostile:
    """Return a body that is JSON but for some bytes, which may be where nobody looks."""
    wrong = chance.choice(
        (b'"caf\xe9"', b'"\xed\xa0\x80"', b'"\\ud800"', b"NaN", b"1e999", b'"\\q"', b"01", b"[1,]")
    )
    bodies = (
        b'{"input": %b}',
        b'{"input": [1.0], "x": %b}',
        b'{"x": [%b], "input": [1.0]}',
        b'{"input_batch": [[1.0], %b]}',
        b'{"version": %b, "input": [1.0]}',
        b"%b",
    )
    return hostile(_request(asked, chance.choice(bodies) % wrong), asked.wrong)


def deep(chance: random.Random, asked: Asked) -> Hostile:
    """Return JSON that is nested deeply and does not end."""
    depth = chance.choice((100, 1000, 20_000))
    opening = chance.choice((b"[", b'{"input":', b'{"a":['))
    return hostile(_request(asked, b'{"input": ' + opening * depth), asked.wrong)


def bad_chunks(chance: random.Random, asked: Asked) -> Hostile:
    """Return a body in chunks that are none."""
    chunks = (
        b"zz\r\nx\r\n",
        b"-1\r\n",
        b"ffffffffffffffffff\r\n",
        b"5\r\nab\r\n0\r\n\r\n",
        b"1\rx",
        b"1\r\nxx\r\n0\r\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"1\r\nx",
    )
    head = f"POST {asked.path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = head.encode() + chance.choice(chunks)
    return hostile(data, 400, *({asked.wrong} if asked.is_admin else ()), most=2)


SMUGGLING = (
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 6",
    "Content-Length: +5",
    "Content-Length: -0",
    "Content-Length: 0x5",
    "Content-Length: 5 0",
    "Content-Length: ",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\x0bchunked",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5, 5",
    "X: y\nContent-Length: 5",
    "X: y\r\rContent-Length: 5",
)
"""Lines that let a request's length be read in two ways."""


def smuggled(chance: random.Random, asked: Asked) -> Hostile:
    """Return a request whose length can be read in two ways: refused, and nothing behind it."""
    line = chance.choice(SMUGGLING)
    head = f"POST {asked.path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode("latin-1")
    inner = f"GET {chance.choice(('/', '/metrics'))} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    return hostile(head + b"0\r\n\r\n" + inner, 400)


def long_head(chance: random.Random, asked: Asked) -> Hostile:
    """Return a head that is too long, or that does not end."""
    size = chance.choice((9_000, 33_000, 70_000))
    filler = chance.choice((b"X: " + b"x" * size, b"X: y\r\n" * (size // 6)))
    data = b"POST " + asked.path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + filler
    if asked.is_admin:
        return hostile(data, 400, 431, 0)
    return hostile(data, 431 if size > 32 * 1024 else 400)


def oversize(chance: random.Random, asked: Asked) -> Hostile:
    """Return a request that announces more than the limit."""
    size = chance.choice((MAX_BODY_BYTES + 1, 2**27, 2**40, 2**63, 2**80))
    head = f"POST {asked.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\nx"
    if asked.is_admin:
        return hostile(head.encode(), 400, 413, asked.wrong)
    return hostile(head.encode(), 400 if size == 2**80 else 413)


def packed(chance: random.Random, asked: Asked) -> Hostile:
    """Return a body that is not packed as it says."""
    coding = chance.choice(("gzip", "deflate", "br", "\xff", ""))
    body = b"\xff" + chance.randbytes(40)
    data = _request(asked, body, f"Content-Encoding: {coding}")
    if asked.is_admin:
        return hostile(data, 400, 415, asked.wrong)
    known = 400 if coding in ("gzip", "deflate") else 415
    return hostile(data, known if coding else asked.wrong)


def members(chance: random.Random, asked: Asked) -> Hostile:
    """Return a body of several gzip members, of which the last is none, or is broken."""
    right = [gzip.compress(b'{"input":'), gzip.compress(b"[1.0]}")]
    last = chance.choice(
        (b"x", bytes(4), b"\x1f\x8b", gzip.compress(b" ")[:-1], gzip.compress(b"x"), right[0])
    )
    many = [gzip.compress(b"")] * chance.choice((0, 3, 20))
    data = _request(asked, b"".join([*many, *right, last]), "Content-Encoding: gzip")
    # Of many members nobody looks at what nobody asked to be read.
    return hostile(data, 415 if asked.is_admin else 400, asked.wrong)


def two_hosts(chance: random.Random, asked: Asked) -> Hostile:
    """Return a request that is for two hosts, or for none that could be one."""
    lines = ["Host: localhost", "X: y", chance.choice(("Host: localhost", "HOST: other", "host:"))]
    if chance.random() < 0.5:
        chance.shuffle(lines)
    head = "\r\n".join((f"POST {asked.path} HTTP/1.1", *lines, "Content-Length: 13"))
    return hostile(f'{head}\r\n\r\n{{"input":[1]}}'.encode(), 400)


def no_version(chance: random.Random, asked: Asked) -> Hostile:
    """Return a request whose first line says no version, or one that there is not."""
    versions = ("", " ", " HTTP/0.9", " HTTP/2.0", " HTTP/1.2", " HTTP/11", " http/1.1")
    version = chance.choice(versions)
    head = f"{chance.choice(('GET', 'POST'))} {asked.path}{version}\r\nHost: localhost\r\n"
    statuses = (400, 505) if "2" in version else (400,)
    return hostile(f"{head}Content-Length: 0\r\n\r\n".encode(), *statuses)


def odd_path(chance: random.Random, _asked: Asked) -> Hostile:
    """Return a request for a path that is none."""
    paths = ("/../../etc/passwd", "/%00/predict", "/" + "a" * 2000, "//", "*", "/\xff/predict", "x")
    method = chance.choice(("POST", "GET", "BREW", "DELETE", "CONNECT", "PRI"))
    line = f"{method} {chance.choice(paths)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return hostile(line.encode("latin-1"), 400, 404, 405)


def behind_a_right_one(chance: random.Random, asked: Asked) -> Hostile:
    """Return a right request and a hostile one in one piece: the first is answered all the same."""
    maker = chance.choice((not_json, smuggled, deep, bad_chunks, oversize))
    first = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    # aiohttp drops what came whole in one piece with what is not HTTP.
    also = {400} if asked.is_admin else set()
    return hostile(first + maker(chance, asked).data, 200, *also, most=3)


MAKERS: tuple[Maker, ...] = (
    noise,
    truncated,
    mangled,
    wrong_type,
    not_json,
    deep,
    bad_chunks,
    smuggled,
    long_head,
    oversize,
    packed,
    members,
    two_hosts,
    no_version,
    odd_path,
    behind_a_right_one,
)


def _request(asked: Asked, body: object, *lines: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return post(asked.path, data, *lines).replace(b"Host: h\r\n", b"Host: localhost\r\n")
