"""The replica's socket, spoken to by real frontends over all carriers."""

import contextlib
import selectors
import socket as sockets
import struct
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from model_runtime import protocol
from model_runtime.connection import FORGET_S, ReplicaSocket, Told
from model_runtime.framing import Assembler, prefix
from model_runtime.health import parse_address
from model_runtime.raw_outputs import RawOutput
from model_runtime.tls import read_identity
from servd.carriers.certificates import write_certificates
from tests.daemon import free_port

TIMEOUT_S = 10
SCHEMES = ("ipc", "unix", "tls")


@pytest.fixture(params=SCHEMES)
def scheme(request):
    """Return the scheme of an address: which carrier it is."""
    return request.param


@contextmanager
def replica(scheme):
    """Yield a replica's socket and its address."""
    with tempfile.TemporaryDirectory(prefix="sv-") as name:
        folder, keys = Path(name), None
        address = f"{scheme}://{folder}/r.sock"
        if scheme == "tls":
            write_certificates(folder)
            address = f"tls://127.0.0.1:{free_port()}?{folder}"
            keys = read_identity(folder, "replica")
        with ReplicaSocket(address.partition("?")[0], {"pid": 1}, keys) as socket:
            yield socket, address


@contextmanager
def frontend(address):
    """Yield the plainest frontend: it sends frames and receives frames."""
    if address.startswith("unix"):
        with sockets.socket(sockets.AF_UNIX) as stream:
            stream.settimeout(TIMEOUT_S)
            stream.connect(address.removeprefix("unix://"))
            yield Stream(stream)
        return
    if address.startswith("tls"):
        with bridge(address) as stream:
            yield Stream(stream)
        return
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(address)
        yield dealer


@contextmanager
def bridge(address):
    """Yield a socket whose bytes a thread carries over TLS: a handshake needs both ends."""
    place, _, folder = address.removeprefix("tls://").partition("?")
    near, far = sockets.socketpair()
    near.settimeout(TIMEOUT_S)

    def carry():
        context = read_identity(Path(folder), "frontend").context
        with far, sockets.create_connection(parse_address(place), TIMEOUT_S) as plain:
            secure = context.wrap_socket(plain)
            with secure, selectors.DefaultSelector() as ready:
                ready.register(far, selectors.EVENT_READ, (far, secure))
                ready.register(secure, selectors.EVENT_READ, (secure, far))
                while True:
                    for key, _ in ready.select(TIMEOUT_S):
                        source, target = key.data
                        data = source.recv(1 << 16)
                        if not data:
                            return
                        target.sendall(data)

    def carry_until_the_end():
        with contextlib.suppress(OSError):  # either end may go first
            carry()

    carrying = threading.Thread(target=carry_until_the_end)
    carrying.start()
    yield near
    near.close()
    carrying.join()


class Stream:
    """A stream socket with a DEALER's two methods."""

    def __init__(self, stream):
        self.stream = stream
        self.assembler = Assembler()
        self.come = []

    def send_multipart(self, frames):
        """Send a message."""
        self.stream.sendall(prefix(*frames) + b"".join(frames))

    def recv_multipart(self):
        """Return the next message's frames."""
        while not self.come:
            self.come += self.assembler.feed(self.stream.recv(1000))
        return self.come.pop(0)


def say(dealer, header, *payload):
    """Send a message."""
    dealer.send_multipart([protocol.pack_header(header), *payload])


def hear(dealer):
    """Return the next message's header and payload."""
    header, *payload = dealer.recv_multipart()
    return protocol.unpack_header(header), payload


def receive(socket, is_true):
    """Let a replica receive until something is true."""
    while not is_true():
        socket.receive()


