"""What only TLS has of the connecting ends, against the real listening end.

What is the same on a unix stream is in test_carriers.py.
"""

import asyncio
import socket

import pytest

from model_runtime import tls_listener
from model_runtime.keys import KeyFileError
from model_runtime.listening import listen
from model_runtime.tls import read_identity
from model_runtime.tls_listener import MAX_UNKNOWN
from servd.carriers import tls_carrier
from servd.carriers.carriers import MAX_UNSENT
from servd.carriers.certificates import write_certificates
from servd.carriers.tls_carrier import TlsCarrier
from tests.serving import run, until
from tests.streams import tls_stage


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Return a folder whose certificates know each other."""
    folder = tmp_path_factory.mktemp("known")
    write_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return a folder of strangers."""
    folder = tmp_path_factory.mktemp("other")
    write_certificates(folder)
    return folder


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_replica_is_reached_at_either_kind_of_address(known, host):
    """Clusters have IPv4, IPv6 or both."""

    async def main():
        with tls_stage(known, host=host) as stage:
            peer = await stage.open()
            assert stage.listener.send(peer, (b"state",))
            await until(lambda: stage.come == [[b"state"]])

    run(main())


def test_a_long_answer_is_encrypted_as_it_goes(known):
    """The replica sends it in pieces, between which others are looked after."""

    async def main():
        with tls_stage(known) as stage:
            peer = await stage.open()
            answer = bytes(20_000_000)
            looks = []
            sent = asyncio.to_thread(
                stage.listener.send, peer, (b"r", answer), lambda: looks.append(1)
            )
            assert await sent
            await until(lambda: stage.come)
            assert b"".join(stage.come[0][1]) == answer
            assert len(looks) > 50

    run(main())


def test_a_replica_that_comes_back_is_found_at_its_address(known):
    """Another process listens where one has ended."""

    async def main():
        with tls_stage(known) as stage:
            await stage.open()
            stage.listener.close()
            await until(lambda: stage.carrier._socket is None)
            stage.listen()
            stage.carrier.send(b"two")
            assert (await stage.hear())[1] == [b"two"]

    run(main())


def test_a_stranger_is_refused_and_both_say_why(known, other, capfd):
    """The replica's log once, the front end for each try; what it wanted to say is not heard."""

    async def main():
        with tls_stage(known, other) as stage:
            stage.listen()
            stage.carrier.open()
            stage.carrier.send(b"secret")
            await stage.until(lambda: len(stage.refusals) > 2)
            assert "not the known one" in stage.refusals[0]
            assert len(stage.listener._unknown) <= 1  # the next try

    run(main())
    assert capfd.readouterr().out.count("a frontend at 127.0.0.1 was refused") == 1


def test_a_front_end_that_the_replica_does_not_know_hears_so(known, other, tmp_path, capfd):
    """It knows the replica: it is the replica that hangs up."""
    for name, place in (("replica.crt", known), ("frontend.crt", other), ("frontend.key", other)):
        (tmp_path / name).write_text((place / name).read_text())

    async def main():
        with tls_stage(known, tmp_path) as stage:
            stage.listen()
            stage.carrier.open()
            stage.carrier.send(b"secret")
            await stage.until(lambda: len(stage.refusals) > 1)
            assert stage.ends == []
            assert "refuses this end's certificate" in stage.refusals[0]

    run(main())
    assert "its certificate is not the known one" in capfd.readouterr().out


def test_without_a_certificate_nobody_is_connected_to(known):
    """The front end is told what is missing; a replica does not listen."""

    async def main():
        with tls_stage(known) as stage:
            carrier = stage.connect(None)
            carrier.open()
            assert stage.refusals == ["this front end has no certificate"]
            carrier.close()

    run(main())
    with pytest.raises(KeyFileError, match="needs a certificate and a key"):
        listen("tls://127.0.0.1:0")


def test_a_name_that_nobody_knows_is_tried_again(known):
    """As an address where nobody listens is, ever less often."""

    async def main():
        identity = read_identity(known, "frontend")
        told = dict.fromkeys(("on_reconnected", "on_end", "on_refused"), pytest.fail)
        carrier = TlsCarrier("tls://no-such-host.invalid:7000", identity, [].append, **told)
        carrier.open()
        assert carrier._retry is not None
        for _ in range(MAX_UNSENT + 100):
            carrier.send(b"beat")
        assert len(carrier._unsent) == MAX_UNSENT
        for _ in range(20):
            carrier._retry.cancel()
            carrier.open()
        assert carrier._pause_s == tls_carrier.RECONNECT_MAX_S
        carrier.close()

    run(main())


def test_connections_that_say_nothing_make_room(known, monkeypatch):
    """Only so many may wait to show who they are, and only so long; a front end gets through."""

    async def main():
        with tls_stage(known) as stage:
            stage.listen()
            place = ("127.0.0.1", stage.listener.port)
            silent = []
            for count in (MAX_UNKNOWN // 2, MAX_UNKNOWN, MAX_UNKNOWN):  # a backlog is as long
                silent += [socket.create_connection(place) for _ in range(MAX_UNKNOWN // 2)]
                await stage.until(lambda count=count: len(stage.listener._unknown) == count)
            stage.carrier.open()
            stage.carrier.send(b"hello")
            assert (await stage.hear())[1] == [b"hello"]
            assert len(stage.listener._peers) <= MAX_UNKNOWN
            monkeypatch.setattr(tls_listener, "HANDSHAKE_S", 0.0)
            silent.append(socket.create_connection(place))
            await stage.until(lambda: len(stage.listener._peers) == 2)
            for each in silent:
                each.close()
            stage.carrier.send(b"still here")
            assert (await stage.hear())[1] == [b"still here"]

    run(main())
