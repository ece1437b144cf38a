"""No single request holds up the others: sixty makers of heavy ones against a running daemon."""

import contextlib
import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import pytest

from tests.daemon import Daemon

SIZE = int(os.environ.get("SERVD_TEST_BODY_BYTES", "24000000"))
TURN_MS = 50.0
MEMORY_FACTOR = 3
MEMORY_SLACK_KB = 48 * 1024
ANSWER_TIMEOUT_S = 300

MODEL = '''
"""Models whose outputs are small, or as long as they are told."""


def size(xs):
    return [len(x) if hasattr(x, "__len__") else 1 for x in xs]


def text(xs):
    return ['"' + "y" * int(x[0]) + '"' for x in xs]


def numbers(xs):
    return [[0.5] * int(x[0]) for x in xs]


def locked(xs):
    return [sum(range(int(x[0]))) for x in xs]
'''

APPLICATIONS = {
    "doubles": ("size", "doubles"),
    "floats": ("size", "floats"),
    "integers": ("size", "integers"),
    "strings": ("size", "strings"),
    "bytes": ("size", "bytes"),
    "any": ("size", "any"),
    "text": ("text", "doubles"),
    "numbers": ("numbers", "doubles"),
    "locked": ("locked", "doubles"),
    "neighbour": ("size", "doubles"),
}


@dataclass(frozen=True)
class Heavy:
    """A heavy request: `unpacked` is how long its body, or its answer, is unpacked.

    Where `chunk` is given, the body is sent in chunks of so many bytes.
    """

    app: str
    body: bytes
    status: tuple[int, ...]
    encoding: str = ""
    verb: str = "predict"
    unpacked: int = 0
    chunk: int = 0

    @property
    def size(self) -> int:
        """What it comes to, unpacked."""
        return max(len(self.body), self.unpacked)