def test_hello_and_heartbeat_are_answered_with_state(scheme):
    """Each asks for a sign of life; changes are announced to whoever has asked once."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        assert not socket.has_frontend()
        assert not socket.receive()
        say(dealer, [protocol.HELLO, 1, "test"])
        receive(socket, socket.has_frontend)
        assert hear(dealer) == ([protocol.STATE, 1, protocol.LOADING, {"pid": 1}], [])
        socket.announce(protocol.READY)
        assert hear(dealer)[0][2] == protocol.READY
        heard_s = socket.last_heard_s
        say(dealer, [protocol.HEARTBEAT, 0])
        receive(socket, lambda: socket.last_heard_s > heard_s)
        assert hear(dealer)[0][2] == protocol.READY


def test_who_has_not_been_told_the_signature_is_told_it(scheme):
    """Also by the answer to a heartbeat that comes just before the announcement; then not again."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.HELLO])
        receive(socket, lambda: socket._heard_s)
        hear(dealer)
        socket.info["signature"] = {"input_type": "rows"}
        for is_told in (True, False):
            heard_s = socket.last_heard_s
            say(dealer, [protocol.HEARTBEAT, 0])
            receive(socket, lambda heard_s=heard_s: socket.last_heard_s > heard_s)
            assert ("signature" in hear(dealer)[0][3]) is is_told


def test_batches_and_replies(scheme):
    """Work comes in order; results and failures go back to whoever sent it."""
    with replica(scheme) as (socket, address), frontend(address) as one, frontend(address) as two:
        say(one, [protocol.PREDICT, 7, protocol.BYTES, 2], b"abcd")
        say(two, [protocol.PREDICT, 8, protocol.BYTES, 2], b"abc", struct.pack("<2I", 1, 2))
        receive(socket, lambda: len(socket.pending) == 2)
        works = {work.batch_id: work for work in socket.pending}
        assert (works[7].batch.lengths, works[7].batch.data) == (b"", b"abcd")
        assert works[8].batch.lengths
        socket.reply(works[7], [b"1", b"2"], 5)
        socket.fail(works[8], Told("x" * 1000))
        assert hear(one) == ([protocol.RESULT, 7, 2, 5], [b"1\n2"])
        assert hear(two) == ([protocol.FAILURE, 8, "x" * 500], [])


def test_garbage_is_ignored(scheme, capsys):
    """A message that the protocol refuses leaves the replica as it was."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        dealer.send_multipart([b"\xc1"])
        say(dealer, [protocol.PREDICT])
        say(dealer, [protocol.PREDICT, 1, 0, 0], b"")
        say(dealer, [protocol.PREDICT, 1, 0, "many"], b"")
        say(dealer, [99, "later"])
        say(dealer, [protocol.HELLO, 1, "test"])
        receive(socket, socket.has_frontend)
        assert not socket.pending
    assert capsys.readouterr().out.count("a message was ignored") == 4


@pytest.mark.parametrize(
    ("hello", "version"),
    [([1, "old"], 1), ([2, "new"], 2), ([3, "newer"], 2), ([0], 1), (["2"], 1), ([], 1)],
)
def test_each_frontend_hears_the_version_that_both_speak(scheme, hello, version):
    """The lower one; who says none is taken for the oldest."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.HELLO, *hello])
        receive(socket, socket.has_frontend)
        assert hear(dealer)[0][:2] == [protocol.STATE, version]
        socket.announce(protocol.READY)
        assert hear(dealer)[0][:3] == [protocol.STATE, version, protocol.READY]


def test_a_frontend_that_is_not_known_is_of_the_oldest_version():
    """One that was forgotten, or whose HELLO was lost, and that only beats; until it greets."""
    with replica("unix") as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.HEARTBEAT, 0])
        receive(socket, socket.has_frontend)
        assert hear(dealer)[0][1] == 1
        say(dealer, [protocol.HELLO, 2, "test"])
        receive(socket, lambda: 2 in socket._spoken.values())
        assert hear(dealer)[0][1] == 2
        (peer,) = socket._heard_s
        socket._heard_s[peer] -= FORGET_S + 1
        socket.announce(protocol.READY)
        say(dealer, [protocol.HEARTBEAT, 0])
        receive(socket, socket.has_frontend)
        assert hear(dealer)[0][1] == 1


RAW = RawOutput([b"12345678", b"abcdefgh"])


