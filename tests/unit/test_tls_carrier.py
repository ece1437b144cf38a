"""The connecting end of `tls://`, against the real listening end."""

import asyncio
import random
import socket
import tracemalloc
from contextlib import closing, contextmanager, suppress

import pytest

from model_runtime import tls_listener
from model_runtime.admission import KeyFileError
from model_runtime.carriers import listen
from model_runtime.tls import read_identity
from model_runtime.tls_listener import MAX_UNKNOWN, TlsListener
from servd import tls_carrier
from servd.carriers import MAX_UNSENT
from servd.certificates import write_certificates
from servd.tls_carrier import TlsCarrier
from tests.daemon import free_port
from tests.serving import run, until


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


class Stage:
    """A listener and a carrier, and what the carrier told."""

    def __init__(self, known, other=None, port=0, host="127.0.0.1"):
        self.come = []
        self.ends = []
        self.refusals = []
        self.reconnected = []
        self.listener = TlsListener(f"tls://{host}:{port}", read_identity(known, "replica"))
        self.address = f"tls://{host}:{self.listener.port}"
        self.carrier = self.connect(read_identity(other or known, "frontend"))

    def connect(self, identity):
        """Return a carrier to the listener, which is not open yet."""
        return TlsCarrier(
            self.address,
            identity,
            self.come.append,
            on_reconnected=lambda: self.reconnected.append(1),
            on_end=lambda: self.ends.append(1),
            on_refused=self.refusals.append,
        )

    def close(self):
        """Let go of both ends."""
        self.carrier.close()
        self.listener.close()

    async def hear(self):
        """Return the next message and who sent it, without keeping the loop from sending it."""
        while (message := self.listener.receive(is_waiting=False)) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
        return message

    async def until(self, is_true):
        """Let the listener receive until something is true."""
        while not is_true():
            self.listener.receive(is_waiting=False)
            await asyncio.sleep(0.001)


