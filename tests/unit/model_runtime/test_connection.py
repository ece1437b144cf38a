"""The replica's socket, spoken to by real frontends."""

import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path

import zmq

from model_runtime import protocol
from model_runtime.connection import FORGET_S, ReplicaSocket

TIMEOUT_MS = 10_000


@contextmanager
def replica():
    """Yield a replica's socket and its address."""
    with tempfile.TemporaryDirectory(prefix="sv-") as folder:
        address = f"ipc://{Path(folder)}/r.sock"
        with ReplicaSocket(address, {"pid": 1}) as socket:
            yield socket, address


@contextmanager
def frontend(address):
    """Yield a DEALER that is connected to a replica."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_MS)
        dealer.connect(address)
        yield dealer


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


def test_hello_and_heartbeat_are_answered_with_state():
    """Each asks for a sign of life; changes are announced to whoever has asked once."""
    with replica() as (socket, address), frontend(address) as dealer:
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


def test_batches_and_replies():
    """Work comes in order; results and failures go back to whoever sent it."""
    with replica() as (socket, address), frontend(address) as one, frontend(address) as two:
        say(one, [protocol.PREDICT, 7, protocol.BYTES, 2], b"abcd")
        say(two, [protocol.PREDICT, 8, protocol.BYTES, 2], b"abc", struct.pack("<2I", 1, 2))
        receive(socket, lambda: len(socket.pending) == 2)
        works = {work.batch_id: work for work in socket.pending}
        assert (works[7].batch.lengths, works[7].batch.data) == (b"", b"abcd")
        assert works[8].batch.lengths
        socket.reply(works[7], [b"1", b"2"], 5)
        socket.fail(works[8], "x" * 1000)
        assert hear(one) == ([protocol.RESULT, 7, 2, 5], [b"1\n2"])
        assert hear(two) == ([protocol.FAILURE, 8, "x" * 500], [])


def test_garbage_is_ignored(capsys):
    """A message that the protocol refuses leaves the replica as it was."""
    with replica() as (socket, address), frontend(address) as dealer:
        dealer.send(b"\xc1")
        say(dealer, [protocol.PREDICT])
        say(dealer, [protocol.PREDICT, 1, 0, 0], b"")
        say(dealer, [protocol.PREDICT, 1, 0, "many"], b"")
        say(dealer, [protocol.PREDICT, 1, 0, 1])
        say(dealer, [99, "later"])
        say(dealer, [protocol.HELLO, 1, "test"])
        receive(socket, socket.has_frontend)
        assert not socket.pending
    assert capsys.readouterr().out.count("a message was ignored") == 5


def test_a_busy_replica_answers_heartbeats():
    """While the model has the main thread, the other one speaks and keeps what comes."""
    with replica() as (socket, address), frontend(address) as dealer:
        with socket.lent():
            say(dealer, [protocol.HELLO, 1, "test"])
            assert hear(dealer)[0][0] == protocol.STATE
            say(dealer, [protocol.PREDICT, 1, protocol.BYTES, 1], b"x")
            assert hear(dealer)[0][0] == protocol.STATE
            while not socket.pending:
                hear(dealer)
        assert socket.receive()


def test_a_frontend_that_is_gone_is_forgotten():
    """Sending to nobody is no error."""
    with replica() as (socket, _address):
        socket._heard_s[b"nobody"] = socket.last_heard_s
        socket._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.announce(protocol.READY)
        assert not socket.has_frontend()


def test_frontends_that_fell_silent_are_forgotten():
    """One that has said nothing for a minute is not sent states any more."""
    with replica() as (socket, _address):
        now_s = socket.last_heard_s
        socket._heard_s = {b"old": now_s - FORGET_S - 1, b"new": now_s}
        socket.announce(protocol.READY)
        assert list(socket._heard_s) == [b"new"]