@pytest.mark.parametrize(
    ("wanted", "outputs", "forms", "payload"),
    [
        (b"\1\1", [RAW, RAW], b"\1\1", [b"12345678abcdefgh" * 2]),
        (b"\1\0", [RAW, b"7"], b"\1\0", [b"12345678abcdefgh7", struct.pack("<2I", 16, 1)]),
        (b"\1\1", [b"[1]", RAW], b"\0\1", [b"[1]12345678abcdefgh", struct.pack("<2I", 3, 16)]),
        (b"\1\1", [b"1", b"2"], None, [b"1\n2"]),
    ],
)
def test_raw_outputs_go_to_who_wants_them(scheme, wanted, outputs, forms, payload):
    """With their forms, and lengths in place of newlines; of texts alone it is a usual result."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.PREDICT, 7, protocol.BYTES, 2, wanted], b"ab")
        receive(socket, lambda: socket.pending)
        work = socket.pending.popleft()
        assert work.batch.wanted == wanted
        socket.reply(work, outputs, 5)
        kind = [protocol.RESULT, 7, 2, 5] if forms is None else [protocol.RAW, 7, 2, 5, forms]
        assert hear(dealer) == (kind, payload)


@pytest.mark.parametrize(
    "more", [[], [b""], [b"\1"], [b"\0\0"], [b"\2\2"], ["\1\1"], [True], [None]]
)
def test_nothing_is_raw_that_nobody_asked_for(more):
    """What else stands in the header, of later versions, is to be ignored."""
    with replica("unix") as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.PREDICT, 7, protocol.BYTES, 2, *more], b"ab")
        receive(socket, lambda: socket.pending)
        assert socket.pending[0].batch.wanted == b""


def test_a_long_raw_result_is_announced(scheme):
    """As others are: its size in bytes comes first."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.PREDICT, 7, protocol.BYTES, 1, b"\1"], b"a")
        receive(socket, lambda: socket.pending)
        output = RawOutput([b"x" * 300_000, b"y" * 8])
        work = socket.pending.popleft()
        sender = threading.Thread(target=socket.reply, args=(work, [output], 5))
        sender.start()  # a stream takes it as it is read
        assert hear(dealer) == ([protocol.LONG, 7, 300_008], [])
        assert hear(dealer) == ([protocol.RAW, 7, 1, 5, b"\1"], [b"x" * 300_000 + b"y" * 8])
        sender.join()


@pytest.mark.parametrize(
    ("takes", "code"), [("doubles", protocol.TENSORS), ("tensors", protocol.DOUBLES)]
)
def test_rows_are_not_taken_for_something_else(takes, code):
    """Tensors for a model of numbers fail, and numbers for one of tensors, by name."""
    with replica("unix") as (socket, address), frontend(address) as dealer:
        socket.info["input_type"] = takes
        say(dealer, [protocol.PREDICT, 7, code, 1], bytes(8))
        say(dealer, [protocol.HELLO, 2, "test"])
        receive(socket, socket.has_frontend)
        reason = f"inputs of type {code} for a model that takes {takes}"
        assert hear(dealer) == ([protocol.FAILURE, 7, reason], [])
        assert not socket.pending