@contextmanager
def memory_peak():
    """Yield a function that returns the most bytes that were allocated at a time since."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_what_is_sent_before_the_replica_listens_arrives(known, host):
    """A connection is opened before a pod listens; HELLO must not be lost."""

    async def main():
        come = []
        port = free_port()
        identity = read_identity(known, "frontend")
        carrier = TlsCarrier(f"tls://{host}:{port}", identity, come.append)
        carrier.open()
        carrier.send(b"hello", b"data")
        await until(lambda: carrier._retry is not None)
        with closing(Stage(known, port=port, host=host)) as stage:
            peer, frames = await stage.hear()
            assert frames == [b"hello", b"data"]
            assert stage.listener.send(peer, (b"state",))
            await until(lambda: come == [[b"state"]])
            carrier.close()
            carrier.close()
            carrier.send(b"late")

    run(main())


def test_messages_of_many_pieces_keep_their_order(known):
    """Long and short ones, with pieces of any size, empty ones too, as one message each."""
    chance = random.Random(5)

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            sent = []
            for _ in range(20):
                sizes = [chance.choice((0, 1, 50, 300_000)) for _ in range(chance.randint(1, 50))]
                pieces = [memoryview(chance.randbytes(size)) for size in sizes]
                lengths = chance.choice((b"", b"lens"))
                stage.carrier.send_long(b"long", pieces, lengths)
                stage.carrier.send(b"short")
                sent += ([b"long", b"".join(pieces), lengths], [b"short"])
            for message in sent:
                peer, frames = await stage.hear()
                assert frames == [frame for frame in message if frame]
            assert await asyncio.to_thread(stage.listener.send, peer, (b"r", bytes(5_000_000)))
            await until(lambda: stage.come)
            assert b"".join(stage.come[0][1]) == bytes(5_000_000)

    run(main())


def test_what_the_socket_does_not_take_is_sent_later(known):
    """Short messages, too, wait in order until the replica reads."""

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"first")
            await stage.hear()
            for number in range(300):
                stage.carrier.send(b"h", bytes([number % 256]) * 50_000)
            assert stage.carrier._is_behind
            for number in range(300):
                _, frames = await stage.hear()
                assert frames == [b"h", bytes([number % 256]) * 50_000]
            assert not stage.carrier._is_behind

    run(main())


def test_a_long_message_is_encrypted_as_it_goes(known):
    """Neither end holds a second copy of it, of whatever length it is."""
    message = bytes(30_000_000)

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"hello")
            peer, _ = await stage.hear()
            stage.carrier.send_long(b"h", (memoryview(message),), b"")
            with memory_peak() as peak:
                read = 0
                while read < len(message):
                    await asyncio.sleep(0)
                    with suppress(BlockingIOError):
                        read += len(peer.socket.recv(1 << 16, socket.MSG_DONTWAIT))
                assert peak() < 1_500_000

    run(main())


def test_a_long_answer_is_encrypted_as_it_goes(known):
    """The replica sends it in pieces, between which others are looked after."""

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"hello")
            peer, _ = await stage.hear()
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


def test_a_replica_that_hangs_up_is_connected_to_again(known):
    """The link hears of the end, the connection of the new beginning; nothing old is sent."""

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"one")
            peer, _ = await stage.hear()
            stage.listener.send(peer, (b"state",))
            await until(lambda: stage.come)
            stage.listener._drop(peer)
            assert not stage.listener.send(peer, (b"nobody",))
            await until(lambda: stage.ends)
            assert not stage.reconnected
            stage.carrier.send(b"two")
            assert (await stage.hear())[1] == [b"two"]
            assert stage.reconnected == [1]
            assert stage.refusals == []

    run(main())


def test_a_replica_that_comes_back_is_found_at_its_address(known):
    """Another process listens where one has ended."""

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"one")
            await stage.hear()
            stage.listener.close()
            await until(lambda: stage.carrier._socket is None)
            port = stage.listener.port
            stage.listener = TlsListener(stage.address, read_identity(known, "replica"))
            assert stage.listener.port == port
            stage.carrier.send(b"two")
            assert (await stage.hear())[1] == [b"two"]

    run(main())


def test_a_stranger_is_refused_and_both_say_why(known, other, capfd):
    """The replica's log once, the front end for each try; what it wanted to say is not heard."""

    async def main():
        with closing(Stage(known, other)) as stage:
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
        with closing(Stage(known, tmp_path)) as stage:
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
        with closing(Stage(known)) as stage:
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
        carrier = TlsCarrier("tls://no-such-host.invalid:7000", identity, [].append)
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
        with closing(Stage(known)) as stage:
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


def test_parts_of_a_long_message_show_life(known):
    """Its answer to a heartbeat waits behind that; a replica that stops reading shows none."""

    async def main():
        with closing(Stage(known)) as stage:
            stage.carrier.open()
            stage.carrier.send(b"hello")
            peer, _ = await stage.hear()
            stage.carrier.has_moved()
            assert not stage.carrier.has_moved()
            stage.carrier.send_long(b"h", (bytes(30_000_000),), b"")
            await asyncio.sleep(0.02)
            stage.carrier.has_moved()
            await asyncio.sleep(0.02)
            assert not stage.carrier.has_moved()
            await stage.hear()
            assert stage.carrier.has_moved()
            sending = asyncio.to_thread(stage.listener.send, peer, (b"r", bytes(3_000_000)))
            assert await sending
            assert stage.carrier.has_moved()

    run(main())


def test_a_message_reaches_whoever_closes_while_it_is_told(known):
    """The owner of a connection may close it for what a message says; no other follows."""

    async def main():
        with closing(Stage(known)) as stage:
            come = []
            identity = read_identity(known, "frontend")

            def on_frames(frames):
                come.append(frames)
                carrier.close()

            carrier = TlsCarrier(stage.address, identity, on_frames)
            carrier.open()
            carrier.send(b"hello")
            peer, _ = await stage.hear()
            stage.listener.send(peer, (b"one",))
            stage.listener.send(peer, (b"two",))
            await until(lambda: come)
            await asyncio.sleep(0.01)
            assert come == [[b"one"]]

    run(main())
