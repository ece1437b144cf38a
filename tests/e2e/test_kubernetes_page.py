"""docs/kubernetes.md: each of its commands of servd, run as the page has it."""

import http.server
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import Daemon, free_port
from tests.e2e.console import commands_of, run_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"


@pytest.fixture
def examples(idle_daemon: Daemon) -> Path:
    """Return a fresh copy of the examples, where nothing was trained."""
    copy = idle_daemon.data_dir.parent / "examples"
    ignored = shutil.ignore_patterns("*.pkl", "*.pickle", "__pycache__", "*.csv")
    shutil.copytree(ROOT / "examples", copy, ignore=ignored)
    return copy


@pytest.mark.slow
def test_the_page_works_as_it_says(idle_daemon: Daemon, examples: Path) -> None:
    """Models are trained, deployed, asked, exported in each form and compared."""
    assert run_page(PAGE, idle_daemon, examples) == 2
    exported = [c.line for c in commands_of(PAGE) if c.line.startswith("servd export-k8s")]
    assert len(exported) == 6
    assert (examples / "k8s" / "ml-app-deployment.yaml").is_file()
    assert (examples / "ml-app-chart" / "templates" / "NOTES.txt").is_file()
    assert (examples / "kidney-k8s" / "query-frontend-service.yaml").is_file()
    pulled = (examples / "kidney-k8s" / "kidney-1-deployment.yaml").read_text()
    assert "myregistrykey" in pulled


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every query; its first connections end without a word."""

    lost = 2

    def handle(self) -> None:
        """Hang up on those that a killed front end would have had."""
        if type(self).lost:
            type(self).lost -= 1
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
            return
        super().handle()

    def do_POST(self) -> None:
        """Answer as an application does."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"query_id":0,"output":1,"default":false}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def dying_front_end() -> Iterator[int]:
    """Yield a port that refuses, then hangs up, and then answers, as one does for a second."""
    port = free_port()
    Answer.lost = 2
    servers: list[http.server.HTTPServer] = []

    def listen() -> None:
        servers.append(http.server.HTTPServer(("127.0.0.1", port), Answer))
        servers[0].serve_forever()

    timer = threading.Timer(0.5, listen)
    timer.start()
    try:
        yield port
    finally:
        timer.cancel()
        for server in servers:
            server.shutdown()
        timer.join()
        for server in servers:
            server.server_close()


def shown(language: str, word: str) -> str:
    """Return the page's block of a language that holds a word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = (block for block in blocks if word in block)
    return found


def test_clients_that_try_again_as_shown_lose_nothing() -> None:
    """While connections are refused and broken off, as when a front end is killed."""
    with dying_front_end() as port:
        line = shown("sh", "curl --retry 5").replace("1337", str(port))
        words = shlex.split(line)
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert json.loads(done.stdout)["output"] == 1, done.stderr
    with dying_front_end() as port:
        program = shown("python", "Retry").replace("1337", str(port)) + "print(answer['output'])\n"
        words = [sys.executable, "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.strip() == "1", done.stderr