def test_a_busy_replica_answers_heartbeats(scheme):
    """While the model has the main thread, the other one speaks and keeps what comes."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        with socket.lent():
            say(dealer, [protocol.HELLO, 1, "test"])
            assert hear(dealer)[0][0] == protocol.STATE
            say(dealer, [protocol.PREDICT, 1, protocol.BYTES, 1], b"x")
            assert hear(dealer)[0][0] == protocol.STATE
            while not socket.pending:
                hear(dealer)
        assert socket.receive()


def test_a_frontend_that_is_gone_is_forgotten():
    """One that hangs up is sent nothing more; what was computed for it goes nowhere."""
    with replica("unix") as (socket, address), frontend(address) as stays:
        with frontend(address) as goes:
            say(goes, [protocol.HELLO, 1, "test"])
            say(goes, [protocol.PREDICT, 1, protocol.BYTES, 1], b"x")
            receive(socket, lambda: socket.pending)
        say(stays, [protocol.HELLO, 1, "test"])
        receive(socket, lambda: len(socket._heard_s) == 2)
        socket.reply(socket.pending.popleft(), [b"1"], 5)
        socket.announce(protocol.READY)
        assert len(socket._heard_s) == 1
        assert [hear(stays)[0][2] for _ in range(2)] == [protocol.LOADING, protocol.READY]


def test_the_others_hear_while_one_is_sent_a_long_answer(monkeypatch):
    """A frontend that reads slowly does not make the replica silent for the others."""
    monkeypatch.setattr("model_runtime.connection.BEAT_S", 0.01)
    with replica("unix") as (socket, address), frontend(address) as one, frontend(address) as two:
        for each in (one, two):
            say(each, [protocol.HELLO, 1, "test"])
        receive(socket, lambda: len(socket._heard_s) == 2)
        say(one, [protocol.PREDICT, 7, protocol.BYTES, 1], b"x")
        receive(socket, lambda: socket.pending)
        for each in (one, two):
            assert hear(each)[0][0] == protocol.STATE
        output = b"7" * 3_000_000
        sender = threading.Thread(target=socket.reply, args=(socket.pending.popleft(), [output], 5))
        sender.start()
        assert hear(one) == ([protocol.LONG, 7, len(output)], [])
        heard = 0
        while sender.is_alive() or not one.come:
            one.come += one.assembler.feed(one.stream.recv(100_000))
            sender.join(0.01)
        with contextlib.suppress(TimeoutError):
            two.stream.settimeout(0.1)
            while hear(two)[0][0] == protocol.STATE:
                heard += 1
        assert heard
        assert hear(one) == ([protocol.RESULT, 7, 1, 5], [output])
        assert hear(one)[0][0] == protocol.STATE


def test_a_frontend_that_reads_nothing_is_hung_up_on(monkeypatch):
    """The others are not kept waiting behind it for long."""
    monkeypatch.setattr("model_runtime.carriers.SEND_TIMEOUT_S", 1)
    with replica("unix") as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.HELLO, 1, "test"])
        receive(socket, socket.has_frontend)
        socket.info["text"] = "x" * 10_000_000
        socket.announce(protocol.READY)
        assert not socket.has_frontend()


def test_a_stream_without_sense_is_hung_up_on():
    """What has no sensible lengths cannot be read any further; others are not touched."""
    with replica("unix") as (socket, address), frontend(address) as good:
        with frontend(address) as bad:
            bad.stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
            say(good, [protocol.HELLO, 1, "test"])
            receive(socket, socket.has_frontend)
            socket.receive()
            assert bad.stream.recv(1) == b""
        assert hear(good)[0][0] == protocol.STATE


def test_frontends_that_fell_silent_are_forgotten():
    """One that has said nothing for a minute is not sent states any more."""
    with replica("ipc") as (socket, _address):
        now_s = socket.last_heard_s
        socket._heard_s = {b"old": now_s - FORGET_S - 1, b"new": now_s}
        socket.announce(protocol.READY)
        assert list(socket._heard_s) == [b"new"]


def test_the_first_word_of_a_state_says_all_and_the_later_ones_no_signature(scheme):
    """Also to who had just asked: a heartbeat that waits is answered with the state of before."""
    with replica(scheme) as (socket, address), frontend(address) as dealer:
        say(dealer, [protocol.HELLO, 2])
        receive(socket, socket.has_frontend)
        hear(dealer)
        socket.info["signature"] = {"input_type": "doubles"}
        say(dealer, [protocol.HEARTBEAT])
        time.sleep(0.1)  # it waits in the socket, where nobody can look for it
        socket.announce(protocol.READY)
        said = [hear(dealer)[0][2:4] for _ in range(2)]
        assert [state for state, _ in said] == [protocol.LOADING, protocol.READY]
        assert "signature" in said[1][1]
        say(dealer, [protocol.HEARTBEAT])
        socket.receive()
        state, info = hear(dealer)[0][2:4]
        assert (state, "signature" in info) == (protocol.READY, False)
