"""Whose process is at the other end: real sockets of this user and of another one."""

import os
import socket
from contextlib import suppress

import pytest

from servd.system import peers

OTHER = 65534
LOOPBACKS = [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture(params=["kernel", "tables"])
def find(request):
    """Return each of both ways to find a peer's user."""
    return {"kernel": peers._ask_kernel, "tables": peers._search_tables}[request.param]


def connected(bind, to):
    """Return both ends of a connection, the accepted one first."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.create_server((bind, 0), family=family) as listener:
        client = socket.create_connection((to, listener.getsockname()[1]))
        return listener.accept()[0], client


@pytest.mark.parametrize(("bind", "to"), LOOPBACKS)
def test_the_owner_of_a_tcp_peer_is_found(find, bind, to):
    """Over IPv4, IPv6, and IPv4 in IPv6 clothes."""
    accepted, client = connected(bind, to)
    with accepted, client:
        ends = accepted.getsockname()[:2], accepted.getpeername()[:2]
        assert find(*ends) == os.geteuid()
        assert peers.is_local(ends[1])


def test_a_peer_that_has_closed_its_socket_is_nobody(find):
    """The kernel says user 0 of a socket without a process, which is root to the careless."""
    accepted, client = connected("127.0.0.1", "127.0.0.1")
    with accepted:
        ends = accepted.getsockname(), accepted.getpeername()
        client.close()
        assert find(*ends) is None
    assert find(*ends) is None  # nor what is left of it afterwards


def test_a_connection_that_is_not_there_is_nobodys(find):
    """Not even where something listens at the port that is asked about."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # An error is the kernel's way of saying so; `tcp_uid` looks into the tables then.
        with suppress(FileNotFoundError):
            assert find(("127.0.0.1", 9), ("127.0.0.1", port)) is None
        assert peers.tcp_uid(("127.0.0.1", 9), ("127.0.0.1", port)) is None


@needs_root
def test_another_user_is_told_apart(find):
    """A socket of another user is found as that user, which may nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.seteuid(OTHER)  # a socket belongs to whoever made it
        try:
            other = socket.create_connection(listener.getsockname())
        finally:
            os.seteuid(0)
        accepted, _ = listener.accept()
        with accepted, other:
            assert find(accepted.getsockname(), accepted.getpeername()) == OTHER
    assert not peers.may_act(OTHER)


def test_a_unix_peer_is_told_by_its_socket():
    """The kernel keeps who connected."""
    one, two = socket.socketpair(socket.AF_UNIX)
    with one, two:
        assert peers.unix_peer(one) == (os.getpid(), os.geteuid())


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.9", True), ("10.0.0.1", False)],
)
def test_loopback_is_told_apart(address, expected):
    """Only of loopback does the kernel know both ends."""
    assert peers.is_local((address, 1)) is expected


def test_the_owner_and_root_may_act():
    """Nobody else, and nobody who is not known."""
    assert peers.may_act(os.geteuid())
    assert peers.may_act(0)
    assert not peers.may_act(None)
