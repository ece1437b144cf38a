"""A replica that yields, as a frontend sees it: the messages of docs/protocol.md, over ZeroMQ."""

import json
from contextlib import contextmanager

import pytest
import zmq

from model_runtime import protocol, streams
from tests.streaming import TIMEOUT_S, yielding


@contextmanager
def frontend(replica):
    """Yield a frontend that has heard that the replica is ready."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RCVTIMEO, TIMEOUT_S * 1000)
        dealer.connect(replica.address)
        made = Frontend(dealer)
        made.say(protocol.HELLO, protocol.PROTOCOL_VERSION, "test")
        while (made.info or {}).get("state") != protocol.READY:
            made.hear_state()
        yield made


class Frontend:
    """Sends and takes messages."""

    def __init__(self, dealer):
        self.dealer = dealer
        self.info = None

    def say(self, *header, data=None):
        """Send a message."""
        frames = [protocol.pack_header(header)]
        self.dealer.send_multipart(frames if data is None else [*frames, data])

    def hear(self):
        """Return the next message that is no STATE: its header, and its payload."""
        while True:
            packed, *payload = self.dealer.recv_multipart()
            header = protocol.unpack_header(packed)
            if header[0] != protocol.STATE:
                return header, payload
            self.info = {"state": header[2], **header[3]}

    def hear_state(self):
        """Take a STATE."""
        header = protocol.unpack_header(self.dealer.recv_multipart()[0])
        self.info = {"state": header[2], **header[3]}

    def open(self, number, credit=1 << 16, **told):
        """Begin a stream."""
        self.say(protocol.OPEN, number, protocol.ANY, credit, data=json.dumps(told).encode())

    def until_end(self, number):
        """Return the items up to the end of a stream, and what its END says."""
        items = []
        while True:
            header, payload = self.hear()
            if header[1] == number and header[0] == protocol.ITEMS:
                found = payload[0].split(b"\n")
                assert len(found) == header[2]
                items += map(json.loads, found)
            if header[1] == number and header[0] == protocol.END:
                return items, header[2:]


def test_it_says_how_many_streams_it_serves():
    """By default, and as its manifest says."""
    with yielding("ipc") as replica, frontend(replica) as heard:
        assert heard.info["streams"] == 256
        assert heard.info["signature"]["is_stream"] is True
    with yielding("ipc", concurrency=3) as replica, frontend(replica) as heard:
        assert heard.info["streams"] == 3


def test_credit_is_what_it_may_send():
    """It begins an item as long as there is some, and goes on when there is more."""
    with yielding("ipc") as replica, frontend(replica) as heard:
        heard.open(7, credit=2 * (100 + protocol.ITEM_BYTES), count=5, size=98)
        items = []
        while len(items) < 2:
            payload = heard.hear()[1]
            items += payload[0].split(b"\n")
        heard.say(protocol.HEARTBEAT, 0)
        heard.hear_state()  # nothing has come before it
        heard.say(protocol.CREDIT, 7, 1000)
        rest, end = heard.until_end(7)
        assert (len(items), len(rest), end) == (2, 3, [])


def test_cancel_is_answered_by_the_end():
    """Also of one that waits for a place, and of one that nobody knows: that is ignored."""
    with yielding("ipc", concurrency=1) as replica, frontend(replica) as heard:
        heard.open(1, count=10**6, pause_s=0.01)
        assert heard.hear()[0][:2] == [protocol.ITEMS, 1]
        heard.open(2)
        heard.say(protocol.CANCEL, 2)
        heard.say(protocol.CANCEL, 99)
        assert heard.until_end(2) == ([], [])
        heard.say(protocol.CANCEL, 1)
        assert heard.until_end(1)[1] == []
        heard.open(3)
        assert heard.until_end(3) == ([0, 1, 2], [])


@pytest.mark.parametrize("name", ["predict", "answer"])
def test_who_knows_no_streams_gets_lists(name):
    """A PREDICT is answered with each input's items; other streams go on."""
    with yielding("ipc", object=name) as replica, frontend(replica) as heard:
        heard.open(1, count=2)
        assert heard.until_end(1) == ([0, 1], [])
        rows = [b'{"count": 2}', b'{"count": 1} ']
        lengths, data = protocol.join_rows(rows)
        packed = protocol.pack_header([protocol.PREDICT, 5, protocol.ANY, 2])
        heard.dealer.send_multipart([packed, data, lengths])
        header, payload = heard.hear()
        assert header[:3] == [protocol.RESULT, 5, 2]
        assert payload == [b"[0,1]\n[0]"]


def test_a_frontend_that_is_not_heard_any_more_is_not_computed_for(monkeypatch, tmp_path):
    """ZeroMQ tells of no end; the streams of others go on."""
    monkeypatch.setattr(streams, "LOST_S", 0.5)
    log = tmp_path / "log"
    with yielding("ipc") as replica, frontend(replica) as heard:
        heard.open(1, count=10**6, pause_s=0.01, log=str(log))
        _, end = heard.until_end(1)
        assert "not heard" in end[0]
        # Where it was: at its yield, or on its way to the next.
        assert log.read_text().split()[-1] in ("GeneratorExit", "Stopped")


def test_a_replica_that_is_told_to_end_lets_streams_go_on_for_a_while(monkeypatch, tmp_path):
    """A short one comes to its end, one without end is stopped, and both are told."""
    monkeypatch.setattr("model_runtime.loop.STREAM_DRAIN_S", 1.0)
    log = tmp_path / "log"
    with yielding("ipc") as replica, frontend(replica) as heard:
        heard.open(1, count=10, pause_s=0.02)
        heard.open(2, count=10**6, pause_s=0.01, log=str(log))
        assert heard.hear()[0][0] == protocol.ITEMS
        replica.stop.set()
        ends = {}
        while len(ends) < 2:
            header, _ = heard.hear()
            if header[0] == protocol.END:
                ends[header[1]] = header[2:]
        assert ends == {1: [], 2: ["the replica was told to end"]}
        replica.thread.join(TIMEOUT_S)
        assert not replica.thread.is_alive()
        # Where it was: at its yield, or on its way to the next.
        assert log.read_text().split()[-1] in ("GeneratorExit", "Stopped")
