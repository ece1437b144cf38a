"""What a replica tells probers over HTTP."""

import socket
import time
import urllib.error
import urllib.request

import pytest

from model_runtime import health, protocol
from model_runtime.connection import ReplicaSocket
from model_runtime.health import Health, HealthServer, parse_address

DEADLINE_S = 20.0


def ask(server, path, method="GET"):
    """Return the status and the text of an answer."""
    url = f"http://127.0.0.1:{server.port}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def until(is_true):
    """Return when it holds; False after a while."""
    end_s = time.monotonic() + DEADLINE_S
    while not is_true():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(
    ("state", "call_s", "answers"),
    [
        (protocol.LOADING, 0.0, (200, 503)),
        (protocol.TESTING, 0.0, (200, 503)),
        (protocol.READY, 0.0, (200, 200)),
        (protocol.READY, 59.0, (200, 200)),
        (protocol.READY, 61.0, (503, 200)),
        (protocol.FAILED, 0.0, (200, 503)),
        (protocol.DRAINING, 0.0, (200, 503)),
    ],
)
def test_it_is_ready_in_one_state_and_alive_unless_a_call_hangs(state, call_s, answers):
    """The text of readiness is the state."""
    with HealthServer("127.0.0.1:0", lambda: Health(state, call_s)) as server:
        alive, ready = ask(server, "/healthz"), ask(server, "/readyz?verbose")
        assert (alive[0], ready[0]) == answers
        assert ready[1] == f"{state}\n"
        assert ask(server, "/readyz", "HEAD") == (answers[1], "")
        assert ask(server, "/")[0] == 404


def test_a_prober_that_says_nothing_is_not_waited_for(monkeypatch):
    """The next one is answered when the first has had its time, or has hung up."""
    monkeypatch.setattr(health._Handler, "timeout", 0.05)
    with (
        HealthServer("127.0.0.1:0", lambda: Health(protocol.READY, 0.0)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        silent.send(b"GET /heal")
        assert ask(server, "/healthz") == (200, "ok\n")


@pytest.mark.parametrize(
    ("text", "address"), [("0.0.0.0:7001", ("0.0.0.0", 7001)), ("[::]:1", ("::", 1))]
)
def test_an_address_is_a_host_and_a_port(text, address):
    """An IPv6 host stands in brackets."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["7001", ":7001", "h:", "h:x", "h:65536"])
def test_what_is_no_address_is_refused(text):
    """The message shows how one looks."""
    with pytest.raises(ValueError, match=r"not HOST:PORT"):
        parse_address(text)


def test_it_listens_on_ipv6_too():
    """Clusters may have nothing else."""
    with (
        HealthServer("[::1]:0", lambda: Health(protocol.READY, 0.0)) as server,
        urllib.request.urlopen(f"http://[::1]:{server.port}/readyz") as answer,
    ):
        assert answer.read() == b"ready\n"


def test_the_socket_notices_a_call_that_does_not_return(tmp_path):
    """The time runs while one call lasts, begins anew with the next, and not before it is ready."""
    with ReplicaSocket(f"ipc://{tmp_path}/r", {}) as replica:
        assert replica.health() == Health(protocol.LOADING, 0.0)
        with replica.lent():
            assert until(lambda: replica._call is not None)
            assert replica.health() == Health(protocol.LOADING, 0.0)
        replica.announce(protocol.READY)
        with replica.lent():
            assert until(lambda: replica.health().call_s > 0.2)
        assert until(lambda: replica.health() == Health(protocol.READY, 0.0))