def one(begin: bytes, item: bytes, end: bytes, size: int = SIZE) -> bytes:
    """Return a body of one item again and again."""
    return begin + item * ((size - len(begin) - len(end)) // len(item)) + end


def repeated(app: str, item: bytes, last: bytes = b"", *, batch: bool = False) -> bytes:
    """Return a body whose input is an array of one item."""
    del app
    key = b"input_batch" if batch else b"input"
    return one(b'{"%b":[' % key, item + b",", (last or item) + b"]}")


def chunked(body: bytes, size: int) -> bytes:
    """Return a body in chunks of a size."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def packed(body: bytes) -> bytes:
    """Return a body packed as well as it can be."""
    return gzip.compress(body, 9)


OK, REFUSED, ANY = (200,), (400, 413), (200, 400, 413, 503)


def makers() -> dict[str, Callable[[], Heavy]]:
    """Return the makers of heavy requests by name."""
    text = b'{"input":"%b"}'
    # First, as the daemon has never done anything heavy then, and the client reads fast.
    very_long = Heavy("text", b'{"input":[500000000]}', OK, unpacked=500_000_000)
    flat = {
        app: (lambda app=app: Heavy(app, repeated(app, b"0"), ANY, unpacked=8 * SIZE // 2))
        for app in ("doubles", "floats", "integers")
    }
    made: dict[str, Callable[[], Heavy]] = {"a very long output": lambda: very_long}
    made |= {f"flat {app}": make for app, make in flat.items()}
    made |= {
        "long numbers": lambda: Heavy("doubles", repeated("", b"0.1234567890123456"), OK),
        "flat any": lambda: Heavy("any", repeated("", b"0"), REFUSED),
        "text": lambda: Heavy("strings", text % (b"abcd" * (SIZE // 4 - 4)), OK),
        "text of escapes": lambda: Heavy("strings", text % (b"\\n" * (SIZE // 2 - 8)), OK),
        "text of pairs": lambda: Heavy(
            "strings", text % (b"\\ud83d\\ude00" * (SIZE // 12 - 2)), OK
        ),
        "text of wide characters": lambda: Heavy(
            "strings", text % ("😀".encode() * (SIZE // 4 - 4)), OK
        ),
        "mixed text": lambda: Heavy("strings", text % ("a\\n😀é".encode() * (SIZE // 10 - 4)), OK),
        "base64": lambda: Heavy("bytes", text % (b"abcd" * (SIZE // 4 - 4)), OK),
        "broken base64": lambda: Heavy("bytes", text % (b"a!cd" * (SIZE // 4 - 4)), REFUSED),
        "text for any": lambda: Heavy("any", text % (b"abcd" * (SIZE // 4 - 4)), OK),
        "text for numbers": lambda: Heavy("doubles", text % (b"a" * (SIZE - 20)), REFUSED),
        "numbers for text": lambda: Heavy("strings", repeated("", b"1"), REFUSED),
        "arrays": lambda: Heavy("doubles", repeated("", b"[]"), REFUSED),
        "arrays for any": lambda: Heavy("any", repeated("", b"[]"), REFUSED),
        "objects for any": lambda: Heavy("any", repeated("", b"{}"), REFUSED),
        "keys": lambda: Heavy("doubles", one(b"{", b'"a":1,', b'"input":[1]}'), ANY),
        "many keys": lambda: Heavy(
            "doubles",
            b"{" + b"".join(b'"%d":1,' % n for n in range(SIZE // 12)) + b'"input":[1]}',
            ANY,
        ),
        "many keys for any": lambda: Heavy(
            "any", b'{"input":{' + b"".join(b'"%d":1,' % n for n in range(150_000)) + b'"a":1}}', OK
        ),
        "inputs": lambda: Heavy("neighbour", one(b"{", b'"input":[1],', b'"a":1}'), ANY),
        "no input": lambda: Heavy("doubles", one(b"{", b'"a":1,', b'"b":1}'), REFUSED),
        "short rows": lambda: Heavy("doubles", repeated("", b"[]", batch=True), REFUSED),
        "rows of one": lambda: Heavy("floats", repeated("", b"[1]", batch=True), REFUSED),
        "rows for any": lambda: Heavy("any", repeated("", b"1", batch=True), REFUSED),
        "short texts": lambda: Heavy("strings", repeated("", b'""', batch=True), REFUSED),
        "texts of one": lambda: Heavy("strings", repeated("", b'"a"', batch=True), REFUSED),
        "long rows": lambda: Heavy(
            "doubles",
            repeated("", b"[" + b"0.25," * 4000 + b"1]", batch=True),
            OK,
        ),
        "as many rows as may be": lambda: Heavy(
            "doubles", b'{"input_batch":[%b[1]]}' % (b"[1]," * 16_383), OK
        ),
        "as many long texts": lambda: Heavy(
            "strings", b'{"input_batch":[%b""]}' % ((b'"' + b"a" * 3600 + b'",') * 16_383), OK
        ),
        "a number without end": lambda: Heavy("doubles", one(b'{"input":[', b"1", b"]}"), REFUSED),
        "an array without end": lambda: Heavy("doubles", one(b'{"input":[', b"1,", b""), REFUSED),
        "a text without end": lambda: Heavy("strings", one(b'{"input":"', b"a", b""), REFUSED),
        "opened arrays": lambda: Heavy("any", b"[" * SIZE, REFUSED),
        "opened objects": lambda: Heavy("any", one(b"", b'{"a":', b""), REFUSED),
        "nested input": lambda: Heavy("doubles", one(b'{"input":', b"[", b""), REFUSED),
        "blanks": lambda: Heavy("doubles", b'{"input":[1' + b" " * (SIZE - 20) + b"]}", OK),
        "bytes of no text": lambda: Heavy("strings", text % (b"\xff" * (SIZE - 20)), REFUSED),
        "bytes of no text for any": lambda: Heavy("any", b"\xff" * SIZE, REFUSED),
        "zeros": lambda: Heavy("doubles", bytes(SIZE), REFUSED),
        "wrong at the end": lambda: Heavy("doubles", repeated("", b"1", b'"x"'), REFUSED),
        "a version": lambda: Heavy(
            "doubles", one(b'{"input":[1],"version":"', b"1", b'"}'), REFUSED
        ),
        "feedback": lambda: Heavy(
            "doubles", one(b'{"uid":1,"label":1,"input":[', b"0.125,", b"1]}"), OK, verb="update"
        ),
        "packed arrays": lambda: Heavy(
            "doubles", packed(repeated("", b"[]")), REFUSED, "gzip", unpacked=SIZE
        ),
        "packed rows": lambda: Heavy(
            "doubles", packed(repeated("", b"[]", batch=True)), REFUSED, "gzip", unpacked=SIZE
        ),
        "packed zeros": lambda: Heavy("doubles", zlib.compress(bytes(SIZE)), REFUSED, "deflate"),
        "packed texts": lambda: Heavy(
            "strings",
            gzip.compress(text % os.urandom(SIZE // 8).hex().encode(), 1),
            OK,
            "gzip",
            unpacked=SIZE // 4,
        ),
        "packed beyond the limit": lambda: Heavy(
            "strings",
            gzip.compress(os.urandom(SIZE // 2).hex().encode() * 2, 1),
            REFUSED,
            "gzip",
            unpacked=SIZE,
        ),
        "chunks of a byte": lambda: Heavy(
            "doubles", b'{"input":[1%b]}' % (b" " * (SIZE // 8)), OK, chunk=1
        ),
        "chunks of two bytes that are no JSON": lambda: Heavy(
            "strings", b"[" * (SIZE // 8), REFUSED, chunk=2
        ),
        "short body in chunks of a byte": lambda: Heavy(
            "doubles", b'{"input":[1%b]}' % (b" " * 131_000), OK, chunk=1
        ),
        "feedback in chunks of three bytes": lambda: Heavy(
            "doubles",
            b'{"uid":1,"label":1,"input":[1%b]}' % (b" " * (SIZE // 8)),
            OK,
            verb="update",
            chunk=3,
        ),
        "members of nothing": lambda: Heavy(
            "doubles",
            gzip.compress(b"") * (SIZE // 40) + gzip.compress(b'{"input":[1]}'),
            OK,
            "gzip",
        ),
        "members of a byte": lambda: Heavy(
            "doubles",
            gzip.compress(b'{"input":[1')
            + gzip.compress(b" ") * (SIZE // 42)
            + gzip.compress(b"]}"),
            OK,
            "gzip",
        ),
        "short members": lambda: Heavy(
            "doubles",
            gzip.compress(b'{"input":[1') + gzip.compress(b" ") * 6000 + gzip.compress(b"]}"),
            OK,
            "gzip",
        ),
        "members and something else": lambda: Heavy(
            "doubles",
            gzip.compress(b"") * (SIZE // 40) + gzip.compress(b'{"input":[1]}') + b"x",
            REFUSED,
            "gzip",
        ),
        "members in chunks of a byte": lambda: Heavy(
            "doubles",
            gzip.compress(b"") * (SIZE // 400) + gzip.compress(b'{"input":[1]}'),
            OK,
            "gzip",
            chunk=1,
        ),
        "a long output": lambda: Heavy("text", b'{"input":[200000000]}', OK, unpacked=200_000_000),
        "long outputs": lambda: Heavy(
            "text",
            b'{"input_batch":[%b[1]]}'
            % b"".join(b"[%d]," % n for n in range(2_000_000, 2_000_040)),
            OK,
            unpacked=80_000_000,
        ),
        "an output of many numbers": lambda: Heavy(
            "numbers", b'{"input":[10000000]}', OK, unpacked=40_000_000
        ),
        "a model that keeps Python's lock": lambda: Heavy("locked", b'{"input":[100000000]}', OK),
    }
    return made


MAKERS = makers()


class Watched:
    """A daemon that tells how long its loop was held; `worst` is read once a request."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def told(self) -> dict[str, Any]:
        """Return what was seen since the last time."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_TIMEOUT_S)
            client.connect(str(self.daemon.data_dir / "watch.sock"))
            text = b""
            while piece := client.recv(4096):
                text += piece
        told: dict[str, Any] = json.loads(text)
        return told

    def send(self, heavy: Heavy) -> tuple[int, int]:
        """Send a request; return its answer's status and length."""
        client = http.client.HTTPConnection(
            "127.0.0.1", self.daemon.query_port, timeout=ANSWER_TIMEOUT_S
        )
        headers = {"Content-Encoding": heavy.encoding} if heavy.encoding else {}
        body = heavy.body
        if heavy.chunk:
            headers["Transfer-Encoding"] = "chunked"
            body = chunked(body, heavy.chunk)
        try:
            client.request("POST", f"/{heavy.app}/{heavy.verb}", body, headers)
            answer = client.getresponse()
            length = 0
            while piece := answer.read(1 << 20):
                length += len(piece)
            return answer.status, length
        finally:
            client.close()


class Neighbour:
    """Asks a small application again and again; all answers must be outputs."""

    def __init__(self, port: int) -> None:
        self.asked = 0
        self.wrong: list[Any] = []
        self.slowest_s = 0.0
        self._port = port
        self._is_ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_ended.set()
        self._thread.join()

    def _run(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
        while not self._is_ended.wait(0.01):
            began_s = time.monotonic()
            client.request("POST", "/neighbour/predict", b'{"input":[%d]}' % self.asked)
            answer = client.getresponse()
            body = json.loads(answer.read())
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            self.asked += 1
            if answer.status != 200 or body["default"]:
                self.wrong.append((answer.status, body))
        client.close()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """Yield a watched daemon with an application for each kind of input and of output."""
    folder = Path(tempfile.mkdtemp(prefix="sv-"))
    daemon = Daemon(data_dir=folder / "data")
    daemon.data_dir.mkdir()
    (daemon.data_dir / "servd.toml").write_text("predict_timeout = '300s'\n")
    (folder / "model.py").write_text(MODEL)
    log = (folder / "out.log").open("wb")
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.watched_daemon"],
        env=daemon.env | {"PYTHONPATH": str(root)},
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        deadline_s = time.monotonic() + 30
        while daemon.cli("status").returncode != 0:
            assert process.poll() is None, (folder / "out.log").read_text()
            assert time.monotonic() < deadline_s
        for name, (function, input_type) in APPLICATIONS.items():
            done = daemon.cli(
                *("deploy", f"model.py:{function}", "--name", name, "--slo", "300s"),
                *("--input-type", input_type, "--example", SAMPLES[input_type]),
                cwd=folder,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        yield Watched(daemon)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            for member in (*family, psutil.Process(process.pid)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


SAMPLES = {
    "doubles": "[1.0]",
    "floats": "[1.0]",
    "integers": "[1]",
    "strings": '"a"',
    "bytes": '"aGk="',
    "any": "[1]",
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_no_request_holds_up_the_others(watched: Watched, name: str) -> None:
    """The loop is held for less than 50 ms, memory is three times its size at most."""
    heavy = MAKERS[name]()
    with Neighbour(watched.daemon.query_port) as neighbour:
        watched.told()
        before = watched.told()
        began_s = time.monotonic()
        status, length = watched.send(heavy)
        took_s = time.monotonic() - began_s
        told = watched.told()
    grown_kb = told["peak_kb"] - before["peak_kb"]
    reader_kb = told["reader_kb"] - before["reader_kb"]
    print(
        f"\n{name}: {status} {length} after {took_s:.1f} s, turn {told['turn_ms']:.0f} ms, "
        f"neighbour {neighbour.slowest_s * 1e3:.0f} ms, memory +{grown_kb // 1024} MiB, "
        f"reader +{reader_kb // 1024} MiB, for {heavy.size // 2**20} MiB"
    )
    assert status in heavy.status
    assert neighbour.wrong == []
    assert told["turn_ms"] < TURN_MS
    for taken_kb in (grown_kb, reader_kb):
        assert taken_kb * 1024 < MEMORY_FACTOR * heavy.size + MEMORY_SLACK_KB * 1024


def test_every_replica_stayed_in_rotation(watched: Watched) -> None:
    """None was called silent, killed or started again, whatever was sent above."""
    log = watched.daemon.cli("logs", "daemon", "-n", "10000").stdout
    done = watched.daemon.cli("ps", "--json")
    for row in json.loads(done.stdout):
        assert (row["state"], row["restarts"]) == ("ready", 0), (row, log)
    assert "silent" not in log, log
