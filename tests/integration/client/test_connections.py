"""Kept connections, against servers that hang up when a test says so."""

import asyncio
import json
import socket
import threading
from contextlib import suppress

import pytest

import servd
from servd.client.connections import Connections
from servd.client.exchange import LateError, LostError, Request
from servd.client.queries import Queries
from servd.errors import DaemonNotRunningError
from tests.daemon import Daemon

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"output":1}'
QUERY = Request("POST", "/a/predict", b'{"input":1}')


class Server:
    """Answers each request as the next word of its script says.

    "good"; "lose": read it and hang up; "half": begin an answer and hang up; "silent": say nothing.
    """

    def __init__(self, *script):
        self.script = list(script)
        self.connections = 0
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, suppress(OSError):
            while connection.recv(65536):
                self.requests += 1
                word = self.script.pop(0)
                if word == "lose":
                    return
                if word != "silent":
                    connection.sendall(GOOD if word == "good" else GOOD[:20])
                if word == "half":
                    return

    def hang_up(self):
        """Close all connections."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self):
        """End."""
        self.hang_up()
        self._listener.close()


@pytest.fixture
def serve():
    """Return a function that starts a server with a script."""
    started = []

    def start(*script):
        started.append(Server(*script))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request, monkeypatch):
    """Return a function that asks a server for a number of predictions, by either client."""

    def ask_all(server, count, timeout_s=10.0, between=lambda: None):
        url = f"http://127.0.0.1:{server.port}"
        told = servd.client.values.Status(version="1", pid=1, query_url=url, admin_url=url)
        if request.param == "blocking":
            monkeypatch.setattr(servd.Client, "status", lambda _self: told)
            with servd.Client(timeout_s=timeout_s) as client:
                found = []
                for _ in range(count):
                    found.append(client.predict("a", 1).output)
                    between()
                return found

        async def known(_self):
            return told

        async def main():
            async with servd.AsyncClient(timeout_s=timeout_s) as client:
                found = []
                for _ in range(count):
                    found.append((await client.predict("a", 1)).output)
                    between()
                    await asyncio.sleep(0.05)
                return found

        monkeypatch.setattr(servd.AsyncClient, "status", known)
        return asyncio.run(main())

    return ask_all


def test_a_connection_is_kept(serve, ask):
    """For one caller one is enough."""
    server = serve(*["good"] * 5)
    assert ask(server, 5) == [1] * 5
    assert server.connections == 1


def test_one_that_was_closed_meanwhile_is_made_anew(serve, ask):
    """Nothing was lost, so nothing is sent twice."""
    server = serve(*["good"] * 3)
    assert ask(server, 3, between=server.hang_up) == [1] * 3
    assert server.requests == 3


def test_a_query_that_was_lost_is_sent_again(serve, ask):
    """Twice at most."""
    server = serve("lose", "lose", "good", "lose", "lose", "lose")
    assert ask(server, 1) == [1]
    assert server.requests == 3
    with pytest.raises(LostError, match="the connection was closed"):
        ask(server, 1)
    assert server.requests == 6


def test_an_answer_that_broke_off_is_not_asked_for_again(serve, ask):
    """Its model has computed."""
    server = serve("half", "good")
    with pytest.raises(LostError) as told:
        ask(server, 1)
    assert told.value.is_begun
    assert server.requests == 1


def test_who_says_nothing_is_late(serve, ask):
    """After the client's time, and is not asked again."""
    server = serve("silent", "good")
    with pytest.raises(LateError, match=r"within 0\.\d+ s"):
        ask(server, 1, timeout_s=0.3)
    assert server.requests == 1


def test_threads_have_connections_of_their_own(serve):
    """And a forked process none of its parent's."""
    server = serve(*["good"] * 40)
    connections = Connections("127.0.0.1", server.port, None)
    threads = [
        threading.Thread(target=lambda: [connections.exchange(QUERY, 10) for _ in range(10)])
        for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert server.requests == 40
    assert server.connections <= 4
    assert connections._idle
    connections._pid = -1
    server.script = ["good"]
    before = server.connections
    assert json.loads(connections.exchange(QUERY, 10).body) == {"output": 1}
    assert server.connections == before + 1
    connections.close()
    assert Queries()


def test_a_daemon_that_was_started_anew_elsewhere_is_found(idle_daemon: Daemon, tmp_path):
    """Its port is another; where none runs that is said."""
    (tmp_path / "f.py").write_text("def f(xs):\n    return [1.0 for _ in xs]\n")
    with servd.Client(data_dir=idle_daemon.data_dir) as client:
        client.start(query_port=0, admin_port=0)
        client.deploy(tmp_path / "f.py", slo_ms=10_000)
        assert client.predict("f", [1.0]).output == 1.0
        before = client.query_address
        with servd.Client(data_dir=idle_daemon.data_dir) as other:
            other.stop()
        with pytest.raises(DaemonNotRunningError, match="no servd daemon answers"):
            client.predict("f", [1.0])
        client.start(query_port=0, admin_port=0)
        assert client.predict("f", [1.0]).output == 1.0
        assert client.query_address != before
